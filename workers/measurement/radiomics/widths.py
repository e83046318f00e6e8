"""The largest distances across a region: between two points of its surface, in space and in planes of the grid.

Comes in: a mask and its spacing. Goes out: diameters in mm, exact. What can go wrong: nothing. Next: `shape`.

The points of the surface lie half a voxel from the middles of voxels of the region, along an axis, where the next
voxel is outside. The corners of their hull are among the six points around the voxels that are the first or the last
in each row through them. In a plane through middles the same holds for four points and two axes; a plane between two
slices meets the surface in the middles of those voxels that only one of the slices has.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from workers.compiled import compiled
from workers.records import Mask

_AROUND = np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])
_MIDDLE = np.zeros((1, 2))


def diameter_mm(mask: Mask, spacing_mm: tuple[float, float, float]) -> float:
    """Return the largest distance between two points of the surface."""
    steps_mm = np.array(spacing_mm)
    around = np.concatenate([np.eye(3), -np.eye(3)]) / 2
    points_mm = ((_outermost(mask)[:, None] + around).reshape(-1, 3)) * steps_mm
    corners_mm = points_mm[ConvexHull(points_mm).vertices]
    return float(np.sqrt(_widest(corners_mm, len(corners_mm))))


def plane_diameter_mm(mask: Mask, spacing_mm: tuple[float, float, float], axis: int) -> float:
    """Return the largest distance between two points of the surface that lie in one plane across `axis`."""
    down_mm, along_mm = np.delete(np.array(spacing_mm), axis)
    planes = np.ascontiguousarray(np.moveaxis(mask, axis, 0))
    padded = np.pad(planes, ((1, 1), (0, 0), (0, 0)))
    through = _widest_in_planes(planes, down_mm, along_mm, _AROUND)
    between = _widest_in_planes(padded[1:] ^ padded[:-1], down_mm, along_mm, _MIDDLE)
    return float(np.sqrt(max(through, between)))


def _outermost(mask: Mask) -> NDArray[np.int64]:
    """Return the voxels `(voxel, axis)` that are the first or the last in all three rows through them."""
    rows = np.argwhere(mask.any(axis=2))
    within = mask[tuple(rows.T)]
    ends = within.argmax(axis=1), mask.shape[2] - 1 - within[:, ::-1].argmax(axis=1)
    places = np.concatenate([np.column_stack([rows, end]) for end in ends])
    for axis in (0, 1):
        first = mask.argmax(axis=axis)
        last = mask.shape[axis] - 1 - np.flip(mask, axis).argmax(axis=axis)
        across = tuple(np.delete(places, axis, axis=1).T)
        places = places[(places[:, axis] == first[across]) | (places[:, axis] == last[across])]
    return places


@compiled("(float64[:,::1], int64)")
def _widest(points: NDArray[np.float64], count: int) -> float:
    """Return the square of the largest distance between two of the first `count` points."""
    widest = 0.0
    for one in range(count):
        for other in range(one):
            square = 0.0
            for axis in range(points.shape[1]):
                square += (points[one, axis] - points[other, axis]) ** 2
            widest = max(widest, square)
    return widest


@compiled("(boolean[:,:,::1], float64, float64, float64[:,::1])")
def _widest_in_planes(planes: NDArray[np.bool_], down_mm: float, along_mm: float, around: NDArray[np.float64]) -> float:
    """Return the square of the largest distance in a plane between points `around` its voxels [voxels].

    Scalars only: a plane taken out of the array as an array of its own would be compiled eight times as long.
    """
    widest = 0.0
    corners = np.empty((2 * planes.shape[1], 2), np.int64)
    points = np.empty((len(corners) * len(around), 2))
    for plane in range(len(planes)):
        count = 0
        for corner in range(_corners(planes, plane, corners)):
            for offset in range(len(around)):
                points[count, 0] = (corners[corner, 0] + around[offset, 0]) * down_mm
                points[count, 1] = (corners[corner, 1] + around[offset, 1]) * along_mm
                count += 1
        widest = max(widest, _widest(points, count))
    return widest


@compiled("(boolean[:,:,::1], int64, int64[:,::1])")
def _corners(planes: NDArray[np.bool_], plane: int, corners: NDArray[np.int64]) -> int:
    """Put the voxels of a plane that are the first or the last of their row and of their column into `corners`.

    Return their number; one that is both first and last in its row is there twice.
    """
    rows, columns = planes.shape[1:]
    top, bottom = np.full(columns, rows), np.full(columns, -1)
    for row in range(rows):
        for column in range(columns):
            if planes[plane, row, column]:
                top[column], bottom[column] = min(top[column], row), row
    found = 0
    for row in range(rows):
        first, last = -1, -1
        for column in range(columns):
            if planes[plane, row, column]:
                first = column if first < 0 else first
                last = column
        for end in range(2):
            column = last if end else first
            if column >= 0 and (row == top[column] or row == bottom[column]):
                corners[found, 0], corners[found, 1] = row, column
                found += 1
    return found
