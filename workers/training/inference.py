"""From HU to labels with nnU-Net's own preprocessor and predictor, in this process and within little memory.

In: a model folder that `export` wrote; HU of shape (slices, rows, columns), slices from the feet to the head, rows to
the back, columns to the patient's left, with its spacing. Out: `Label` values on the same grid. What can go wrong:
ValueError for a folder that is not this model. Next: `evaluate`; stage 7 does the same.

The network's voxels are coarse, so the CT is averaged before it is sampled: point samples of thin pixels would carry
their full noise. The logits are brought back slice by slice: the same trilinear interpolation as nnU-Net's
`resample_torch_fornnunet`, without its twenty float32 copies of the whole CT.
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from workers.training.labels import Label, Labels
from workers.training.plans import CONFIGURATION, TRAINER

WEIGHTS = Path("fold_0") / "weights.npz"
SOFT_TISSUE_HU = -300.0
AIR_HU = -1000.0
_FINE_MM = 1.8


def load_predictor(folder: Path) -> nnUNetPredictor:
    """Build nnU-Net's predictor from a model folder, weights from the arrays of `fold_0/weights.npz` (no pickle).

    Raises
    ------
    ValueError
        If the labels or the weights are not those of this model.
    """
    plans_manager = PlansManager(json.loads((folder / "plans.json").read_text()))
    dataset = json.loads((folder / "dataset.json").read_text())
    if dataset["labels"] != {label.name.lower(): int(label) for label in Label}:
        raise ValueError("the labels of this model folder are not those of the demonstration model")
    configuration = plans_manager.get_configuration(CONFIGURATION)
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        1,
        len(Label),
        deep_supervision=False,
    )
    weights = read_weights(folder / WEIGHTS)
    if weights.keys() != dict(network.named_parameters()).keys():
        raise ValueError("the weights of this model folder are not those of its network")
    network.load_state_dict(weights, strict=False)  # nnU-Net's dictionary names some parameters twice
    network.eval()
    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    parameters = [network.state_dict()]
    predictor.manual_initialization(network, plans_manager, configuration, parameters, dataset, TRAINER, None)
    return predictor


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read weights as float32 tensors; ValueError for a file with Python objects in it."""
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files}


@dataclass(frozen=True)
class Window:
    """The part of a CT that the network sees, and the averaged picture of it.

    Attributes
    ----------
    rows, columns : tuple of int
        First and last-plus-one pixel; they may lie outside the CT, where it is taken to be air.
    hu : float32 array
        Averages of `block` x `block` pixels, smoothed to the network's spacing, shape (slices, rows, columns).
    spacing_mm : tuple of float
        Of `hu`, (z, y, x).
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    hu: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]


def segment(predictor: nnUNetPredictor, hu: NDArray[Any], spacing_mm: tuple[float, float, float]) -> Labels:
    """Label a CT.

    Parameters
    ----------
    predictor : nnUNetPredictor
        From `load_predictor`.
    hu : array
        Attenuation [HU], shape (slices, rows, columns), slices from the feet to the head.
    spacing_mm : tuple of float
        (z, y, x).

    Returns
    -------
    uint8 array
        `Label` values, same shape. Outside the network's window (480 x 308 x 396 mm and more) background.
    """
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    window = look(hu, spacing_mm, tuple(configuration.spacing), tuple(configuration.patch_size))
    preprocessor = DefaultPreprocessor(verbose=False)
    properties = {"spacing": list(window.spacing_mm)}
    data, _, _ = preprocessor.run_case_npy(
        window.hu[None], None, properties, plans, configuration, predictor.dataset_json
    )
    logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))
    return _labels(logits.float(), window, hu.shape)


def look(
    hu: NDArray[Any], spacing_mm: tuple[float, float, float], target_mm: tuple[float, ...], patch: tuple[int, ...]
) -> Window:
    """Cut the window of the network's patch around the trunk, and average it to the network's resolution."""
    block = max(1, round(_FINE_MM / spacing_mm[1]))
    centre = _trunk_centre(hu)
    bounds = []
    for axis in (1, 2):
        size = block * round(patch[axis] * target_mm[axis] / spacing_mm[axis] / block)
        first = round(centre[axis - 1] + 0.5 - size / 2)
        bounds.append((first, first + size))
    small = np.stack([_blocks(_cut(plane, bounds[0], bounds[1]), block) for plane in hu])
    spacing = (spacing_mm[0], spacing_mm[1] * block, spacing_mm[2] * block)
    for axis in range(3):
        width = 1 + 2 * max(0, round((target_mm[axis] / spacing[axis] - 1) / 2))
        if width > 1:
            small = ndimage.uniform_filter1d(small, width, axis=axis, mode="nearest")
    return Window(bounds[0], bounds[1], small, spacing)


def _trunk_centre(hu: NDArray[Any]) -> tuple[float, float]:
    """Return row and column of the middle of the trunk: the box of soft tissue, thin tables not counted."""
    soft = hu[::4] > SOFT_TISSUE_HU
    middles = []
    for axis in (2, 1):
        profile = soft.mean(axis=(0, axis))
        wide = np.flatnonzero(profile > 0.25 * profile.max())
        middles.append((float(wide[0]) + float(wide[-1])) / 2 if wide.size else hu.shape[3 - axis] / 2)
    return middles[0], middles[1]


def _cut(plane: NDArray[Any], rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.float32]:
    """Cut a window out of one slice, with air where it reaches beyond."""
    cut = np.full((rows[1] - rows[0], columns[1] - columns[0]), AIR_HU, dtype=np.float32)
    source, place = _overlap(rows, columns, plane.shape)
    cut[place] = plane[source]
    return cut


def _overlap(
    rows: tuple[int, int], columns: tuple[int, int], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the window's part inside a slice, in the slice's and in the window's own indices."""
    source, place = [], []
    for (first, end), size in zip((rows, columns), shape, strict=True):
        low, high = max(first, 0), min(end, size)
        source.append(slice(low, high))
        place.append(slice(low - first, high - first))
    return (source[0], source[1]), (place[0], place[1])


def _blocks(plane: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    rows, columns = plane.shape
    means: NDArray[np.float32] = plane.reshape(rows // block, block, columns // block, block).mean(axis=(1, 3))
    return means


def _labels(logits: torch.Tensor, window: Window, shape: tuple[int, ...]) -> Labels:
    """Interpolate logits (classes, slices, rows, columns) to the CT's grid and take the largest, slice by slice."""
    labels = np.zeros(shape, dtype=np.uint8)
    size = (window.rows[1] - window.rows[0], window.columns[1] - window.columns[0])
    source, place = _overlap(window.rows, window.columns, shape[1:])
    coarse = logits.shape[1]
    for index in range(shape[0]):
        at = min(max((index + 0.5) * coarse / shape[0] - 0.5, 0.0), coarse - 1.0)
        low = int(at)
        plane = torch.lerp(logits[:, low], logits[:, min(low + 1, coarse - 1)], at - low)
        fine = functional.interpolate(plane[None], size, mode="bilinear", align_corners=False)[0]
        labels[index][source] = fine.argmax(0).to(torch.uint8).numpy()[place]
    return labels
