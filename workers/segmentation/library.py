"""TotalSegmentator behind the port: the library's own `totalsegmentator()`, run in the engine process.

In: Hounsfield units on their grid, and a folder of weights that `weights` has proven. Out: regions on the same grid.
What can go wrong: `weights-missing`, `input-untrusted` (weights that are changed or cannot be loaded); anything else
ends the engine process and the job is tried again. Next: `workers.engine` hands the regions to the worker.

Three things of the library are replaced when it is first imported:

- nnU-Net looks for its trainer class by importing every trainer, and one of them imports torchvision, which breaks on
  a CPU build of torch. The classes that our networks name are given to it directly.
- Each prediction starts two processes that import torch again. Here it runs in this process, by nnU-Net's own
  sequential variant: the same functions on the same numbers, and nothing is left behind when the engine is killed.
- Each run loads its checkpoints anew and downloads what it misses. Here a network stays loaded, and nothing is ever
  downloaded.

Usage statistics are off before the import.
"""

import pickle
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.errors import NotAnalysable, Untrusted
from node.core.grid import Geometry
from node.core.reasons import StudyRefusal
from workers.records import Region
from workers.segmentation import data_sets, weights
from workers.segmentation.data_sets import Psoas, Task

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

_VARIANTS = "nnunetv2.training.nnUNetTrainer.variants"
TRAINERS: Mapping[str, str] = {
    "nnUNetTrainer": "nnunetv2.training.nnUNetTrainer.nnUNetTrainer",
    "nnUNetTrainerNoMirroring": f"{_VARIANTS}.data_augmentation.nnUNetTrainerNoMirroring",
    "nnUNetTrainer_DASegOrd0": f"{_VARIANTS}.data_augmentation.nnUNetTrainerDAOrd0",
    "nnUNetTrainer_DASegOrd0_NoMirroring": f"{_VARIANTS}.data_augmentation.nnUNetTrainerDAOrd0",
    "nnUNetTrainer_4000epochs_NoMirroring": f"{_VARIANTS}.training_length.nnUNetTrainer_Xepochs_NoMirroring",
}
"""Where nnU-Net keeps the trainers that our networks were trained by."""

# What nnU-Net and torch raise on plans or a checkpoint that is cut, of another form or of another network.
_UNSOUND = (
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)
_LOADED = (
    "plans_manager",
    "configuration_manager",
    "list_of_parameters",
    "network",
    "dataset_json",
    "trainer_name",
    "allowed_mirroring_axes",
    "label_manager",
)


class TotalSegmentator:
    """TotalSegmentator, its weights proven; networks load at their first use and stay.

    Parameters
    ----------
    weights_dir
        Folder of the data sets and their manifest.
    psoas
        Which muscle stands for the psoas: `psoas_major` runs the task `abdominal_muscles` for it.
    device
        `cpu`, `gpu` or `gpu:N`.
    fast
        The 3 mm network of `total` in place of the five at 1.5 mm.

    Raises
    ------
    NotAnalysable
        `weights-missing`.
    Untrusted
        `input-untrusted`: a file of the weights is not what the manifest says.
    """

    def __init__(self, weights_dir: Path, *, psoas: Psoas, device: str = "cpu", fast: bool = False) -> None:
        weights.verify(weights_dir, psoas, fast=fast)
        self.name = weights.engine_name(weights_dir, psoas, fast=fast)
        self._tasks = data_sets.tasks(psoas)
        self.finds = frozenset(structure for task in self._tasks for structure in task.structures.values())
        self.reduced = "TotalSegmentator ran at 3 mm." if fast else ""
        self.validation = weights.validation(weights_dir, psoas, fast=fast)
        self._weights_dir, self._psoas, self._device, self._fast = weights_dir, psoas, device, fast
        self._seal = self._stamps()
        self._home = tempfile.TemporaryDirectory(prefix="crlm-totalsegmentator-")
        weights.keep_quiet(Path(self._home.name), weights_dir)
        self._api = import_library()

    def segment(self, hu: NDArray[Any], geometry: Geometry) -> Mapping[Structure, Region]:
        """Segment a volume; see `workers.segmentation.port`.

        Raises
        ------
        Untrusted
            `input-untrusted`: the weights changed since they were loaded, or a network cannot be loaded.
        """
        self._require_unchanged()
        weights.keep_quiet(Path(self._home.name), self._weights_dir)
        found: dict[Structure, Region] = {}
        for task in self._tasks:
            labels = self._run(task, hu, geometry)
            numbers = label_numbers(task.name)
            for name, structure in task.structures.items():
                if (region := Region.of(labels == numbers[name])) is not None:
                    found[structure] = region
        return found

    def _run(self, task: Task, hu: NDArray[Any], geometry: Geometry) -> NDArray[np.uint8]:
        """Run one task and return its labels `(slices, rows, columns)` on the grid that was given."""
        fast = self._fast and task.name == data_sets.TOTAL
        total = task.name == data_sets.TOTAL and not fast
        image = as_nifti(hu, geometry)
        answer = self._api.totalsegmentator(
            image,
            None,
            ml=True,
            task=task.name,
            fast=fast,
            roi_subset_robust=list(task.structures) if total else None,
            device=self._device,
            nr_thr_saving=1,
            quiet=True,
        )
        if answer.shape != image.shape or not np.allclose(answer.affine, image.affine, atol=1e-3):
            raise ValueError(f"{task.name}: the library answered on another grid")
        return as_volume(answer)

    def _stamps(self) -> dict[str, tuple[int, int]]:
        """Size and time of change of every file that nnU-Net opens."""
        files = (name for one in data_sets.required(self._psoas, fast=self._fast) for name in one.files)
        stats = {name: (self._weights_dir / name).stat() for name in files}
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}

    def _require_unchanged(self) -> None:
        """Hash the weights again where a file looks other than it did when it was proven."""
        try:
            stamps = self._stamps()
        except FileNotFoundError as error:
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, "weights that were loaded are gone") from error
        if stamps == self._seal:
            return
        weights.verify(self._weights_dir, self._psoas, fast=self._fast)
        if weights.engine_name(self._weights_dir, self._psoas, fast=self._fast) != self.name:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, "the weights were exchanged while they were loaded")
        self._seal = stamps


