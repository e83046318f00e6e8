"""Grey-level co-occurrence (GLCM): how often a level is the neighbour of another, direction by direction.

Comes in: `Roi`, `Levels`, settings. Goes out: 24 numbers under PyRadiomics' names. What can go wrong: a region in
which no voxel has a neighbour has no pairs; its features are NaN. Next: the table of features.

p(i, j) is the share of pairs with the levels i and j along a direction; each feature is computed for each direction
that has pairs, and the mean over directions is given. With `weightingNorm` the pairs of all directions are added
first, each weighted by exp(-length^2), the length in mm. Rows and columns of levels that the region lacks are left
out, but N is the largest level. p_x, p_y are the sums of rows and columns, u and s their means and SDs, p_sum(k),
p_diff(k) the shares of pairs with i + j = k, |i - j| = k. Entropy H is -sum p log2(p + eps); the sums are over all i,
j or k.

==================  ====  ===============================================================
feature             IBSI  formula
==================  ====  ===============================================================
Autocorrelation     QWB0  sum i j p
ClusterProminence   AE86  sum (i + j - u_x - u_y)^4 p
ClusterShade        7NFM  sum (i + j - u_x - u_y)^3 p
ClusterTendency     DG8W  sum (i + j - u_x - u_y)^2 p
Contrast            ACUI  sum (i - j)^2 p
Correlation         NI2N  sum (i - u_x)(j - u_y) p / (s_x s_y + eps); 1 where s_x s_y is 0
DifferenceAverage   TF7R  D = sum k p_diff
DifferenceEntropy   NTRS  H(p_diff)
DifferenceVariance  D3YU  sum (k - D)^2 p_diff
Id                  IB1Z  sum p_diff / (1 + k)
Idm                 WF0Z  sum p_diff / (1 + k^2)
Idmn                1QCO  sum p_diff / (1 + k^2 / N^2)
Idn                 NDRX  sum p_diff / (1 + k / N)
Imc1                R8DG  (H(p) + sum p log2(p_x p_y + eps)) / max(H(p_x), H(p_y)); 0 where that is 0
Imc2                JN9H  sqrt(1 - exp(-2 (H(p_x p_y) - H(p))))
InverseVariance     E8JP  sum p_diff / k^2 over k > 0
JointAverage        60VM  u_x
JointEnergy         8ZQL  sum p^2
JointEntropy        TU9B  H(p)
MCC                 -     sqrt of the second largest eigenvalue of Q = sum_k p(i, k) p(j, k) / (p_x(i) p_y(k) + eps)
MaximumProbability  GYBY  max p
SumAverage          ZGXS  sum k p_sum
SumEntropy          P6QZ  H(p_sum)
SumSquares          UR99  sum (i - u_x)^2 p
==================  ====  ===============================================================

Imc2 and MCC are roots of what can be zero but for rounding, and PyRadiomics leaves a direction out where rounding made
it negative. So sums are taken here in its order of axes: levels, levels, directions.
"""

import numpy as np
from numpy.typing import NDArray

from workers.compiled import compiled
from workers.measurement.radiomics import neighbours
from workers.measurement.radiomics.directional import mean_over_directions, with_entries
from workers.measurement.radiomics.roi import FeatureSettings, Levels, Roi

NAMES = (
    "Autocorrelation",
    "ClusterProminence",
    "ClusterShade",
    "ClusterTendency",
    "Contrast",
    "Correlation",
    "DifferenceAverage",
    "DifferenceEntropy",
    "DifferenceVariance",
    "Id",
    "Idm",
    "Idmn",
    "Idn",
    "Imc1",
    "Imc2",
    "InverseVariance",
    "JointAverage",
    "JointEnergy",
    "JointEntropy",
    "MCC",
    "MaximumProbability",
    "SumAverage",
    "SumEntropy",
    "SumSquares",
)
_Array = NDArray[np.float64]
_EPS = np.spacing(1.0)


def features(roi: Roi, levels: Levels, settings: FeatureSettings) -> dict[str, float]:
    """Compute the features of the GLCM."""
    shares = _shares(roi, levels, settings)
    if shares is None:
        return dict.fromkeys(NAMES, float("nan"))
    level = levels.present.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            **_joint(shares, level),
            **_clusters(shares, level),
            **_differences(shares, level, levels.count),
            **_sums(shares, level),
            **_information(shares),
            "MCC": _maximal_correlation(shares),
        }
    return {name: mean_over_directions(found[name]) for name in NAMES}


def _shares(roi: Roi, levels: Levels, settings: FeatureSettings) -> _Array | None:
    """Return p as `(level, level, direction)`; None where no direction fits into the region."""
    around = neighbours.look_around(levels, settings.distances, settings)
    if not around.steps.size:
        return None
    pairs = _count_pairs(around.row.codes, around.row.places, around.steps, levels.count)
    level = levels.present
    counts = np.ascontiguousarray(pairs[:, level][:, :, level].T, dtype=np.float64).transpose(1, 0, 2)
    if settings.symmetrical_glcm:
        counts = counts + counts.transpose(1, 0, 2)
    if settings.weighting_norm is not None:
        lengths_mm = neighbours.weights(around.directions, roi.spacing_mm, settings.weighting_norm)
        weight = np.exp(-(lengths_mm**2)) if settings.weighting_norm != "no_weighting" else lengths_mm
        counts = (counts * weight).sum(axis=2, keepdims=True)
    counts = with_entries(counts)
    total = counts.sum(axis=(0, 1))
    total[total == 0] = np.nan
    shares: _Array = counts / total
    return shares


