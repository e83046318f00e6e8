"""Grey-level dependence (GLDM): how many neighbours of a voxel have its level, or one that is near.

Comes in: `Roi`, `Levels`, settings. Goes out: 14 numbers under PyRadiomics' names. What can go wrong: a region so
small that no direction fits into it; its features are NaN. Next: the table of features.

P(i, j) is the number of voxels of level i of which j - 1 neighbours in the region differ by `gldm_a` at most; formulas
in `emphasis`. IBSI calls the matrix NGLDM; its coarseness is `gldm_a`, its count j the same.

====================================  ====  =================
feature                               IBSI  in `emphasis`
====================================  ====  =================
DependenceEntropy                     FCBV  entropy
DependenceNonUniformity               Z87G  sizes
DependenceNonUniformityNormalized     OKJI  sizes_normalised
DependenceVariance                    DNX2  size_variance
GrayLevelNonUniformity                FP8K  levels
GrayLevelVariance                     1PFV  level_variance
HighGrayLevelEmphasis                 OAE7  high
LargeDependenceEmphasis               IMOQ  large
LargeDependenceHighGrayLevelEmphasis  9QMG  large_high
LargeDependenceLowGrayLevelEmphasis   NBZI  large_low
LowGrayLevelEmphasis                  TL9H  low
SmallDependenceEmphasis               SODN  small
SmallDependenceHighGrayLevelEmphasis  JA6D  small_high
SmallDependenceLowGrayLevelEmphasis   EQ3F  small_low
====================================  ====  =================
"""

import numpy as np
from numpy.typing import NDArray

from workers.compiled import compiled
from workers.measurement.radiomics import neighbours
from workers.measurement.radiomics.emphasis import emphasise
from workers.measurement.radiomics.roi import FeatureSettings, Levels, Roi

_PARTS = {
    "DependenceEntropy": "entropy",
    "DependenceNonUniformity": "sizes",
    "DependenceNonUniformityNormalized": "sizes_normalised",
    "DependenceVariance": "size_variance",
    "GrayLevelNonUniformity": "levels",
    "GrayLevelVariance": "level_variance",
    "HighGrayLevelEmphasis": "high",
    "LargeDependenceEmphasis": "large",
    "LargeDependenceHighGrayLevelEmphasis": "large_high",
    "LargeDependenceLowGrayLevelEmphasis": "large_low",
    "LowGrayLevelEmphasis": "low",
    "SmallDependenceEmphasis": "small",
    "SmallDependenceHighGrayLevelEmphasis": "small_high",
    "SmallDependenceLowGrayLevelEmphasis": "small_low",
}
NAMES = tuple(_PARTS)


def features(roi: Roi, levels: Levels, settings: FeatureSettings) -> dict[str, float]:  # noqa: ARG001
    """Compute the features of the GLDM."""
    around = neighbours.look_around(levels, settings.distances, settings)
    if not around.steps.size:
        return dict.fromkeys(NAMES, float("nan"))
    level = levels.present
    dependence = _count_dependent(around.row.codes, around.row.stretches, around.steps, levels.count, settings.gldm_a)
    counts = dependence[level, :, None].astype(np.float64)
    sizes = np.flatnonzero(counts.any(axis=(0, 2)))
    found = emphasise(counts[:, sizes], level.astype(np.float64), sizes.astype(np.float64) + 1)
    return {name: float(getattr(found, part)[0]) for name, part in _PARTS.items()}


@compiled("(int32[::1], int64[:,::1], int64[::1], int64, int64)")
def _count_dependent(
    codes: NDArray[np.int32], stretches: NDArray[np.int64], steps: NDArray[np.int64], count: int, nearness: int
) -> NDArray[np.int64]:
    """Count the voxels as `(level, neighbours that depend on it)`; a stretch of voxels takes each step together."""
    dependence = np.zeros((count + 1, 2 * steps.size + 1), np.int64)
    near = np.empty((stretches[:, 1] - stretches[:, 0]).max(), np.int32)
    for first, end in stretches:
        own = codes[first:end]
        near[: own.size] = 0
        for step in steps:
            for way in (step, -step):
                other = codes[first + way : end + way]
                for k in range(own.size):
                    near[k] += (other[k] > 0) & (abs(other[k] - own[k]) <= nearness)
        for k in range(own.size):
            dependence[own[k], near[k]] += 1
    return dependence
