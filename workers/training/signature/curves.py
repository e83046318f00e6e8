"""Survival over time: Kaplan-Meier, patients at risk, the censoring, two groups in strata, a Cox model's prediction.

In: times and events, and groups or scores. Out: curves and effects. What can go wrong: a group without patients has no
curve, one without events no finite effect. Next: `judgement`, `figures`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from workers.training.signature.cox import Risk

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]
_Z = float(special.ndtri(0.975))
_STEPS = 30


@dataclass(frozen=True)
class Curve:
    """A Kaplan-Meier estimate: at each time with events the survival from then on, with a 95 % interval (log-log)."""

    time: Array
    survival: Array
    low: Array
    high: Array

    def at(self, time: float) -> tuple[float, float, float]:
        """Return survival and interval at a time."""
        place = int(np.searchsorted(self.time, time, side="right")) - 1
        return float(self.survival[place]), float(self.low[place]), float(self.high[place])


def kaplan_meier(time: Array, event: Flags) -> Curve:
    """Estimate survival; the curve begins with 1 at time 0 (Greenwood's variance, interval on the log-log scale)."""
    times = np.unique(time[event])
    deaths = np.array([np.count_nonzero(event & (time == one)) for one in times], dtype=float)
    there = np.array([np.count_nonzero(time >= one) for one in times], dtype=float)
    survival = np.cumprod(1 - deaths / there)
    inner = survival > 0
    spread = np.cumsum(deaths[inner] / (there[inner] * (there[inner] - deaths[inner])))
    low, high = np.zeros_like(survival), survival.copy()
    logs = np.log(survival[inner])
    width = np.exp(_Z * np.sqrt(spread) / np.abs(logs))
    low[inner], high[inner] = survival[inner] ** width, survival[inner] ** (1 / width)
    begin = (np.concatenate([[first], rest]) for first, rest in ((0, times), (1, survival), (1, low), (1, high)))
    return Curve(*begin)


def at_risk(time: Array, when: Array) -> list[int]:
    """Return how many patients are still followed at each of some times."""
    return [int(np.count_nonzero(time >= one)) for one in when]


def uncensored(time: Array, event: Flags) -> Array:
    """Return the probability of being uncensored just before each patient's own time, (patients,)."""
    curve = kaplan_meier(time, ~event)
    return np.asarray(curve.survival[np.searchsorted(curve.time, time, side="left") - 1])


@dataclass(frozen=True)
class Effect:
    """A Cox model of one score in strata: log hazard ratio, its standard error, and p of the score test at zero.

    For two groups that test is the stratified log-rank test.
    """

    log_ratio: float
    error: float
    p: float

    @property
    def interval(self) -> tuple[float, float, float]:
        """Hazard ratio with its 95 % interval."""
        low, mid, high = (np.exp(self.log_ratio + side * _Z * self.error) for side in (-1, 0, 1))
        return float(mid), float(low), float(high)


def effect(score: Array, time: Array, event: Flags, stratum: Places) -> Effect:
    """Fit one score, with a baseline hazard of its own in each stratum."""
    parts = []
    for one in np.unique(stratum):
        here = stratum == one
        risk = Risk.of(time[here], event[here])
        parts.append((risk, score[here][risk.order][:, None]))

    def slopes(at: float) -> tuple[float, float]:
        found = [risk.derivatives(values, np.array([at])) for risk, values in parts]
        return sum(float(one[0][0]) for one in found), max(sum(float(one[1][0, 0]) for one in found), 1e-12)

    gradient, information = slopes(0.0)
    p = float(stats.chi2.sf(gradient**2 / information, 1))
    at = 0.0
    for _ in range(_STEPS):
        gradient, information = slopes(at)
        step = float(np.clip(gradient / information, -1, 1))
        at += step
        if abs(step) < 1e-8:
            break
    return Effect(at, information**-0.5, p)


def predicted(score: Array, time: Array, event: Flags, new: Array, when: float) -> Array:
    """Return the survival at a time that a Cox model with this score gives to new scores (Breslow's baseline)."""
    risk = Risk.of(time, event)
    weight = np.exp(score[risk.order])
    steps = risk.event / np.cumsum(weight)[risk.last]
    hazard = float(steps[time[risk.order] <= when].sum())
    return np.asarray(np.exp(-hazard * np.exp(new)))
