"""L1 density: mean, median and SD [HU] and volume [mL] of the trabecular core of the L1 body.

Core = voxel centres of the body strictly more than `core_erosion_mm` from the surface of its mask, within the central
`core_slab_fraction` of its height. The distance is Euclidean and measured on the mask supersampled to at most 1 mm in
each axis, to the faces of the voxels outside, so that thin and thick slices give the same core; HU are read at the
native voxel centres. On a sheared grid (tilted gantry) the finer mask is sheared as the slices are; the height of the
body runs along the patient (LPS z) on every grid. Nothing is corrected for contrast or tube voltage: notes say what
differs. At least 1 mL and two slices (`core-too-small`); L1 cut by the edge of the scan: `structure-truncated`.
Source: metrics contract, section 4; Pickhardt et al., Ann Intern Med 2013, for the measure itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NotComputed, NoteCode
from node.core.records import Measurement, Note, computed, not_computed
from node.core.settings import MeasurementSettings
from workers.measurement.attenuation import tissue_hu
from workers.measurement.definition import OWN, Definition
from workers.measurement.extent import touched_edges
from workers.measurement.vertebra import body_from_label, labelled_body
from workers.records import Acquisition, LabelMap, Mask, Region, Volume

NAMES = ("l1.mean_hu", "l1.median_hu", "l1.sd_hu", "l1.volume")
_FINEST_MM = 1.0
_FINEST_TILTED_MM = 0.5  # its slices are moved by whole parts
_LEAST_CORE_ML = 1.0
_LEAST_CORE_SLICES = 2
_HIGH_SD_HU, _HIGH_MAXIMUM_HU = 100.0, 700.0
_REFERENCE_KVP = 120.0
_THICK_SLICE_MM = 5.0
_REASONS = (
    NotComputed.STRUCTURE_NOT_FOUND,
    NotComputed.LEVEL_NOT_COVERED,
    NotComputed.STRUCTURE_TRUNCATED,
    NotComputed.CORE_TOO_SMALL,
    NotComputed.STRUCTURE_IMPLAUSIBLE,
)
_NOTES = (
    NoteCode.BODY_FROM_LABEL,
    NoteCode.KVP_UNKNOWN,
    NoteCode.KVP_NOT_120,
    NoteCode.CONTRAST,
    NoteCode.THICK_SLICES,
    NoteCode.HIGH_VARIANCE,
)
_SOURCE = "Pickhardt et al., Ann Intern Med 2013, for the measure; which voxels: this project."
DEFINITIONS = (
    Definition(
        ids=NAMES[:3],
        text="Attenuation of the trabecular core of the L1 body: mean, median and standard deviation over its voxels.",
        formula="mean, median, sqrt(sum of (HU - mean)^2 / (n - 1)), pixel padding left out",
        source=_SOURCE,
        reasons=_REASONS,
        notes=_NOTES,
    ),
    Definition(
        ids=NAMES[3:],
        text="Volume of that core.",
        formula="voxels x voxel volume",
        source=OWN,
        reasons=_REASONS,
        notes=_NOTES,
    ),
)


@dataclass(frozen=True)
class _Body:
    """The body of L1 and how it was found."""

    region: Region
    notes: tuple[Note, ...]


def measure(
    volume: Volume, labels: LabelMap, settings: MeasurementSettings
) -> tuple[Region | None, dict[str, Measurement]]:
    """Return the core of L1, if there is one, and the four `l1.*` numbers."""
    found = _body(labels, volume.geometry)
    if isinstance(found, NotComputed):
        return None, dict.fromkeys(NAMES, not_computed(found))
    core = trabecular_core(found.region, volume.geometry, settings)
    size_ml = core.count * volume.geometry.voxel_volume_ml if core else 0.0
    if core is None or size_ml < _LEAST_CORE_ML or len(core.slices) < _LEAST_CORE_SLICES:
        return None, dict.fromkeys(NAMES, not_computed(NotComputed.CORE_TOO_SMALL, *found.notes))
    hu = tissue_hu(volume, core).astype(np.float64)
    if hu.size < 2:  # padding, but for a voxel: a standard deviation needs two
        return None, dict.fromkeys(NAMES, not_computed(NotComputed.STRUCTURE_IMPLAUSIBLE, *found.notes))
    notes = (*found.notes, *_protocol_notes(volume.acquisition), *_spread_notes(hu))
    values = (float(hu.mean()), float(np.median(hu)), float(hu.std(ddof=1)), size_ml)
    return core, {name: computed(value, *notes) for name, value in zip(NAMES, values, strict=True)}


def trabecular_core(body: Region, geometry: Geometry, settings: MeasurementSettings) -> Region | None:
    """Return the voxels of a vertebral body that are its trabecular core; None where nothing is left."""
    deep = _depth_mm(body.mask, geometry) > settings.core_erosion_mm
    heights = _heights(body, geometry)
    low, high = heights[body.mask].min(), heights[body.mask].max()
    central = np.abs(heights - (low + high) / 2) <= settings.core_slab_fraction * (high - low + 1) / 2
    return Region.of(deep & central, body.start)


def _heights(body: Region, geometry: Geometry) -> NDArray[np.float64]:
    """Return how high in the patient each voxel centre of the box lies, counted in slices."""
    per_slice, per_row, per_column = geometry.affine[2, :3] / geometry.slice_step_mm[2]
    slices, rows, columns = (np.arange(size, dtype=float) for size in body.mask.shape)
    heights: NDArray[np.float64] = (
        per_slice * slices[:, None, None] + per_row * rows[None, :, None] + per_column * columns[None, None, :]
    )
    return heights


def _body(labels: LabelMap, geometry: Geometry) -> _Body | NotComputed:
    """Find the body of L1, or say why it cannot be measured."""
    whole = labels.find(Structure.VERTEBRA_L1)
    if whole is None:
        searched = Structure.VERTEBRA_L1 in labels.searched
        return NotComputed.LEVEL_NOT_COVERED if searched else NotComputed.STRUCTURE_NOT_FOUND
    if touched_edges(whole, geometry):
        return NotComputed.STRUCTURE_TRUNCATED
    if (body := labelled_body(labels, whole)) is not None:
        return _Body(body, ())
    if (body := body_from_label(whole, geometry)) is not None:
        return _Body(body, (Note(NoteCode.BODY_FROM_LABEL, NoteCode.BODY_FROM_LABEL.sentence),))
    return NotComputed.STRUCTURE_NOT_FOUND


def _depth_mm(mask: Mask, geometry: Geometry) -> NDArray[np.float64]:
    """Return, at each voxel centre inside the mask, the distance to the nearest face of a voxel outside.

    The mask is cut into an odd number of equal parts along each axis, so that native centres are centres of parts.
    """
    finest_mm = _FINEST_TILTED_MM if geometry.is_tilted else _FINEST_MM
    parts = [_odd_parts(step, finest_mm) for step in geometry.spacing_mm]
    step = np.asarray([spacing / count for spacing, count in zip(geometry.spacing_mm, parts, strict=True)])
    fine = np.pad(mask, 1)
    for axis, count in enumerate(parts):
        fine = np.repeat(fine, count, axis=axis)
    aside = _steps_aside(geometry, len(fine), parts, step)
    nearest = ndimage.distance_transform_edt(
        _moved(fine, aside), sampling=step, return_distances=False, return_indices=True
    )
    slices, rows, columns = (
        count + count // 2 + count * np.arange(size) for count, size in zip(parts, mask.shape, strict=True)
    )
    own = np.broadcast_arrays(
        slices[:, None, None],
        (rows + aside[slices, :1])[:, :, None],
        (columns + aside[slices, 1:])[:, None, :],
    )
    found = np.stack([indices[tuple(own)] for indices in nearest])
    offset = np.abs(found - np.stack(own)) * step[:, None, None, None]
    gap = np.maximum(offset - step[:, None, None, None] / 2, 0.0)
    depth: NDArray[np.float64] = np.sqrt((gap**2).sum(axis=0))
    return depth


def _steps_aside(geometry: Geometry, count: int, parts: list[int], step: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return by how many parts each of `count` thin slices lies aside of the lowest, along rows and along columns."""
    if not geometry.is_tilted:
        return np.zeros((count, 2), dtype=np.int64)
    along = np.asarray([geometry.row_step_mm, geometry.column_step_mm])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    shift = along @ np.asarray(geometry.slice_step_mm) / parts[0] / step[1:]
    aside = np.rint(np.arange(count)[:, None] * shift).astype(np.int64)
    moved: NDArray[np.int64] = aside - aside.min(axis=0)
    return moved


