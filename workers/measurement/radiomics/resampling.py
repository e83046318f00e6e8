"""Image and mask on the grid that PyRadiomics resamples to: anchored at the mask's origin, cut to the region.

Comes in: the image, the mask, the box of the region in the mask. Goes out: the resampled domain and mask. What can go
wrong: the region reaches beyond the image. Next: `prepare`.

A cubic B-spline needs the coefficients of the image around each voxel. ITK computes them of the whole image; here they
are computed of the part around the region: an error at its edge falls to a quarter with each voxel, and over `_REACH`
voxels to nothing that float64 can hold. They are put back into the grid of the image, so that ITK computes the same
positions from them: it cuts a value to a whole number, and so the last bit of a position decides.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.measurement.radiomics.domain import Domain, Frame, Normalisation
from workers.measurement.radiomics.parameters import Settings
from workers.records import Region

_REACH = {"sitkBSpline": 56, "sitkLinear": 2, "sitkNearestNeighbor": 2}
_TOLERANCE = 1e-3  # voxels


@dataclass(frozen=True)
class _Grid:
    """What is resampled to, in the order of a file."""

    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]
    size: tuple[int, ...]


def wanted_spacing_mm(mask: SimpleITK.Image, region: Region, settings: Settings) -> NDArray[np.float64]:
    """Return the spacing (x, y, z) that the settings ask for; that of the mask for 0, and across a single slice."""
    own = np.array(mask.GetSpacing())
    asked = np.array(settings.resampled_pixel_spacing)
    asked = np.where(asked == 0, own, asked)
    return np.where(np.array(region.mask.shape[::-1]) != 1, asked, own)


def require_inside(image: SimpleITK.Image, mask: SimpleITK.Image, region: Region) -> None:
    """Require that the box of a region in a mask lies inside an image.

    Raises
    ------
    NotExtractable
        It does not.
    """
    low, size = np.array(region.start[::-1]), np.array(region.mask.shape[::-1])
    points = [mask.TransformContinuousIndexToPhysicalPoint(one.tolist()) for one in (low - 0.5, low + size - 0.5)]
    found = np.array([image.TransformPhysicalPointToContinuousIndex(one) for one in points])
    over = found.max(axis=0) - (np.array(image.GetSize()) - 0.5)
    if (found.min(axis=0) < -0.5 - _TOLERANCE).any() or (over > _TOLERANCE).any():
        box = ", ".join(f"{a:.1f} to {b:.1f}" for a, b in zip(found.min(axis=0), found.max(axis=0), strict=True))
        raise NotExtractable(RegionRefusal.REGION_OUTSIDE, f"x, y, z {box} of {image.GetSize()} voxels")


def onto(image: SimpleITK.Image, mask: SimpleITK.Image) -> SimpleITK.Image:
    """Return a mask on the grid of an image, by the nearest voxel."""
    filter_ = SimpleITK.ResampleImageFilter()
    filter_.SetReferenceImage(image)
    filter_.SetInterpolator(SimpleITK.sitkNearestNeighbor)
    return filter_.Execute(mask)


def resample(
    image: SimpleITK.Image,
    mask: SimpleITK.Image,
    region: Region,
    normalisation: Normalisation | None,
    settings: Settings,
) -> tuple[Domain, SimpleITK.Image]:
    """Return image and mask on the new grid, in the box of the region and `pad_distance` voxels around it."""
    grid = _grid(mask, region, settings)
    name = settings.interpolator or ""
    source, interpolator = image, getattr(SimpleITK, name)
    if normalisation or name == "sitkBSpline":
        source = _part(image, grid, normalisation, _REACH[name], coefficients=name == "sitkBSpline")
        interpolator = SimpleITK.sitkBSplineResampler if name == "sitkBSpline" else interpolator
    pixel_type = SimpleITK.sitkFloat64 if normalisation else image.GetPixelID()
    resampled = _filter(grid, interpolator, pixel_type).Execute(source)
    domain = Domain(SimpleITK.GetArrayViewFromImage(resampled), Frame.of(resampled), holder=resampled)
    return domain, _filter(grid, SimpleITK.sitkNearestNeighbor, mask.GetPixelID()).Execute(mask)


def _grid(mask: SimpleITK.Image, region: Region, settings: Settings) -> _Grid:
    """Return the grid of imageoperations.resampleImage."""
    own, new = np.array(mask.GetSpacing()), wanted_spacing_mm(mask, region, settings)
    ratio = own / new
    low, size = np.array(region.start[::-1]), np.array(region.mask.shape[::-1])
    first = np.floor((low - 0.5) * ratio - settings.pad_distance)
    last = np.ceil((low + size - 0.5) * ratio + settings.pad_distance)
    first = np.where(first < 0, 0, first)
    most = np.ceil(np.array(mask.GetSize()) * ratio) - 1
    last = np.where(last > most, most, last)
    origin = np.array(0.5 * (new - own) / own) + first / ratio
    return _Grid(
        tuple(new.tolist()),
        mask.TransformContinuousIndexToPhysicalPoint(origin.tolist()),
        mask.GetDirection(),
        tuple((last - first + 1).astype(int).tolist()),
    )


def _filter(grid: _Grid, interpolator: int, pixel_type: int) -> SimpleITK.ResampleImageFilter:
    found = SimpleITK.ResampleImageFilter()
    found.SetOutputSpacing(grid.spacing_mm)
    found.SetOutputDirection(grid.direction)
    found.SetSize(grid.size)
    found.SetOutputOrigin(grid.origin_mm)
    found.SetOutputPixelType(pixel_type)
    found.SetInterpolator(interpolator)
    return found


def _part(
    image: SimpleITK.Image, grid: _Grid, normalisation: Normalisation | None, reach: int, *, coefficients: bool
) -> SimpleITK.Image:
    """Return the grid of an image as float64 with values, or B-spline coefficients, around a new grid; else 0."""
    steps = np.asarray(grid.direction).reshape(3, 3) * grid.spacing_mm
    corners = [
        image.TransformPhysicalPointToContinuousIndex((np.asarray(grid.origin_mm) + steps @ np.asarray(at)).tolist())
        for at in product(*((0, size - 1) for size in grid.size))
    ]
    size = np.array(image.GetSize())
    low = np.clip(np.floor(np.min(corners, axis=0)).astype(int) - reach, 0, size - 1)
    high = np.clip(np.ceil(np.max(corners, axis=0)).astype(int) + reach, low, size - 1)
    box = tuple(slice(a, b + 1) for a, b in zip(low[::-1], high[::-1], strict=True))
    values: NDArray[Any] = SimpleITK.GetArrayViewFromImage(image)[box]
    part = SimpleITK.GetImageFromArray(normalisation.apply(values) if normalisation else values.astype(np.float64))
    if coefficients:
        part = SimpleITK.BSplineDecomposition(part)
    whole = SimpleITK.Image(image.GetSize(), SimpleITK.sitkFloat64)
    whole.CopyInformation(image)
    return SimpleITK.Paste(whole, part, part.GetSize(), destinationIndex=low.tolist())
