"""The whole procedure on training patients: filters, method, number of features, coefficients, cut-off.

In: values, times and events of training patients, and nothing of anybody else. Out: `Fitted`, which scores anyone.
What can go wrong: nothing varies; then every score is 0. Next: `nested` runs it in folds, `command` once on all.

Method and step are chosen together by the C-index over inner folds, each of which filters anew. Of equal ones the
first in the order of `Plan.methods`, then the shorter path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workers.training.signature.candidates import METHODS, steps_of
from workers.training.signature.concordance import each, ratio
from workers.training.signature.cox import Risk
from workers.training.signature.filters import Kept, Rules, choose

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Plan:
    """What is fixed before any patient is seen.

    Parameters
    ----------
    folds, repeats
        Outer folds, and how often they are drawn anew.
    inner
        Inner folds.
    steps
        Steps of the path of a method with penalties.
    most
        Features that a signature may have.
    bootstraps
        Samples for the optimism.
    shuffles
        Permutations of the follow-up that the whole is repeated on, with one repeat each.
    """

    folds: int = 5
    repeats: int = 10
    inner: int = 5
    steps: int = 16
    most: int = 8
    methods: tuple[str, ...] = ("lasso", "elastic-net", "boosting", "stability")
    rules: Rules = field(default_factory=Rules)
    bootstraps: int = 50
    shuffles: int = 20

    def __post_init__(self) -> None:
        if unknown := set(self.methods) - METHODS.keys():
            raise ValueError(f"no such method: {', '.join(sorted(unknown))}")


QUICK = Plan(repeats=3, inner=3, steps=8, bootstraps=20, shuffles=0)


@dataclass(frozen=True)
class Fitted:
    """A signature found on some patients.

    Attributes
    ----------
    places
        Columns of the cohort, by falling absolute coefficient, (features,).
    mean, sd
        Of these patients, (features,).
    coefficients
        Of the standardised values, (features,).
    cut_off
        Median of these patients' scores.
    method, step
        What the inner folds chose.
    columns, path
        What the filters left, (kept,), and the method's coefficients along its path, (steps, kept).
    inner
        The C-index of that step over the inner folds, which is no estimate of anything: it was chosen for being high.
    """

    places: Places
    mean: Array
    sd: Array
    coefficients: Array
    cut_off: float
    columns: Places
    path: Array
    method: str
    step: int
    inner: float

    def score(self, values: Array) -> Array:
        """Return the scores of patients, (patients,), from values in the cohort's columns."""
        return np.asarray(((values[:, self.places] - self.mean) / self.sd) @ self.coefficients)


def fit(values: Array, time: Array, event: Flags, plan: Plan, seed: np.random.SeedSequence) -> Fitted:
    """Run the procedure."""
    each_one = fit_each(values, time, event, plan, seed)
    return each_one[chosen(each_one)]


def chosen(fits: Mapping[str, Fitted]) -> str:
    """Return the method that the inner folds prefer, the first of equal ones."""
    return max(fits, key=lambda name: fits[name].inner)


def fit_each(values: Array, time: Array, event: Flags, plan: Plan, seed: np.random.SeedSequence) -> dict[str, Fitted]:
    """Run the procedure once for each method, on the same inner folds, each with its own best step."""
    folds_seed, methods_seed = seed.spawn(2)
    fold = deal(event, plan.inner, np.random.default_rng(folds_seed))
    won = {name: np.zeros(steps_of(name, plan.steps, plan.most)) for name in plan.methods}
    counted = 0.0
    *inner_seeds, last_seed = methods_seed.spawn(plan.inner + 1)
    for one, inner_seed in enumerate(inner_seeds):
        train, test = fold != one, fold == one
        kept, rows = paths(values[train], time[train], event[train], plan, inner_seed)
        unseen = kept.standardised(values[test])
        for name, path in rows.items():
            part, pairs = each(unseen @ path.T, time[test], event[test])
            won[name] += part
        counted += pairs
    kept, rows = paths(values, time, event, plan, last_seed)
    fits = {}
    for name, part in won.items():
        step = int(np.argmax(part))
        fits[name] = _fitted(values, kept, rows[name], (name, step, ratio(float(part[step]), counted)))
    return fits


def deal(event: Flags, folds: int, draw: np.random.Generator) -> Places:
    """Deal patients to folds at random, events and censored ones apart, so that each fold has its share of both."""
    fold = np.empty(len(event), dtype=np.intp)
    start = 0
    for kind in (True, False):
        who = draw.permutation(np.flatnonzero(event == kind))
        fold[who] = (np.arange(len(who)) + start) % folds
        start += len(who)
    return fold


def paths(
    values: Array, time: Array, event: Flags, plan: Plan, seed: np.random.SeedSequence
) -> tuple[Kept, dict[str, Array]]:
    """Return what the filters keep of these patients, and each method's path on it."""
    risk = Risk.of(time, event)
    kept = choose(values, risk, plan.rules)
    scaled = kept.standardised(values)
    rows = {}
    for name in plan.methods:
        draw = np.random.default_rng(seed)
        rows[name] = METHODS[name](scaled, risk, steps_of(name, plan.steps, plan.most), plan.most, draw)
    return kept, rows


def _fitted(values: Array, kept: Kept, path: Array, how: tuple[str, int, float]) -> Fitted:
    row = path[how[1]]
    used = np.flatnonzero(row)
    used = used[np.argsort(-np.abs(row[used]), kind="stable")]
    cut_off = float(np.median(kept.standardised(values)[:, used] @ row[used]))
    return Fitted(kept.places[used], kept.mean[used], kept.sd[used], row[used], cut_off, kept.places, path, *how)
