"""The demonstration: the main job once, on real processes, in a throw-away home on free loopback ports.

Starts Redis, Orthanc as the PACS (where it is installed; else results go to a folder, which stays) and the node's own
processes; sends the synthetic abdomen, or the user's study, by C-STORE to the PACS and to the node; waits; then asks
the PACS what it holds. Success is only what the PACS lists.
"""

import json
import secrets
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from node import accounts, screens
from node.core import log
from node.core.dicom import read_header
from node.core.errors import Refused, Unavailable
from node.core.ledger import Ledger, deliveries, jobs
from node.core.ledger.accounts import Role
from node.core.ledger.tables import Delivery, Job, Study
from node.core.peer import Peer
from node.core.states import DeliveryState, JobState, StudyState
from node.folder import WrongFolder
from node.phantom import write_phantom
from node.send import files_below
from node.servers import Broker, Orthanc, free_port
from node.up import Crew, command_lines

AE_TITLE = "CRLM_NODE"
SENDER = "CRLM_DEMO"
PACS = "ORTHANC"
ACCOUNT = "demo"
_LOOPBACK = "127.0.0.1"
_START_TIMEOUT_S = 90.0
_JOB_TIMEOUT_S = 900.0
_MODALITIES = ("SEG", "SR")
_WANTED = {"seg", "sr"}
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)  # told to end, terminal closed: nothing may be left running then


@dataclass(frozen=True)
class Stage:
    """Everything that the demonstration runs on; results go to `pacs`, or to the folder `results`."""

    home: Path
    config: Path
    node: Peer
    pacs: Peer | None
    pacs_url: str
    results: Path
    ledger: Ledger
    crew: Crew
    page: str
    password: str


def run(console: Console, *, study: Path | None, seg: Path | None, keep: bool) -> int:
    """Run the demonstration and return its exit code: 0 only if SEG and SR were found at the destination.

    Raises
    ------
    WrongFolder
        `study` holds no DICOM or several studies, or `seg` belongs to another one.
    CannotStart
        Redis or Orthanc did not come up.
    """
    log.configure("error")
    study_uid = _study_uid(study, seg) if study else ""
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    with tempfile.TemporaryDirectory(prefix="crlm-node-demo-") as folder, ExitStack() as servers:
        home = Path(folder)
        with console.status("Starting Redis, the PACS and the node"):
            stage = servers.enter_context(_stage(home, servers))
        console.print(_where(stage), highlight=False)
        truth = None
        if study is None:
            with console.status("Making the synthetic abdomen"):
                files = write_phantom(home / "phantom")
            console.print(f"Synthetic abdomen: {len(files.ct)} slices of 512 x 512", highlight=False)
            study, truth = home / "phantom" / "ct", files.truth
            study_uid = _study_uid(study, seg)
        code = 1
        if _send(console, stage, study, seg):
            code = _report(console, stage, study_uid, _wait(console, stage, study_uid), truth)
        if keep:
            _keep(console, stage)
        else:
            console.print(f"\nThe page was at {stage.page}: with --keep (make demo KEEP=1) it stays.", highlight=False)
        return code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does, by the way out of every block; a second signal does not disturb that."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _study_uid(folder: Path, seg: Path | None) -> str:
    """Return the Study Instance UID of the one study of a folder, with which a segmentation must agree."""
    found: dict[str, Path] = {}
    for path in (*files_below(folder), *([seg] if seg else [])):
        try:
            found.setdefault(str(read_header(path).get("StudyInstanceUID", "")), path)
        except Refused:
            if path == seg:
                raise WrongFolder(f"{seg} is no readable DICOM file") from None
    if not found:
        raise WrongFolder(f"{folder} holds no readable DICOM file")
    if len(found) > 1:
        raise WrongFolder(f"these belong to different studies: {', '.join(str(path) for path in found.values())}")
    return next(iter(found))


