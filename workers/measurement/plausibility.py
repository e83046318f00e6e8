"""Whether a segmented structure can be what its label says: volume, mean attenuation, pieces, side.

Comes in: volume and segmentation. Goes out: a note for each structure that is implausible, with the figures of every
rule that it breaks (`workers.measurement.bounds`, docs/plausibility.md); numbers that rest on it are then withheld as
`structure-implausible`. What can go wrong: nothing; a structure that is not there is not judged. Sides are those of
the patient, by the affine of the grid. Of a structure that the edge of the scan cuts, neither a lowest volume nor the
number of pieces nor the side of a liver is asked. Next: `workers.measurement.measure`.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NotComputed, NoteCode
from node.core.records import Measurement, Note, not_computed
from node.core.settings import MeasurementSettings
from workers.measurement.attenuation import tissue_hu
from workers.measurement.bounds import LEAST_APART_MM, LEAST_LARGEST_PIECE, LEAST_RIGHT_OF_SPINE, ROWS, Row
from workers.measurement.extent import NEIGHBOURS_26, touched_edges
from workers.measurement.psoas.muscles import MUSCLES
from workers.records import LabelMap, Region, Volume

Doubts = Mapping[Structure, Note]
_ONE_PIECE_MM = 3.0
_SPINE = (Structure.VERTEBRA_L3, Structure.VERTEBRA_L1, Structure.VERTEBRAL_BODY)
_RESTS_ON = {
    "liver": (Structure.LIVER,),
    "l1": (Structure.VERTEBRA_L1, Structure.VERTEBRAL_BODY),
    "burden": (Structure.LESION,),
}
_LEVEL_OF_AREAS = (Structure.VERTEBRA_L3, Structure.VERTEBRAL_BODY)


def doubts(volume: Volume, labels: LabelMap) -> Doubts:
    """Return the structures that are implausible, each with the note that says why."""
    broken: dict[Structure, list[str]] = {}
    for structure, row in ROWS.items():
        segments = labels.all(structure)
        for segment in segments if structure is Structure.LESION else segments[:1]:
            broken.setdefault(structure, []).extend(_broken(segment.region, row, volume))
    for muscles in MUSCLES.values():
        told = list(_swapped(labels, *muscles))
        for structure in muscles:
            broken.setdefault(structure, []).extend(told)
    unlike = frozenset(structure for structure, rules in broken.items() if rules)
    broken.setdefault(Structure.LIVER, []).extend(_left_of_spine(labels, unlike))
    return {
        structure: Note(NoteCode.IMPLAUSIBLE, " ".join(dict.fromkeys(rules)))
        for structure, rules in broken.items()
        if rules
    }


def withheld(name: str, one: Measurement, found: Doubts, settings: MeasurementSettings) -> Measurement:
    """Return a number, or the reason why there is none where it rests on an implausible structure."""
    notes = dict.fromkeys(found[structure] for structure in _rests_on(name, settings) if structure in found)
    return not_computed(NotComputed.STRUCTURE_IMPLAUSIBLE, *notes) if notes else one


def _rests_on(name: str, settings: MeasurementSettings) -> tuple[Structure, ...]:
    """Return the structures that a number is measured on."""
    kind, *parts = name.split(".")
    if kind != "psoas":
        return _RESTS_ON.get(kind, ())
    left, right = MUSCLES[settings.psoas]
    sides = {"left": (left,), "right": (right,)}.get(parts[0], (left, right))
    return (*sides, *_LEVEL_OF_AREAS) if parts[-1] in ("area_l3", "pmi") else sides


def _broken(region: Region, row: Row, volume: Volume) -> Iterator[str]:
    """Yield a sentence for each rule on volume, mean and pieces that a region breaks."""
    name = row.name[0].upper() + row.name[1:]
    millilitres = region.count * volume.geometry.voxel_volume_ml
    cut = bool(touched_edges(region, volume.geometry))
    low, high = row.volume_ml.low, row.volume_ml.high
    if millilitres > high or (millilitres < low and not cut):
        yield f"{name} has {_figure(millilitres)} mL; plausible are {low:g} to {high:g} mL."
    hu = tissue_hu(volume, region)
    mean = float(hu.mean(dtype="f8")) if hu.size else None
    if mean is not None and not row.mean_hu.low <= mean <= row.mean_hu.high:
        yield f"{name} has a mean of {mean:.0f} HU; plausible are {row.mean_hu.low:g} to {row.mean_hu.high:g} HU."
    if row.one_piece and not cut and (share := largest_piece(region, volume.geometry)) < LEAST_LARGEST_PIECE:
        yield f"{name} is in pieces, the largest {share:.0%} of it; plausible are {LEAST_LARGEST_PIECE:.0%} or more."


def largest_piece(region: Region, geometry: Geometry) -> float:
    """Return the share of a region that its largest piece has; what is less than about 3 mm apart is one piece.

    The mask is counted in blocks of that size first, so that a liver costs no more than a small organ.
    """
    counts: NDArray[np.uint32] = region.mask.view(np.uint8)
    for axis, spacing in reversed(list(enumerate(geometry.spacing_mm))):
        step = max(1, round(_ONE_PIECE_MM / spacing))
        counts = np.add.reduceat(counts, np.arange(0, counts.shape[axis], step), axis=axis, dtype=np.uint32)
    pieces, _ = ndimage.label(counts > 0, structure=NEIGHBOURS_26)
    sizes = np.bincount(pieces.ravel(), weights=counts.ravel())
    return float(sizes[1:].max() / sizes.sum())


def _swapped(labels: LabelMap, left: Structure, right: Structure) -> Iterator[str]:
    """Yield a sentence where the left muscle does not lie to the patient's left of the right one."""
    regions = labels.find(left), labels.find(right)
    if regions[0] is None or regions[1] is None:
        return
    apart_mm = _centre_x_mm(regions[0], labels.geometry) - _centre_x_mm(regions[1], labels.geometry)
    if apart_mm >= LEAST_APART_MM:
        return
    where = f"{abs(apart_mm):.0f} mm to the patient's {'left' if apart_mm >= 0 else 'right'} of {ROWS[right].name}"
    name = ROWS[left].name
    yield f"{name[0].upper()}{name[1:]} lies {where}; plausible are {LEAST_APART_MM:g} mm or more to the left."


