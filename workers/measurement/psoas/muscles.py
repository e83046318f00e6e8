"""The two muscles that stand for the psoas, and how completely the scan shows each.

Which muscle (iliopsoas or psoas major) is a setting. A muscle cut by the top slice is truncated. On the bottom slice up
to `nearly_complete_fraction` of its largest area is nearly complete, more is truncated. Source: metrics contract,
section 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NoteCode
from node.core.records import Note
from node.core.settings import MeasurementSettings
from workers.measurement.extent import area_cm2, covered_mm, largest_area_cm2, touched_edges
from workers.records import LabelMap, Region

SIDES = ("left", "right")
MUSCLES = {
    "iliopsoas": (Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT),
    "psoas_major": (Structure.PSOAS_MAJOR_LEFT, Structure.PSOAS_MAJOR_RIGHT),
}
EDGES = (NoteCode.TRUNCATED, NoteCode.NEARLY_COMPLETE)
_ROUNDING = 1e-9  # areas are products: 3 of 20 pixels are 15 %, not a hair more


class Completeness(Enum):
    """How much of a muscle the scan shows."""

    COMPLETE = "complete"
    NEARLY = "nearly complete"
    TRUNCATED = "truncated"


@dataclass(frozen=True)
class Muscle:
    """One side's muscle in the scan."""

    side: str
    region: Region
    completeness: Completeness
    notes: tuple[Note, ...]


Muscles = Mapping[str, Muscle | None]


def find(labels: LabelMap, settings: MeasurementSettings) -> Muscles:
    """Return each side's muscle; None where it was not segmented."""
    regions = {side: labels.find(structure) for side, structure in zip(SIDES, MUSCLES[settings.psoas], strict=True)}
    return {
        side: inspect(side, region, labels.geometry, settings) if region else None for side, region in regions.items()
    }


def inspect(side: str, region: Region, geometry: Geometry, settings: MeasurementSettings) -> Muscle:
    """Judge how completely the scan shows a muscle, with the figures as notes."""
    edges = touched_edges(region, geometry)
    bottom = area_cm2(region, 0, geometry)
    largest = largest_area_cm2(region, geometry)
    if set(edges) - {"bottom slice"} or bottom / largest > settings.nearly_complete_fraction + _ROUNDING:
        extent = f"{covered_mm(region, geometry):.0f} mm are covered"
        text = f"The {side} muscle reaches the {' and the '.join(edges)} of the scan; {extent}."
        return Muscle(side, region, Completeness.TRUNCATED, (Note(NoteCode.TRUNCATED, text),))
    if bottom:
        share = f"{bottom:.2f} cm² on the bottom slice, {bottom / largest:.0%} of its largest area of {largest:.2f} cm²"
        note = Note(NoteCode.NEARLY_COMPLETE, f"The {side} muscle has {share}.")
        return Muscle(side, region, Completeness.NEARLY, (note,))
    return Muscle(side, region, Completeness.COMPLETE, ())
