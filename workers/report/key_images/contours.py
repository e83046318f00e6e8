"""The outline of a mask as a line with smooth edges, at the resolution of the page.

A mask that is 0 outside and 1 inside is enlarged with a bicubic filter; the outline is where it is one half, which is
the edge between the pixels inside and those outside, without the steps of the pixels. How far a point of the page is
from the outline follows from the value there and its slope, and how far from it the line is drawn from its width.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

_HALF_WIDTH = 0.8  # of a line, in pixels of the page, to where it begins to fade
_LEAST_SCALE = 2.0  # pixels of the page per sample: of finer samples the slope is too steep to draw a line along it
_SEAM = 0.6


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
    grown = np.asarray(Image.fromarray(inside).resize(size, Image.Resampling.BICUBIC, box=box))
    slopes = np.gradient(grown) if min(grown.shape) > 1 else [np.zeros_like(grown)]
    slope = np.sqrt(sum(np.square(one) for one in slopes))
    away = np.abs(grown - 0.5) / np.maximum(slope, 1e-3)
    fine = min(size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])) < _LEAST_SCALE
    cover = np.clip((0.0 if fine else _HALF_WIDTH) + 0.5 - away, 0, 1) * 255
    drawn = cover.astype(np.uint8)
    if fine:
        drawn = ndimage.grey_dilation(drawn, size=(3, 3))
    seam = ndimage.grey_dilation(drawn, size=(3, 3)) * _SEAM
    return drawn, seam.astype(np.uint8)
