"""Weights of TotalSegmentator: which data sets our tasks need, their manifest, and the proof that they are unchanged.

In: the folder of the weights. Out: what is needed, what is there, a manifest with the SHA-256 of every file. What can
go wrong: `weights-missing` for what is not there, `input-untrusted` for what is not what the manifest says. A
checkpoint is a pickle and runs code when it is opened: it is hashed before torch sees it. Next: `library`.

Tasks, classes and data sets are read from the library's own tables at run time; tasks that need a licence are never
among them. Nothing here imports torch, except `fetch`, whose downloader does.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from node.core.codes import Structure
from node.core.errors import NotAnalysable, Untrusted
from node.core.reasons import StudyRefusal

Psoas = Literal["iliopsoas", "psoas_major"]

MANIFEST = "manifest.json"
TOTAL, BODY = "total", "body"
_PLANS = "nnUNetPlans"  # the default of `totalsegmentator()`
_CHECKPOINT = "checkpoint_final.pth"
_CHUNK_BYTES = 2**20
THREADS = "nnUNet_def_n_proc"
"""The variable by which nnU-Net is told its number of threads."""

_SPINE_AND_LIVER = {
    "liver": Structure.LIVER,
    "vertebrae_L1": Structure.VERTEBRA_L1,
    "vertebrae_L3": Structure.VERTEBRA_L3,
}
_ILIOPSOAS = {"iliopsoas_left": Structure.ILIOPSOAS_LEFT, "iliopsoas_right": Structure.ILIOPSOAS_RIGHT}
_PSOAS_MAJOR = {"psoas_major_left": Structure.PSOAS_MAJOR_LEFT, "psoas_major_right": Structure.PSOAS_MAJOR_RIGHT}


@dataclass(frozen=True)
class Task:
    """A task of the library that we run, and what its classes are to us."""

    name: str
    structures: Mapping[str, Structure]


@dataclass(frozen=True)
class DataSet:
    """A trained network of the library.

    Parameters
    ----------
    number
        nnU-Net's data set id.
    folder
        Its name in the weights folder.
    trainer, configuration
        As nnU-Net names them; with the plans they name the folder of the model.
    spacing_mm
        Spacing that the library resamples to: x, y, z.
    folds
        Folds that are run together.
    labels
        Names of its output channels; 0 is the background and is not listed.
    """

    number: int
    folder: str
    trainer: str
    configuration: str
    spacing_mm: tuple[float, float, float]
    folds: tuple[int, ...]
    labels: Mapping[int, str]

    @property
    def model(self) -> str:
        """Path of the model inside the weights folder."""
        return f"{self.folder}/{self.trainer}__{_PLANS}__{self.configuration}"

    @property
    def files(self) -> tuple[str, ...]:
        """Files that nnU-Net opens, inside the weights folder."""
        folds = (f"{self.model}/fold_{fold}/{_CHECKPOINT}" for fold in self.folds)
        return (f"{self.model}/plans.json", f"{self.model}/dataset.json", *folds)


@dataclass(frozen=True)
class Installed:
    """One line of `crlm-node models list`: a data set that is needed, and how it stands."""

    number: int
    folder: str
    present: bool
    listed: bool
    size_bytes: int


def tasks(psoas: Psoas) -> tuple[Task, ...]:
    """Return the tasks to run, for the muscle that stands for the psoas."""
    muscles = _ILIOPSOAS if psoas == "iliopsoas" else {}
    own = (Task("abdominal_muscles", _PSOAS_MAJOR),) if psoas == "psoas_major" else ()
    return (
        Task(TOTAL, {**_SPINE_AND_LIVER, **muscles}),
        Task("vertebrae_body", {"vertebrae_body": Structure.VERTEBRAL_BODY}),
        Task("liver_lesions", {"liver_lesions": Structure.LESION}),
        *own,
    )


def required(psoas: Psoas = "iliopsoas", *, fast: bool = False) -> tuple[DataSet, ...]:
    """Return the data sets that our tasks and the crop stages before them touch, by number.

    Parameters
    ----------
    fast
        The 3 mm network in place of the 1.5 mm networks of `total`.

    Raises
    ------
    NotAnalysable
        `weights-missing`: the library itself is not installed.
    """
    found = {one.number: one for task in tasks(psoas) for one in _of_task(task, fast=fast)}
    return tuple(found[number] for number in sorted(found))


def all_parts() -> tuple[DataSet, ...]:
    """Return every data set that any setting of ours, or `total` as a whole, touches."""
    whole = _data_sets(TOTAL, "default")
    others = [*required("psoas_major"), *required(), *_data_sets(TOTAL, "fast"), *_data_sets(TOTAL, "fastest")]
    found = {one.number: one for one in (*whole, *others)}
    return tuple(found[number] for number in sorted(found))


def library_version() -> str:
    """Return the version of the installed library; empty without it."""
    try:
        return version("TotalSegmentator")
    except PackageNotFoundError:
        return ""


def available(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> bool:
    """Say whether library, manifest and every needed file are there; nothing is hashed.

    A manifest that cannot be believed is there too: the network is chosen, and `verify` tells what is wrong.
    """
    try:
        _require_listed(weights_dir, required(psoas, fast=fast))
    except NotAnalysable:
        return False
    except Untrusted:
        pass
    return True


def verify(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> None:
    """Hash every file of the needed data sets.

    Raises
    ------
    NotAnalysable
        `weights-missing`: library, manifest or a file is not there.
    Untrusted
        `input-untrusted`: a file is not what the manifest says, or the manifest cannot be read.
    """
    for name, entry in _require_listed(weights_dir, required(psoas, fast=fast)).items():
        if _entry(weights_dir / name) != entry:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"weights {name}: not what the manifest says")


def digest(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> str:
    """Return a SHA-256 of what the manifest says of the needed files: one name for this set of weights.

    Raises
    ------
    NotAnalysable, Untrusted
        As `verify`; the files themselves are not hashed.
    """
    entries = _require_listed(weights_dir, required(psoas, fast=fast))
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def engine_name(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> str:
    """Return how results name the engine: library, version, weights, reduced resolution; at most 64 characters."""
    weights = digest(weights_dir, psoas, fast=fast)[:12]
    return f"TotalSegmentator {library_version()}, weights {weights}{', 3 mm' if fast else ''}"


def inventory(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> tuple[Installed, ...]:
    """Say of every needed data set whether it is there, whether the manifest lists it, and its size.

    Raises
    ------
    NotAnalysable
        `weights-missing`: the library itself is not installed.
    Untrusted
        `input-untrusted`: the manifest cannot be read.
    """
    listed = _read_manifest(weights_dir) if (weights_dir / MANIFEST).exists() else {}
    return tuple(
        Installed(
            number=one.number,
            folder=one.folder,
            present=_complete(weights_dir, one),
            listed=all(name in listed for name in one.files),
            size_bytes=sum(path.stat().st_size for path in _files(weights_dir / one.folder)),
        )
        for one in required(psoas, fast=fast)
    )


def fetch(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> tuple[Installed, ...]:
    """Download what is missing with the library's own downloader, then complete the manifest.

    A data set comes into a folder beside the others and is moved in when it is whole. What the manifest already
    lists keeps its entry: a file that changed since is never blessed anew.

    Raises
    ------
    NotAnalysable
        `weights-missing`: a download failed, or a folder of that name is there and incomplete.
    """
    wanted = required(psoas, fast=fast)
    weights_dir.mkdir(parents=True, exist_ok=True)
    for one in wanted:
        if not _complete(weights_dir, one):
            _download(weights_dir, one)
    write_manifest(weights_dir, wanted)
    return inventory(weights_dir, psoas, fast=fast)


def write_manifest(weights_dir: Path, data_sets: Iterable[DataSet]) -> None:
    """Add the files of data sets to the manifest; entries that it has stay as they are."""
    path = weights_dir / MANIFEST
    entries = _read_manifest(weights_dir) if path.exists() else {}
    for one in data_sets:
        if not any(name.startswith(f"{one.folder}/") for name in entries):
            names = (found.relative_to(weights_dir).as_posix() for found in _files(weights_dir / one.folder))
            entries |= {name: _entry(weights_dir / name) for name in names}
    content = {
        "model": "totalsegmentator",
        "kind": "library",
        "version": library_version(),
        "files": {name: entries[name] for name in sorted(entries)},
    }
    whole = path.with_name(f".{MANIFEST}.{os.getpid()}")
    whole.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    whole.replace(path)


def keep_quiet(home: Path, weights_dir: Path) -> None:
    """Point the library at our folders and switch its usage statistics off; before it is imported.

    nnU-Net is told how many cores there are: it takes eight threads otherwise.

    Parameters
    ----------
    home
        A folder of this process; the library writes its run counter there.
    """
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        "totalseg_id": "crlm-node",
        "send_usage_stats": False,
        "prediction_counter": 0,
        "statistics_disclaimer_shown": True,
    }
    (home / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    os.environ["TOTALSEG_HOME_DIR"] = str(home)
    os.environ["TOTALSEG_WEIGHTS_PATH"] = str(weights_dir)
    os.environ.setdefault(THREADS, str(len(os.sched_getaffinity(0))))


# --- the library's tables -----------------------------------------------------------------------------------------


def _tables() -> tuple[Any, Any]:
    """Return the library's modules of tasks and of classes; both are plain data."""
    try:
        from totalsegmentator import map_tasks_config, map_to_binary
    except ImportError as error:
        raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, "TotalSegmentator is not installed") from error
    return map_tasks_config, map_to_binary


