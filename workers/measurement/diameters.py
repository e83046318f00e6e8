"""Diameters of a region [mm]: the longest distance between two of its voxel centres, on one slice and in space.

Comes in: a region and its grid. Goes out: the longest axial diameter with its slice, and the longest in space. What
can go wrong: nothing; a single voxel has the diameter 0. Next: `lesions`.

Both are exact. The two ends of each row hold all corners of the convex hull, the hull is taken of their indices (whole
numbers; a sheared or oblique grid changes no corner), and all pairs of its corners, which are few, are compared in the
patient's millimetres. On a slice that is what rotating calipers find. Centres and not the corners of voxels: corners
would be too long by more than a pixel. Source: metrics contract, section 5.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from node.core.grid import Geometry
from workers.records import Mask, Region

_Points = NDArray[np.int64]


def axial(region: Region, geometry: Geometry) -> tuple[float, int]:
    """Return the longest diameter on any slice, and the first slice of the volume that has it."""
    steps = geometry.affine[:3, 1:3].T
    longest = [_longest_mm(_row_ends(plane), steps) for plane in region.mask]
    best = int(np.argmax(longest))
    return longest[best], region.slices[best]


def spatial(region: Region, geometry: Geometry) -> float:
    """Return the longest diameter in space."""
    return _longest_mm(_row_ends(region.mask), geometry.affine[:3, :3].T)


def _longest_mm(points: _Points, steps_mm: NDArray[np.float64]) -> float:
    """Return the longest distance between points given by indices; `steps_mm` has a vector for each of their axes."""
    if len(points) < 2:
        return 0.0
    return float(pdist(_corners(points) @ steps_mm).max())


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
