"""Grey-level run lengths (GLRLM): how long the rows of voxels of one level are, direction by direction.

Comes in: `Roi`, `Levels`, settings. Goes out: 16 numbers under PyRadiomics' names. What can go wrong: a direction
along which no two voxels of the region lie is left out; where that holds for all, the features are NaN. Next: the
table of features.

P(i, j) is the number of runs of level i and length j; formulas in `emphasis`. Each feature is the mean over
directions; with `weightingNorm` the matrices of all directions are added first, each weighted by its length [mm].

================================  ====  =========================
feature                           IBSI  in `emphasis`
================================  ====  =========================
GrayLevelNonUniformity            R5YN  levels
GrayLevelNonUniformityNormalized  OVBL  levels_normalised
GrayLevelVariance                 8CE5  level_variance
HighGrayLevelRunEmphasis          G3QZ  high
LongRunEmphasis                   W4KF  large
LongRunHighGrayLevelEmphasis      3KUM  large_high
LongRunLowGrayLevelEmphasis       IVPO  large_low
LowGrayLevelRunEmphasis           V3SW  low
RunEntropy                        HJ9O  entropy
RunLengthNonUniformity            W92Y  sizes
RunLengthNonUniformityNormalized  IC23  sizes_normalised
RunPercentage                     9ZK5  percentage
RunVariance                       SXLW  size_variance
ShortRunEmphasis                  22OV  small
ShortRunHighGrayLevelEmphasis     GD3A  small_high
ShortRunLowGrayLevelEmphasis      HTZT  small_low
================================  ====  =========================
"""

import numpy as np
from numpy.typing import NDArray

from workers.compiled import compiled
from workers.measurement.radiomics import neighbours
from workers.measurement.radiomics.directional import mean_over_directions, with_entries
from workers.measurement.radiomics.emphasis import emphasise
from workers.measurement.radiomics.neighbours import Neighbourhood
from workers.measurement.radiomics.roi import FeatureSettings, Levels, Roi

_PARTS = {
    "GrayLevelNonUniformity": "levels",
    "GrayLevelNonUniformityNormalized": "levels_normalised",
    "GrayLevelVariance": "level_variance",
    "HighGrayLevelRunEmphasis": "high",
    "LongRunEmphasis": "large",
    "LongRunHighGrayLevelEmphasis": "large_high",
    "LongRunLowGrayLevelEmphasis": "large_low",
    "LowGrayLevelRunEmphasis": "low",
    "RunEntropy": "entropy",
    "RunLengthNonUniformity": "sizes",
    "RunLengthNonUniformityNormalized": "sizes_normalised",
    "RunPercentage": "percentage",
    "RunVariance": "size_variance",
    "ShortRunEmphasis": "small",
    "ShortRunHighGrayLevelEmphasis": "small_high",
    "ShortRunLowGrayLevelEmphasis": "small_low",
}
NAMES = tuple(_PARTS)


def features(roi: Roi, levels: Levels, settings: FeatureSettings) -> dict[str, float]:
    """Compute the features of the GLRLM."""
    around = neighbours.look_around(levels, (1,), settings)
    if not around.steps.size:
        return dict.fromkeys(NAMES, float("nan"))
    level = levels.present
    runs = _count_runs(around.row.codes, around.row.places, around.steps, levels.count, max(levels.codes.shape))
    single = [not _has_line(around, runs[k], direction) for k, direction in enumerate(around.directions)]
    runs[single] = 0
    counts = np.ascontiguousarray(np.moveaxis(runs[:, level], 0, 2), dtype=np.float64)
    if settings.weighting_norm is not None:
        lengths_mm = neighbours.weights(around.directions, roi.spacing_mm, settings.weighting_norm)
        counts = (counts * lengths_mm).sum(axis=2, keepdims=True)
    counts = with_entries(counts)
    sizes = np.flatnonzero(counts.any(axis=(0, 2)))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = emphasise(counts[:, sizes], level.astype(np.float64), sizes.astype(np.float64))
    return {name: mean_over_directions(getattr(found, part)) for name, part in _PARTS.items()}


@compiled("(int32[::1], int64[::1], int64[::1], int64, int64)")
def _count_runs(
    codes: NDArray[np.int32], places: NDArray[np.int64], steps: NDArray[np.int64], count: int, longest: int
) -> NDArray[np.uint32]:
    """Count the runs as `(direction, level, length)`: each is followed from its first voxel on."""
    runs = np.zeros((steps.size, count + 1, longest + 1), np.uint32)
    for place in places:
        level = codes[place]
        for direction in range(steps.size):
            step = steps[direction]
            if codes[place - step] != level:
                length = 1
                following = place + step
                while codes[following] == level:
                    length += 1
                    following += step
                runs[direction, level, length] += 1
    return runs


def _has_line(around: Neighbourhood, runs: NDArray[np.uint32], direction: NDArray[np.int64]) -> bool:
    """Return whether a line along `direction` meets two voxels of the region or more."""
    if runs[:, 2:].any():
        return True
    coordinates = np.array(np.unravel_index(around.row.places, around.row.shape))
    axis = np.flatnonzero(direction)[0]
    crossing = coordinates - direction[:, None] * (coordinates[axis] * direction[axis])
    return bool(np.unique(crossing, axis=1).shape[1] < crossing.shape[1])
