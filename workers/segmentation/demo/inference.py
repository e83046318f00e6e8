"""From HU to labels with nnU-Net's own preprocessor and predictor, in this process and within little memory.

In: a `Model`; HU of shape (slices, rows, columns), slices from the feet to the head, rows to the back, columns to the
patient's left, with its spacing. Out: `Label` values on the same grid. What can go wrong: torch finds no memory.
Next: `network`, the port; training evaluates by the same code.

The coarse network names what is where; the fine one, run on the box of what was found and shown what that was, says
where its surfaces are. A voxel of vertebra takes the level of the nearest coarse one within 4 mm. Both see averages of
pixels: point samples of thin pixels would carry their full noise. Logits are brought back slice by slice: the same
trilinear interpolation as nnU-Net's `resample_torch_fornnunet`, without its float32 copies of the whole CT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from numpy.typing import NDArray
from scipy import ndimage

from workers.segmentation.demo.labels import ARCH_AFTER_BODY, LEVELS, PARTS, Kind, Label, Labels
from workers.segmentation.demo.model import Model
from workers.segmentation.demo.specks import tidy
from workers.segmentation.demo.tasks import LEVELS_TASK, STRUCTURES_TASK
from workers.segmentation.demo.window import Window, box_around, look, trunk_window

MARGIN_MM = 15.0
"""Around the box of the coarse structures."""
REACH_MM = 4.0
"""How far a level reaches: less than half a disc and the error of the coarse surfaces."""
_NO_LEVEL = -1


def segment(model: Model, hu: NDArray[Any], spacing_mm: tuple[float, float, float]) -> Labels:
    """Label a CT.

    Parameters
    ----------
    model : Model
        From `model.load`.
    hu : array
        Attenuation [HU], shape (slices, rows, columns), slices from the feet to the head.
    spacing_mm : tuple of float
        (z, y, x).

    Returns
    -------
    uint8 array
        `Label` values, same shape. Outside the coarse window (480 x 308 x 396 mm and more) background.
    """
    coarse = _predict(model.levels, look(hu, spacing_mm, trunk_window(hu, spacing_mm, LEVELS_TASK), LEVELS_TASK))
    named = largest(coarse.logits)
    found = np.argwhere(named > Label.BODY)
    labels = _trunk(coarse)
    if len(found):
        near, far = coarse.pixels(found.min(axis=0)), coarse.pixels(found.max(axis=0) + 1)
        bounds = box_around(near[1:], far[1:], MARGIN_MM, spacing_mm, hu.shape)
        fine = _predict(model.structures, look(hu, spacing_mm, bounds, STRUCTURES_TASK), coarse)
        _paint(labels, fine, _levels(coarse, fine))
        tidy(labels, float(np.prod(spacing_mm)) / 1000)
    return labels


@dataclass(frozen=True)
class Prediction:
    """Logits (classes, slices, rows, columns) of a window; `shape` is the CT's."""

    logits: torch.Tensor
    window: Window
    shape: tuple[int, ...]

    @property
    def _edges(self) -> tuple[tuple[int, int], ...]:
        return (0, self.shape[0]), self.window.bounds.rows, self.window.bounds.columns

    def pixels(self, index: NDArray[Any]) -> tuple[float, ...]:
        """Return where the near corner of a voxel of the logits lies, in the CT's indices (edges, not centres)."""
        sizes = self.logits.shape[1:]
        return tuple(
            low + float(at) * (high - low) / size
            for at, (low, high), size in zip(index, self._edges, sizes, strict=True)
        )

    def places(self, axis: int, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logits' continuous indices, clipped, of centres given in the CT's indices along an axis."""
        (low, high), size = self._edges[axis], self.logits.shape[1 + axis]
        inside: NDArray[np.float64] = np.clip((pixels + 0.5 - low) * size / (high - low) - 0.5, 0, size - 1)
        return inside

    def places_of(self, rows: range, columns: range) -> list[NDArray[np.float64]]:
        """Return the logits' continuous indices of all slices and of these rows and columns of the CT."""
        spans = (range(self.shape[0]), rows, columns)
        return [self.places(axis, np.asarray(span, dtype=np.float64)) for axis, span in enumerate(spans)]

    def centres(self, axis: int) -> NDArray[np.float64]:
        """Return the CT's continuous indices of the logits' voxel centres along an axis."""
        (low, high), size = self._edges[axis], self.logits.shape[1 + axis]
        centres: NDArray[np.float64] = low + (np.arange(size) + 0.5) * (high - low) / size - 0.5
        return centres


def _predict(predictor: nnUNetPredictor, window: Window, coarse: Prediction | None = None) -> Prediction:
    """Run a network on a window; the fine one is shown what the coarse one found."""
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    properties = {"spacing": list(window.spacing_mm)}
    preprocessor = DefaultPreprocessor(verbose=False)
    data, _, _ = preprocessor.run_case_npy(
        window.hu[None], None, properties, plans, configuration, predictor.dataset_json
    )
    shown = torch.from_numpy(data)
    if coarse is not None:
        shown = torch.cat((shown, _hints(coarse, Prediction(shown, window, window.shape))))
    logits = predictor.predict_logits_from_preprocessed_data(shown)
    return Prediction(logits.float(), window, window.shape)


def _hints(coarse: Prediction, fine: Prediction) -> torch.Tensor:
    """Return the coarse probabilities of the fine network's hints, at its voxels' centres."""
    places = [coarse.places(axis, fine.centres(axis)) for axis in range(3)]
    groups = [list(map(int, PARTS[name])) for name in STRUCTURES_TASK.hints]
    planes = (plane.softmax(0) for plane in slices_at(coarse.logits, places))
    return torch.stack([torch.stack([plane[group].sum(0) for group in groups]) for plane in planes], dim=1)


def weights_at(places: NDArray[np.float64], size: int) -> torch.Tensor:
    """Matrix (places, size) of linear interpolation at continuous indices within 0 to `size` - 1."""
    low = np.minimum(places.astype(np.int64), max(size - 2, 0))
    share = places - low
    matrix = np.zeros((len(places), size), dtype=np.float32)
    matrix[np.arange(len(places)), low] = 1 - share
    matrix[np.arange(len(places)), np.minimum(low + 1, size - 1)] += share
    return torch.from_numpy(matrix)


def slices_at(values: torch.Tensor, places: Sequence[NDArray[np.float64]]) -> Iterator[torch.Tensor]:
    """Interpolate values (n, slices, rows, columns) trilinearly; one (n, rows, columns) after the other.

    `places` are continuous indices along slices, rows and columns.
    """
    rows, columns = (weights_at(places[axis], values.shape[1 + axis]) for axis in (1, 2))
    for at in places[0]:
        low = min(int(at), max(values.shape[1] - 2, 0))
        plane = torch.lerp(values[:, low], values[:, min(low + 1, values.shape[1] - 1)], float(at) - low)
        yield rows @ plane @ columns.T


def largest(values: torch.Tensor) -> Labels:
    """Index of the largest value along the first axis, the first of equal ones (faster than argmax there)."""
    best = values[0].clone()
    index = torch.zeros(best.shape, dtype=torch.uint8)
    for number in range(1, len(values)):
        index.masked_fill_(values[number] > best, number)
        torch.maximum(best, values[number], out=best)
    found: Labels = index.numpy()
    return found


def _trunk(coarse: Prediction) -> Labels:
    """Return `BODY` wherever the coarse network sees anything but background."""
    labels = np.zeros(coarse.shape, dtype=np.uint8)
    lead = (coarse.logits[1:].amax(0) - coarse.logits[0])[None]
    rows, columns = coarse.window.bounds.within(coarse.shape)
    for index, plane in enumerate(slices_at(lead, coarse.places_of(rows, columns))):
        labels[index, rows.start : rows.stop, columns.start : columns.stop] = (plane[0] > 0).numpy()
    return labels


def _levels(coarse: Prediction, fine: Prediction) -> NDArray[np.int8]:
    """Return, on the fine network's grid, the number in `LEVELS` of the nearest coarse vertebra, or -1."""
    places = [coarse.places(axis, fine.centres(axis)) for axis in range(3)]
    named = np.stack([largest(plane) for plane in slices_at(coarse.logits, places)])
    vertebra = named >= Label.BODY_T11
    level = np.where(vertebra, (named.astype(np.int8) - Label.BODY_T11) % len(LEVELS), _NO_LEVEL).astype(np.int8)
    if not vertebra.any():
        return level
    distance, nearest = ndimage.distance_transform_edt(
        ~vertebra, sampling=STRUCTURES_TASK.spacing_mm, return_indices=True
    )
    return np.where(distance <= REACH_MM, level[tuple(nearest)], _NO_LEVEL).astype(np.int8)


def _paint(labels: Labels, fine: Prediction, levels: NDArray[np.int8]) -> None:
    """Write the fine network's structures over the trunk, vertebrae by their levels."""
    rows, columns = fine.window.bounds.within(labels.shape)
    places = fine.places_of(rows, columns)
    near = [np.rint(along).astype(int) for along in places]
    for index, plane in enumerate(slices_at(fine.logits, places)):
        kind = largest(plane)
        level = levels[near[0][index]][np.ix_(near[1], near[2])]
        view = labels[index, rows.start : rows.stop, columns.start : columns.stop]
        for soft, label in _SOFT.items():
            view[kind == soft] = label
        bone = (kind >= Kind.VERTEBRAL_BODY) & (level != _NO_LEVEL)
        arch = ARCH_AFTER_BODY * (kind[bone] == Kind.VERTEBRAL_ARCH)
        view[bone] = Label.BODY_T11 + level[bone] + arch


_SOFT = {
    Kind.LIVER: Label.LIVER,
    Kind.LESION: Label.LESION,
    Kind.PSOAS_LEFT: Label.PSOAS_LEFT,
    Kind.PSOAS_RIGHT: Label.PSOAS_RIGHT,
}