def _of_task(task: Task, *, fast: bool) -> Iterable[DataSet]:
    if task.name == TOTAL:
        yield from _data_sets(TOTAL, "fast")  # as the network of `fast`, or as the crop stage before the others
        if not fast:
            yield from (
                one for one in _data_sets(TOTAL, "default") if task.structures.keys() & set(one.labels.values())
            )
        return
    yield from _data_sets(task.name)
    yield from _crop_stage(task.name)


def _crop_stage(task: str) -> tuple[DataSet, ...]:
    """Return the network whose labels a task is cropped by."""
    configs, _ = _tables()
    config = {**configs.DEFAULT_CONFIG, **configs.TASK_CONFIGS[task]}
    if not config["crop"]:
        return ()
    if {"body_trunc", "body_extremities"} & set(config["crop"]):
        return _data_sets(BODY, "fast")
    return _data_sets(TOTAL, "fast" if config["robust_crop"] else "fastest")


def _data_sets(task: str, mode: str = "") -> tuple[DataSet, ...]:
    configs, classes = _tables()
    raw = configs.TASK_CONFIGS[task]
    if raw.get("commercial") or task in classes.commercial_models:
        raise ValueError(f"{task} needs a licence")
    config = {**configs.DEFAULT_CONFIG, **(raw["sub_modes"][mode] if mode else raw)}
    several = isinstance(config["task_id"], list)
    numbers = config["task_id"] if several else [config["task_id"]]
    spacing = config["resample"] if isinstance(config["resample"], list) else [config["resample"]] * 3
    return tuple(
        DataSet(
            number=number,
            folder=configs.TASK_ID_WEIGHTS_CONFIGS[number]["foldername"],
            trainer=config["trainer"],
            configuration=config["model"],
            spacing_mm=(spacing[0], spacing[1], spacing[2]),
            folds=tuple(config["folds"]),
            labels=classes.class_map_5_parts[classes.map_taskid_to_partname_ct[number]]
            if several
            else classes.class_map[task],
        )
        for number in numbers
    )


