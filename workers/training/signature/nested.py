"""Repeated nested cross-validation: how good the whole procedure is on patients that it has not seen.

In: a cohort and a plan. Out: `Outer`: what each outer fold chose, each patient's unseen scores and groups, and the
pairs that the C-index is made of. What can go wrong: nothing. Next: `report`.

Pairs count within a fold only: scores of two folds come from two signatures. The interval is that of a bootstrap of
patients with their unseen scores: it tells how the C-index would scatter with other patients to judge on, not with
others to train on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.training.signature.concordance import Pairs, harrell, pairs, total
from workers.training.signature.procedure import Fitted, Plan, chosen, deal, fit, fit_each

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Outer:
    """What the outer folds gave.

    Attributes
    ----------
    fold
        Each patient's fold, (repeats, patients).
    score
        Each patient's score by the signature of the other folds, (repeats, patients).
    high
        Whether that score is above that signature's cut-off, (repeats, patients).
    fits
        The signature of each repeat and fold.
    alone
        The scores by each method without a choice between them, (repeats, patients).
    tried
        Every method's signature of each repeat and fold.
    """

    fold: Places
    score: Array
    high: Flags
    fits: tuple[tuple[Fitted, ...], ...]
    alone: Mapping[str, Array]
    tried: tuple[tuple[Mapping[str, Fitted], ...], ...]


def validate(
    values: Array,
    time: Array,
    event: Flags,
    plan: Plan,
    seed: np.random.SeedSequence,
    told: Callable[[], None] = lambda: None,
) -> Outer:
    """Run the procedure in every fold of every repeat; `told` is called after each fold."""
    n = len(time)
    fold = np.empty((plan.repeats, n), dtype=np.intp)
    score, high = np.empty((plan.repeats, n)), np.empty((plan.repeats, n), dtype=bool)
    alone = {name: np.empty((plan.repeats, n)) for name in plan.methods}
    tried = []
    for repeat, own in enumerate(seed.spawn(plan.repeats)):
        deal_seed, *fold_seeds = own.spawn(plan.folds + 1)
        fold[repeat] = deal(event, plan.folds, np.random.default_rng(deal_seed))
        row = []
        for one, fold_seed in enumerate(fold_seeds):
            train, test = fold[repeat] != one, fold[repeat] == one
            fits = fit_each(values[train], time[train], event[train], plan, fold_seed)
            for name, fitted in fits.items():
                alone[name][repeat, test] = fitted.score(values[test])
            fitted = fits[chosen(fits)]
            score[repeat, test] = fitted.score(values[test])
            high[repeat, test] = score[repeat, test] > fitted.cut_off
            row.append(fits)
            told()
        tried.append(tuple(row))
    taken = tuple(tuple(fits[chosen(fits)] for fits in row) for row in tried)
    return Outer(fold, score, high, taken, alone, tuple(tried))


def outer_pairs(outer: Outer, time: Array, event: Flags, method: str | None = None) -> Pairs:
    """Return the pairs of all repeats, within folds: of the whole procedure, or of one method alone."""
    scores = outer.score if method is None else outer.alone[method]
    return total(pairs(score, time, event, fold) for score, fold in zip(scores, outer.fold, strict=True))


def fixed_pairs(score: Array, outer: Outer, time: Array, event: Flags) -> Pairs:
    """Return the pairs of a score that needs no fitting, within the same folds; patients without it do not count."""
    known = ~np.isnan(score)
    both = known[:, None] & known[None, :]
    found = total(pairs(np.where(known, score, 0.0), time, event, fold) for fold in outer.fold)
    return Pairs(found.concordant * both, found.counted * both)


def optimism(
    values: Array,
    time: Array,
    event: Flags,
    plan: Plan,
    seed: np.random.SeedSequence,
    told: Callable[[], None] = lambda: None,
) -> Array:
    """Return Harrell's optimism of each bootstrap sample, (bootstraps,).

    The procedure runs on patients drawn with replacement; its C-index there less its C-index on all patients (Harrell,
    1996). A patient that is drawn twice may stand in two inner folds, which the optimism then includes.
    """
    found = np.empty(plan.bootstraps)
    for place, own in enumerate(seed.spawn(plan.bootstraps)):
        draw_seed, fit_seed = own.spawn(2)
        drawn = np.random.default_rng(draw_seed).integers(0, len(time), len(time))
        fitted = fit(values[drawn], time[drawn], event[drawn], plan, fit_seed)
        there = harrell(fitted.score(values[drawn]), time[drawn], event[drawn])
        found[place] = there - harrell(fitted.score(values), time, event)
        told()
    return found


def permuted(
    values: Array,
    time: Array,
    event: Flags,
    plan: Plan,
    seed: np.random.SeedSequence,
    told: Callable[[], None] = lambda: None,
) -> Array:
    """Return the outer C-index of each shuffle of the follow-up among patients, (shuffles,).

    A shuffle breaks every tie between features and follow-up, so the mean has to be 0.50: more is leakage.
    """
    found = np.empty(plan.shuffles)
    for place, own in enumerate(seed.spawn(plan.shuffles)):
        shuffle_seed, run_seed = own.spawn(2)
        order = np.random.default_rng(shuffle_seed).permutation(len(time))
        outer = validate(values, time[order], event[order], plan, run_seed, told)
        found[place] = outer_pairs(outer, time[order], event[order]).value
    return found
