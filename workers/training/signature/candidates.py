"""The methods that may choose the features: each gives a path of models, from none to at most eight features.

In: standardised features of training patients that the filters left. Out: coefficients along the path, (steps,
features), steps of one method being the same in every fold. What can go wrong: nothing; a path without signal stays at
zero. Next: `procedure`, which chooses method and step by inner folds.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from workers.training.signature.cox import Risk, joint, path

Array = NDArray[np.float64]
Method = Callable[[Array, Risk, int, int, np.random.Generator], Array]

_SMALLEST_FRACTION = 0.05  # of the penalty that leaves nothing
_MIXED = 0.5  # part of the absolute penalty in the elastic net
_STEP, _EVERY = 0.1, 4  # of boosting: part of the best single fit that is taken, updates from one row to the next
_SUBSAMPLES = 30
_RIDGE = 0.05  # of the joint fit of stable features


def lasso(values: Array, risk: Risk, steps: int, most: int, draw: np.random.Generator) -> Array:  # noqa: ARG001
    """LASSO-Cox (Tibshirani, 1997)."""
    return path(values, risk, _fractions(steps), 1.0, most)


def elastic_net(values: Array, risk: Risk, steps: int, most: int, draw: np.random.Generator) -> Array:  # noqa: ARG001
    """Elastic net, half of the penalty quadratic (Zou and Hastie, 2005; Simon et al., 2011)."""
    return path(values, risk, _fractions(steps), _MIXED, most)


def boosting(values: Array, risk: Risk, steps: int, most: int, draw: np.random.Generator) -> Array:  # noqa: ARG001
    """Component-wise gradient boosting of the partial likelihood (Bühlmann and Hothorn, 2007)."""
    ordered = values[risk.order]
    coefficients, rows = np.zeros(values.shape[1]), np.zeros((steps, values.shape[1]))
    size = (ordered * ordered).sum(axis=0)
    linear = np.zeros(len(values))
    for place in range(steps):
        for _ in range(_EVERY):
            slopes = ordered.T @ risk.residuals(linear)
            best = np.argmax(np.abs(slopes) / np.sqrt(size))
            if coefficients[best] == 0 and np.count_nonzero(coefficients) == most:
                rows[place:] = coefficients
                return rows
            change = _STEP * slopes[best] / size[best]
            coefficients[best] += change
            linear += change * ordered[:, best]
        rows[place] = coefficients
    return rows


def stability(values: Array, risk: Risk, steps: int, most: int, draw: np.random.Generator) -> Array:
    """Stability selection (Meinshausen and Bühlmann, 2010): features that LASSO takes most often in halves of the
    patients, the first 1, 2, ... of them fitted together with a small ridge.
    """
    n = len(values)
    time_order, event = np.empty(n, dtype=np.intp), np.empty(n, dtype=bool)
    time_order[risk.order] = -risk.last  # rises with time, equal where times are
    event[risk.order] = risk.event > 0
    taken = np.zeros(values.shape[1])
    for _ in range(_SUBSAMPLES):
        half = np.sort(draw.permutation(n)[: n // 2])
        rows = path(values[half], Risk.of(time_order[half].astype(float), event[half]), _fractions(3, 0.4), 1.0, most)
        taken += (rows != 0).any(axis=0)
    ranked = np.argsort(-taken, kind="stable")[:most]
    rows = np.zeros((steps, values.shape[1]))
    for place in range(steps):
        chosen = ranked[: place + 1]
        rows[place, chosen] = joint(values[:, chosen], risk, _RIDGE)[0]
    return rows


METHODS: Mapping[str, Method] = {
    "lasso": lasso,
    "elastic-net": elastic_net,
    "boosting": boosting,
    "stability": stability,
}


def steps_of(name: str, steps: int, most: int) -> int:
    """Return how many steps the path of a method has: of stability selection one for each feature."""
    return most if name == "stability" else steps


def _fractions(steps: int, smallest: float = _SMALLEST_FRACTION) -> Array:
    return np.geomspace(1.0, smallest, steps + 1)[1:]