def _moved(fine: Mask, aside: NDArray[np.int64]) -> Mask:
    """Return thin slices, each moved aside, in an array that holds them all."""
    most = aside.max(axis=0)
    moved = np.zeros((len(fine), fine.shape[1] + most[0], fine.shape[2] + most[1]), dtype=bool)
    for one, plane, (row, column) in zip(moved, fine, aside, strict=True):
        one[row : row + fine.shape[1], column : column + fine.shape[2]] = plane
    return moved


def _odd_parts(spacing_mm: float, finest_mm: float) -> int:
    count = int(np.ceil(spacing_mm / finest_mm - 1e-9))
    return count + 1 - count % 2


def _protocol_notes(acquisition: Acquisition) -> list[Note]:
    """Say where the acquisition differs from that of the reference values (120 kVp, no contrast)."""
    notes = []
    if acquisition.kvp is None:
        notes.append(Note(NoteCode.KVP_UNKNOWN, NoteCode.KVP_UNKNOWN.sentence))
    elif acquisition.kvp != _REFERENCE_KVP:
        notes.append(Note(NoteCode.KVP_NOT_120, f"The tube voltage is {acquisition.kvp:g} kV."))
    if acquisition.contrast:
        notes.append(Note(NoteCode.CONTRAST, NoteCode.CONTRAST.sentence))
    if (acquisition.slice_thickness_mm or 0) > _THICK_SLICE_MM:
        notes.append(Note(NoteCode.THICK_SLICES, f"Slices are {acquisition.slice_thickness_mm:g} mm thick."))
    return notes


def _spread_notes(hu: NDArray[np.float64]) -> list[Note]:
    spread, highest = float(hu.std(ddof=1)), float(hu.max())
    if spread <= _HIGH_SD_HU and highest <= _HIGH_MAXIMUM_HU:
        return []
    return [Note(NoteCode.HIGH_VARIANCE, f"SD {spread:.0f} HU, maximum {highest:.0f} HU.")]
