"""Attenuation of a region: its Hounsfield values without pixel padding, and their mean.

Padding is what scanners write where they measured nothing; a mask that reaches it keeps its volume, since the mask is
what was drawn, and its mean is of the voxels that hold tissue. Nothing but padding: `structure-implausible`.
"""

from typing import Any

from numpy.typing import NDArray

from node.core.reasons import NotComputed
from node.core.records import Measurement, Note, computed, not_computed
from workers.records import Region, Volume


def tissue_hu(volume: Volume, region: Region) -> NDArray[Any]:
    """Return the values inside a region that are no padding, one dimension."""
    values = region.values(volume.hu)
    for lowest, highest in volume.acquisition.padding_hu:
        values = values[(values < lowest) | (values > highest)]
    return values


def mean_hu(volume: Volume, region: Region, notes: tuple[Note, ...]) -> Measurement:
    """Return the mean of a region [HU]."""
    values = tissue_hu(volume, region)
    if values.size == 0:
        return not_computed(NotComputed.STRUCTURE_IMPLAUSIBLE, *notes)
    return computed(float(values.mean(dtype="f8")), *notes)
