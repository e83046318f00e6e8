"""Volume [mL] and mean attenuation [HU] of each side's muscle.

Volume = voxels x voxel volume, in the grid of the source slices; mean = sum of HU / voxels, pixel padding left out. No
muscle: `structure-not-found`. Source: Moos et al., Radiol Oncol 2026, doi 10.2478/raon-2026-0011.
"""

from node.core.reasons import NotComputed
from node.core.records import Measurement, computed, not_computed
from workers.measurement.attenuation import mean_hu
from workers.measurement.definition import OWN, Definition
from workers.measurement.psoas.muscles import EDGES, SIDES, Muscles
from workers.records import Volume

DEFINITIONS = (
    Definition(
        ids=tuple(f"psoas.{side}.volume" for side in SIDES),
        text="Volume of one side's muscle; of a truncated one that of what the scan covers.",
        formula="voxels x voxel volume, in the grid of the source slices",
        source="Moos et al., Radiol Oncol 2026, doi 10.2478/raon-2026-0011; which voxels: this project.",
        reasons=(NotComputed.STRUCTURE_NOT_FOUND,),
        notes=EDGES,
    ),
    Definition(
        ids=tuple(f"psoas.{side}.mean_hu" for side in SIDES),
        text="Mean attenuation of one side's muscle, low where fat has come into it (myosteatosis).",
        formula="sum of HU / voxels, pixel padding left out",
        source=OWN,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.STRUCTURE_IMPLAUSIBLE),
        notes=EDGES,
    ),
)


def measure(volume: Volume, muscles: Muscles) -> dict[str, Measurement]:
    """Return volume and mean of each side."""
    found: dict[str, Measurement] = {}
    for side, muscle in muscles.items():
        names = f"psoas.{side}.volume", f"psoas.{side}.mean_hu"
        if muscle is None:
            found |= dict.fromkeys(names, not_computed(NotComputed.STRUCTURE_NOT_FOUND))
            continue
        millilitres = muscle.region.count * volume.geometry.voxel_volume_ml
        found[names[0]] = computed(millilitres, *muscle.notes)
        found[names[1]] = mean_hu(volume, muscle.region, muscle.notes)
    return found
