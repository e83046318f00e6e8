"""What was measured of a network on known truths: what a model's manifest, a label map and stage 8 share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Errors:
    """What one number was off by on known truths, one figure a truth.

    Parameters
    ----------
    relative
        Whether they are parts of the truth (0.02 is 2 % too much); else they are differences, in the number's unit.
    values
        Measured minus true, or that over the true value.
    missed
        Truths for which no number was computed.
    """

    relative: bool
    values: tuple[float, ...]
    missed: int = 0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.values)) or (self.relative and min(self.values, default=0.0) <= -1):
            raise ValueError("an error is finite, and a part of the truth is above -1")


@dataclass(frozen=True)
class Agreement:
    """Dice of one structure with the truth: the least, and the median."""

    least: float
    median: float


@dataclass(frozen=True)
class Conditions:
    """Under which conditions errors were measured; what differs from them was not measured.

    `spacing_mm` has the least and the largest distance of slices, rows and columns. The last two are the settings of
    the core of L1.
    """

    synthetic: bool
    kvp: float
    noise_sd_hu: float
    spacing_mm: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    core_erosion_mm: float
    core_slab_fraction: float


@dataclass(frozen=True)
class Validation:
    """What was measured of a network on known truths; its manifest keeps it (docs/models.md).

    Parameters
    ----------
    what
        What was segmented, for a reader.
    model
        SHA-256 of what the manifest says of the network's files: of another network it says nothing.
    version
        Version of this product that measured.
    seeds
        The phantoms.
    lesions
        How many were found, and how many there are.
    dice
        By structure.
    errors
        By the ids of `node.core.codes.MEASUREMENTS`.
    """

    what: str
    model: str
    version: str
    seeds: tuple[int, ...]
    conditions: Conditions
    lesions: tuple[int, int]
    dice: Mapping[str, Agreement]
    errors: Mapping[str, Errors]
