"""Tumour burden: number of liver lesions, largest axial diameter [mm], tumour burden score.

Lesions are the components (26 neighbours) of the lesion mask of at least 0.05 mL, or, where an imported SEG brings
several tumour segments, each of them. The axial diameter of a lesion is the largest distance between two of its
voxel centres on one slice, exact: the end points of rows hold all corners of the convex hull, and all pairs of hull
corners are compared. TBS = sqrt(D^2 + n^2), D the largest axial diameter in cm, n the count.

Searched and none found: count 0, no diameter and no score (`lesion-none`). Not searched: none of the three
(`structure-not-found`). Source: Sasaki et al., Ann Surg 2018, doi 10.1097/SLA.0000000000002064; metrics contract,
section 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.distance import pdist

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NotComputed, NoteCode
from node.core.records import Measurement, Note, computed, not_computed
from workers.measurement.definition import OWN, Definition
from workers.measurement.extent import touched_edges
from workers.records import LabelMap, Mask, Region, Volume

NAMES = ("burden.count", "burden.max_diameter", "burden.tbs")
_LEAST_LESION_ML = 0.05
_NEIGHBOURS_26 = np.ones((3, 3, 3), dtype=bool)
_SASAKI = "Sasaki et al., Ann Surg 2018, doi 10.1097/SLA.0000000000002064."
DEFINITIONS = (
    Definition(
        ids=NAMES[:1],
        text="Liver lesions; 0 only where they were searched for.",
        formula="components (26 neighbours) of at least 0.05 mL, or tumour segments of an imported SEG",
        source=OWN,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND,),
        notes=(NoteCode.TRUNCATED,),
    ),
    Definition(
        ids=NAMES[1:2],
        text="Largest diameter that any lesion has on one slice.",
        formula="largest distance of two voxel centres of a lesion on a slice",
        source=OWN,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.LESION_NONE),
        notes=(NoteCode.TRUNCATED,),
    ),
    Definition(
        ids=NAMES[2:],
        text="Tumour burden score.",
        formula="sqrt(D^2 + n^2), D = `burden.max_diameter` in cm, n = `burden.count`",
        source=_SASAKI,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.LESION_NONE),
        notes=(NoteCode.TRUNCATED,),
    ),
)


@dataclass(frozen=True)
class Lesion:
    """One lesion, its largest axial diameter and the slice of the volume that it lies on."""

    region: Region
    diameter_mm: float
    slice: int


def measure(volume: Volume, labels: LabelMap) -> tuple[Lesion | None, dict[str, Measurement]]:
    """Return the lesion with the largest axial diameter, if there is one, and the three `burden.*` numbers."""
    if Structure.LESION not in labels.searched:
        return None, dict.fromkeys(NAMES, not_computed(NotComputed.STRUCTURE_NOT_FOUND))
    found = [lesion(region, volume.geometry) for region in regions(labels)]
    if not found:
        none = not_computed(NotComputed.LESION_NONE)
        return None, {NAMES[0]: computed(0.0), NAMES[1]: none, NAMES[2]: none}
    largest = max(found, key=lambda one: one.diameter_mm)
    score = float(np.hypot(largest.diameter_mm / 10, len(found)))
    notes = _edge_notes(found, volume.geometry)
    values = (float(len(found)), largest.diameter_mm, score)
    return largest, {name: computed(value, *notes) for name, value in zip(NAMES, values, strict=True)}


def regions(labels: LabelMap) -> list[Region]:
    """Return the lesions of a segmentation that are large enough."""
    segments = labels.all(Structure.LESION)
    drawn = [segment.region for segment in segments]
    parts = drawn if len(drawn) > 1 else [part for region in drawn for part in _components(region)]
    least = _LEAST_LESION_ML / labels.geometry.voxel_volume_ml
    return [part for part in parts if part.count >= least]


def lesion(region: Region, geometry: Geometry) -> Lesion:
    """Measure one lesion on each of its slices."""
    steps = np.asarray([geometry.row_step_mm, geometry.column_step_mm])
    diameters = [_longest_mm(plane, steps) for plane in region.mask]
    best = int(np.argmax(diameters))
    return Lesion(region, diameters[best], region.slices[best])


def _longest_mm(plane: Mask, steps_mm: np.ndarray) -> float:
    """Return the largest distance between voxel centres of a slice; `steps_mm` are the row and column steps."""
    rows = np.flatnonzero(plane.any(axis=1))
    first = plane[rows].argmax(axis=1)
    last = plane.shape[1] - 1 - plane[rows, ::-1].argmax(axis=1)
    ends = np.unique(np.concatenate([np.stack([rows, first], axis=1), np.stack([rows, last], axis=1)]), axis=0)
    return float(pdist(ends @ steps_mm).max()) if len(ends) > 1 else 0.0


def _components(region: Region) -> Iterator[Region]:
    parts, _ = ndimage.label(region.mask, structure=_NEIGHBOURS_26)
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        start = (region.start[0] + box[0].start, region.start[1] + box[1].start, region.start[2] + box[2].start)
        yield Region(start, np.ascontiguousarray(parts[box] == number))


def _edge_notes(found: list[Lesion], geometry: Geometry) -> list[Note]:
    cut = sum(bool(touched_edges(one.region, geometry)) for one in found)
    return [Note(NoteCode.TRUNCATED, f"{cut} of {len(found)} lesions reach the edge of the scan.")] if cut else []
