"""The lesions of the liver, found and measured one by one: the table behind the tumour burden.

Comes in: a segmentation and its volume. Goes out: `Lesion` records, and how many parts of the mask were too small.
What can go wrong: nothing; no lesion is an empty table. Next: `burden`.

**What is a lesion.** Of one mask, whoever made it: each connected component (26 neighbours) of at least 0.05 mL. Of an
imported SEG that draws its lesions one by one: each of its segments, whatever its size and in how many pieces it lies.
It does so where it has several, and where the only one is numbered, as `Tumor_1` is. Lesions that touch in one mask
cannot be told apart with certainty: they are one. Where they meet by edges or corners of voxels only, `parts` says so,
as it does of a drawn lesion in several pieces; drawn lesions that meet or overlap are told by `touches`.

**What is measured.** Volume [mL]: voxels x voxel volume. Diameters [mm]: `diameters`. Mean attenuation [HU] without
pixel padding; none where there is nothing else. Centre [mm, LPS]: the mean of its voxel centres. Which edges of the
scan cut it: its numbers are then those of the part that is seen. Source: metrics contract, section 5.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from node.core.codes import Structure
from node.core.grid import Geometry, Vector
from workers.measured import Lesion
from workers.measurement import diameters
from workers.measurement.attenuation import tissue_hu
from workers.measurement.extent import touched_edges
from workers.records import LabelMap, Region, Volume

_LEAST_LESION_ML = 0.05
_ROUNDING = 1e-9  # volumes are products: 50 voxels of 0.001 mL are 0.05 mL, not a hair less
_NEIGHBOURS_6 = ndimage.generate_binary_structure(3, 1)
_NEIGHBOURS_26 = ndimage.generate_binary_structure(3, 3)


@dataclass(frozen=True)
class Found:
    """The lesions of a segmentation, each with the label of its segment.

    `drawn` says that each is a segment of its own; `smaller` is how many parts of a mask are under the threshold.
    """

    regions: tuple[tuple[str, Region], ...]
    drawn: bool
    smaller: int


def find(labels: LabelMap) -> Found:
    """Return the lesions of a segmentation."""
    segments = labels.all(Structure.LESION)
    if len(segments) > 1 or any(segment.source and re.search(r"\d\s*$", segment.label) for segment in segments):
        return Found(tuple((segment.label, segment.region) for segment in segments), drawn=True, smaller=0)
    parts = [(segment.label, part) for segment in segments for part in _components(segment.region)]
    large = tuple((label, part) for label, part in parts if is_large(part, labels.geometry))
    return Found(large, drawn=False, smaller=len(parts) - len(large))


def is_large(part: Region, geometry: Geometry) -> bool:
    """Say whether a part of a mask is large enough to be a lesion."""
    return part.count * geometry.voxel_volume_ml >= _LEAST_LESION_ML - _ROUNDING


def measure(volume: Volume, found: Found) -> tuple[Lesion, ...]:
    """Measure lesions, in the order in which they were found."""
    regions = [region for _, region in found.regions]
    return tuple(
        _lesion(volume, label, region, _touched(region, regions) if found.drawn else ())
        for label, region in found.regions
    )


def _lesion(volume: Volume, label: str, region: Region, touches: tuple[int, ...]) -> Lesion:
    geometry = volume.geometry
    axial = diameters.axial(region, geometry)
    hu = tissue_hu(volume, region)
    return Lesion(
        label=label,
        region=region,
        volume_ml=region.count * geometry.voxel_volume_ml,
        axial_diameter_mm=axial.length_mm,
        slice=axial.slice,
        ends=axial.ends,
        diameter_mm=diameters.spatial(region, geometry),
        mean_hu=float(hu.mean(dtype="f8")) if hu.size else None,
        centre_mm=_centre_mm(region, geometry),
        edges=tuple(touched_edges(region, geometry)),
        parts=_parts(region, geometry),
        touches=touches,
    )


def _centre_mm(region: Region, geometry: Geometry) -> Vector:
    index = np.argwhere(region.mask).mean(axis=0) + region.start
    x, y, z = geometry.affine[:3] @ [*index, 1.0]
    return float(x), float(y), float(z)


def _components(region: Region, neighbours: np.ndarray = _NEIGHBOURS_26) -> Iterator[Region]:
    parts, _ = ndimage.label(region.mask, structure=neighbours)
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        start = (region.start[0] + box[0].start, region.start[1] + box[1].start, region.start[2] + box[2].start)
        yield Region(start, np.ascontiguousarray(parts[box] == number))


def _parts(region: Region, geometry: Geometry) -> int:
    """Count the pieces of a lesion that are joined by faces and large enough to be lesions; at least 1."""
    return max(1, sum(is_large(part, geometry) for part in _components(region, _NEIGHBOURS_6)))


def _touched(region: Region, others: Sequence[Region]) -> tuple[int, ...]:
    """Return the numbers, from 1, of the other regions that share a voxel with a region or have neighbouring ones."""
    grown = Region(
        (region.start[0] - 1, region.start[1] - 1, region.start[2] - 1),
        ndimage.binary_dilation(np.pad(region.mask, 1), structure=_NEIGHBOURS_26),
    )
    return tuple(number for number, other in enumerate(others, start=1) if other is not region and grown.common(other))
