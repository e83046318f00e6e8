"""What a network sees of a CT: a part of every slice, averaged to roughly the network's resolution.

In: HU of shape (slices, rows, columns). Out: `Window`. Nothing can go wrong here. Next: `inference`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workers.segmentation.demo.tasks import Task

SOFT_TISSUE_HU = -300.0
AIR_HU = -1000.0
BLOCKS = 3
"""Least number of averaged blocks to a network's voxel, where pixels are fine enough."""


@dataclass(frozen=True)
class Bounds:
    """First and last-plus-one row and column; they may lie outside the CT, where it is taken to be air."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    def within(self, shape: Sequence[int]) -> tuple[range, range]:
        """Return the rows and columns that lie inside slices of this (slices, rows, columns) shape."""
        rows = range(max(self.rows[0], 0), min(self.rows[1], shape[1]))
        return rows, range(max(self.columns[0], 0), min(self.columns[1], shape[2]))


@dataclass(frozen=True)
class Window:
    """A part of a CT, averaged.

    Attributes
    ----------
    bounds : Bounds
        Which part of each slice.
    hu : float32 array
        Averages, shape (slices, rows, columns); they cover the bounds exactly.
    spacing_mm : tuple of float
        Of `hu`, (z, y, x).
    shape : tuple of int
        Of the CT.
    """

    bounds: Bounds
    hu: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, ...]


def look(hu: NDArray[Any], spacing_mm: tuple[float, float, float], bounds: Bounds, task: Task) -> Window:
    """Cut a part out of every slice, and average it over roughly the network's voxels.

    Pixels are averaged in whole blocks, then over an odd number of blocks; slices over an odd number of slices.
    """
    block = _block(spacing_mm, task)
    bounds = Bounds(_stretched(bounds.rows, block), _stretched(bounds.columns, block))
    small = np.stack([_blocks(_cut(plane, bounds), block) for plane in hu])
    spacing = (spacing_mm[0], spacing_mm[1] * block, spacing_mm[2] * block)
    for axis in range(3):
        width = 1 + 2 * max(0, round((task.spacing_mm[axis] / spacing[axis] - 1) / 2))
        if width > 1:
            small = ndimage.uniform_filter1d(small, width, axis=axis, mode="nearest")
    return Window(bounds, small, spacing, hu.shape)


def trunk_window(hu: NDArray[Any], spacing_mm: tuple[float, float, float], task: Task) -> Bounds:
    """Return a window of the size of the network's patch around the trunk and the table under it."""
    soft = hu[::4] > SOFT_TISSUE_HU
    ends = []
    for axis, other in ((1, 2), (2, 1)):
        profile = soft.mean(axis=(0, other))
        wide = np.flatnonzero(profile > 0.25 * profile.max())
        middle = (float(wide[0]) + float(wide[-1])) / 2 if wide.size else hu.shape[axis] / 2
        size = round(task.patch[axis] * task.spacing_mm[axis] / spacing_mm[axis])
        first = round(middle + 0.5 - size / 2)
        ends.append((first, first + size))
    return Bounds(ends[0], ends[1])


def box_around(
    near: Sequence[float], far: Sequence[float], margin_mm: float, spacing_mm: Sequence[float], shape: Sequence[int]
) -> Bounds:
    """Return a box with a margin, within slices of this (slices, rows, columns) shape; corners are pixel edges."""
    ends = []
    for axis in (0, 1):
        margin = margin_mm / spacing_mm[1 + axis]
        first = max(0, math.floor(near[axis] - margin))
        ends.append((first, min(shape[1 + axis], math.ceil(far[axis] + margin))))
    return Bounds(ends[0], ends[1])


def _block(spacing_mm: tuple[float, float, float], task: Task) -> int:
    return max(1, round(task.spacing_mm[1] / BLOCKS / spacing_mm[1]))


def _stretched(ends: tuple[int, int], block: int) -> tuple[int, int]:
    """Make the length a multiple of the block."""
    return ends[0], ends[0] + block * math.ceil((ends[1] - ends[0]) / block)


def _cut(plane: NDArray[Any], bounds: Bounds) -> NDArray[np.float32]:
    """Cut a window out of one slice, with air where it reaches beyond."""
    (top, bottom), (left, right) = bounds.rows, bounds.columns
    cut = np.full((bottom - top, right - left), AIR_HU, dtype=np.float32)
    rows, columns = bounds.within((1, *plane.shape))
    place = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    cut[place] = plane[rows.start : rows.stop, columns.start : columns.stop]
    return cut


def _blocks(plane: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    rows, columns = plane.shape
    means: NDArray[np.float32] = plane.reshape(rows // block, block, columns // block, block).mean(axis=(1, 3))
    return means
