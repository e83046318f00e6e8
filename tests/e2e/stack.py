"""A whole site on loopback ports: Redis, an Orthanc as the PACS, and the node's own processes in a home of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archive import Archive

from node.core import signatures
from node.core.errors import Unavailable
from node.core.ledger import Ledger, deliveries, jobs, studies
from node.core.ledger.tables import Delivery, Job, StoredInstance, Study
from node.core.peer import Peer
from node.core.states import DeliveryState, JobState, StudyState
from node.servers import Broker, Orthanc, free_port
from node.up import Crew, command_lines

NODE, PACS = "CRLM_NODE", "ORTHANC"
SCANNER, READER = "SCANNER", "READER"
HOST = "127.0.0.1"
MODELS = Path(__file__).parents[2] / "models"
LEASE_S = 4.0
PATIENCE_S = 90.0

_CONFIG = """
home = "{home}"
ledger_url = "{ledger_url}"
broker_url = "{broker}"
models_dir = "{models}"
ae_title = "{node}"
port = {port}
quiet_time_s = 1.0
steward_period_s = 0.2
lease_s = {lease_s}
attempts = 8
retry_base_s = 0.3

[imports]
ae_titles = ["{reader}"]
"""
_CALLING = """
[[calling]]
ae_title = "{name}"
hosts = ["{host}"]
"""
_DESTINATIONS = """
[[destinations]]
kind = "dicom"
name = "pacs"
ae_title = "{pacs}"
host = "{host}"
port = {port}

[[destinations]]
kind = "folder"
name = "folder"
path = "{folder}"
"""


def _signatures_alone(models: Path) -> Path:
    """See that a folder of models has the signatures of this project, its own or a test's copy of them; return it."""
    models.mkdir(parents=True, exist_ok=True)
    ours = models / signatures.FOLDER
    if not ours.exists():
        ours.symlink_to(MODELS / signatures.FOLDER)
    return models


@dataclass(frozen=True)
class View:
    """What the ledger says of a study now."""

    study: Study | None
    jobs: list[Job]
    deliveries: list[Delivery]

    @property
    def job(self) -> Job:
        """The latest job."""
        return self.jobs[-1]

    @property
    def refused(self) -> bool:
        """Whether the study is closed without numbers."""
        closed = (StudyState.NOT_ANALYSABLE, StudyState.QUARANTINED)
        return self.study is not None and self.study.state in closed

    @property
    def proven(self) -> bool:
        """Whether the latest job has reported, and what it made, or goes in its place, is proven everywhere."""
        return (
            bool(self.jobs)
            and self.job.state is JobState.REPORTED
            and bool(self.deliveries)
            and all(one.state is DeliveryState.PROVEN for one in deliveries.standing(self.deliveries))
        )

    def kinds(self, destination: str = "pacs") -> dict[str, Delivery]:
        """Return the deliveries to a destination by the kind of their object."""
        return {one.kind: one for one in self.deliveries if one.destination == destination}

    def __str__(self) -> str:
        """Say it in the words of a failed test."""
        rows = [f"study {self.study.state} {self.study.reason}" if self.study else "no study"]
        rows += [f"job {job.key[:6]} {job.state} {job.stage} {job.reason} {job.detail}" for job in self.jobs]
        rows += [f"{one.kind}@{one.destination} {one.state} {one.reason} {one.detail}" for one in self.deliveries]
        return "; ".join(rows)


