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
_HALF_WIDTH = 1.0  # of a line, in pixels of the page, to where it begins to fade
_SEAM = 0.7


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
    drawn = (_cover(np.asarray(enlarged)) * 255).astype(np.uint8)
    seam = ndimage.grey_dilation(drawn, size=(3, 3)) * _SEAM
    return drawn, seam.astype(np.uint8)


def _cover(inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much of each pixel a line along one half covers."""
    if min(inside.shape) < 2:
        return np.zeros_like(inside)
    down, right = np.gradient(inside)
    away = np.abs(inside - 0.5) / np.maximum(np.hypot(down, right), 1e-3)
    cover: NDArray[np.float32] = np.clip(_HALF_WIDTH + 0.5 - away, 0, 1)
    return cover


def _smooth(inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a mask without its steps, or as it is where that would move its edge by more than a sample."""
    smoothed: NDArray[np.float32] = ndimage.gaussian_filter(inside, _SMOOTHED, mode="nearest")
    before, after = inside >= 0.5, smoothed >= 0.5
    lost = (before & ~after) & ~ndimage.binary_dilation(before & after)
    gained = (after & ~before) & ~ndimage.binary_dilation(~before & ~after)
    return inside if lost.any() or gained.any() else smoothed