# --- files and manifest -------------------------------------------------------------------------------------------


def _files(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else ()


def _complete(weights_dir: Path, one: DataSet) -> bool:
    return all((weights_dir / name).is_file() for name in one.files)


def _entry(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    sum_ = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sum_.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": sum_.hexdigest()}


def _read_manifest(weights_dir: Path) -> dict[str, dict[str, Any]]:
    """Read the manifest's entries by file name.

    Raises
    ------
    Untrusted
        `input-untrusted`: it is not a manifest, or a name leads out of the folder.
    """
    try:
        files = json.loads((weights_dir / MANIFEST).read_text(encoding="utf-8"))["files"]
        entries = {str(name): {"bytes": int(one["bytes"]), "sha256": str(one["sha256"])} for name, one in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, "the manifest of the weights cannot be read") from error
    if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in entries):
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, "the manifest of the weights names a file outside")
    return entries


def _require_listed(weights_dir: Path, data_sets: Sequence[DataSet]) -> dict[str, dict[str, Any]]:
    """Return the manifest's entries for data sets; each file is there and what nnU-Net opens is listed."""
    if not (weights_dir / MANIFEST).is_file():
        raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"no {MANIFEST}; crlm-node models fetch")
    listed = _read_manifest(weights_dir)
    wanted: dict[str, dict[str, Any]] = {}
    for one in data_sets:
        if not _complete(weights_dir, one):
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"{one.folder}; crlm-node models fetch")
        if unlisted := [name for name in one.files if name not in listed]:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"weights {unlisted[0]}: not in the manifest")
        wanted |= {name: entry for name, entry in listed.items() if name.startswith(f"{one.folder}/")}
    for name in wanted:
        if not (weights_dir / name).is_file():
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"{name}; crlm-node models fetch")
    return wanted


def _download(weights_dir: Path, one: DataSet) -> None:
    """Bring one data set by the library's own downloader, into a folder beside, then in one move."""
    if (weights_dir / one.folder).exists():
        detail = f"{one.folder} is there and incomplete: remove it, then fetch again"
        raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, detail)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=weights_dir) as beside:
        keep_quiet(Path(beside) / "home", Path(beside) / "weights")
        from totalsegmentator.libs import download_pretrained_weights

        try:
            download_pretrained_weights(one.number)
        except (OSError, shutil.Error, ValueError, RuntimeError) as error:  # requests' errors are OSError
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"{one.folder}: {type(error).__name__}") from error
        came = Path(beside) / "weights"
        if not _complete(came, one):
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"{one.folder}: the download is not laid out as expected")
        (came / one.folder).rename(weights_dir / one.folder)