@compiled("(int32[::1], int64[::1], int64[::1], int64)")
def _count_pairs(
    codes: NDArray[np.int32], places: NDArray[np.int64], steps: NDArray[np.int64], count: int
) -> NDArray[np.uint32]:
    """Count the pairs of levels as `(direction, level, level of the neighbour)`; level 0 is outside."""
    pairs = np.zeros((steps.size, count + 1, count + 1), np.uint32)
    for place in places:
        level = codes[place]
        for direction in range(steps.size):
            pairs[direction, level, codes[place + steps[direction]]] += 1
    return pairs


def _joint(shares: _Array, level: _Array) -> dict[str, _Array]:
    """Return what p alone says, direction by direction."""
    i, j = level[:, None, None], level[None, :, None]
    mean_x = (i * shares).sum(axis=(0, 1))
    mean_y = (j * shares).sum(axis=(0, 1))
    square_x = (shares * (i - mean_x) ** 2).sum(axis=(0, 1))
    spread = np.sqrt(square_x) * np.sqrt((shares * (j - mean_y) ** 2).sum(axis=(0, 1)))
    correlation = (shares * (i - mean_x) * (j - mean_y)).sum(axis=(0, 1)) / (spread + _EPS)
    return {
        "Autocorrelation": (shares * (i * j)).sum(axis=(0, 1)),
        "Correlation": np.where(spread == 0, 1.0, correlation),
        "JointAverage": mean_x,
        "JointEnergy": (shares**2).sum(axis=(0, 1)),
        "MaximumProbability": shares.max(axis=(0, 1)),
        "SumSquares": square_x,
    }


def _clusters(shares: _Array, level: _Array) -> dict[str, _Array]:
    i, j = level[:, None, None], level[None, :, None]
    offset = i + j - (i * shares).sum(axis=(0, 1)) - (j * shares).sum(axis=(0, 1))
    squared = offset * offset
    return {
        "ClusterTendency": (shares * squared).sum(axis=(0, 1)),
        "ClusterShade": (shares * squared * offset).sum(axis=(0, 1)),
        "ClusterProminence": (shares * squared * squared).sum(axis=(0, 1)),
    }


def _differences(shares: _Array, level: _Array, count: int) -> dict[str, _Array]:
    k, share = _gathered(np.abs(level[:, None] - level[None, :]), shares)
    mean = (k * share).sum(axis=0)
    apart = k[:, 0] > 0
    return {
        "Contrast": (k**2 * share).sum(axis=0),
        "DifferenceAverage": mean,
        "DifferenceEntropy": _entropy(share, 0),
        "DifferenceVariance": (share * (k - mean) ** 2).sum(axis=0),
        "Id": (share / (1 + k)).sum(axis=0),
        "Idm": (share / (1 + k**2)).sum(axis=0),
        "Idmn": (share / (1 + k**2 / count**2)).sum(axis=0),
        "Idn": (share / (1 + k / count)).sum(axis=0),
        "InverseVariance": (share[apart] / k[apart] ** 2).sum(axis=0),
    }


def _sums(shares: _Array, level: _Array) -> dict[str, _Array]:
    k, share = _gathered(level[:, None] + level[None, :], shares)
    return {"SumAverage": (k * share).sum(axis=0), "SumEntropy": _entropy(share, 0)}


def _gathered(key: _Array, shares: _Array) -> tuple[_Array, _Array]:
    """Return the keys `(k, 1)` that pairs of levels have, and the share of pairs with each, `(k, direction)`."""
    order = np.argsort(key, axis=None, kind="stable")
    k, first = np.unique(key.ravel()[order], return_index=True)
    return k[:, None], np.add.reduceat(shares.reshape(key.size, -1)[order], first, axis=0)


def _information(shares: _Array) -> dict[str, _Array]:
    """Return what p says beyond p_x and p_y."""
    row, column = shares.sum(axis=1, keepdims=True), shares.sum(axis=0, keepdims=True)
    apart = row * column
    joint = _entropy(shares, (0, 1))
    larger = np.fmax(_entropy(row, (0, 1)), _entropy(column, (0, 1)))
    crossed = -(shares * np.log2(apart + _EPS)).sum(axis=(0, 1))
    independent = _entropy(apart, (0, 1))
    second = np.sqrt(1 - np.e ** (-2 * (independent - joint)))
    return {
        "Imc1": np.where(larger == 0, 0.0, (joint - crossed) / larger),
        "Imc2": np.where(independent == joint, 0.0, second),
        "JointEntropy": joint,
    }


def _entropy(shares: _Array, axis: int | tuple[int, ...]) -> _Array:
    entropy: _Array = -(shares * np.log2(shares + _EPS)).sum(axis=axis)
    return entropy


def _maximal_correlation(shares: _Array) -> NDArray[np.float64] | NDArray[np.complex128]:
    """Return the root of the second largest eigenvalue of Q for each direction; 1 where the region has one level."""
    if np.isnan(shares).any():
        return np.array([np.nan])
    count = shares.shape[0]
    if count < 2:
        return np.ones(1)
    row, column = shares.sum(axis=1), shares.sum(axis=0)
    matrix = np.zeros(shares.shape)
    for k in range(count):
        between = shares[:, k]
        matrix += between[:, None] * between[None, :] / (row[:, None] * column[k] + _EPS)
    values = np.linalg.eigvals(matrix.transpose(2, 0, 1))
    values.sort(axis=1)
    roots: NDArray[np.float64] | NDArray[np.complex128] = np.sqrt(values[:, -2])
    return roots