def _left_of_spine(labels: LabelMap, unlike: frozenset[Structure]) -> Iterator[str]:
    """Yield a sentence where a whole liver lies to the patient's left of the spine; `unlike` are no landmarks."""
    liver, spine_mm = labels.find(Structure.LIVER), _spine_x_mm(labels, unlike)
    if liver is None or spine_mm is None or touched_edges(liver, labels.geometry):
        return
    share = _share_right_of(spine_mm, liver, labels.geometry)
    if share < LEAST_RIGHT_OF_SPINE:
        yield (
            f"Of the liver {share:.1%} lies to the patient's right of the spine; "
            f"plausible are {LEAST_RIGHT_OF_SPINE:.0%} or more."
        )


def _spine_x_mm(labels: LabelMap, unlike: frozenset[Structure]) -> float | None:
    """Return where the spine lies along the patient's left-right axis [mm, LPS x]; None without a landmark."""
    for landmarks in (*((one,) for one in _SPINE), *MUSCLES.values()):
        regions = [labels.find(one) for one in landmarks if one not in unlike]
        centres = [_centre_x_mm(region, labels.geometry) for region in regions if region is not None]
        if len(centres) == len(landmarks):
            return sum(centres) / len(centres)
    return None


def _centre_x_mm(region: Region, geometry: Geometry) -> float:
    """Return the mean of LPS x over a region."""
    x = geometry.affine[0]
    centre = float(x[3])
    for axis, others in ((0, (1, 2)), (1, (0, 2)), (2, (0, 1))):
        counts = np.count_nonzero(region.mask, axis=others)
        centre += float(x[axis] * (region.start[axis] + counts @ np.arange(counts.size) / counts.sum()))
    return centre


def _share_right_of(x_mm: float, region: Region, geometry: Geometry) -> float:
    """Return the share of a region that lies to the patient's right (smaller LPS x) of a place."""
    per_slice, per_row, per_column, origin = geometry.affine[0]
    slices, rows, columns = (np.arange(part.start, part.stop) for part in region.box)
    plane_mm = per_row * rows[:, None] + per_column * columns[None, :] + origin
    right = sum(
        int(np.count_nonzero(plane & (plane_mm + per_slice * index < x_mm)))
        for index, plane in zip(slices, region.mask, strict=True)
    )
    return right / region.count


def _figure(millilitres: float) -> str:
    return f"{millilitres:.0f}" if millilitres >= 10 else f"{millilitres:.1f}"
