"""Grey-level size zones (GLSZM): how large the connected zones of one level are.

Comes in: `Roi`, `Levels`, settings. Goes out: 16 numbers under PyRadiomics' names. What can go wrong: a region so
small that no direction fits into it; its features are NaN. Next: the table of features.

P(i, j) is the number of zones of level i with j voxels; voxels are connected that touch, be it by a corner (26
neighbours, 8 in one plane). Formulas in `emphasis`.

================================  ====  =================
feature                           IBSI  in `emphasis`
================================  ====  =================
GrayLevelNonUniformity            JNSA  levels
GrayLevelNonUniformityNormalized  Y1RO  levels_normalised
GrayLevelVariance                 BYLV  level_variance
HighGrayLevelZoneEmphasis         5GN9  high
LargeAreaEmphasis                 48P8  large
LargeAreaHighGrayLevelEmphasis    J17V  large_high
LargeAreaLowGrayLevelEmphasis     YH51  large_low
LowGrayLevelZoneEmphasis          XMSY  low
SizeZoneNonUniformity             4JP3  sizes
SizeZoneNonUniformityNormalized   VB3A  sizes_normalised
SmallAreaEmphasis                 5QRC  small
SmallAreaHighGrayLevelEmphasis    HW1V  small_high
SmallAreaLowGrayLevelEmphasis     5RAI  small_low
ZoneEntropy                       GU8N  entropy
ZonePercentage                    P30P  percentage
ZoneVariance                      3NSA  size_variance
================================  ====  =================
"""

import numpy as np
from numpy.typing import NDArray

from workers.compiled import compiled
from workers.measurement.radiomics import neighbours
from workers.measurement.radiomics.emphasis import emphasise
from workers.measurement.radiomics.roi import FeatureSettings, Levels, Roi

_PARTS = {
    "GrayLevelNonUniformity": "levels",
    "GrayLevelNonUniformityNormalized": "levels_normalised",
    "GrayLevelVariance": "level_variance",
    "HighGrayLevelZoneEmphasis": "high",
    "LargeAreaEmphasis": "large",
    "LargeAreaHighGrayLevelEmphasis": "large_high",
    "LargeAreaLowGrayLevelEmphasis": "large_low",
    "LowGrayLevelZoneEmphasis": "low",
    "SizeZoneNonUniformity": "sizes",
    "SizeZoneNonUniformityNormalized": "sizes_normalised",
    "SmallAreaEmphasis": "small",
    "SmallAreaHighGrayLevelEmphasis": "small_high",
    "SmallAreaLowGrayLevelEmphasis": "small_low",
    "ZoneEntropy": "entropy",
    "ZonePercentage": "percentage",
    "ZoneVariance": "size_variance",
}
NAMES = tuple(_PARTS)


def features(roi: Roi, levels: Levels, settings: FeatureSettings) -> dict[str, float]:  # noqa: ARG001
    """Compute the features of the GLSZM."""
    around = neighbours.look_around(levels, (1,), settings)
    if not around.steps.size:
        return dict.fromkeys(NAMES, float("nan"))
    voxels = _grow_zones(around.row.codes, around.row.places, around.steps)
    begun = voxels > 0
    level, size = around.row.codes[around.row.places[begun]], voxels[begun]
    levels_found, sizes_found = (np.flatnonzero(np.bincount(one)) for one in (level, size))
    key = np.searchsorted(levels_found, level) * sizes_found.size + np.searchsorted(sizes_found, size)
    counts = np.bincount(key, minlength=levels_found.size * sizes_found.size).astype(np.float64)
    matrix = counts.reshape(levels_found.size, sizes_found.size, 1)
    found = emphasise(matrix, levels_found.astype(np.float64), sizes_found.astype(np.float64))
    return {name: float(getattr(found, part)[0]) for name, part in _PARTS.items()}


@compiled("(int32[::1], int64[::1], int64[::1])")
def _grow_zones(codes: NDArray[np.int32], places: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each voxel the size of the zone whose first it is, 0 for all others.

    A voxel joins the zones of those before it in the row; of two zones that meet, the one that began first goes on.
    """
    order = np.empty(codes.size, np.int32)
    zone = np.arange(places.size)
    voxels = np.ones(places.size, np.int64)
    for own in range(places.size):
        place = places[own]
        order[place] = own
        root = own
        for step in steps:
            if codes[place - step] == codes[place]:
                other = zone[order[place - step]]
                while zone[other] != other:
                    zone[other] = zone[zone[other]]
                    other = zone[other]
                if other != root:
                    first, second = min(other, root), max(other, root)
                    zone[second] = first
                    voxels[first] += voxels[second]
                    voxels[second] = 0
                    root = first
    return voxels
