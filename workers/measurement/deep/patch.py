"""What the network sees of an image: a box around the region, along the axes of the patient, on the network's voxels.

Comes in: image and mask (SimpleITK), the label, what the network takes in. Goes out: `Patch`. What can go wrong: no
such label, a region beyond the image or larger than the network takes (`node.core.reasons.RegionRefusal`). Next:
`encoder`.

The box is centred on the box of the region in the patient's coordinates. So neither the order in which a file keeps its
slices, rows and columns nor what lies beyond the box changes it.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.measurement.deep.description import Input
from workers.measurement.radiomics.prepare import labelled
from workers.measurement.radiomics.resampling import require_inside
from workers.records import Region

_TOLERANCE = 1e-6  # voxels
_AXES = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Patch:
    """A box around a region, slices from the feet to the head, rows to the back, columns to the patient's left.

    Parameters
    ----------
    values
        Attenuation, normalised as the network takes it.
    shares
        The part of each voxel that belongs to the region.
    """

    values: NDArray[np.float64]
    shares: NDArray[np.float64]


@dataclass(frozen=True)
class _Samples:
    """The points at which image and mask are read, in the order of a file (x, y, z), and how many a voxel has."""

    origin_mm: list[float]
    spacing_mm: list[float]
    size: list[int]
    of_a_voxel: int

    def means(self, image: SimpleITK.Image, outside: float) -> NDArray[np.float64]:
        """Return for each voxel the mean of an image at its points, linearly between the voxels of the image."""
        filter_ = SimpleITK.ResampleImageFilter()
        filter_.SetOutputOrigin(self.origin_mm)
        filter_.SetOutputSpacing(self.spacing_mm)
        filter_.SetOutputDirection(_AXES)
        filter_.SetSize(self.size)
        filter_.SetInterpolator(SimpleITK.sitkLinear)
        filter_.SetDefaultPixelValue(outside)
        filter_.SetOutputPixelType(SimpleITK.sitkFloat32)
        sampled = filter_.Execute(image)
        slices, rows, columns = (size // self.of_a_voxel for size in self.size[::-1])
        blocks = SimpleITK.GetArrayViewFromImage(sampled).reshape(
            slices, self.of_a_voxel, rows, self.of_a_voxel, columns, self.of_a_voxel
        )
        means: NDArray[np.float64] = blocks.mean(axis=(1, 3, 5), dtype=np.float64)
        return means


def cut(image: SimpleITK.Image, mask: SimpleITK.Image, label: int, wanted: Input) -> Patch:
    """Cut the box around a region out of an image; the mask may lie on another grid.

    Raises
    ------
    NotExtractable
        See the module.
    """
    mask, region = labelled(image, mask, label)
    require_inside(image, mask, region)
    samples = _samples(mask, region, wanted)
    shares = samples.means(_around(mask, region), 0.0)
    if not shares.any():
        raise NotExtractable(RegionRefusal.REGION_TOO_SMALL, "no point at which the network looks lies in it")
    hu = samples.means(image, wanted.outside_hu)
    return Patch((hu.clip(*wanted.clip_hu) - wanted.mean_hu) / wanted.sd_hu, shares)


def _samples(mask: SimpleITK.Image, region: Region, wanted: Input) -> _Samples:
    """Return the points of the box: as many to each voxel of the network as it asks for."""
    low, high = _box_mm(mask, region)
    spacing_mm = np.array(wanted.spacing_mm[::-1])
    needed = np.ceil((high - low + 2 * wanted.margin_mm) / spacing_mm - _TOLERANCE)
    count = np.maximum(needed, wanted.least_voxels[::-1]).astype(int)
    if (voxels := math.prod(count.tolist())) > wanted.most_voxels:
        raise NotExtractable(
            RegionRefusal.REGION_TOO_LARGE,
            f"its box has {voxels} voxels of the network, which takes {wanted.most_voxels} at most",
        )
    step_mm = spacing_mm / wanted.samples
    origin_mm = (low + high - count * spacing_mm + step_mm) / 2
    return _Samples(origin_mm.tolist(), step_mm.tolist(), (count * wanted.samples).tolist(), wanted.samples)


def _around(mask: SimpleITK.Image, region: Region) -> SimpleITK.Image:
    """Return a region as 1, with a voxel of 0 around it, where it lies."""
    found = SimpleITK.GetImageFromArray(np.pad(region.mask.astype(np.uint8), 1))
    found.SetOrigin(mask.TransformContinuousIndexToPhysicalPoint([float(at - 1) for at in region.start[::-1]]))
    found.SetSpacing(mask.GetSpacing())
    found.SetDirection(mask.GetDirection())
    return found


def _box_mm(mask: SimpleITK.Image, region: Region) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends (x, y, z) of a region's box along the axes of the patient, to the edges of its voxels."""
    low = np.array(region.start[::-1]) - 0.5
    ends = low, low + region.mask.shape[::-1]
    corners = np.array(
        [
            mask.TransformContinuousIndexToPhysicalPoint([float(ends[end][axis]) for axis, end in enumerate(at)])
            for at in product((0, 1), repeat=3)
        ]
    )
    return corners.min(axis=0), corners.max(axis=0)
