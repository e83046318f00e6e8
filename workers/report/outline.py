r"""The outline of a mask on one slice, as an SCOORD wants it.

Coordinates are image coordinates of the slice (PS3.3 C.18.6.1.1): column then row, in pixels, 0\0 at the outer corner
of the first pixel. The outline runs along pixel edges around the largest part of the mask, closed, holes filled.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workers.records import Mask, Region

# A stock OHIF takes a closed polyline of 4 or 5 points for a rectangle of its own and drops our numbers.
_LEAST_POINTS = 6
_Point = tuple[int, int]


def outline(region: Region, index: int) -> NDArray[np.float64] | None:
    """Return the closed outline of a region on a slice of the volume, `(points, 2)`; None where it is empty."""
    plane = region.on_slice(index)
    if not plane.any():
        return None
    corner = np.asarray([region.start[2], region.start[1]], dtype=float)
    return np.asarray(_trace(_largest_part(plane)) + corner, dtype=np.float64)


def inside(region: Region, index: int) -> tuple[float, float] | None:
    """Return the point of a region on a slice that is farthest from its edge, as column and row; None where empty."""
    plane = region.on_slice(index)
    if not plane.any():
        return None
    depth = ndimage.distance_transform_edt(np.pad(plane, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(region.start[2] + column + 0.5), float(region.start[1] + row + 0.5)


def _largest_part(plane: Mask) -> Mask:
    parts, count = ndimage.label(plane)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    filled: Mask = ndimage.binary_fill_holes(parts == int(sizes.argmax()))
    return filled


def _trace(part: Mask) -> NDArray[np.float64]:
    """Walk along the edges of a part with the part on the right hand."""
    edges = _edges(np.pad(part, 1))
    start = min(edges, key=lambda point: (point[1], point[0]))
    points, here, heading = [start], start, (1, 0)
    while len(points) == 1 or here != start:
        onward = edges[here]
        # Where two pixels touch by a corner, turn right: stay on the same side of it.
        right = (here[0] - heading[1], here[1] + heading[0])
        there = right if right in onward else onward[0]
        onward.remove(there)
        heading = (there[0] - here[0], there[1] - here[1])
        here = there
        points.append(here)
    path = np.asarray(points, dtype=float) - 1
    turns = np.flatnonzero((np.diff(path, axis=0)[1:] != np.diff(path, axis=0)[:-1]).any(axis=1)) + 1
    corners: NDArray[np.float64] = path[[0, *turns, len(path) - 1]]
    return next((one for one in (corners, path) if len(one) >= _LEAST_POINTS), _halved(path))


def _halved(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put a point in the middle of each edge: a single pixel has four edges only."""
    middles = (path[:-1] + path[1:]) / 2
    points: NDArray[np.float64] = np.concatenate([np.stack([path[:-1], middles], axis=1).reshape(-1, 2), path[-1:]])
    return points


def _edges(padded: Mask) -> dict[_Point, list[_Point]]:
    """Return, for each corner on the boundary, the corners that an edge leads to, the part on the right."""
    edges: dict[_Point, list[_Point]] = {}
    border = padded.copy()
    border[1:-1, 1:-1] &= ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])
    for row, column in np.argwhere(border):
        r, c = int(row), int(column)
        for outside, begin, end in (
            (padded[r - 1, c], (c, r), (c + 1, r)),
            (padded[r, c + 1], (c + 1, r), (c + 1, r + 1)),
            (padded[r + 1, c], (c + 1, r + 1), (c, r + 1)),
            (padded[r, c - 1], (c, r + 1), (c, r)),
        ):
            if not outside:
                edges.setdefault(begin, []).append(end)
    return edges
