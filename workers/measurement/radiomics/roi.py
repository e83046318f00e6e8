"""What a class of features is computed from: grey values, mask, spacing, and the grey levels after discretisation.

Comes in: the prepared image and mask, cropped to the bounding box of the mask. Goes out: `Roi` and `Levels`, which
each class of features reads. What can go wrong: nothing here; a mask with fewer voxels than the settings ask for is
refused where the image is prepared. Next: `shape`, `first_order`, `glcm`, `glrlm`, `glszm`, `gldm`, `ngtdm`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.records import Mask


@dataclass(frozen=True)
class Roi:
    """A region of interest, cropped to the bounding box of its mask; axes are slices, rows, columns."""

    values: NDArray[np.float64]
    mask: Mask
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Levels:
    """The grey levels of a region after discretisation: 1 to `count` inside the mask, 0 outside."""

    codes: NDArray[np.int32]
    count: int

    @cached_property
    def voxels(self) -> NDArray[np.int64]:
        """The number of voxels of each level from 1 on."""
        return np.bincount(self.codes[self.codes > 0], minlength=self.count + 1)[1:]

    @property
    def present(self) -> NDArray[np.int64]:
        """The levels that the region has, ascending."""
        return 1 + np.flatnonzero(self.voxels)

    @cached_property
    def rows(self) -> dict[int, "Row"]:
        """The region as one row, by the padding: made once for all classes of features."""
        return {}


@dataclass(frozen=True)
class Row:
    """The grey levels of a region as one padded row, in which a step to a neighbour is one number.

    Parameters
    ----------
    codes
        0 outside the region.
    places
        Of its voxels in the row, in the order of the volume.
    stretches
        `(stretch, 2)`: where voxels follow each other without a gap, the first place and the place after the last.
    shape
        Of the padded volume.
    """

    codes: NDArray[np.int32]
    places: NDArray[np.int64]
    stretches: NDArray[np.int64]
    shape: tuple[int, ...]


class FeatureSettings(Protocol):
    """What the classes of features read of the settings; the names are PyRadiomics' in snake case."""

    @property
    def voxel_array_shift(self) -> float:
        """What is added to each value before Energy, Total Energy and RMS."""

    @property
    def distances(self) -> tuple[int, ...]:
        """Distances of neighbours [voxels, largest component] in GLCM, GLDM and NGTDM."""

    @property
    def force2d(self) -> bool:
        """Whether neighbours are looked for in one plane only."""

    @property
    def force2d_dimension(self) -> int:
        """The axis across that plane: 0 slices, 1 rows, 2 columns."""

    @property
    def weighting_norm(self) -> str | None:
        """The norm by which GLCM and GLRLM weigh directions before they are added; None: a mean over directions."""

    @property
    def symmetrical_glcm(self) -> bool:
        """Whether a pair is counted in both orders."""

    @property
    def gldm_a(self) -> int:
        """The largest difference of grey levels that still counts as dependence."""
