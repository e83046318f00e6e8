"""Harrell's C and the time-dependent AUC as sums over pairs of patients, so that folds and bootstraps cost a product.

In: scores, times and events; folds, where pairs count within a fold only. Out: `Pairs`: how much of each pair speaks
for the score, and how much each pair counts. What can go wrong: nothing to compare gives NaN. Next: `nested`, `curves`.

A pair (i, j) is comparable where i has the event before j's time, or at j's time while j is censored (as
scikit-survival). It speaks for the score where i's is higher, half where they are equal.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
_TIE = 1e-9


@dataclass(frozen=True)
class Pairs:
    """Sums over pairs, (patients, patients): what speaks for the score, and what counts."""

    concordant: Array
    counted: Array

    @property
    def value(self) -> float:
        """The part of what counts that speaks for the score."""
        return ratio(float(self.concordant.sum()), float(self.counted.sum()))

    def interval(self, draws: int, seed: np.random.SeedSequence, level: float = 0.95) -> tuple[float, float]:
        """Return the percentile interval of the value over bootstrap samples of patients."""
        n = len(self.counted)
        weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(float)
        above = np.einsum("bi,bi->b", weights @ self.concordant, weights)
        below = np.einsum("bi,bi->b", weights @ self.counted, weights)
        values = above[below > 0] / below[below > 0]
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def total(parts: Iterable[Pairs]) -> Pairs:
    """Return the sums of several sets of pairs of the same patients."""
    every = list(parts)
    return Pairs(np.sum([one.concordant for one in every], axis=0), np.sum([one.counted for one in every], axis=0))


def ratio(above: float, below: float) -> float:
    """Return a quotient, NaN where there is nothing below."""
    return above / below if below > 0 else float("nan")


def comparable(time: Array, event: Flags) -> Array:
    """Return 1 where the row's patient had the event and the column's was still without, (patients, patients)."""
    later = (time[:, None] < time[None, :]) | ((time[:, None] == time[None, :]) & ~event[None, :])
    return (event[:, None] & later).astype(float)


def speaks(score: Array) -> Array:
    """Return 1 where the row's score is higher than the column's, 0.5 where they are equal, (patients, patients)."""
    difference = score[:, None] - score[None, :]
    return np.where(np.abs(difference) <= _TIE, 0.5, (difference > 0).astype(float))


def pairs(score: Array, time: Array, event: Flags, fold: NDArray[np.intp] | None = None) -> Pairs:
    """Return the pairs of Harrell's C, of the same fold where folds are given."""
    counted = comparable(time, event)
    if fold is not None:
        counted *= fold[:, None] == fold[None, :]
    return Pairs(speaks(score) * counted, counted)


def harrell(score: Array, time: Array, event: Flags) -> float:
    """Return Harrell's C."""
    return pairs(score, time, event).value


def each(scores: Array, time: Array, event: Flags) -> tuple[Array, float]:
    """Return for many scores of the same patients what speaks for each, (scores,), and what counts.

    `scores` is (patients, scores); columns are compared by ranks of pairs, as `pairs` does one by one.
    """
    first, second = np.nonzero(comparable(time, event))
    difference = scores[first] - scores[second]
    won = np.count_nonzero(difference > _TIE, axis=0) + 0.5 * np.count_nonzero(np.abs(difference) <= _TIE, axis=0)
    return won, float(len(first))


def dynamic_pairs(
    score: Array, time: Array, event: Flags, fold: NDArray[np.intp], at: float, censoring: Array
) -> Pairs:
    """Return the pairs of the cumulative/dynamic AUC at a time: events by then against patients followed beyond it.

    Parameters
    ----------
    censoring
        Probability of being uncensored just before each patient's own time, (patients,); a case counts by its inverse
        (Uno et al., 2007; Hung and Chiang, 2010).
    """
    case, control = event & (time <= at), time > at
    weight = np.where(case, 1 / np.maximum(censoring, 1e-6), 0.0)
    counted = weight[:, None] * control[None, :] * (fold[:, None] == fold[None, :])
    return Pairs(speaks(score) * counted, counted)