@dataclass
class Stack:
    """The site; `start` and `stop` it. Its ledger is in SQLite unless a URL is given."""

    home: Path
    ledger_url: str = ""
    broker: Broker = field(init=False)
    orthanc: Orthanc = field(init=False)
    crew: Crew = field(init=False)
    ledger: Ledger = field(init=False)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.broker = Broker(self.home / "redis")
        self.orthanc = Orthanc(self.home / "orthanc", PACS, {NODE: (HOST, self.port)})
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            _CONFIG.format(
                home=self.home / "node",
                models=_signatures_alone(self.home / "models"),
                ledger_url=self.ledger_url,
                broker=self.broker.url,
                node=NODE,
                port=self.port,
                lease_s=LEASE_S,
                reader=READER,
            )
            + "".join(_CALLING.format(name=name, host=HOST) for name in (SCANNER, READER, PACS))
            + _DESTINATIONS.format(pacs=PACS, host=HOST, port=self.orthanc.dicom_port, folder=self.results)
        )
        self.crew = Crew(command_lines(self.config), self.logs)
        self.ledger = Ledger(self.ledger_url or f"sqlite:///{self.home / 'node' / 'ledger.sqlite'}")

    @property
    def config(self) -> Path:
        """Settings file."""
        return self.home / "config.toml"

    @property
    def logs(self) -> Path:
        """Folder of what the processes write."""
        return self.home / "log"

    @property
    def results(self) -> Path:
        """Folder that is the second destination."""
        return self.home / "results"

    @property
    def spool(self) -> Path:
        """Root of the spool."""
        return self.home / "node" / "spool"

    @property
    def archive(self) -> Archive:
        """The PACS by HTTP."""
        return Archive(self.orthanc)

    def start(self) -> None:
        """Start everything and wait until the listener answers and each worker is at its queue."""
        for server in (self.broker, self.orthanc):
            server.__enter__()
        self.ledger.upgrade()
        self.crew.start()
        self.await_(self._serves, "listener and workers serve")

    def stop(self) -> None:
        """End every process that was started."""
        self.crew.stop()
        self.ledger.close()
        self.orthanc.stop()
        self.broker.stop()

    def node(self, calling: str = SCANNER) -> Peer:
        """The node as a peer calls it."""
        return Peer(NODE, HOST, self.port, calling)

    def pacs(self) -> Peer:
        """The PACS as a peer calls it."""
        return Peer(PACS, HOST, self.orthanc.dicom_port, SCANNER)

    def cli(self, *words: str | Path, code: int = 0) -> str:
        """Run a command as a user does; return what it printed, and fail on another exit code."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "node", "--config", str(self.config), *map(str, words)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def give(self, files: Iterable[Path], calling: str = SCANNER) -> None:
        """Send files to the node in one association; each must be stored."""
        stored = self.node(calling).store(list(files))
        assert [str(one.error) for one in stored if one.error] == []

    def view(self, study_uid: str) -> View:
        """Return what the ledger says of a study."""
        with self.ledger.transaction() as session:
            known = list(jobs.of_study(session, study_uid))
            made = list(deliveries.of_job(session, known[-1].key)) if known else []
            return View(session.get(Study, study_uid), known, made)

    def wait(
        self, study_uid: str, until: Callable[[View], bool] = lambda view: view.proven, limit_s: float = PATIENCE_S
    ) -> View:
        """Wait until a study is where it should be."""
        deadline = time.monotonic() + limit_s
        while not until(view := self.view(study_uid)):
            assert time.monotonic() < deadline, f"after {limit_s:g} s: {view}"
            time.sleep(0.05)
        return view

    def await_(self, condition: Callable[[], bool], what: str, limit_s: float = PATIENCE_S) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
            time.sleep(0.05)

    def rounds(self, count: int = 5) -> None:
        """Let the steward make so many rounds and the quiet time pass, so that what should not come had its time."""
        time.sleep(1.0 + 0.2 * count)

    def instances(self, study_uid: str) -> list[StoredInstance]:
        """Return the stored instances of a study."""
        with self.ledger.transaction() as session:
            return list(studies.instances_of(session, study_uid))

    def causes(self, study_uid: str) -> list[str]:
        """Return the causes of all moves of the study's latest job and its deliveries."""
        view = self.view(study_uid)
        with self.ledger.transaction() as session:
            events = list(studies.events_of(session, "job", view.job.key))
            for one in view.deliveries:
                events += studies.events_of(session, "delivery", f"{one.sop_instance_uid}@{one.destination}")
            return [event.cause for event in sorted(events, key=lambda event: event.id)]

    def work(self, view: View) -> Path:
        """Return the folder of the latest job's files."""
        return self.spool / "work" / view.job.key

    def document(self, view: View) -> dict[str, Any]:
        """Return `result.json` of the latest job."""
        document: dict[str, Any] = json.loads((self.work(view) / "result.json").read_text())
        return document

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Kill one of the processes that this stack started, and wait until it is gone."""
        process = self.crew._running[name]
        os.kill(process.pid, number)
        process.wait(30)

    def log(self, name: str) -> str:
        """Return what a process has written."""
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def restart(self, name: str) -> None:
        """End one of the workers as a service manager does, and start it again with the settings as they are now."""
        before = self.log(name).count("ready.")
        self.kill(name, signal.SIGTERM)
        self.crew._start(name)
        self.await_(lambda: self.log(name).count("ready.") > before, f"{name} serves with other settings")

    def revive(self, name: str) -> None:
        """Have the crew notice that a process ended, and wait until it serves again."""
        before = self.log(name).count("ready.")
        self.crew.keep()

        def again() -> bool:
            self.crew.keep()
            return name in self.crew.pids and self.log(name).count("ready.") > before

        self.await_(again, f"{name} serves again")

    def _serves(self) -> bool:
        ended = {name: self.crew.last_words(name) for name in self.crew.keep()}
        assert not ended, f"processes ended at once: {ended}"
        if not all("ready." in self.log(path.stem) for path in self.logs.glob("worker-*.log")):
            return False
        try:
            self.node().echo()
        except Unavailable:
            return False
        return True
