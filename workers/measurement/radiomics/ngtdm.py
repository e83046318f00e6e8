"""Neighbouring grey-tone difference (NGTDM): how far the level of a voxel is from the mean of its neighbours.

Comes in: `Roi`, `Levels`, settings. Goes out: 5 numbers under PyRadiomics' names. What can go wrong: a region so small
that no direction fits into it; its features are NaN. Next: the table of features.

n_i voxels have the level i, p_i is their share of all N, s_i the sum over them of |i - mean level of the neighbours in
the region|; a voxel without neighbours adds 0 to s_i and is counted in n_i (IBSI leaves it out). N_g is the number of
levels that the region has. Sums are over the levels i and j that the region has.

==========  ====  =========================================================================
feature     IBSI  formula
==========  ====  =========================================================================
Busyness    NQ30  sum p_i s_i / sum_ij |i p_i - j p_j|; 0 where the divisor is
Coarseness  QCDE  1 / sum p_i s_i; 10^6 where that is 0
Complexity  HDEZ  sum_ij |i - j| (p_i s_i + p_j s_j) / (p_i + p_j) / N
Contrast    65HE  sum_ij p_i p_j (i - j)^2 / (N_g (N_g - 1)) x sum s_i / N; 0 for one level
Strength    1X9X  sum_ij (p_i + p_j)(i - j)^2 / sum s_i; 0 where the divisor is
==========  ====  =========================================================================
"""

import numpy as np
from numpy.typing import NDArray

from workers.compiled import compiled
from workers.measurement.radiomics import neighbours
from workers.measurement.radiomics.roi import FeatureSettings, Levels, Roi

NAMES = ("Busyness", "Coarseness", "Complexity", "Contrast", "Strength")


def features(roi: Roi, levels: Levels, settings: FeatureSettings) -> dict[str, float]:  # noqa: ARG001
    """Compute the features of the NGTDM."""
    around = neighbours.look_around(levels, settings.distances, settings)
    if not around.steps.size:
        return dict.fromkeys(NAMES, float("nan"))
    present = levels.present
    number, difference = _sum_differences(around.row.codes, around.row.stretches, around.steps, levels.count)
    level, share, s = present.astype(np.float64), number[present] / number.sum(), difference[present]
    apart = level[:, None] - level[None, :]
    weighted = share * s
    tone = level * share
    steepness = np.abs(tone[:, None] - tone[None, :]).sum()
    pairs = len(level) * (len(level) - 1)
    mean_difference = s.sum() / number.sum()
    complexity = np.abs(apart) * (weighted[:, None] + weighted[None, :]) / (share[:, None] + share[None, :])
    strength = ((share[:, None] + share[None, :]) * apart**2).sum()
    found = {
        "Busyness": weighted.sum() / steepness if steepness else 0.0,
        "Coarseness": 1 / weighted.sum() if weighted.any() else 1e6,
        "Complexity": complexity.sum() / number.sum(),
        "Contrast": (share[:, None] * share[None, :] * apart**2).sum() * mean_difference / pairs if pairs else 0.0,
        "Strength": strength / s.sum() if s.any() else 0.0,
    }
    return {name: float(found[name]) for name in NAMES}


@compiled("(int32[::1], int64[:,::1], int64[::1], int64)")
def _sum_differences(
    codes: NDArray[np.int32], stretches: NDArray[np.int64], steps: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each level the number of voxels and the sum of differences to the mean of their neighbours."""
    number = np.zeros(count + 1, np.int64)
    difference = np.zeros(count + 1)
    longest = (stretches[:, 1] - stretches[:, 0]).max()
    total, around = np.empty(longest, np.int32), np.empty(longest, np.int32)
    for first, end in stretches:
        own = codes[first:end]
        total[: own.size] = 0
        around[: own.size] = 0
        for step in steps:
            for way in (step, -step):
                other = codes[first + way : end + way]
                for k in range(own.size):
                    total[k] += other[k]
                    around[k] += other[k] > 0
        for k in range(own.size):
            number[own[k]] += 1
            if around[k]:
                difference[own[k]] += abs(own[k] - total[k] / around[k])
    return number, difference
