"""How good a model is: Dice and the numbers that stage 8 measures, on full-size phantoms that it never saw.

In: a model folder and seeds. Out: `Result` per phantom. What can go wrong: what `inference` says.
Next: `export` writes the table into the model card.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from node.core.grid import Geometry
from node.core.settings import MeasurementSettings
from node.phantom import random_anatomy, render, standard_anatomy, standard_grid, truth
from workers.measurement.bone import trabecular_core
from workers.measurement.vertebra import largest_component
from workers.records import Region
from workers.segmentation.demo.inference import segment
from workers.segmentation.demo.labels import PARTS, Label, Labels, part_mask
from workers.segmentation.demo.model import Model
from workers.training.truth import network_labels

UNSEEN_SEEDS = (21, 22, 23, 24, 25)
"""Phantoms that the bars are held to; far from the seeds of training."""
NOISE_SD_HU = 14.0
BARS = {
    "liver": 0.93,
    "psoas_left": 0.85,
    "psoas_right": 0.85,
    **{f"vertebra_L{level}": 0.85 for level in range(1, 6)},
}
"""Least Dice."""
LEAST_LESION_ML = 0.05


@dataclass(frozen=True)
class Result:
    """One phantom: Dice of each of `PARTS`, and errors of what is measured.

    Attributes
    ----------
    seed : int or None
        None for the standard abdomen.
    dice : dict
        By the names of `PARTS`; 1 where both masks are empty.
    errors : dict
        Liver and psoas volumes and PMVI in percent of the truth, `l1_hu` in HU.
    lesions, true_lesions : int
        Components of at least 0.05 mL, and what the phantom holds.
    seconds : float
        Time of the segmentation.
    """

    seed: int | None
    dice: dict[str, float]
    errors: dict[str, float]
    lesions: int
    true_lesions: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every bar on Dice is met."""
        return all(self.dice[name] >= bar for name, bar in BARS.items())


def evaluate(model: Model, seed: int | None) -> Result:
    """Paint a phantom at full size with noise, segment it, and hold both against the truth."""
    anatomy = standard_anatomy() if seed is None else random_anatomy(seed)
    rendering = render(anatomy, standard_grid(anatomy), seed=seed or 0, noise_sd_hu=NOISE_SD_HU)
    spacing = rendering.grid.spacing_mm
    began = time.monotonic()
    labels = segment(model, rendering.hu, spacing)
    seconds = time.monotonic() - began
    true = network_labels(rendering)
    dice = {name: _dice(part_mask(labels, name), part_mask(true, name)) for name in PARTS}
    exact = {name: float(entry["value"]) for name, entry in truth(anatomy, NOISE_SD_HU).items()}
    voxel_ml = rendering.grid.voxel_ml
    found = {
        f"{name}.volume": float(np.count_nonzero(part_mask(labels, name.replace(".", "_")))) * voxel_ml
        for name in ("liver", "psoas.left", "psoas.right")
    }
    found["psoas.pmvi"] = (found["psoas.left.volume"] + found["psoas.right.volume"]) / anatomy.height_m**3
    errors = {name: 100 * (value / exact[name] - 1) for name, value in found.items()}
    errors["l1_hu"] = _l1_hu(labels, rendering.hu, spacing) - exact["l1.mean_hu"]
    return Result(seed, dice, errors, _lesions(labels, voxel_ml), len(anatomy.lesions), seconds)


def _dice(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(true))
    return 2 * int(np.count_nonzero(found & true)) / total if total else 1.0


def _l1_hu(labels: Labels, hu: NDArray[np.int16], spacing: tuple[float, float, float]) -> float:
    """Return the mean HU of the core of L1 by the code of stage 8; not a number where there is no core."""
    shape = (hu.shape[0], hu.shape[1], hu.shape[2])
    geometry = Geometry(shape, (0, 0, 0), (0, 0, spacing[0]), (0, spacing[1], 0), (spacing[2], 0, 0), "")
    body = largest_component(Region.of(labels == Label.BODY_L1))
    core = trabecular_core(body, geometry, MeasurementSettings()) if body else None
    return float(core.values(hu).mean()) if core else math.nan


def _lesions(labels: Labels, voxel_ml: float) -> int:
    """Count the lesions as stage 8 does."""
    components, count = ndimage.label(labels == Label.LESION, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    return int((sizes * voxel_ml >= LEAST_LESION_ML).sum())
