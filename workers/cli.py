"""Commands of the workers on the one command line: `crlm-node worker` and `crlm-node analyse`.

They join by the entry-point group `crlm_node.commands`: a name and a function that takes what the node hands over.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from node.core import signatures
from node.core.errors import NotAnalysable, Unavailable, Untrusted
from node.core.ledger import Ledger, audit
from node.core.records import EarlyRefusal, JobRequest
from node.core.settings import Settings, SettingsError
from node.core.spool import Spool
from node.core.states import Stage
from node.core.tls import require_caller_files
from workers import analysis
from workers.engine import Engine
from workers.report import summary
from workers.segmentation import download, manifest, weights
from workers.segmentation.data_sets import Psoas
from workers.segmentation.demo import folder as demo_folder
from workers.segmentation.port import Networks, Way
from workers.signature.folder import asked as signatures_of

NETWORK_LIBRARIES = ("torch", "totalsegmentator", "nnunetv2")
_UNTRUSTED = "NOT TRUSTED"
RESULT = "result.json"
NAMES = (RESULT, "seg.dcm", "sr.dcm", "sr-viewer.dcm", "summary.dcm", summary.FOLDER)
WORK = ".work-"  # how a folder begins that is gone when the analysis is over


class GpuTaken(RuntimeError):
    """Another worker of this home runs its engine on the same GPU."""


class NetworksNotInstalled(RuntimeError):
    """The site asks for networks, and their libraries are not installed; the message says how to add them."""


def worker(settings: Settings, queues: tuple[Stage, ...], concurrency: int) -> None:
    """Serve the queues of jobs until told to stop.

    Raises
    ------
    GpuTaken
        Another worker runs its engine on the GPU of the settings.
    SchemaMismatch
        The ledger belongs to another version.
    WrongTlsFile
        A file for TLS towards a destination cannot be used.
    SettingsError
        A signature that the site asks is not to be trusted.
    """
    from workers import app, tasks  # here, because `analyse` has no need of Celery, which is slow to import

    if Stage.DELIVER in queues:
        require_caller_files(settings)
    if Stage.MEASURE in queues:
        require_signatures(settings)
    ledger = Ledger.of(settings)
    ledger.require_schema()
    spool = Spool(settings.spool_dir)
    spool.prepare()
    process = f"worker {','.join(queues)}"
    with (
        own_gpu(settings if Stage.SEGMENT in queues else None),
        networks_of(settings, settings.home / "log" / "engine.log") as networks,
        audit.running(ledger, process),
    ):
        app.run(settings, tasks.Desk(settings, spool, ledger, networks), queues, concurrency)


def analyse(
    request: JobRequest, out: Path, settings: Settings, *, force_demo: bool
) -> tuple[dict[str, Any], list[str]]:
    """Run stages 6 to 9 on a folder's request; return the result document and the names of the files in `out`.

    What an earlier analysis has written there is replaced, and what this one does not write is removed.

    Raises
    ------
    FileExistsError
        `out` holds a file of one of these names that no earlier analysis has written.
    Unavailable, Untrusted
        See the stages.
    """
    require_own(out)
    require_signatures(settings)
    out.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(dir=out, prefix=WORK) as folder,
        networks_of(settings, Path(folder) / "engine.log", force_demo=force_demo) as networks,
    ):
        return measure(forced(request) if force_demo else request, out, networks, settings.models)


def require_own(out: Path) -> None:
    """Require that a folder holds no file that a result would overwrite, but those of an earlier result.

    Raises
    ------
    FileExistsError
        It does.
    """
    present = [name for name in NAMES if (out / name).exists()]
    if present and RESULT not in present:
        raise FileExistsError(f"{out} holds {present[0]}, which would be overwritten: name another folder")


def remove_result(out: Path) -> None:
    """Remove the files of an earlier result from a folder."""
    for name in NAMES:
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        else:
            (out / name).unlink(missing_ok=True)


def forced(request: JobRequest) -> JobRequest:
    """Return the request as one of its own: what the demonstration model was forced to make has its own key."""
    return replace(request, engine=f"{request.engine}, demonstration model forced")


def measure(
    request: JobRequest, out: Path, networks: Networks | None, models: Path
) -> tuple[dict[str, Any], list[str]]:
    """Run stages 6 to 9 into a folder that is there, in place of an earlier result; result.json is there last, whole.

    `models` is the folder that the signatures of the request lie below.

    Raises
    ------
    Unavailable, Untrusted
        See the stages.
    """
    with TemporaryDirectory(dir=out, prefix=WORK) as folder:
        document, files = _analyse(request, Spool(Path(folder)), networks, models)
        ready = Path(folder, "result")
        for name, content in files.items():
            (ready / name).parent.mkdir(parents=True, exist_ok=True)
            (ready / name).write_bytes(content)
        remove_result(out)
        for path in sorted(ready.iterdir(), key=lambda path: path.name == RESULT):
            path.replace(out / path.name)
    return document, list(files)


@contextmanager
def networks_of(settings: Settings, log_file: Path, *, force_demo: bool = False) -> Iterator[Networks | None]:
    """Yield what stage 7 runs networks with; the engine process starts at its first use and ends with the block.

    None where the site has not switched them on: imported segmentations are then the only way.

    Raises
    ------
    NetworksNotInstalled
        They are switched on, and their libraries are not there.
    """
    require_networks(settings)
    if not settings.networks:
        yield None
        return
    log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = Engine(settings.engine_time_limit_s, settings.engine_memory_limit_mb, log_file)
    try:
        way = Way.RESIDENT if settings.engine == "resident" else Way.TOTALSEGMENTATOR
        folders, ladder = (settings.weights, settings.models / "demo"), settings.engine_ladder
        yield Networks(engine.segment, *folders, settings.device, force_demo, way, ladder)
    finally:
        engine.close()


def require_signatures(settings: Settings) -> None:
    """Require that each signature that the site asks is what its digest says.

    Raises
    ------
    SettingsError
        One is not; the message names it.
    """
    try:
        signatures_of(settings.models, signatures.asked(settings))
    except Unavailable as error:
        raise SettingsError(f"signatures: {error.detail}") from error


@contextmanager
def own_gpu(settings: Settings | None) -> Iterator[None]:
    """Keep other workers of this home from the GPU of the settings: two engines on one do not fit into its memory.

    Raises
    ------
    GpuTaken
        Another worker has it.
    """
    if settings is None or not settings.networks or settings.device == "cpu":
        yield
        return
    number = settings.device.partition(":")[2] or "0"
    with (settings.home / f"engine-gpu-{number}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GpuTaken(f"another worker runs its engine on GPU {number}: name another one with --gpu") from error
        yield


def require_networks(settings: Settings) -> None:
    """Require the libraries of networks, where the site has switched networks on.

    Raises
    ------
    NetworksNotInstalled
        They are not there.
    """
    if not settings.networks:
        return
    if missing := [library for library in NETWORK_LIBRARIES if find_spec(library) is None]:
        raise NetworksNotInstalled(f"networks = true needs {', '.join(missing)}: pip install 'crlm-node[worker]'")


def _analyse(
    request: JobRequest, spool: Spool, networks: Networks | None, models: Path
) -> tuple[dict[str, Any], dict[str, bytes]]:
    spool.prepare()
    try:
        outcome = analysis.segment(request, spool, spool.work(request.key), networks)
    except Untrusted as error:  # nobody looks into a spool here: the result tells of it
        request = replace(request, refusal=EarlyRefusal(error.code, error.detail))
        outcome = analysis.segment(request, spool, spool.work(request.key), networks)
    work = spool.work(request.key)
    if not outcome.final:
        outcome = analysis.measure(request, spool, work, models)
    files = {name: work.read(name) for name in outcome.files}
    document: dict[str, Any] = json.loads(files[RESULT])
    return document, files


@dataclass(frozen=True)
class Model:
    """One line of `crlm-node models`: a set of weights, how it stands, its licence and what it may be used for."""

    name: str
    state: str
    sound: bool
    size_bytes: int
    remark: str


def models(settings: Settings, action: str) -> list[Model]:
    """List, fetch or verify the weights that the settings ask for: the demonstration model, then TotalSegmentator's.

    Raises
    ------
    NotAnalysable, Untrusted
        From `verify` and `fetch`: a file is missing, or is not what the manifest says.
    """
    psoas, fast = settings.measurement.psoas, settings.measurement.segmentation_resolution == "3mm"
    demo = settings.models / "demo"
    if action == "fetch":
        download.fetch(settings.weights, psoas, fast=fast)
    if action == "verify":
        if (demo / manifest.NAME).exists():
            demo_folder.proven(demo)
        weights.verify(settings.weights, psoas, fast=fast)
    return [_demonstration(demo), *_library(settings.weights, psoas, fast=fast, verified=action == "verify")]


def _demonstration(folder: Path) -> Model:
    """Say how the demonstration model stands; its few megabytes are hashed each time."""
    remark = "Demonstration model: Apache-2.0; for synthetic studies only."
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        digest = demo_folder.proven(folder)
    except NotAnalysable as error:
        return Model("demonstration model", "missing", False, size, f"{remark} {error.detail}")
    except Untrusted as error:
        return Model("demonstration model", _UNTRUSTED, False, size, f"{remark} {error.detail}")
    return Model("demonstration model", "verified", True, size, f"{remark} Manifest {digest[:12]}.")


def _library(folder: Path, psoas: Psoas, *, fast: bool, verified: bool) -> list[Model]:
    """Say how the data sets of TotalSegmentator stand, that the tasks of these settings touch."""
    remark = "TotalSegmentator: Apache-2.0, for these open tasks; CT of patients, research use only."
    try:
        found = weights.inventory(folder, psoas, fast=fast)
    except (NotAnalysable, Untrusted) as error:
        return [Model("TotalSegmentator", _UNTRUSTED, False, 0, f"{remark} {error.detail}")]
    return [
        Model(one.folder, _state(one, verified=verified), one.present and one.listed, one.size_bytes, remark)
        for one in found
    ]


def _state(one: weights.Installed, *, verified: bool) -> str:
    if not one.present:
        return "missing"
    if not one.listed:
        return _UNTRUSTED
    return "verified" if verified else "there, not hashed"
