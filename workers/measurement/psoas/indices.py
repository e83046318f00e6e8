"""PMVI [cm3/m3] and PMI [cm2/m2]: both muscles' volumes, and areas at L3, for the height of the patient.

PMVI = (V_left + V_right) / height^3, PMI = (A_left + A_right) / height^2, height in metres. Of a nearly complete muscle
PMVI is a lower bound; a truncated one has none. Source: Moos et al., Radiol Oncol 2026, doi 10.2478/raon-2026-0011.
"""

from collections.abc import Mapping

from node.core.reasons import NotComputed, NoteCode
from node.core.records import Measurement, Note, PatientFacts, computed, not_computed
from workers.measurement.definition import Definition
from workers.measurement.psoas.muscles import SIDES, Completeness, Muscles

_MOOS = "Moos et al., Radiol Oncol 2026, doi 10.2478/raon-2026-0011; which voxels: this project."
_HEIGHT = (NotComputed.HEIGHT_MISSING, NotComputed.HEIGHT_IMPLAUSIBLE)
DEFINITIONS = (
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


def measure(muscles: Muscles, found: Mapping[str, Measurement], facts: PatientFacts) -> dict[str, Measurement]:
    """Return both indices of the volumes and areas that were `found`."""
    return {"psoas.pmvi": _pmvi(muscles, found, facts), "psoas.pmi": _pmi(found, facts)}


def _pmvi(muscles: Muscles, found: Mapping[str, Measurement], facts: PatientFacts) -> Measurement:
    present = [muscle for muscle in muscles.values() if muscle is not None]
    notes = tuple(note for muscle in present for note in muscle.notes)
    if len(present) < len(SIDES):
        return not_computed(NotComputed.STRUCTURE_NOT_FOUND)
    if any(muscle.completeness is Completeness.TRUNCATED for muscle in present):
        return not_computed(NotComputed.STRUCTURE_TRUNCATED, *notes)
    return _index(found, "volume", 3, facts, notes)


def _pmi(found: Mapping[str, Measurement], facts: PatientFacts) -> Measurement:
    areas = [found[f"psoas.{side}.area_l3"] for side in SIDES]
    missing = next((area for area in areas if area.value is None), None)
    return missing or _index(found, "area_l3", 2, facts, areas[0].notes)


def _index(
    found: Mapping[str, Measurement], part: str, power: int, facts: PatientFacts, notes: tuple[Note, ...]
) -> Measurement:
    """Return the sum of both sides over a power of the height."""
    if facts.height_m is None:
        return not_computed(facts.height_reason or NotComputed.HEIGHT_MISSING, *notes)
    total = sum(float(found[f"psoas.{side}.{part}"].value or 0) for side in SIDES)
    return computed(total / facts.height_m**power, *notes)
