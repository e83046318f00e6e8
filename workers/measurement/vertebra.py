"""Vertebral levels and bodies: the slice at mid-height of a vertebra, and its body without the arch.

The body is the vertebra's label where it meets a label of vertebral bodies. Without one the arch is cut off in front
of the spinal canal (`body-from-label`): on each slice where the label encloses the canal, the canal's most anterior
point is found; a line through these points over the slices gives the cut on all of them. Distances are in
millimetres in the patient's frame, so that flipped and oblique grids give the same body.
Source: metrics contract, sections 2 and 4; the cut is this project's own rule.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NoteCode
from node.core.records import Note
from workers.measurement.extent import NEIGHBOURS_26
from workers.records import LabelMap, Mask, Region

_LEAST_CANAL_MM2 = 30.0  # a smaller hole is a gap of the label; a lumbar canal has 200 mm2 and more
_NEIGHBOURS_8 = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Level:
    """A vertebral level: the region that stands for it, the slice at its mid-height, how it was found."""

    region: Region
    middle_slice: int
    notes: tuple[Note, ...]


def level(labels: LabelMap, vertebra: Structure) -> Level | None:
    """Return the level of a vertebra: slice floor((first + last) / 2) of its body, or of its whole label, noted."""
    whole = labels.find(vertebra)
    if whole is None:
        return None
    body = labelled_body(labels, whole)
    region = body or whole
    notes = () if body else (Note(NoteCode.LEVEL_FROM_LABEL, NoteCode.LEVEL_FROM_LABEL.sentence),)
    return Level(region, (region.slices[0] + region.slices[-1]) // 2, notes)


def labelled_body(labels: LabelMap, whole: Region) -> Region | None:
    """Return the part of a vertebra that a label of vertebral bodies marks, largest component; None without one."""
    bodies = labels.find(Structure.VERTEBRAL_BODY)
    return largest_component(whole.common(bodies)) if bodies else None


def body_from_label(whole: Region, geometry: Geometry) -> Region | None:
    """Cut the arch off a whole vertebra in front of the spinal canal; None where no canal is seen."""
    fronts = _canal_fronts(whole, geometry)
    if not fronts:
        return None
    indices = np.asarray(sorted(fronts), dtype=float)
    values = np.asarray([fronts[int(index)] for index in indices])
    slope, offset = np.polyfit(indices, values, 1) if len(fronts) > 1 else (0.0, values[0])
    posterior = _posterior_mm(whole, geometry)
    cut_mm = slope * np.asarray(whole.slices, dtype=float) + offset
    return largest_component(Region.of(whole.mask & (posterior < cut_mm[:, None, None]), whole.start))


def largest_component(region: Region | None) -> Region | None:
    """Return the largest component (26 neighbours) of a region."""
    if region is None:
        return None
    components, count = ndimage.label(region.mask, structure=NEIGHBOURS_26)
    if count < 2:
        return region
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return Region.of(components == int(sizes.argmax()), region.start)


def _canal_fronts(whole: Region, geometry: Geometry) -> dict[int, float]:
    """Return, per slice that shows the canal as a hole of the label, its most anterior edge [mm, LPS y]."""
    posterior = _posterior_mm(whole, geometry)
    half_voxel = _half_depth_mm(geometry)
    fronts = {}
    for index, plane in zip(whole.slices, whole.mask, strict=True):
        canal = _canal(plane, geometry)
        if canal is not None:
            fronts[index] = float(posterior[index - whole.start[0]][canal].min()) - half_voxel
    return fronts


def _canal(plane: Mask, geometry: Geometry) -> Mask | None:
    """Return the largest hole of one slice of a vertebra, if it is large enough to be the canal."""
    holes: Mask = ndimage.binary_fill_holes(plane) & ~plane
    parts, count = ndimage.label(holes, structure=_NEIGHBOURS_8)
    if count == 0:
        return None
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    if sizes.max() * geometry.pixel_area_cm2 * 100 < _LEAST_CANAL_MM2:
        return None
    canal: Mask = parts == int(sizes.argmax())
    return canal


def _posterior_mm(region: Region, geometry: Geometry) -> NDArray[np.float64]:
    """Return how far back each voxel centre of the region's box lies (LPS y, growing to posterior)."""
    slices, rows, columns = (np.arange(part.start, part.stop, dtype=float) for part in region.box)
    y = geometry.affine[1]
    grid: NDArray[np.float64] = (
        y[0] * slices[:, None, None] + y[1] * rows[None, :, None] + y[2] * columns[None, None, :] + y[3]
    )
    return grid


def _half_depth_mm(geometry: Geometry) -> float:
    """Return half the extent of a voxel from front to back."""
    return float(np.abs(geometry.affine[1, 1:3]).max()) / 2
