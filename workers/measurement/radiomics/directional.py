"""What is computed for each direction becomes one number: the mean over the directions that have it.

Comes in: an array whose last axis is direction. Goes out: a matrix without empty directions, or a number. What can go
wrong: no direction has a value; the answer is NaN. Next: `glcm`, `glrlm`.
"""

import numpy as np
from numpy.typing import NDArray


def with_entries(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out the directions in which nothing was counted; a single one, or a sum of all, stays."""
    counted = counts.any(axis=(0, 1))
    return counts if counted.all() or counted.size == 1 else counts[:, :, counted]


def mean_over_directions(values: NDArray[np.float64] | NDArray[np.complex128]) -> float:
    """Return the mean of the values that are numbers; NaN where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean().real) if known.size else float("nan")
