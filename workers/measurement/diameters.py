"""Diameters of a region [mm]: the longest distance between two of its voxel centres, on one slice and in space.

Comes in: a region and its grid. Goes out: the longest axial diameter with its slice and ends, and the longest in space.
What can go wrong: nothing; a single voxel has the diameter 0. Next: `lesions`.

Both are exact. The two ends of each row hold all corners of the convex hull, the hull is taken of their indices (whole
numbers; a sheared or oblique grid changes no corner), and all pairs of its corners, which are few, are compared in the
patient's millimetres. On a slice that is what rotating calipers find. Centres and not the corners of voxels: corners
would be too long by more than a pixel. Source: metrics contract, section 5.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from node.core.grid import Geometry
from workers.measured import Pixel
from workers.records import Mask, Region

_Points = NDArray[np.int64]


@dataclass(frozen=True)
class Axial:
    """The longest diameter on a slice of the volume, and the pixels that it ends in; one and the same of a pixel."""

    length_mm: float
    slice: int
    ends: tuple[Pixel, Pixel]


def axial(region: Region, geometry: Geometry) -> Axial:
    """Return the longest diameter on any slice, on the first slice of the volume that has it."""
    steps = geometry.affine[:3, 1:3].T
    longest = {
        index: _longest(_row_ends(plane), steps)
        for index, plane in zip(region.slices, region.mask, strict=True)
        if plane.any()
    }
    best = max(longest, key=lambda index: longest[index][0])
    length_mm, ends = longest[best]
    first, last = ends + region.start[1:]
    return Axial(length_mm, best, ((int(first[0]), int(first[1])), (int(last[0]), int(last[1]))))


def spatial(region: Region, geometry: Geometry) -> float:
    """Return the longest diameter in space."""
    return _longest(_row_ends(region.mask), geometry.affine[:3, :3].T)[0]


def _longest(points: _Points, steps_mm: NDArray[np.float64]) -> tuple[float, _Points]:
    """Return the longest distance between points given by indices, and the two points that have it.

    `steps_mm` has a vector for each of their axes.
    """
    if len(points) < 2:
        return 0.0, points[[0, 0]]
    corners = _corners(points)
    distances = pdist(corners @ steps_mm)
    widest = int(distances.argmax())
    pair = [int(one[widest]) for one in np.triu_indices(len(corners), 1)]
    return float(distances[widest]), corners[pair]


def _row_ends(mask: Mask) -> _Points:
    """Return the indices of the first and the last voxel of each row, `(points, axes)`."""
    rows = np.argwhere(mask.any(axis=-1))
    along = mask[tuple(rows.T)]
    first, last = along.argmax(axis=1), mask.shape[-1] - 1 - along[:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.column_stack([rows, first]), np.column_stack([rows, last])])
    unique: _Points = np.unique(ends, axis=0)
    return unique


def _corners(points: _Points) -> _Points:
    """Return the corners of the convex hull of two points or more, whether they span a line, a plane or space.

    What is flat is seen along an axis on which no two of its points fall together: that changes no corner.
    """
    away = points - points[0]
    rank = int(np.linalg.matrix_rank(away))
    axes = next(
        list(some)
        for some in combinations(range(points.shape[1]), rank)
        if np.linalg.matrix_rank(away[:, list(some)]) == rank
    )
    seen = points[:, axes]
    if rank == 1:
        return points[[int(seen.argmin()), int(seen.argmax())]]
    return points[ConvexHull(seen).vertices]