@contextmanager
def _stage(home: Path, servers: ExitStack) -> Iterator[Stage]:
    broker = servers.enter_context(Broker(home / "redis"))
    port = free_port()
    pacs: Peer | None = None
    pacs_url = ""
    results = home / "results"
    if Orthanc.available():
        orthanc = servers.enter_context(Orthanc(home / "orthanc", PACS, {AE_TITLE: (_LOOPBACK, port)}))
        pacs, pacs_url = Peer(PACS, _LOOPBACK, orthanc.dicom_port, SENDER), orthanc.url
        destination = (
            f'kind = "dicom"\nname = "pacs"\nae_title = "{PACS}"\nhost = "{_LOOPBACK}"\nport = {orthanc.dicom_port}\n'
        )
    else:
        results = Path(tempfile.mkdtemp(prefix="crlm-node-results-"))
        destination = f'kind = "folder"\nname = "folder"\npath = "{results}"\n'
    config, web_port, password = home / "config.toml", free_port(), secrets.token_urlsafe(9)
    config.write_text(
        f'home = "{home / "node"}"\nbroker_url = "{broker.url}"\nae_title = "{AE_TITLE}"\nport = {port}\n'
        f"web_port = {web_port}\nquiet_time_s = 3.0\nsteward_period_s = 0.5\nretry_base_s = 2.0\n\n"
        f'[[calling]]\nae_title = "{SENDER}"\nhosts = ["{_LOOPBACK}"]\n\n'
        f'[imports]\nae_titles = ["{SENDER}"]\n\n[[destinations]]\n{destination}',
        encoding="utf-8",
    )
    crew = Crew(command_lines(config, web=True), home / "log")
    ledger = Ledger(f"sqlite:///{home / 'node' / 'ledger.sqlite'}")
    node = Peer(AE_TITLE, _LOOPBACK, port, SENDER)
    try:
        ledger.upgrade()
        accounts.add(ledger, ACCOUNT, Role.ADMINISTRATOR, password)
        crew.start()
        _until_it_answers(node, crew)
        page = f"http://{_LOOPBACK}:{web_port}"
        yield Stage(home, config, node, pacs, pacs_url, results, ledger, crew, page, password)
    finally:
        crew.stop()
        ledger.close()
        with suppress(OSError):  # it stays where results lie in it
            results.rmdir()


def _until_it_answers(node: Peer, crew: Crew) -> None:
    """Wait for the listener's C-ECHO; a process that ends meanwhile is a failure, told with its last line."""
    deadline = monotonic() + _START_TIMEOUT_S
    while True:
        for name in crew.keep():
            raise RuntimeError(f"the process {name} ended at once and said: {crew.last_words(name)}")
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
        return f"{node}; no PACS (Orthanc is not installed): results go to a folder"
    return f"{node}; PACS (Orthanc) {PACS}@{stage.pacs.host}:{stage.pacs.port}"


def _send(console: Console, stage: Stage, study: Path, seg: Path | None) -> bool:
    """Send the study to the PACS and to the node, the segmentation to the node; say whether the node took any of it."""
    if stage.pacs:
        screens.sent(console, screens.send(console, study, stage.pacs))
    report = screens.send(console, study, stage.node)
    screens.sent(console, report)
    if seg is not None:
        faults = [one for one in stage.node.store([seg]) if one.error]
        console.print(f"Segmentation: {faults[0].error}" if faults else "Segmentation sent", highlight=False)
    return bool(report.stored or report.warned)


