"""Cox's proportional hazards model for many small fits: each feature alone, all at once, and paths with penalties.

In: features (standardised for a penalty), times and events. Out: coefficients. What can go wrong: a separated feature
has no finite estimate; its steps are bounded, so that it ends large and not infinite. Next: `filters`, `candidates`.

The log partial likelihood is Breslow's,

    l(b) = sum over events i of ( x_i b - log sum over j at risk at t_i of exp(x_j b) ),

divided by the number of patients where a penalty is weighed against it (as glmnet and scikit-survival do). Rows stand
by falling time, so the sum over a risk set is a cumulative sum; the last row of equal times closes it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
_STEP_LIMIT = 2.0  # of a coefficient on a standardised feature, in one step of Newton
_NEWTON_STEPS, _NEWTON_TOLERANCE = 12, 1e-5  # as for the path, below
_OUTER_STEPS, _PATH_TOLERANCE = 25, 1e-4  # a Newton step this small leaves an error of its square

_SWEEPS = 200


@dataclass(frozen=True)
class Risk:
    """The order of patients by falling time, and for each the last row that is at risk at its time.

    Attributes
    ----------
    order
        Rows of the cohort by falling time, (patients,), 0-based.
    first, last
        For each row of that order, the places of the first and the last one with the same time.
    event
        Events in that order, as 0 and 1.
    """

    order: NDArray[np.intp]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    event: Array

    @staticmethod
    def of(time: Array, event: NDArray[np.bool_]) -> "Risk":
        """Return the risk sets of a follow-up."""
        order = np.argsort(-time, kind="stable")
        falling = -time[order]
        first, last = (np.searchsorted(falling, falling, side=side) for side in ("left", "right"))
        return Risk(order, first, last - 1, event[order].astype(float))

    def derivatives(self, values: Array, coefficients: Array) -> tuple[Array, Array]:
        """Return gradient (features,) and information (features, features) of the log partial likelihood.

        `values` stand in the order of this object.
        """
        weight = np.exp(_bounded(values @ coefficients))
        at_risk = np.cumsum(weight)[self.last]
        hazard = self.event / at_risk
        mean = np.cumsum(values * weight[:, None], axis=0)[self.last] / at_risk[:, None]
        seen = self._seen(hazard) * weight
        gradient = values.T @ (self.event - seen)
        happened = mean[self.event > 0]
        return gradient, (values.T * seen) @ values - happened.T @ happened

    def residuals(self, linear: Array) -> Array:
        """Return the gradient by the linear predictor (martingale residuals), (patients,), in this order."""
        weight = np.exp(_bounded(linear))
        return self.event - self._seen(self.event / np.cumsum(weight)[self.last]) * weight

    def _seen(self, hazard: Array) -> Array:
        """Return for each patient the sum of the hazard's steps at times not after the patient's own."""
        total = np.cumsum(hazard[::-1])[::-1]
        return np.asarray(total[self.first])


@dataclass(frozen=True)
class Univariate:
    """One Cox model for each feature: log hazard ratio per unit, standard error, Wald's two-sided p, (features,)."""

    coefficient: Array
    error: Array
    p: Array


def univariate(values: Array, risk: Risk) -> Univariate:
    """Fit each feature alone, all at once, by Newton's steps of bounded length.

    `values` is (patients, features), standardised, in the cohort's order.
    """
    ordered = values[risk.order]
    square = ordered * ordered
    coefficient = np.zeros(values.shape[1])
    information = np.ones_like(coefficient)
    event = risk.event > 0
    close = risk.last[event]
    own = ordered[event].sum(axis=0)
    for _ in range(_NEWTON_STEPS):
        weight = np.exp(_bounded(ordered * coefficient))
        zeroth = np.cumsum(weight, axis=0)[close]
        mean = np.cumsum(weight * ordered, axis=0)[close] / zeroth
        information = (np.cumsum(weight * square, axis=0)[close] / zeroth - mean * mean).sum(axis=0)
        information = np.maximum(information, 1e-12)
        step = np.clip((own - mean.sum(axis=0)) / information, -_STEP_LIMIT, _STEP_LIMIT)
        coefficient = coefficient + step
        if np.max(np.abs(step)) < _NEWTON_TOLERANCE:
            break
    error = 1 / np.sqrt(information)
    return Univariate(coefficient, error, 2 * special.ndtr(-np.abs(coefficient / error)))


