"""The demonstration: the main job once, on real processes, in a throw-away home on free loopback ports.

Starts Redis, Orthanc as the PACS (where it is installed; else results go to a folder) and the node's own processes;
sends the synthetic abdomen, or the user's study, by C-STORE to the PACS and to the node; waits; then asks the PACS
what it holds. Success is only what the PACS lists.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from node import screens
from node.core import log
from node.core.errors import Unavailable
from node.core.ledger import Ledger, deliveries, jobs, studies
from node.core.ledger.tables import Delivery, Job, Study
from node.core.peer import Peer
from node.core.states import DeliveryState, JobState, StudyState
from node.phantom import write_phantom
from node.servers import Broker, Orthanc, free_port
from node.up import Crew, command_lines

AE_TITLE = "CRLM_NODE"
SENDER = "CRLM_DEMO"
PACS = "ORTHANC"
_LOOPBACK = "127.0.0.1"
_START_TIMEOUT_S = 90.0
_JOB_TIMEOUT_S = 900.0
_KINDS = {str(SegmentationStorage): "SEG", str(Comprehensive3DSRStorage): "SR"}


@dataclass(frozen=True)
class Stage:
    """Everything that the demonstration runs on."""

    home: Path
    config: Path
    node: Peer
    pacs: Peer | None
    ledger: Ledger
    crew: Crew


def run(console: Console, *, study: Path | None, seg: Path | None, keep: bool) -> int:
    """Run the demonstration and return its exit code: 0 only if SEG and SR were found at the destination."""
    log.configure("error")
    if seg is not None and study is None:
        console.print("--seg goes with --study", style="red")
        return 2
    with tempfile.TemporaryDirectory(prefix="crlm-node-demo-") as folder, ExitStack() as servers:
        home = Path(folder)
        with console.status("Starting Redis, the PACS and the node"):
            stage = servers.enter_context(_stage(home, servers))
        console.print(_where(stage))
        truth = None
        if study is None:
            with console.status("Making the synthetic abdomen"):
                files = write_phantom(home / "phantom")
            console.print(f"Synthetic abdomen: {len(files.ct)} slices of 512 x 512, and its truth as SEG")
            study, seg, truth = home / "phantom" / "ct", files.seg, files.truth
        study_uid = _send(console, stage, study, seg)
        job = _wait(console, stage, study_uid) if study_uid else None
        code = _report(console, stage, study_uid, job, truth) if study_uid and job else 1
        if keep:
            _keep(console, stage)
        return code


@contextmanager
def _stage(home: Path, servers: ExitStack) -> Iterator[Stage]:
    broker = servers.enter_context(Broker(home / "redis"))
    port = free_port()
    pacs: Peer | None = None
    destination = f'kind = "folder"\nname = "folder"\npath = "{home / "results"}"\n'
    if Orthanc.available():
        orthanc = servers.enter_context(Orthanc(home / "orthanc", PACS, {AE_TITLE: (_LOOPBACK, port)}))
        pacs = Peer(PACS, _LOOPBACK, orthanc.dicom_port, SENDER)
        destination = (
            f'kind = "dicom"\nname = "pacs"\nae_title = "{PACS}"\nhost = "{_LOOPBACK}"\nport = {orthanc.dicom_port}\n'
        )
    config = home / "config.toml"
    config.write_text(
        f'home = "{home / "node"}"\nbroker_url = "{broker.url}"\nae_title = "{AE_TITLE}"\nport = {port}\n'
        "quiet_time_s = 3.0\nsteward_period_s = 0.5\nretry_base_s = 2.0\n\n"
        f'[[calling]]\nae_title = "{SENDER}"\nhosts = ["{_LOOPBACK}"]\n\n'
        f'[imports]\nae_titles = ["{SENDER}"]\n\n[[destinations]]\n{destination}',
        encoding="utf-8",
    )
    crew = Crew(command_lines(config), home / "log")
    ledger = Ledger(f"sqlite:///{home / 'node' / 'ledger.sqlite'}")
    ledger.upgrade()
    crew.start()
    node = Peer(AE_TITLE, _LOOPBACK, port, SENDER)
    try:
        _until_it_answers(node, crew, home / "log")
        yield Stage(home, config, node, pacs, ledger, crew)
    finally:
        crew.stop()
        ledger.close()


def _until_it_answers(node: Peer, crew: Crew, logs: Path) -> None:
    """Wait for the listener's C-ECHO; a process that ends meanwhile is a failure, told with its last line."""
    deadline = monotonic() + _START_TIMEOUT_S
    while True:
        for name in crew.keep():
            lines = (logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
            raise RuntimeError(f"the process {name} ended at once: {lines[-1] if lines else 'it said nothing'}")
        try:
            node.echo()
        except Unavailable:
            if monotonic() > deadline:
                raise
            sleep(0.2)
        else:
            return


def _where(stage: Stage) -> str:
    node = f"Node {AE_TITLE}@{stage.node.host}:{stage.node.port}"
    if stage.pacs is None:
        return f"{node}; no PACS: Orthanc is not installed, results go to a folder"
    return f"{node}; PACS (Orthanc) {PACS}@{stage.pacs.host}:{stage.pacs.port}"


def _send(console: Console, stage: Stage, study: Path, seg: Path | None) -> str | None:
    """Send the study to the PACS and to the node, the segmentation to the node; return the Study Instance UID."""
    if stage.pacs:
        screens.send(console, study, stage.pacs)
    report = screens.send(console, study, stage.node)
    if seg is not None:
        stored = stage.node.store([seg])
        faults = [one for one in stored if one.error]
        console.print(f"Segmentation: {faults[0].error}" if faults else "Segmentation sent")
    screens.sent(console, report)
    with stage.ledger.transaction() as session:
        known = studies.find_studies(session, limit=1)
    if not known:
        console.print("The node took in nothing.", style="red")
    return known[0].uid if known else None


def _wait(console: Console, stage: Stage, study_uid: str) -> Job | None:
    """Show how the study travels until its results are proven, refused or failed."""
    deadline = monotonic() + _JOB_TIMEOUT_S
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("waiting", total=None)
        while monotonic() < deadline:
            stage.crew.keep()
            with stage.ledger.transaction() as session:
                study = session.get(Study, study_uid)
                job = next(iter(reversed(jobs.of_study(session, study_uid))), None)
                sent = deliveries.of_job(session, job.key) if job else []
            progress.update(task, description=_now(study, job, sent))
            if study is not None and _is_over(study, job, sent):
                progress.update(task, total=1, completed=1)
                return job
            sleep(0.2)
    console.print(f"Not done within {_JOB_TIMEOUT_S:.0f} s.", style="red")
    return None


def _now(study: Study | None, job: Job | None, sent: list[Delivery] | Any) -> str:
    if job is None:
        return f"study {study.state if study else 'unknown'}: waiting until it is quiet"
    if job.state is not JobState.REPORTED:
        return f"job {job.state}: {job.stage}"
    proven = sum(one.state is DeliveryState.PROVEN for one in sent)
    return f"job {job.state}: {proven} of {len(sent)} objects proven at the destination"


def _is_over(study: Study, job: Job | None, sent: list[Delivery] | Any) -> bool:
    if job is None:
        return study.state in (StudyState.QUARANTINED, StudyState.NOT_ANALYSABLE)
    if job.state is JobState.FAILED:
        return True
    ended = (DeliveryState.PROVEN, DeliveryState.FAILED)
    return job.state is JobState.REPORTED and all(one.state in ended for one in sent)


def _report(console: Console, stage: Stage, study_uid: str, job: Job, truth: Mapping[str, Any] | None) -> int:
    """Print the numbers and what the destination holds of them."""
    path = stage.home / "node" / "spool" / "work" / job.key / "result.json"
    if not path.exists():
        console.print(f"No result: {job.reason}: {job.detail}", style="red")
        return 1
    screens.result(console, json.loads(path.read_text(encoding="utf-8")), truth)
    with stage.ledger.transaction() as session:
        made = {one.sop_instance_uid: one.kind for one in deliveries.of_job(session, job.key)}
    found = _at_destination(stage, study_uid)
    place = f"PACS {PACS}, asked by C-FIND" if stage.pacs else "destination folder (no PACS)"
    table = Table(title=f"Found in the {place}", title_justify="left", header_style="bold")
    for column in ("Object", "SOP Instance UID", "Series", "Found"):
        table.add_column(column, overflow="fold")
    for uid, kind in made.items():
        table.add_row(kind.upper(), uid, found.get(uid, ""), "yes" if uid in found else "[red]no[/red]")
    console.print(table)
    there = {kind for uid, kind in made.items() if uid in found}
    return 0 if {"seg", "sr"} <= there else 1


def _at_destination(stage: Stage, study_uid: str) -> dict[str, str]:
    """Return SOP Instance UID and series description of the SEG and SR that the destination holds of a study."""
    if stage.pacs is None:
        return {path.stem: str(path.relative_to(stage.home)) for path in (stage.home / "results").rglob("*.dcm")}
    keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": "", "SeriesDescription": "", "Modality": ""}
    found = {}
    for series in stage.pacs.find("SERIES", keys):
        if series.Modality in _KINDS.values():
            one = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series.SeriesInstanceUID, "SOPInstanceUID": ""}
            for image in stage.pacs.find("IMAGE", one):
                found[str(image.SOPInstanceUID)] = str(series.get("SeriesDescription", ""))
    return found


def _keep(console: Console, stage: Stage) -> None:
    command = f"crlm-node --config {stage.config} status"
    console.print(f"\nEverything stays up until Ctrl-C. In another terminal: {command}", soft_wrap=True)
    if stage.pacs is None:
        results = shutil.copytree(stage.home / "results", stage.home / "kept", dirs_exist_ok=True)
        console.print(f"Results: {results}")
    try:
        while True:
            stage.crew.keep()
            sleep(1.0)
    except KeyboardInterrupt:
        console.print("Ending.")