def _wait(console: Console, stage: Stage, study_uid: str) -> tuple[Study, Job | None]:
    """Show how the study travels until its results are proven, refused or failed."""
    deadline = monotonic() + _JOB_TIMEOUT_S
    columns = (SpinnerColumn(finished_text=" "), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("waiting", total=None)
        while True:
            stage.crew.keep()
            with stage.ledger.transaction() as session:
                study = session.get_one(Study, study_uid)
                job = next(iter(reversed(jobs.of_study(session, study_uid))), None)
                sent = deliveries.of_job(session, job.key) if job else []
            progress.update(task, description=_now(study, job, sent))
            if _is_over(study, job, sent):
                progress.update(task, total=1, completed=1)
                return study, job
            if monotonic() > deadline:
                console.print(f"Not done within {_JOB_TIMEOUT_S:.0f} s.", style="red")
                return study, job
            sleep(0.2)


def _now(study: Study, job: Job | None, sent: Sequence[Delivery]) -> str:
    if job is None:
        return f"study {study.state}" + (": waiting until it is quiet" if study.state is StudyState.RECEIVING else "")
    if job.state is not JobState.REPORTED:
        return f"job {job.state}: {job.stage}"
    proven = sum(one.state is DeliveryState.PROVEN for one in sent)
    return f"job {job.state}: {proven} of {len(sent)} objects proven at the destination"


def _is_over(study: Study, job: Job | None, sent: Sequence[Delivery]) -> bool:
    if job is None:
        return study.state in (StudyState.QUARANTINED, StudyState.NOT_ANALYSABLE)
    if job.state is JobState.FAILED:
        return True
    ended = (DeliveryState.PROVEN, DeliveryState.FAILED)
    return job.state is JobState.REPORTED and all(one.state in ended for one in sent)


def _report(
    console: Console, stage: Stage, study_uid: str, ended: tuple[Study, Job | None], truth: Mapping[str, Any] | None
) -> int:
    """Print the numbers and what the destination holds of them; without numbers, what the ledger says of the study."""
    study, job = ended
    path = stage.home / "node" / "spool" / "work" / (job.key if job else "") / "result.json"
    if job is None or not path.is_file():
        screens.status(console, stage.ledger, study.uid)
        return 1
    screens.result(console, json.loads(path.read_text(encoding="utf-8")), truth)
    with stage.ledger.transaction() as session:
        made = {one.sop_instance_uid: one.kind for one in deliveries.of_job(session, job.key)}
    found = _at_destination(stage, study_uid)
    place = (
        f"the PACS {PACS}, in the same study, by C-FIND" if stage.pacs else f"{stage.results}, which stays (no PACS)"
    )
    rows = [(kind, uid, found.get(uid, ""), uid in found) for uid, kind in made.items()]
    screens.uids(console, f"Looked for in {place}", rows)
    return 0 if {kind for uid, kind in made.items() if uid in found} >= _WANTED else 1


def _at_destination(stage: Stage, study_uid: str) -> dict[str, str]:
    """Return the SOP Instance UIDs of SEG and SR that the destination holds of a study, with a word about each."""
    if stage.pacs is None:
        return {path.stem: str(path.relative_to(stage.results)) for path in stage.results.rglob("*.dcm")}
    keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": "", "SeriesDescription": "", "Modality": ""}
    found = {}
    for series in stage.pacs.find("SERIES", keys):
        if series.Modality in _MODALITIES:
            one = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series.SeriesInstanceUID, "SOPInstanceUID": ""}
            for image in stage.pacs.find("IMAGE", one):
                found[str(image.SOPInstanceUID)] = str(series.get("SeriesDescription", ""))
    return found


def _keep(console: Console, stage: Stage) -> None:
    console.print("\nEverything stays up until Ctrl-C. In another terminal:")
    console.print(f"  crlm-node --config {stage.config} status", highlight=False, soft_wrap=True)
    console.print(f"The page: {stage.page}, name {ACCOUNT}, password {stage.password}", highlight=False, soft_wrap=True)
    if stage.pacs_url:
        console.print(f"Orthanc: {stage.pacs_url}", highlight=False, soft_wrap=True)
    try:
        while True:
            stage.crew.keep()
            sleep(1.0)
    except KeyboardInterrupt:
        console.print("Ending.")
