"""Liver volume [mL] and mean attenuation [HU]: the mask as it is, lesions and vessels included.

Volume = voxels x voxel volume; mean = sum of HU / voxels, pixel padding left out. A liver that touches the first or
last slice keeps its value with the note `truncated`. Empty mask: `structure-not-found`. Source: metrics contract,
section 2.
"""

from node.core.codes import Structure
from node.core.reasons import NotComputed, NoteCode
from node.core.records import Measurement, Note, computed, not_computed
from workers.measurement.attenuation import mean_hu
from workers.measurement.definition import OWN, Definition
from workers.measurement.extent import touched_edges
from workers.records import LabelMap, Volume

DEFINITIONS = (
    Definition(
        ids=("liver.volume",),
        text="Volume of the liver as the mask has it, lesions and vessels included.",
        formula="voxels x voxel volume, in the grid of the source slices",
        source=OWN,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND,),
        notes=(NoteCode.TRUNCATED,),
    ),
    Definition(
        ids=("liver.mean_hu",),
        text="Mean attenuation of the same mask; its rim, which holds part of what lies beside it, is included.",
        formula="sum of HU / voxels, pixel padding left out",
        source=OWN,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.STRUCTURE_IMPLAUSIBLE),
        notes=(NoteCode.TRUNCATED,),
    ),
)


def measure(volume: Volume, labels: LabelMap) -> dict[str, Measurement]:
    """Return `liver.volume` and `liver.mean_hu`."""
    region = labels.find(Structure.LIVER)
    if region is None:
        missing = not_computed(NotComputed.STRUCTURE_NOT_FOUND)
        return {"liver.volume": missing, "liver.mean_hu": missing}
    edges = touched_edges(region, volume.geometry)
    notes = (
        (Note(NoteCode.TRUNCATED, f"The liver reaches the {' and the '.join(edges)} of the scan."),) if edges else ()
    )
    return {
        "liver.volume": computed(region.count * volume.geometry.voxel_volume_ml, *notes),
        "liver.mean_hu": mean_hu(volume, region, notes),
    }