def joint(values: Array, risk: Risk, ridge: float = 1e-6) -> tuple[Array, Array]:
    """Fit all features together; return coefficients and their standard errors, (features,).

    A touch of `ridge` per patient keeps features that say the same from having no answer.
    """
    ordered = values[risk.order]
    coefficients = np.zeros(values.shape[1])
    penalty = ridge * len(values)
    information = np.eye(values.shape[1])
    for _ in range(_NEWTON_STEPS * 2):
        gradient, information = risk.derivatives(ordered, coefficients)
        information = information + penalty * np.eye(len(coefficients))
        step = np.clip(np.linalg.solve(information, gradient - penalty * coefficients), -_STEP_LIMIT, _STEP_LIMIT)
        coefficients = coefficients + step
        if np.max(np.abs(step)) < _NEWTON_TOLERANCE:
            break
    return coefficients, np.sqrt(np.diag(np.linalg.inv(information)))


def path(values: Array, risk: Risk, fractions: Array, l1_ratio: float, most: int) -> Array:
    """Return the coefficients along falling penalties, (penalties, features), until more than `most` are not zero.

    Minimised is -l(b) / n + a (r |b|_1 + (1 - r) / 2 |b|_2^2) with a = fraction x the smallest penalty that leaves all
    at zero. The rows after the last one with at most `most` features repeat that row.

    Parameters
    ----------
    values
        (patients, features), standardised, in the cohort's order.
    fractions
        Falling, each in (0, 1].
    """
    ordered = values[risk.order]
    n = len(values)
    coefficients = np.zeros(values.shape[1])
    top = np.max(np.abs(risk.derivatives(ordered, coefficients)[0])) / n / l1_ratio
    rows = np.zeros((len(fractions), values.shape[1]))
    for place, fraction in enumerate(fractions):
        found = _penalised(ordered, risk, coefficients, top * fraction * l1_ratio, top * fraction * (1 - l1_ratio))
        if np.count_nonzero(found) > most:
            rows[place:] = coefficients
            break
        rows[place] = coefficients = found
    return rows


def _penalised(ordered: Array, risk: Risk, start: Array, l1: float, l2: float) -> Array:
    """Return the minimum for one penalty: Newton's quadratic forms, each solved in turn."""
    n = len(ordered)
    coefficients = start
    ridge = l2 * np.eye(len(start))
    for _ in range(_OUTER_STEPS):
        gradient, information = risk.derivatives(ordered, coefficients)
        form = information / n
        found = _solve(form + ridge, gradient / n + form @ coefficients, coefficients, l1)
        step = np.clip(found - coefficients, -_STEP_LIMIT, _STEP_LIMIT)
        coefficients = np.where(found == 0, 0.0, coefficients + step)
        if np.max(np.abs(step)) < _PATH_TOLERANCE:
            break
    return coefficients


def _solve(form: Array, pull: Array, start: Array, l1: float) -> Array:
    """Minimise b form b / 2 - pull b + l1 |b|_1.

    Coordinate descent finds which coefficients are not zero and their signs; the linear equations of those then give
    the answer, which is taken if it fulfils the conditions of the minimum.
    """
    solution = start.copy()
    for _ in range(_SWEEPS):
        _sweep(form, pull, solution, l1)
        active = np.flatnonzero(solution)
        sign = np.sign(solution[active])
        exact = np.zeros_like(solution)
        exact[active] = np.linalg.solve(form[np.ix_(active, active)], pull[active] - l1 * sign)
        slack = np.abs(pull - form @ exact)
        slack[active] = 0.0
        if (exact[active] * sign > 0).all() and slack.max() <= l1 * (1 + 1e-9):
            return exact
    return solution


def _sweep(form: Array, pull: Array, solution: Array, l1: float) -> None:
    """Minimise by each coefficient in turn, in place."""
    slope = pull - form @ solution
    for place, (curve, old) in enumerate(zip(form.diagonal().tolist(), solution.tolist(), strict=True)):
        own = float(slope[place]) + curve * old
        new = (own - l1 if own > l1 else own + l1 if own < -l1 else 0.0) / max(curve, 1e-12)
        if new != old:
            slope -= form[place] * (new - old)
            solution[place] = new


def _bounded(linear: Array) -> Array:
    return np.clip(linear, -50.0, 50.0)
