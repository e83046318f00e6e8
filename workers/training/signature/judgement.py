"""What the outer folds say of the procedure: discrimination, groups, AUC over time, calibration, stability, baselines.

In: a cohort and what `nested` gave. Out: `Judgement`. What can go wrong: a baseline that is known of nobody has a
C-index of NaN. Next: `report`, `figures`.

Every figure is of scores that a patient got from a signature that had not seen the patient.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.training.signature.cohort import Cohort
from workers.training.signature.concordance import Pairs, dynamic_pairs, total
from workers.training.signature.curves import effect, kaplan_meier, predicted, uncensored
from workers.training.signature.nested import Outer, fixed_pairs, outer_pairs

Array = NDArray[np.float64]
_DRAWS = 2000
_QUARTERS = 4
YEARS = (1, 2, 3, 4, 5)
CALIBRATED_AT_YEARS = 3
_FEWEST_CASES = 5


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval, and how many patients it is of."""

    value: float
    low: float
    high: float
    patients: int


@dataclass(frozen=True)
class Compared:
    """A baseline's C-index, and the procedure's on the same patients."""

    baseline: Interval
    procedure: Interval


@dataclass(frozen=True)
class Quarter:
    """A quarter of the patients by predicted survival: mean prediction, and what was observed."""

    predicted: float
    observed: Interval


@dataclass(frozen=True)
class Judgement:
    """All figures of the outer folds.

    Attributes
    ----------
    groups
        Hazard ratio of the group above the cut-off against the one below: the median repeat's.
    log_rank_p
        p of the stratified log-rank test: the median repeat's.
    slope
        Cox coefficient of the unseen score, strata are the folds: 1 where it is calibrated, mean of the repeats.
    high
        Whether a patient is above the cut-off in more than half of the repeats, (patients,).
    taken
        How often each feature was taken, as a part of the outer folds.
    methods
        C-index of each method alone, and how often the inner folds chose it, as a part of the outer folds.
    """

    c_index: Interval
    groups: Interval
    log_rank_p: float
    auc: Mapping[int, Interval]
    slope: float
    quarters: tuple[Quarter, ...]
    high: NDArray[np.bool_]
    taken: Mapping[str, float]
    methods: Mapping[str, tuple[Interval, float]]
    baselines: Mapping[str, Compared]


def judge(cohort: Cohort, outer: Outer, year: float, seed: np.random.SeedSequence) -> Judgement:
    """Judge the procedure; `year` is the length of a year in the unit of the cohort's times."""
    time, event = cohort.time, cohort.event
    effects = [effect(high.astype(float), time, event, fold) for high, fold in zip(outer.high, outer.fold, strict=True)]
    middle = sorted(effects, key=lambda one: one.log_ratio)[len(effects) // 2]
    slopes = [effect(score, time, event, fold).log_ratio for score, fold in zip(outer.score, outer.fold, strict=True)]
    fits = [fitted for row in outer.fits for fitted in row]
    taken = Counter(cohort.names[place] for fitted in fits for place in fitted.places)
    preferred = Counter(fitted.method for fitted in fits)
    return Judgement(
        c_index=_interval(outer_pairs(outer, time, event), seed),
        groups=Interval(*middle.interval, len(time)),
        log_rank_p=float(np.median([one.p for one in effects])),
        auc=_auc(cohort, outer, year, seed),
        slope=float(np.mean(slopes)),
        quarters=_quarters(cohort, outer, CALIBRATED_AT_YEARS * year),
        high=outer.high.mean(axis=0) > 0.5,
        taken={name: count / len(fits) for name, count in taken.most_common()},
        methods={
            name: (_interval(outer_pairs(outer, time, event, name), seed), preferred[name] / len(fits))
            for name in outer.alone
        },
        baselines={name: _compared(values, cohort, outer, seed) for name, values in cohort.baselines.items()},
    )


def _interval(pairs: Pairs, seed: np.random.SeedSequence) -> Interval:
    patients = int(np.count_nonzero(pairs.counted.sum(axis=0) + pairs.counted.sum(axis=1)))
    return Interval(pairs.value, *pairs.interval(_DRAWS, seed), patients)


def _compared(values: Array, cohort: Cohort, outer: Outer, seed: np.random.SeedSequence) -> Compared:
    theirs = fixed_pairs(values, outer, cohort.time, cohort.event)
    whole = outer_pairs(outer, cohort.time, cohort.event)
    known = ~np.isnan(values)
    both = known[:, None] & known[None, :]
    return Compared(_interval(theirs, seed), _interval(Pairs(whole.concordant * both, whole.counted * both), seed))


def _auc(cohort: Cohort, outer: Outer, year: float, seed: np.random.SeedSequence) -> dict[int, Interval]:
    """Return the AUC by each year that has events before it and patients followed beyond it."""
    time, event = cohort.time, cohort.event
    censoring = uncensored(time, event)
    found = {}
    for years in YEARS:
        when = years * year
        if min(np.count_nonzero(event & (time <= when)), np.count_nonzero(time > when)) >= _FEWEST_CASES:
            rows = zip(outer.score, outer.fold, strict=True)
            pairs = total(dynamic_pairs(score, time, event, fold, when, censoring) for score, fold in rows)
            found[years] = _interval(pairs, seed)
    return found


def _quarters(cohort: Cohort, outer: Outer, when: float) -> tuple[Quarter, ...]:
    """Return quarters by each patient's mean prediction over the repeats, lowest survival first."""
    time, event = cohort.time, cohort.event
    each = np.empty_like(outer.score)
    for repeat, (fold, row) in enumerate(zip(outer.fold, outer.fits, strict=True)):
        for one, fitted in enumerate(row):
            train, test = fold != one, fold == one
            seen, new = fitted.score(cohort.values[train]), outer.score[repeat, test]
            each[repeat, test] = predicted(seen, time[train], event[train], new, when)
    survival = each.mean(axis=0)
    quarters = []
    for who in np.array_split(np.argsort(survival, kind="stable"), _QUARTERS):
        observed = kaplan_meier(time[who], event[who]).at(when)
        quarters.append(Quarter(float(survival[who].mean()), Interval(*observed, len(who))))
    return tuple(quarters)
