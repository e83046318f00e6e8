"""What the fine network is shown of the coarse one's answer, made from the truth and then spoiled as that one errs.

In: labels of a fine patch, a generator. Out: the channels of `STRUCTURES_TASK.hints`. Nothing can go wrong here.
Next: `samples`.

The coarse network's probabilities are smooth over its voxels of 6 mm, their surfaces run a few millimetres aside, here
and there a part is missing and something else is taken for it. A fine network that were shown the truth would copy it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workers.segmentation.demo.labels import Kind, Labels
from workers.segmentation.demo.tasks import STRUCTURES_TASK

Channels = NDArray[np.float32]

KINDS: dict[str, tuple[Kind, ...]] = {
    "liver": (Kind.LIVER, Kind.LESION),
    "psoas_left": (Kind.PSOAS_LEFT,),
    "psoas_right": (Kind.PSOAS_RIGHT,),
}
"""The hints, as the fine network's labels have them."""
BLUR_VOXELS = (0.8, 1.5)
"""SD of the blur: half to one voxel of the coarse network."""
SHARPNESS = (6.0, 14.0)
"""Steepness of a probability where it passes one half."""
ASIDE_SD, ASIDE_VOXELS = 0.3, (3.0, 5.0)
"""Of the smooth field that moves a surface: up to this SD, which moves it by 2 mm, and how smooth."""
BIAS_SD = 0.12
"""Of what moves a whole surface inwards or outwards."""
MISSING_SHARE, MISSING_VOXELS = 0.15, 20
"""How often a box of up to so many voxels is missing."""
FALSE_SHARE, FALSE_VOXELS = 0.15, 8
"""How often a box of up to so many voxels is there that should not be."""


def hints(labels: Labels, rng: np.random.Generator) -> Channels:
    """Return the channels of a patch, shape (hints, slices, rows, columns), values from 0 to 1."""
    return np.stack([_spoiled(np.isin(labels, KINDS[name]), rng) for name in STRUCTURES_TASK.hints])


def _spoiled(mask: NDArray[np.bool_], rng: np.random.Generator) -> Channels:
    soft = mask.astype(np.float32)
    if rng.random() < MISSING_SHARE:
        soft[_box(mask.shape, MISSING_VOXELS, rng)] = 0.0
    if rng.random() < FALSE_SHARE:
        soft[_box(mask.shape, FALSE_VOXELS, rng)] = 1.0
    if not soft.any():
        return soft
    soft = ndimage.gaussian_filter(soft, rng.uniform(*BLUR_VOXELS), mode="nearest")
    aside = ndimage.zoom(rng.standard_normal([size // 4 for size in mask.shape], dtype=np.float32), 4, order=1)
    aside = ndimage.gaussian_filter(aside, rng.uniform(*ASIDE_VOXELS), mode="nearest")
    moved = soft - 0.5 + rng.normal(0.0, BIAS_SD) + rng.uniform(0.0, ASIDE_SD) * aside / aside.std()
    # Where nothing is within reach, nothing is seen: the field moves surfaces and makes none.
    near = ndimage.maximum_filter(soft, 3) > 0.02
    return np.where(near, 1 / (1 + np.exp(-rng.uniform(*SHARPNESS) * moved)), soft > 0.5).astype(np.float32)


def _box(shape: tuple[int, ...], most: int, rng: np.random.Generator) -> tuple[slice, ...]:
    sizes = rng.integers(most // 3, most + 1, len(shape))
    starts = [int(rng.integers(0, size - side)) for size, side in zip(shape, sizes, strict=True)]
    return tuple(slice(start, start + int(side)) for start, side in zip(starts, sizes, strict=True))
