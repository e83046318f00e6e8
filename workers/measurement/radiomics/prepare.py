"""Image and mask as PyRadiomics prepares them: checked, normalised, resampled, cropped, resegmented.

Comes in: an image and a mask (SimpleITK), the settings. Goes out: `Prepared`: the domain, which is the image that
PyRadiomics would filter, and the region in it, whose box is known before a value is computed outside of it. What can go
wrong: mask and image on different grids, no such label, too few voxels (`node.core.reasons.RegionRefusal`). Next:
`wavelet` and `discretise`, then the classes of features.

The steps and their order are those of PyRadiomics 3.0.1, odd ones included: a mask of nothing but the label is refused,
and with `resegmentRange` shape is computed of the whole mask in the box of what resegmentation has left. Values keep
the type that PyRadiomics computes with, that of the file, or float64 where normalised: bins and bands depend on it.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.measurement.radiomics import resampling
from workers.measurement.radiomics.domain import Box, Domain, Frame, Normalisation
from workers.measurement.radiomics.parameters import Settings
from workers.measurement.radiomics.roi import Roi
from workers.records import Mask, Region

_ITK_TOLERANCE = 1e-6
_ROUNDING_VOXELS = 1e-3


@dataclass(frozen=True)
class Step:
    """A mask as it stood after a step of the preparation, and what it lies in: what the diagnostics tell of.

    `prefix` is PyRadiomics' word for it. `domain` is None where only the frame is known, before the mask was compared
    with the image.
    """

    prefix: str
    region: Region
    frame: Frame
    shape: tuple[int, ...]
    domain: Domain | None = None


@dataclass(frozen=True)
class Prepared:
    """A region and the domain that it lies in.

    Parameters
    ----------
    region
        Of all features but shape; voxel (0, 0, 0) is the first of the domain.
    outline
        Of shape: the same, or what it was before resegmentation, in the box of what that has left.
    """

    domain: Domain
    region: Region
    outline: Mask
    steps: tuple[Step, ...]

    def roi(self, values: NDArray[Any]) -> Roi:
        """Return the region with the values that an image type has in its box."""
        return Roi(np.asarray(values, dtype=np.float64), self.region.mask, self.domain.spacing_mm)

    @property
    def shape_roi(self) -> Roi:
        """What shape is computed of; it reads no values."""
        return Roi(np.zeros(self.outline.shape), self.outline, self.domain.spacing_mm)


def prepare(image: SimpleITK.Image, mask: SimpleITK.Image, settings: Settings) -> Prepared:
    """Prepare an image and a region of it.

    Raises
    ------
    NotExtractable
        See the module.
    """
    mask, region = labelled(image, mask, settings.label)
    mask = laid_on(image, mask, settings)
    steps = [_step("original", mask, region)]
    domain = Domain(SimpleITK.GetArrayViewFromImage(image), Frame.of(image), _normalisation(image, settings), image)
    if _is_resampled(settings):
        domain, region = _resampled(image, mask, region, domain, settings)
        steps.append(Step("interpolated", region, domain.frame, domain.values.shape, domain))
        _require_size(region, settings)
    else:
        corrected = _on_the_grid(image, mask, region, settings)
        _require_size(corrected or region, settings)
        if corrected is not None and not settings.pre_crop:
            steps.append(Step("corrected", corrected, domain.frame, domain.values.shape, domain))
        region = corrected or region
        if settings.pre_crop:
            domain, region = _cropped(domain, region, settings)
    return _resegmented(domain, region, steps, settings)


def _is_resampled(settings: Settings) -> bool:
    return settings.interpolator is not None and settings.resampled_pixel_spacing is not None


def labelled(image: SimpleITK.Image, mask: SimpleITK.Image, label: int) -> tuple[SimpleITK.Image, Region]:
    """Return the mask as whole numbers, and the region of the label in its grid.

    Raises
    ------
    NotExtractable
        Image or mask is no volume, or the label is on no voxel or on all.
    """
    if image.GetDimension() != 3 or mask.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise NotExtractable(RegionRefusal.IMAGE_UNREADABLE, "not a volume with one value a voxel")
    if mask.GetNumberOfComponentsPerPixel() > 1:
        mask = SimpleITK.VectorIndexSelectionCast(mask, 0)  # PyRadiomics takes the first
    if "float" in mask.GetPixelIDTypeAsString():
        mask = SimpleITK.Cast(mask, SimpleITK.sitkUInt32)
    return mask, _require_label(mask, label)


def _require_label(mask: SimpleITK.Image, label: int) -> Region:
    labels = SimpleITK.GetArrayViewFromImage(mask)
    region = find(labels, label)
    if region is None:
        raise NotExtractable(RegionRefusal.MASK_EMPTY, f"no voxel has the label {label}")
    if region.count == labels.size:
        raise NotExtractable(RegionRefusal.MASK_EMPTY, f"every voxel has the label {label}: nothing is marked off")
    return region


def find(labels: NDArray[Any], label: int) -> Region | None:
    """Return the voxels that have a label; slice by slice, so that nothing of the size of the image is made."""
    seen, rows, columns = [], np.zeros(labels.shape[1], dtype=bool), np.zeros(labels.shape[2], dtype=bool)
    for number, plane in enumerate(labels):
        hit = plane == label
        if hit.any():
            seen.append(number)
            rows |= hit.any(axis=1)
            columns |= hit.any(axis=0)
    if not seen:
        return None
    at_rows, at_columns = np.flatnonzero(rows), np.flatnonzero(columns)
    start = (seen[0], int(at_rows[0]), int(at_columns[0]))
    stop = (seen[-1] + 1, int(at_rows[-1]) + 1, int(at_columns[-1]) + 1)
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    return Region(start, labels[box] == label)


def _normalisation(image: SimpleITK.Image, settings: Settings) -> Normalisation | None:
    if not settings.normalize:
        return None
    statistics = SimpleITK.StatisticsImageFilter()
    statistics.Execute(image)
    if statistics.GetSigma() == 0:
        raise NotExtractable(RegionRefusal.IMAGE_UNREADABLE, "normalize: all voxels have one value")
    return Normalisation(
        statistics.GetMean(), statistics.GetSigma(), settings.remove_outliers, settings.normalize_scale
    )


def _resampled(
    image: SimpleITK.Image, mask: SimpleITK.Image, region: Region, domain: Domain, settings: Settings
) -> tuple[Domain, Region]:
    """Return domain and region on the new grid; on that of the image where its spacing is the new one."""
    resampling.require_inside(image, mask, region)
    if np.allclose(image.GetSpacing(), resampling.wanted_spacing_mm(mask, region, settings)):
        same = Frame.of(mask) == domain.frame and mask.GetSize() == image.GetSize()
        return _cropped(domain, region if same else _moved(image, mask, settings), settings)
    domain, mask = resampling.resample(image, mask, region, domain.normalisation, settings)
    found = find(SimpleITK.GetArrayViewFromImage(mask), settings.label)
    if found is None:
        raise NotExtractable(RegionRefusal.MASK_EMPTY, "resampling has left nothing of it")
    return domain, found


def _moved(image: SimpleITK.Image, mask: SimpleITK.Image, settings: Settings) -> Region:
    moved = resampling.onto(image, mask)
    region = find(SimpleITK.GetArrayViewFromImage(moved), settings.label)
    if region is None:
        raise NotExtractable(RegionRefusal.MASK_EMPTY, "nothing of it lies on the grid of the image")
    return region


def _on_the_grid(image: SimpleITK.Image, mask: SimpleITK.Image, region: Region, settings: Settings) -> Region | None:
    """Return the region on the grid of the image where the mask had to be moved there; None where it lies on it."""
    if not (why := _mismatch(image, mask, settings)):
        return None
    if not settings.correct_mask:
        raise NotExtractable(RegionRefusal.MASK_MISMATCH, f"{why}; correctMask moves the mask")
    resampling.require_inside(image, mask, region)
    return _moved(image, mask, settings)


def laid_on(image: SimpleITK.Image, mask: SimpleITK.Image, settings: Settings) -> SimpleITK.Image:
    """Return the mask, with the frame of the image where its own differs by the rounding of a file's header only.

    NIfTI keeps a frame in single precision, NRRD in double: PyRadiomics refuses one beside the other, but where it
    resamples both.
    """
    if _is_resampled(settings) or not _is_rounded(image, mask, settings) or not _mismatch(image, mask, settings):
        return mask
    mask = SimpleITK.Image(mask)
    mask.CopyInformation(image)
    return mask


def _is_rounded(image: SimpleITK.Image, mask: SimpleITK.Image, settings: Settings) -> bool:
    """Return whether no voxel of the mask lies a thousandth of a voxel off its place; a given tolerance is obeyed."""
    if settings.geometry_tolerance is not None or image.GetSize() != mask.GetSize():
        return False
    corners = product(*((0.0, size - 1.0) for size in image.GetSize()))
    moved = [
        np.subtract(image.TransformPhysicalPointToContinuousIndex(Frame.of(mask).point_mm(one)), one) for one in corners
    ]
    return bool(np.abs(moved).max() < _ROUNDING_VOXELS)


def _mismatch(image: SimpleITK.Image, mask: SimpleITK.Image, settings: Settings) -> str:
    """Say in what image and mask differ by more than ITK tolerates: of the spacing of columns, and of a direction."""
    if image.GetSize() != mask.GetSize():
        return f"image {image.GetSize()} and mask {mask.GetSize()} voxels"
    tolerance = settings.geometry_tolerance or _ITK_TOLERANCE
    ours, other = Frame.of(image), Frame.of(mask)
    for name, limit in (
        ("origin_mm", tolerance * ours.spacing_mm[0]),
        ("spacing_mm", tolerance * ours.spacing_mm[0]),
        ("direction", tolerance),
    ):
        a, b = getattr(ours, name), getattr(other, name)
        if np.abs(np.subtract(a, b)).max() > limit:
            return f"{name.removesuffix('_mm')} of the image {a}, of the mask {b}"
    return ""


def _cropped(domain: Domain, region: Region, settings: Settings) -> tuple[Domain, Region]:
    """Return the box of the region and `pad_distance` voxels around it, as far as the image goes."""
    pad = settings.pad_distance
    box: list[slice] = [
        slice(max(part.start - pad, 0), min(part.stop + pad, size))
        for part, size in zip(region.box, domain.values.shape, strict=True)
    ]
    start = tuple(first - part.start for first, part in zip(region.start, box, strict=True))
    whole: Box = (box[0], box[1], box[2])
    return domain.within(whole), replace(region, start=(start[0], start[1], start[2]))


def _require_size(region: Region, settings: Settings) -> None:
    dimensions = sum(size > 1 for size in region.mask.shape)
    if dimensions < max(settings.minimum_roi_dimensions, 1):
        raise NotExtractable(
            RegionRefusal.REGION_TOO_SMALL,
            f"{dimensions} dimensions of more than one voxel, and minimumROIDimensions is "
            f"{settings.minimum_roi_dimensions}",
        )
    if settings.minimum_roi_size is not None and region.count <= settings.minimum_roi_size:
        raise NotExtractable(
            RegionRefusal.REGION_TOO_SMALL,
            f"{region.count} voxels, and minimumROISize is {settings.minimum_roi_size}",
        )


def _resegmented(domain: Domain, region: Region, steps: list[Step], settings: Settings) -> Prepared:
    """Leave out voxels beyond the range of the settings, where they have one."""
    if settings.resegment_range is None:
        return Prepared(domain, region, region.mask, tuple(steps))
    values = domain.crop(region.box)
    kept = region.mask.copy()
    thresholds = _thresholds(values[kept], settings)
    kept[kept] = values[kept] >= thresholds[0]
    if len(thresholds) == 2:
        kept[kept] = values[kept] <= thresholds[1]
    if (count := int(np.count_nonzero(kept))) <= 1:
        raise NotExtractable(RegionRefusal.REGION_TOO_SMALL, f"resegmentRange leaves {count} voxels")
    left = Region.of(kept, region.start)
    assert left is not None  # noqa: S101 - it has voxels
    _require_size(left, settings)
    steps.append(Step("resegmented", left, domain.frame, domain.values.shape, domain))
    before = tuple(slice(p.start - first, p.stop - first) for p, first in zip(left.box, region.start, strict=True))
    return Prepared(domain, left, left.mask if settings.resegment_shape else region.mask[before], tuple(steps))


def _thresholds(values: NDArray[Any], settings: Settings) -> list[Any]:
    """Return the lowest value that is kept, and the highest where the range has two ends."""
    ends = sorted(settings.resegment_range or ())
    if settings.resegment_mode == "relative":
        return [np.max(values) * end for end in ends]
    if settings.resegment_mode == "sigma":
        mean, sd = np.mean(values), np.std(values)
        return [mean + sd * end for end in ends]
    return list(ends)


def _step(prefix: str, mask: SimpleITK.Image, region: Region) -> Step:
    return Step(prefix, region, Frame.of(mask), mask.GetSize()[::-1])
