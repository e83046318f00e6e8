"""Which voxels are neighbours: the directions of PyRadiomics, and the region in one row so that a step is one number.

Comes in: `Levels`, distances and whether one plane only counts. Goes out: `Neighbourhood`. What can go wrong: a region
so small that no direction fits into its bounding box; then there are no directions, where PyRadiomics gives up, and
each class of features answers with NaN. Next: `glcm`, `glrlm`, `glszm`, `gldm`, `ngtdm`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from workers.measurement.radiomics.roi import FeatureSettings, Levels, Row


@dataclass(frozen=True)
class Neighbourhood:
    """A region as a row, and the steps in it that lead to the neighbours of a voxel.

    Parameters
    ----------
    directions
        `(direction, axis)`; only one of two opposite directions is named.
    steps
        The same in the row.
    """

    row: Row
    directions: NDArray[np.int64]
    steps: NDArray[np.int64]


def look_around(levels: Levels, distances: Sequence[int], settings: FeatureSettings) -> Neighbourhood:
    """Return the neighbourhood of a region."""
    padding = max(distances)
    row = levels.rows.get(padding) or levels.rows.setdefault(padding, _lay_out(levels.codes, padding))
    directions = _directions(levels.codes.shape, distances, settings)
    steps = directions @ np.array([row.shape[1] * row.shape[2], row.shape[2], 1])
    return Neighbourhood(row, directions, steps)


def _lay_out(codes: NDArray[np.int32], padding: int) -> Row:
    padded = np.pad(codes, padding)
    row = padded.ravel()
    places = np.flatnonzero(row)
    gaps = np.flatnonzero(np.diff(places) > 1)
    first, last = places[np.r_[0, gaps + 1]], places[np.r_[gaps, len(places) - 1]]
    return Row(row, places, np.column_stack([first, last + 1]), padded.shape)


def weights(directions: NDArray[np.int64], spacing_mm: Sequence[float], norm: str) -> NDArray[np.float64]:
    """Return the length of each direction [mm] in a norm; 1 where the norm is `no_weighting`."""
    steps_mm = np.abs(directions) * np.array(spacing_mm)
    lengths: dict[str, NDArray[np.float64]] = {
        "infinity": steps_mm.max(axis=1, initial=0),
        "euclidean": np.sqrt((steps_mm**2).sum(axis=1)),
        "manhattan": steps_mm.sum(axis=1),
        "no_weighting": np.ones(len(directions)),
    }
    return lengths[norm]


def _directions(shape: tuple[int, ...], distances: Sequence[int], settings: FeatureSettings) -> NDArray[np.int64]:
    """Return the directions whose largest component is one of `distances`, in the order of PyRadiomics.

    A direction as long as the bounding box is left out, and in one plane those that leave it.
    """
    farthest = max(distances)
    reach = [min(farthest, size - 1) for size in shape]
    if settings.force2d:
        reach[settings.force2d_dimension] = 0
    steps = product(*(range(far, -far - 1, -1) for far in reach))
    forward = [one for one in steps if one > (0, 0, 0) and max(map(abs, one)) in distances]
    return np.array(forward, dtype=np.int64).reshape(-1, 3)
