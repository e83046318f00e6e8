"""The grid of an image, and the part of an image that PyRadiomics would filter.

Comes in: a SimpleITK image. Goes out: `Frame` (where voxels lie) and `Domain` (their values, read as they are asked
for). What can go wrong: nothing here. Next: `prepare` narrows a domain, `wavelet` reads it.

Arrays are `(slices, rows, columns)`; a frame is in the order of a file, `(x, y, z)`, in mm.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Frame:
    """Where the voxels of an image lie; `direction` is row by row, as ITK has it."""

    spacing_mm: Triple
    origin_mm: Triple
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: SimpleITK.Image) -> "Frame":
        """Return the frame of an image."""
        return cls(image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    def point_mm(self, index: Triple) -> Triple:
        """Return where a continuous index (x, y, z) lies."""
        steps = np.asarray(self.direction).reshape(3, 3) * self.spacing_mm
        x, y, z = np.asarray(self.origin_mm) + steps @ np.asarray(index)
        return float(x), float(y), float(z)

    def from_voxel(self, first: tuple[int, int, int]) -> "Frame":
        """Return the frame of the part that begins with a voxel (slice, row, column)."""
        return replace(self, origin_mm=self.point_mm((first[2], first[1], first[0])))


@dataclass(frozen=True)
class Normalisation:
    """The linear map that gives a whole image mean 0 and SD 1, then limits and scale."""

    mean: float
    sd: float
    limit: float | None
    scale: float

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return values of the image, normalised."""
        found = (values.astype(np.float64) - self.mean) * (1 / self.sd)
        if self.limit is not None:
            np.clip(found, -self.limit, self.limit, out=found)
        found *= self.scale
        return found


@dataclass(frozen=True)
class Domain:
    """The image that PyRadiomics would filter, with what is still to be done to a value when it is read.

    `values` may be a view of the voxels of `holder`, which has to live as long. A domain that was cut out of another
    knows it as `parent`, and as `start` the voxel of it (slice, row, column) that is its own first one.
    """

    values: NDArray[Any]
    frame: Frame
    normalisation: Normalisation | None = None
    holder: SimpleITK.Image | None = None
    parent: "Domain | None" = None
    start: tuple[int, int, int] = (0, 0, 0)

    @property
    def spacing_mm(self) -> Triple:
        """Spacing of slices, rows, columns."""
        x, y, z = self.frame.spacing_mm
        return z, y, x

    def crop(self, box: Box) -> NDArray[Any]:
        """Return the values of a box."""
        return self._read(self.values[box])

    def take(self, slices: NDArray[np.intp], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[Any]:
        """Return the values at all crossings of some slices, rows and columns."""
        return self._read(self.values[np.ix_(slices, rows, columns)])

    def within(self, box: Box) -> "Domain":
        """Return a part of the domain as a domain of its own."""
        first = (box[0].start, box[1].start, box[2].start)
        return replace(self, values=self.values[box], frame=self.frame.from_voxel(first), parent=self, start=first)

    def widest(self, box: Box, before: int, after: int) -> "tuple[Domain, Box]":
        """Return the domain that this one was cut out of, and a box in it, where that makes no difference.

        It makes none where what is `before` and `after` the box along each axis lies in this domain.
        """
        inside = all(
            part.start >= before and part.stop + after <= size
            for part, size in zip(box, self.values.shape, strict=True)
        )
        if self.parent is None or not inside:
            return self, box
        moved = [slice(part.start + first, part.stop + first) for part, first in zip(box, self.start, strict=True)]
        return self.parent, (moved[0], moved[1], moved[2])

    def _read(self, values: NDArray[Any]) -> NDArray[Any]:
        return self.normalisation.apply(values) if self.normalisation else values
