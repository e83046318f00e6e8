"""Area [cm2] of each side's muscle on the axial slice at mid-height of L3, seen along the body.

Area = pixels x pixel area on slice floor((first + last) / 2) of the body of L3, or of its whole label, noted. L3 that
is not there or cut by the edge: `level-not-covered`. Source: metrics contract, section 2.
"""

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NotComputed, NoteCode
from node.core.records import Measurement, computed, not_computed
from workers.measurement.definition import OWN, Definition
from workers.measurement.extent import area_cm2, touched_edges
from workers.measurement.psoas.muscles import SIDES, Muscle, Muscles
from workers.measurement.vertebra import Level
from workers.records import LabelMap

DEFINITIONS = (
    Definition(
        ids=tuple(f"psoas.{side}.area_l3" for side in SIDES),
        text="Area of one side's muscle on the axial slice at mid-height of L3, seen along the body.",
        formula="pixels x pixel area on slice floor((first + last) / 2) of the body of L3",
        source=OWN,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.LEVEL_NOT_COVERED),
        notes=(NoteCode.LEVEL_FROM_LABEL,),
    ),
)


def measure(labels: LabelMap, muscles: Muscles, l3: Level | None) -> dict[str, Measurement]:
    """Return the area of each side."""
    return {
        f"psoas.{side}.area_l3": not_computed(NotComputed.STRUCTURE_NOT_FOUND)
        if muscle is None
        else _area_at(l3, muscle, labels.geometry, labels)
        for side, muscle in muscles.items()
    }


def _area_at(l3: Level | None, muscle: Muscle, geometry: Geometry, labels: LabelMap) -> Measurement:
    if l3 is None:
        searched = Structure.VERTEBRA_L3 in labels.searched
        return not_computed(NotComputed.LEVEL_NOT_COVERED if searched else NotComputed.STRUCTURE_NOT_FOUND)
    if touched_edges(l3.region, geometry):
        return not_computed(NotComputed.LEVEL_NOT_COVERED)
    area = area_cm2(muscle.region, l3.middle_slice, geometry)
    return computed(area, *l3.notes) if area else not_computed(NotComputed.STRUCTURE_NOT_FOUND, *l3.notes)
