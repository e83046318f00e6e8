"""Psoas volumes [mL], attenuation [HU], areas at L3 [cm2], PMVI [cm3/m3] and PMI [cm2/m2].

PMVI = (V_left + V_right) / height^3, PMI = (A_left + A_right) / height^2, height in metres; A is the area on the
axial slice at mid-height of L3. Which muscle stands for the psoas (iliopsoas or psoas major) is a setting, and every
name that a reader sees says it.

A muscle cut by the top slice is truncated. On the bottom slice up to `nearly_complete_fraction` of its largest area
is nearly complete: PMVI is computed and is a lower bound; more is truncated: volumes with the covered extent, no
PMVI. Sources: Moos et al., Radiol Oncol 2026, doi 10.2478/raon-2026-0011; completeness: metrics contract, section 2.
"""

from dataclasses import dataclass
from enum import Enum

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NotComputed, NoteCode
from node.core.records import Measurement, Note, PatientFacts, computed, not_computed
from node.core.settings import MeasurementSettings
from workers.measurement.attenuation import mean_hu
from workers.measurement.definition import OWN, Definition
from workers.measurement.extent import area_cm2, covered_mm, largest_area_cm2, touched_edges
from workers.measurement.vertebra import Level
from workers.records import LabelMap, Region, Volume

SIDES = ("left", "right")
_ROUNDING = 1e-9  # areas are products: 3 of 20 pixels are 15 %, not a hair more
MUSCLES = {
    "iliopsoas": (Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT),
    "psoas_major": (Structure.PSOAS_MAJOR_LEFT, Structure.PSOAS_MAJOR_RIGHT),
}

_MOOS = "Moos et al., Radiol Oncol 2026, doi 10.2478/raon-2026-0011; which voxels: this project."
_EDGES = (NoteCode.TRUNCATED, NoteCode.NEARLY_COMPLETE)
_HEIGHT = (NotComputed.HEIGHT_MISSING, NotComputed.HEIGHT_IMPLAUSIBLE)
DEFINITIONS = (
    Definition(
        ids=tuple(f"psoas.{side}.volume" for side in SIDES),
        text="Volume of one side's muscle; of a truncated one that of what the scan covers.",
        formula="voxels x voxel volume, in the grid of the source slices",
        source=_MOOS,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND,),
        notes=_EDGES,
    ),
    Definition(
        ids=tuple(f"psoas.{side}.mean_hu" for side in SIDES),
        text="Mean attenuation of one side's muscle, low where fat has come into it (myosteatosis).",
        formula="sum of HU / voxels, pixel padding left out",
        source=OWN,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.STRUCTURE_IMPLAUSIBLE),
        notes=_EDGES,
    ),
    Definition(
        ids=tuple(f"psoas.{side}.area_l3" for side in SIDES),
        text="Area of one side's muscle on the axial slice at mid-height of L3, seen along the body.",
        formula="pixels x pixel area on slice floor((first + last) / 2) of the body of L3",
        source=OWN,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.LEVEL_NOT_COVERED),
        notes=(NoteCode.LEVEL_FROM_LABEL,),
    ),
    Definition(
        ids=("psoas.pmvi",),
        text="Psoas muscle volume index: both volumes, for the height of the patient. No cut-off was published.",
        formula="(V left + V right) / height^3, cm3 and metres",
        source=_MOOS,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.STRUCTURE_TRUNCATED, *_HEIGHT),
        notes=(NoteCode.NEARLY_COMPLETE, NoteCode.TRUNCATED),
    ),
    Definition(
        ids=("psoas.pmi",),
        text="Psoas muscle index: both areas at L3, for the height of the patient.",
        formula="(A left + A right) / height^2, cm2 and metres",
        source=_MOOS,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.LEVEL_NOT_COVERED, *_HEIGHT),
        notes=(NoteCode.LEVEL_FROM_LABEL,),
    ),
)


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


def measure(
    volume: Volume, labels: LabelMap, facts: PatientFacts, settings: MeasurementSettings, l3: Level | None
) -> dict[str, Measurement]:
    """Return the eight `psoas.*` numbers."""
    muscles: dict[str, Muscle | None] = {}
    for side, structure in zip(SIDES, MUSCLES[settings.psoas], strict=True):
        region = labels.find(structure)
        muscles[side] = inspect(side, region, volume.geometry, settings) if region else None
    found: dict[str, Measurement] = {}
    for side, muscle in muscles.items():
        found |= _one_side(side, muscle, volume, labels, l3)
    found["psoas.pmvi"] = _pmvi(list(muscles.values()), found, facts)
    found["psoas.pmi"] = _pmi(found, facts)
    return found


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


def _one_side(
    side: str, muscle: Muscle | None, volume: Volume, labels: LabelMap, l3: Level | None
) -> dict[str, Measurement]:
    names = [f"psoas.{side}.{what}" for what in ("volume", "mean_hu", "area_l3")]
    if muscle is None:
        return dict.fromkeys(names, not_computed(NotComputed.STRUCTURE_NOT_FOUND))
    millilitres = muscle.region.count * volume.geometry.voxel_volume_ml
    return {
        names[0]: computed(millilitres, *muscle.notes),
        names[1]: mean_hu(volume, muscle.region, muscle.notes),
        names[2]: _area_at(l3, muscle, volume.geometry, labels),
    }


def _area_at(l3: Level | None, muscle: Muscle, geometry: Geometry, labels: LabelMap) -> Measurement:
    if l3 is None:
        searched = Structure.VERTEBRA_L3 in labels.searched
        return not_computed(NotComputed.LEVEL_NOT_COVERED if searched else NotComputed.STRUCTURE_NOT_FOUND)
    if touched_edges(l3.region, geometry):
        return not_computed(NotComputed.LEVEL_NOT_COVERED)
    area = area_cm2(muscle.region, l3.middle_slice, geometry)
    return computed(area, *l3.notes) if area else not_computed(NotComputed.STRUCTURE_NOT_FOUND, *l3.notes)


def _pmvi(muscles: list[Muscle | None], found: dict[str, Measurement], facts: PatientFacts) -> Measurement:
    present = [muscle for muscle in muscles if muscle is not None]
    notes = tuple(note for muscle in present for note in muscle.notes)
    if len(present) < len(SIDES):
        return not_computed(NotComputed.STRUCTURE_NOT_FOUND)
    if any(muscle.completeness is Completeness.TRUNCATED for muscle in present):
        return not_computed(NotComputed.STRUCTURE_TRUNCATED, *notes)
    return _index(found, "volume", 3, facts, notes)


def _pmi(found: dict[str, Measurement], facts: PatientFacts) -> Measurement:
    areas = [found[f"psoas.{side}.area_l3"] for side in SIDES]
    missing = next((area for area in areas if area.value is None), None)
    return missing or _index(found, "area_l3", 2, facts, areas[0].notes)


def _index(
    found: dict[str, Measurement], part: str, power: int, facts: PatientFacts, notes: tuple[Note, ...]
) -> Measurement:
    """Return the sum of both sides over a power of the height."""
    if facts.height_m is None:
        return not_computed(facts.height_reason or NotComputed.HEIGHT_MISSING, *notes)
    total = sum(float(found[f"psoas.{side}.{part}"].value or 0) for side in SIDES)
    return computed(total / facts.height_m**power, *notes)
