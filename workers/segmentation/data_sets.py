"""TotalSegmentator's tasks and data sets: which of them our structures need, read from the library's own tables.

In: the muscle that stands for the psoas, the resolution. Out: `Task` and `DataSet`. What can go wrong:
`weights-missing` where the library is not installed. Next: `weights` proves their files, `library` runs them.

Tasks that need a licence are never among them. Nothing here imports torch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from node.core.codes import Structure
from node.core.errors import NotAnalysable
from node.core.reasons import StudyRefusal

Psoas = Literal["iliopsoas", "psoas_major"]

TOTAL, BODY = "total", "body"
PLANS = "nnUNetPlans"
"""The default of `totalsegmentator()`."""
_CHECKPOINT = "checkpoint_final.pth"

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
        return f"{self.folder}/{self.trainer}__{PLANS}__{self.configuration}"

    @property
    def files(self) -> tuple[str, ...]:
        """Files that nnU-Net opens, inside the weights folder."""
        folds = (f"{self.model}/fold_{fold}/{_CHECKPOINT}" for fold in self.folds)
        return (f"{self.model}/plans.json", f"{self.model}/dataset.json", *folds)


@dataclass(frozen=True)
class Crop:
    """The stage before a task: the picture is cut to what a coarse network finds of these classes of its task."""

    task: str
    data_set: DataSet
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """How the library runs a task for our classes: the networks whose labels it lays over each other, and the crop."""

    task: Task
    parts: tuple[DataSet, ...]
    crop: Crop | None


def plan(task: Task, *, fast: bool) -> Plan:
    """Return the networks of a task; `fast` is `total` at 3 mm.

    Raises
    ------
    NotAnalysable
        `weights-missing`: the library itself is not installed.
    """
    if task.name != TOTAL:
        return Plan(task, _data_sets(task.name), _crop_stage(task.name))
    (coarse,) = _data_sets(TOTAL, "fast")
    if fast:
        return Plan(task, (coarse,), None)
    whole = _data_sets(TOTAL, "default")
    parts = tuple(one for one in whole if task.structures.keys() & set(one.labels.values()))
    return Plan(task, parts, Crop(TOTAL, coarse, tuple(task.structures)))


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


def is_part(one: DataSet) -> bool:
    """Say whether a network is one of several that the library lays over each other."""
    _, classes = _tables()
    return one.number in classes.map_taskid_to_partname_ct


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


def _tables() -> tuple[Any, Any]:
    """Return the library's modules of tasks and of classes; both are plain data."""
    try:
        from totalsegmentator import map_tasks_config, map_to_binary
    except ImportError as error:
        raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, "TotalSegmentator is not installed") from error
    return map_tasks_config, map_to_binary


def _of_task(task: Task, *, fast: bool) -> Iterable[DataSet]:
    made = plan(task, fast=fast)
    yield from made.parts
    if made.crop:
        yield made.crop.data_set


def _crop_stage(task: str) -> Crop | None:
    """Return the network whose labels a task is cropped by."""
    configs, _ = _tables()
    config = {**configs.DEFAULT_CONFIG, **configs.TASK_CONFIGS[task]}
    if not config["crop"]:
        return None
    body = bool({"body_trunc", "body_extremities"} & set(config["crop"]))
    name, mode = (BODY, "fast") if body else (TOTAL, "fast" if config["robust_crop"] else "fastest")
    (coarse,) = _data_sets(name, mode)
    return Crop(name, coarse, tuple(config["crop"]))


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
