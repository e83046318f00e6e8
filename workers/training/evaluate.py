"""How good a model is: Dice, and the numbers of stage 8, on full-size phantoms that it never saw.

In: a model folder and seeds. Out: `Result` per phantom: each number by stage 8 itself, against the phantom's exact
truth. What can go wrong: what `inference` says. Next: `validation` sums the results up, `card` prints them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.core.codes import LESION_COUNT, MEASUREMENTS
from node.core.grid import Geometry
from node.core.records import Candidate, HeightSource, Measurement, PatientFacts
from node.core.settings import MeasurementSettings
from node.phantom import Rendering, random_anatomy, render, standard_anatomy, standard_grid, truth
from node.phantom.dicom import KVP
from workers import measurement
from workers.records import Acquisition, AlgorithmType, LabelMap, Segment, Volume
from workers.segmentation.demo.inference import segment
from workers.segmentation.demo.labels import PARTS, Labels, part_mask
from workers.segmentation.demo.model import Model
from workers.segmentation.demo.network import DemoNetwork, regions
from workers.training.truth import network_labels

UNSEEN_SEEDS = tuple(range(21, 33))
"""Phantoms that the bars are held to; far from the seeds of training."""
NOISE_SD_HU = 14.0
BARS = {
    "liver": 0.93,
    "psoas_left": 0.85,
    "psoas_right": 0.85,
    **{f"vertebra_L{level}": 0.85 for level in range(1, 6)},
}
"""Least Dice."""
HU = "[hnsf'U]"


@dataclass(frozen=True)
class Result:
    """One phantom: Dice of each of `PARTS`, and errors of what is measured.

    Attributes
    ----------
    seed : int or None
        None for the standard abdomen.
    spacing_mm : tuple of float
        Of its slices, rows and columns.
    dice : dict
        By the names of `PARTS`; 1 where both masks are empty.
    errors : dict
        By the ids of `MEASUREMENTS`, for each that the phantom has a truth of, the number of lesions apart: a
        difference in HU, or a part of the truth; None where no number was computed.
    lesions, true_lesions : int
        As stage 8 counts them, and what the phantom holds.
    seconds : float
        Time of the segmentation.
    """

    seed: int | None
    spacing_mm: tuple[float, float, float]
    dice: dict[str, float]
    errors: dict[str, float | None]
    lesions: int
    true_lesions: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every bar on Dice is met."""
        return all(self.dice[name] >= bar for name, bar in BARS.items())


def evaluate(model: Model, seed: int | None) -> Result:
    """Paint a phantom at full size with noise, segment and measure it, and hold all against the truth."""
    anatomy = standard_anatomy() if seed is None else random_anatomy(seed)
    rendering = render(anatomy, standard_grid(anatomy), seed=seed or 0, noise_sd_hu=NOISE_SD_HU)
    spacing = rendering.grid.spacing_mm
    began = time.monotonic()
    labels = segment(model, rendering.hu, spacing)
    seconds = time.monotonic() - began
    true = network_labels(rendering)
    dice = {name: _dice(part_mask(labels, name), part_mask(true, name)) for name in PARTS}
    found = measured(labels, rendering)
    exact = {name: float(entry["value"]) for name, entry in truth(anatomy, NOISE_SD_HU).items()}
    errors = {
        name: _error(name, found[name], value)
        for name, value in exact.items()
        if MEASUREMENTS[name].concept != LESION_COUNT
    }
    lesions = int(float(found["burden.count"].value or 0))
    return Result(seed, spacing, dice, errors, lesions, len(anatomy.lesions), seconds)


def measured(labels: Labels, rendering: Rendering) -> Mapping[str, Measurement]:
    """Return what stage 8 measures on labels of a phantom's picture."""
    (dz, dy, dx), anatomy = rendering.grid.spacing_mm, rendering.anatomy
    geometry = Geometry(rendering.grid.shape, (0, 0, 0), (0, 0, dz), (0, dy, 0), (dx, 0, 0), "")
    contrast = "Synthetic contrast" if anatomy.contrast else ""
    acquisition = Acquisition(float(KVP), dz, "", contrast, False, "", "HFS", synthetic=True)
    drawn = tuple(
        Segment(structure, structure.value, region, AlgorithmType.AUTOMATIC, "")
        for structure, region in regions(labels).items()
    )
    facts = PatientFacts(anatomy.height_m, HeightSource.SERIES, None, anatomy.weight_kg, anatomy.sex)
    return measurement.measure(
        Volume(rendering.hu, geometry, Candidate("", "", "", ()), (), acquisition),
        LabelMap(geometry, "", "", DemoNetwork.finds, drawn),
        facts,
        MeasurementSettings(),
    ).measurements


def _dice(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(true))
    return 2 * int(np.count_nonzero(found & true)) / total if total else 1.0


def _error(name: str, found: Measurement, true: float) -> float | None:
    if found.value is None:
        return None
    return float(found.value) - true if MEASUREMENTS[name].unit == HU else float(found.value) / true - 1
