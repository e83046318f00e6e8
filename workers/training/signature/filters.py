"""What is left of the features before a method chooses: those that vary, that are no copies, that say something alone.

In: the training patients' features and follow-up. Out: columns that stay, with mean and SD. What can go wrong: nothing
varies, then nothing stays. Next: `candidates`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.training.signature.cox import Risk, univariate

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Rules:
    """The limits of the filters.

    Parameters
    ----------
    same
        A feature of which more than this part of the patients has one and the same value is near-constant.
    correlation
        Of two features with a larger absolute Spearman correlation the one that says less alone goes.
    p
        Features with a larger p of the univariate Cox model go, but for the `fewest` best.
    """

    same: float = 0.95
    correlation: float = 0.9
    p: float = 0.1
    fewest: int = 5


@dataclass(frozen=True)
class Kept:
    """Columns of the cohort that stay, best first, with the mean and SD of the patients they were chosen on."""

    places: Places
    mean: Array
    sd: Array

    def standardised(self, values: Array) -> Array:
        """Return the kept columns of any patients on the scale of these."""
        return (values[:, self.places] - self.mean) / self.sd


def choose(values: Array, risk: Risk, rules: Rules) -> Kept:
    """Apply the three filters in turn."""
    varied = np.flatnonzero(_varies(values, rules.same))
    mean, sd = values[:, varied].mean(axis=0), values[:, varied].std(axis=0)
    scaled = (values[:, varied] - mean) / sd
    p = univariate(scaled, risk).p
    order = np.argsort(p, kind="stable")
    ranked = _distinct(np.abs(spearman(values[:, varied[order]])), rules.correlation)
    places = order[ranked]
    good = p[places] <= rules.p
    good[: rules.fewest] = True
    places = places[good]
    return Kept(varied[places], mean[places], sd[places])


def spearman(values: Array) -> Array:
    """Return the correlations of ranks, (features, features); equal values have ranks by their order."""
    ranks = np.argsort(np.argsort(values, axis=0, kind="stable"), axis=0, kind="stable").astype(float)
    ranks -= ranks.mean(axis=0)
    ranks /= np.sqrt((ranks * ranks).sum(axis=0))
    return np.asarray(ranks.T @ ranks)


def _varies(values: Array, same: float) -> NDArray[np.bool_]:
    """Say which columns have no value that the part `same` of patients shares, and an SD worth dividing by."""
    ordered = np.sort(values, axis=0)
    run = int(np.floor(same * len(values)))
    shared = (ordered[run:] == ordered[: len(values) - run]).any(axis=0)
    return ~shared & (values.std(axis=0) > 1e-12 * np.maximum(np.abs(values).max(axis=0), 1e-300))


def _distinct(correlation: Array, limit: float) -> Places:
    """Return the places that stay when each, in order, drops the later ones that it resembles."""
    alive = np.ones(len(correlation), dtype=bool)
    close = correlation > limit
    for place in range(len(correlation)):
        if alive[place]:
            alive[place + 1 :] &= ~close[place, place + 1 :]
    return np.flatnonzero(alive)
