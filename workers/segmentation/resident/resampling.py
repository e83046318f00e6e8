"""The library's two resamplings, to the bit: the picture linearly to a network's voxels, labels back by the nearest.

In: an array, the shape that it is brought to. Out: the array; or for each voxel of an axis the one that it is taken
from. What can go wrong: nothing. Next: `picture`.

TotalSegmentator calls `scipy.ndimage.zoom` (order 1, then cut to whole numbers; order 0), on a copy of the volume in
double precision. Cutting makes a whole number of one that is off by the last bit, so the sum here has scipy's eight
terms in scipy's order: the same bits, from the volume as it lies in memory.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.compiled import compiled
from workers.cores import share_out

Taken = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""For each voxel of an axis: the voxels below and above, and the weight of each."""


def linear(values: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Bring a picture (x, y, z) to a shape; return whole numbers, axes z, y, x."""
    x, y, z = (_neighbours(old, new) for old, new in zip(values.shape, shape, strict=True))
    found = np.empty(shape[::-1], dtype=np.float32)

    def fill(first: int, last: int) -> None:
        below, above, low, high = z
        part = below[first:last], above[first:last], low[first:last], high[first:last]
        _interpolate(values, x, y, part, found[first:last])

    share_out(fill, len(found))
    return found


def nearest(old: int, new: int) -> NDArray[np.int64]:
    """Return for each of `new` voxels of an axis which of `old` it is taken from."""
    return np.floor(_places(old, new) + 0.5).astype(np.int64).clip(max=old - 1)


def _places(old: int, new: int) -> NDArray[np.float64]:
    """Return where on an axis of `old` voxels each of `new` lies: first on first, last on last."""
    ratio = (old - 1) / (new - 1) if new > 1 else 1.0
    return np.minimum(np.arange(new) * ratio, old - 1)


def _neighbours(old: int, new: int) -> Taken:
    places = _places(old, new)
    below = np.floor(places)
    low = 1.0 - (places - below)
    first = below.astype(np.int64)
    return first, np.minimum(first + 1, old - 1), low, 1.0 - low


@compiled()
def _interpolate(values: NDArray[Any], x: Taken, y: Taken, z: Taken, found: NDArray[np.float32]) -> None:
    for k in range(found.shape[0]):
        z0, z1, below, above = z[0][k], z[1][k], z[2][k], z[3][k]
        for j in range(found.shape[1]):
            y0, y1, front, back = y[0][j], y[1][j], y[2][j], y[3][j]
            for i in range(found.shape[2]):
                x0, x1, left, right = x[0][i], x[1][i], x[2][i], x[3][i]
                value = values[x0, y0, z0] * left * front * below
                value += values[x0, y0, z1] * left * front * above
                value += values[x0, y1, z0] * left * back * below
                value += values[x0, y1, z1] * left * back * above
                value += values[x1, y0, z0] * right * front * below
                value += values[x1, y0, z1] * right * front * above
                value += values[x1, y1, z0] * right * back * below
                value += values[x1, y1, z1] * right * back * above
                found[k, j, i] = int(value)
