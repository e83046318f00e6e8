"""Psoas volumes [mL], attenuation [HU], areas at L3 [cm2], PMVI [cm3/m3] and PMI [cm2/m2].

PMVI = (V_left + V_right) / height^3, PMI = (A_left + A_right) / height^2, height in metres; A is the area on the
axial slice at mid-height of L3. Which muscle stands for the psoas (iliopsoas or psoas major) is a setting, and every
name that a reader sees says it.

A muscle cut by the top slice is truncated. On the bottom slice up to `nearly_complete_fraction` of its largest area
is nearly complete: PMVI is computed and is a lower bound; more is truncated: volumes with the covered extent, no
PMVI. Sources: Moos et al., Radiol Oncol 2026, doi 10.2478/raon-2026-0011; completeness: metrics contract, section 2.
"""

from node.core.records import Measurement, PatientFacts
from node.core.settings import MeasurementSettings
from workers.measurement.psoas import area, indices, mass, muscles
from workers.measurement.vertebra import Level
from workers.records import LabelMap, Volume

DEFINITIONS = (*mass.DEFINITIONS, *area.DEFINITIONS, *indices.DEFINITIONS)


def measure(
    volume: Volume, labels: LabelMap, facts: PatientFacts, settings: MeasurementSettings, l3: Level | None
) -> dict[str, Measurement]:
    """Return the eight `psoas.*` numbers."""
    both = muscles.find(labels, settings)
    found = {**mass.measure(volume, both), **area.measure(labels, both, l3)}
    return found | indices.measure(both, found, facts)