def as_nifti(hu: NDArray[Any], geometry: Geometry) -> Any:
    """Return a volume as a NIfTI image in memory: axes columns, rows, slices; affine to RAS millimetres."""
    affine = LPS_TO_RAS @ geometry.affine[:, [2, 1, 0, 3]]
    return import_module("nibabel").Nifti1Image(hu.transpose(2, 1, 0), affine)


def as_volume(image: Any) -> NDArray[np.uint8]:
    """Return the labels of an image that `as_nifti` made the grid of, as `(slices, rows, columns)`."""
    labels: NDArray[np.uint8] = np.asarray(image.dataobj, dtype=np.uint8).transpose(2, 1, 0)
    return labels


def class_map(task: str) -> Mapping[int, str]:
    """Return the library's label numbers and names of a task."""
    from totalsegmentator.map_to_binary import class_map as of_task

    names: Mapping[int, str] = of_task[task]
    return names


def label_numbers(task: str) -> Mapping[str, int]:
    """Return the numbers of the library's classes of a task by their names."""
    return {name: number for number, name in class_map(task).items()}


@cache
def import_library() -> ModuleType:
    """Import the library and replace in it what the module's docstring names; once per process."""
    from totalsegmentator import nnunet, python_api

    nnunet.custom_trainers.update({name: getattr(import_module(module), name) for name, module in TRAINERS.items()})
    predictor = nnunet.nnUNetPredictor
    predictor.predict_from_files = _in_this_process
    predictor.initialize_from_trained_model_folder = _kept(predictor.initialize_from_trained_model_folder)
    python_api.download_pretrained_weights = _no_download
    module: ModuleType = python_api
    return module


def _no_download(number: int) -> None:
    """Stand in for the library's downloader: what is needed was proven to be there."""
    del number


def _in_this_process(
    predictor: Any,
    source: str,
    target: str,
    *,
    save_probabilities: bool = False,
    overwrite: bool = True,
    folder_with_segs_from_prev_stage: str | None = None,
    **processes: Any,
) -> Any:
    """Stand in for `nnUNetPredictor.predict_from_files`: one image after the other, in this process.

    The images are named one by one: to look for them in the folder itself, nnU-Net starts a dozen processes.
    """
    del processes  # numbers of processes and of parts, of which there is one
    ending = f"_0000{predictor.dataset_json['file_ending']}"
    images = sorted(path for path in Path(source).iterdir() if path.name.endswith(ending))
    return predictor.predict_from_files_sequential(
        [[str(path)] for path in images],
        [str(Path(target) / path.name.removesuffix(ending)) for path in images],
        save_probabilities,
        overwrite,
        folder_with_segs_from_prev_stage,
    )


def _kept(load: Callable[..., None]) -> Callable[..., None]:
    """Wrap nnU-Net's loading of a model: once for each folder, and coded where it fails."""
    networks: dict[tuple[str, str], dict[str, Any]] = {}

    def initialise(predictor: Any, folder: str, use_folds: Any, checkpoint_name: str = "checkpoint_final.pth") -> None:
        key = (folder, str(use_folds))
        if key not in networks:
            _load(load, predictor, folder, use_folds, checkpoint_name)
            if len(predictor.list_of_parameters) == 1:  # the network's own tensors, not a second copy
                predictor.list_of_parameters = [predictor.network.state_dict()]
            networks[key] = {name: getattr(predictor, name) for name in _LOADED}
        for name, value in networks[key].items():
            setattr(predictor, name, value)

    return initialise


def _load(load: Callable[..., None], predictor: Any, folder: str, use_folds: Any, checkpoint_name: str) -> None:
    name = Path(folder).parent.name
    try:
        load(predictor, folder, use_folds=use_folds, checkpoint_name=checkpoint_name)
    except FileNotFoundError as error:
        raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, name) from error
    except _UNSOUND as error:
        if "allocate memory" in str(error):
            raise
        detail = f"weights {name} cannot be loaded: {type(error).__name__}"
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, detail) from error
