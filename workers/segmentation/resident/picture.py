"""A volume as the library sees it: cut to a box, turned to RAS, brought to a network's voxels; and labels brought back.

In: Hounsfield units on their grid. Out: `Seen`, what a network is given; `Labels`, what it answered, from which regions
and boxes of the source grid are read. What can go wrong: nothing. Next: `forward` gives a network what was seen.

Nothing is copied but what a network sees: cutting and turning are views. Labels stay at the network's voxels; only the
box that a structure fills is brought to the source grid.
"""

from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.core.grid import Geometry
from workers.records import Mask, Region
from workers.segmentation.library import as_nifti
from workers.segmentation.resident.resampling import linear, nearest

Ranges = tuple[range, range, range]
"""A box of the source grid: slices, rows, columns."""


@dataclass(frozen=True)
class Back:
    """The way from a network's voxels back to the part of the source grid that it saw.

    Parameters
    ----------
    axes
        For slices, rows and columns of the source: which of the axes z, y, x they are to the network.
    taken
        For each slice, row and column of the part: the voxel on that axis that it is taken from.
    start
        First slice, row and column of the part.
    """

    axes: tuple[int, int, int]
    taken: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    start: tuple[int, int, int]


@dataclass(frozen=True)
class Seen:
    """What a network is given: values (z, y, x), their spacing [mm] in the same order, and the way back."""

    values: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    back: Back


@dataclass(frozen=True)
class Labels:
    """What a network answered: labels (z, y, x) at its voxels, and the way back."""

    values: NDArray[np.uint8]
    back: Back

    def region(self, number: int) -> Region | None:
        """Return where a label is on the source grid; None where it is nowhere."""
        mask = (self.values == number).transpose(self.back.axes)
        if (box := self._box(mask)) is None:
            return None
        for axis, (taken, part) in enumerate(zip(self.back.taken, box, strict=True)):
            mask = mask.take(taken[part.start : part.stop], axis=axis)
        first, second, third = (begin + part.start for begin, part in zip(self.back.start, box, strict=True))
        return Region((first, second, third), np.ascontiguousarray(mask))

    def box(self, numbers: Collection[int]) -> Ranges | None:
        """Return the box around labels on the source grid; None where none of them is anywhere."""
        box = self._box(np.isin(self.values, list(numbers)).transpose(self.back.axes))
        if box is None:
            return None
        first, second, third = (
            range(begin + part.start, begin + part.stop) for begin, part in zip(self.back.start, box, strict=True)
        )
        return first, second, third

    def _box(self, mask: Mask) -> list[range] | None:
        """Return the box, within the part, that a mask at the network's voxels fills on the source grid.

        Where the source is the coarser of the two, voxels between its own are never taken.
        """
        used = [np.unique(taken) for taken in self.back.taken]
        mask = mask[np.ix_(*used)]
        box = []
        for axis, (taken, places) in enumerate(zip(self.back.taken, used, strict=True)):
            inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
            if inside.size == 0:
                return None
            reached = np.flatnonzero((taken >= places[inside[0]]) & (taken <= places[inside[-1]]))
            box.append(range(int(reached[0]), int(reached[-1]) + 1))
        return box


@dataclass(frozen=True)
class Picture:
    """A volume or a box of it, as an image of the library: axes columns, rows, slices, and where the box begins."""

    image: Any
    start: tuple[int, int, int]

    @classmethod
    def of(cls, hu: NDArray[Any], geometry: Geometry) -> "Picture":
        """Return a whole volume."""
        return cls(as_nifti(hu, geometry), (0, 0, 0))

    @property
    def box(self) -> Ranges:
        """The whole of it: slices, rows, columns."""
        columns, rows, slices = self.image.shape
        return range(slices), range(rows), range(columns)

    def cropped(self, box: Ranges, margin_mm: float) -> "Picture":
        """Cut to a box of slices, rows and columns, widened by a margin of whole voxels; numbers become whole."""
        margins = (np.array([margin_mm] * 3) / self.image.header.get_zooms()).astype(int)
        begin = [max(0, part.start - margin) for part, margin in zip(reversed(box), margins, strict=True)]
        end = [
            min(size, part.stop + margin)
            for part, margin, size in zip(reversed(box), margins, self.image.shape, strict=True)
        ]
        values = np.asanyarray(self.image.dataobj)[tuple(map(slice, begin, end))]
        if not np.issubdtype(values.dtype, np.integer):
            values = values.astype(np.int32)
        affine = self.image.affine.copy()
        affine[:3, 3] = (affine @ [*begin, 1])[:3]
        columns, rows, slices = (int(first) for first in begin)
        return Picture(_image(values, affine), (slices, rows, columns))

    def seen(self, spacing_mm: tuple[float, float, float]) -> Seen:
        """Return what a network of this spacing (x, y, z) is given."""
        turned = import_module("nibabel").as_closest_canonical(self.image)
        values, spacing = np.asanyarray(turned.dataobj), np.array(turned.header.get_zooms())
        zoom = spacing / np.array(spacing_mm)
        if np.array_equal(spacing, spacing_mm):
            found, affine = np.ascontiguousarray(values.transpose(2, 1, 0), dtype=np.float32), turned.affine
        else:
            x, y, z = (round(float(size * share)) for size, share in zip(values.shape, zoom, strict=True))
            found, affine = linear(values, (x, y, z)), turned.affine.copy()
            affine[:3, :3] /= zoom
        z_mm, y_mm, x_mm = (
            float(edge) for edge in reversed(_image(found.transpose(2, 1, 0), affine).header.get_zooms())
        )
        return Seen(found, (z_mm, y_mm, x_mm), self._back(values.shape, found.shape[::-1]))

    def _back(self, turned: tuple[int, ...], seen: tuple[int, ...]) -> Back:
        """Return the way back from a shape that was seen to the one before it was resampled, both x, y, z."""
        axes, taken = [], []
        for axis, direction in reversed(import_module("nibabel").io_orientation(self.image.affine)):
            found = nearest(seen[int(axis)], turned[int(axis)])
            axes.append(2 - int(axis))
            taken.append(found if direction > 0 else found[::-1])
        return Back((axes[0], axes[1], axes[2]), (taken[0], taken[1], taken[2]), self.start)


def _image(values: NDArray[Any], affine: NDArray[np.float64]) -> Any:
    return import_module("nibabel").Nifti1Image(values, affine)
