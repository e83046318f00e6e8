"""The outline of a mask as a line with smooth edges, at the resolution of the page.

A mask that is 0 outside and 1 inside is smoothed a little, to take the steps of the voxels off, and enlarged with a
bicubic filter; the outline is where it is one half. It never is more than one sample from the edge between the voxels
inside and those outside: a mask that smoothing would change by more, as it would a single voxel or a thin bridge, is
drawn with its steps. How far a point of the page is from the outline follows from the value there and its slope.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

_SMOOTHED = 0.9  # samples: standard deviation of the filter
_REACH = 1.5  # pixels of the page from the middle of a line to where it has faded
_FLAT = 1e-3  # of a pixel: a slope that no outline has
_SEAM_OF = (np.arange(256) * 0.7).astype(np.uint8)  # how strong the seam is beside a line


def line(
    inside: NDArray[np.float32], size: tuple[int, int], box: tuple[float, float, float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return how strongly each pixel of the page is covered by the line, and by the dark seam around it.

    Parameters
    ----------
    inside
        Samples of a mask, 0 to 1, `(rows, columns)`.
    size, box
        How many pixels (wide, high) show which part of it: left, top, right, bottom in samples.
    """
    enlarged = Image.fromarray(_smooth(inside)).resize(size, Image.Resampling.BICUBIC, box=box)
    drawn = _cover(np.asarray(enlarged))
    return drawn, _SEAM_OF[_widened(drawn)]


def _cover(inside: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return how much of each pixel a line along one half covers, 0 to 255."""
    cover = np.zeros(inside.shape, dtype=np.uint8)
    if min(inside.shape) < 2:
        return cover
    down, right = (np.gradient(inside, axis=axis) for axis in (0, 1))
    from_half = np.abs(inside - 0.5)
    steepest = float(np.hypot(np.abs(down).max(), np.abs(right).max()))
    near = from_half <= _REACH * max(steepest, _FLAT)  # all that a line may cover, and a small part of the picture
    away = from_half[near] / np.maximum(np.hypot(down[near], right[near]), _FLAT)
    cover[near] = np.clip(_REACH - away, 0, 1) * 255
    return cover


def _widened(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the strongest cover of each pixel and the eight around it."""
    down = drawn.copy()
    np.maximum(down[1:], drawn[:-1], out=down[1:])
    np.maximum(down[:-1], drawn[1:], out=down[:-1])
    across = down.copy()
    np.maximum(across[:, 1:], down[:, :-1], out=across[:, 1:])
    np.maximum(across[:, :-1], down[:, 1:], out=across[:, :-1])
    return across


def _smooth(inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a mask without its steps, or as it is where that would move its edge by more than a sample."""
    smoothed: NDArray[np.float32] = ndimage.gaussian_filter(inside, _SMOOTHED, mode="nearest")
    before, after = inside >= 0.5, smoothed >= 0.5
    lost = (before & ~after) & ~ndimage.binary_dilation(before & after)
    gained = (after & ~before) & ~ndimage.binary_dilation(~before & ~after)
    return inside if lost.any() or gained.any() else smoothed
