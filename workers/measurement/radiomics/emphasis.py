"""The features that run lengths, zones and dependences have in common: a matrix of grey level by size.

Comes in: a matrix `(level, size, direction)` of counts, its levels and sizes. Goes out: `Emphasis`, each part for each
direction. What can go wrong: a direction without entries; its numbers are NaN. Next: `glrlm`, `glszm`, `gldm`, which
name the parts.

P(i, j) is the number of things of level i and size j, N = sum P, p = P / N, all sums over i and j unless said.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float64]
_EPS = np.spacing(1.0)


@dataclass(frozen=True)
class Emphasis:
    """What a matrix of level by size says, one number for each direction.

    Parameters
    ----------
    small, large
        sum P / j^2 / N; sum P j^2 / N.
    low, high
        sum P / i^2 / N; sum P i^2 / N.
    small_low, small_high, large_low, large_high
        sum P / (i^2 j^2) / N; sum P i^2 / j^2 / N; sum P j^2 / i^2 / N; sum P i^2 j^2 / N.
    levels, levels_normalised
        sum_i (sum_j P)^2 / N; the same / N^2: non-uniformity of levels.
    sizes, sizes_normalised
        sum_j (sum_i P)^2 / N; the same / N^2: non-uniformity of sizes.
    percentage
        N / sum P j.
    level_variance, size_variance
        sum p (i - sum p i)^2; sum p (j - sum p j)^2.
    entropy
        -sum p log2(p + eps).
    """

    small: _Array
    large: _Array
    low: _Array
    high: _Array
    small_low: _Array
    small_high: _Array
    large_low: _Array
    large_high: _Array
    levels: _Array
    levels_normalised: _Array
    sizes: _Array
    sizes_normalised: _Array
    percentage: _Array
    level_variance: _Array
    size_variance: _Array
    entropy: _Array


def emphasise(counts: _Array, level: _Array, size: _Array) -> Emphasis:
    """Compute what a matrix `(level, size, direction)` says; `level` and `size` name its rows and columns."""
    total = counts.sum(axis=(0, 1))
    total[total == 0] = np.nan
    of_level, of_size = counts.sum(axis=1), counts.sum(axis=0)
    i, j = level[:, None] ** 2, size[:, None] ** 2
    both = i[:, None], j[None, :]
    share = counts / total
    level_sum, size_sum = (of_level**2).sum(axis=0), (of_size**2).sum(axis=0)
    return Emphasis(
        small=(of_size / j).sum(axis=0) / total,
        large=(of_size * j).sum(axis=0) / total,
        low=(of_level / i).sum(axis=0) / total,
        high=(of_level * i).sum(axis=0) / total,
        small_low=(counts / (both[0] * both[1])).sum(axis=(0, 1)) / total,
        small_high=(counts * both[0] / both[1]).sum(axis=(0, 1)) / total,
        large_low=(counts * both[1] / both[0]).sum(axis=(0, 1)) / total,
        large_high=(counts * both[0] * both[1]).sum(axis=(0, 1)) / total,
        levels=level_sum / total,
        levels_normalised=level_sum / total**2,
        sizes=size_sum / total,
        sizes_normalised=size_sum / total**2,
        percentage=total / (of_size * size[:, None]).sum(axis=0),
        level_variance=_variance(of_level / total, level[:, None]),
        size_variance=_variance(of_size / total, size[:, None]),
        entropy=-(share * np.log2(share + _EPS)).sum(axis=(0, 1)),
    )


def _variance(share: _Array, value: _Array) -> _Array:
    mean = (share * value).sum(axis=0)
    variance: _Array = (share * (value - mean) ** 2).sum(axis=0)
    return variance
