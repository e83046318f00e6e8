"""`report.json`: every figure, and the log of all that was tried.

In: all that a run found. Out: a document that JSON can hold (numbers that do not exist are null). What can go wrong:
nothing. Next: `card`, and a reader.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.training.signature.cohort import Cohort, Sources
from workers.training.signature.concordance import harrell
from workers.training.signature.cox import Risk, univariate
from workers.training.signature.curves import kaplan_meier
from workers.training.signature.export import METHOD
from workers.training.signature.judgement import CALIBRATED_AT_YEARS, Interval, Judgement
from workers.training.signature.nested import Outer
from workers.training.signature.procedure import Fitted, Plan

Array = NDArray[np.float64]
SCHEMA_VERSION = "1.0"


@dataclass(frozen=True)
class Run:
    """All that a run found.

    Attributes
    ----------
    tried
        Every method's signature of all patients; `fitted` is the chosen one.
    optimism
        Of each bootstrap sample, (bootstraps,).
    permuted
        Outer C-index of each shuffle of the follow-up, (shuffles,).
    refused
        Why a patient has no features, by patient; of a cohort that is read from studies.
    """

    sources: Sources
    cohort: Cohort
    plan: Plan
    seed: int
    quick: bool
    unit: str
    fitted: Fitted
    tried: Mapping[str, Fitted]
    outer: Outer
    judged: Judgement
    optimism: Array
    permuted: Array
    refused: Mapping[str, str] = field(default_factory=dict)


def document(run: Run) -> dict[str, Any]:
    """Return the report."""
    judged = run.judged
    whole: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "seed": run.seed,
        "quick": run.quick,
        "plan": asdict(run.plan),
        "columns": _columns(run.sources),
        "data": _data(run),
        "outer": _interval(judged.c_index, "c_index")
        | {"method": METHOD.format(folds=run.plan.folds, repeats=run.plan.repeats)},
        "groups": _interval(judged.groups, "hazard_ratio")
        | {"log_rank_p": judged.log_rank_p, "method": "strata are the folds; the median repeat"},
        "auc": [{"years": years} | _interval(one, "auc") for years, one in judged.auc.items()],
        "calibration": {
            "slope": judged.slope,
            "years": CALIBRATED_AT_YEARS,
            "quarters": [{"predicted": one.predicted} | _interval(one.observed, "observed") for one in judged.quarters],
        },
        "optimism": _optimism(run),
        "candidates": {
            name: {"outer": _interval(one, "c_index"), "chosen": part} for name, (one, part) in judged.methods.items()
        },
        "baselines": {
            name: _interval(one.baseline, "c_index") | {"signature_on_the_same": _interval(one.procedure, "c_index")}
            for name, one in judged.baselines.items()
        },
        "permutation": _permutation(run),
        "stability": dict(judged.taken),
        "signature": _signature(run.cohort, run.fitted),
        "univariate": _univariate(run.cohort),
        "log": _log(run),
    }
    return dict(finite(whole))


def finite(value: Any) -> Any:
    """Return a document with null in place of numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _interval(one: Interval, name: str) -> dict[str, Any]:
    return {name: one.value, "low": one.low, "high": one.high, "patients": one.patients}


def _columns(sources: Sources) -> dict[str, Any]:
    """Return what the command was told of the tables, files by their names."""
    return {
        name: value.name if isinstance(value, Path) else value
        for name, value in ((one.name, getattr(sources, one.name)) for one in fields(sources))
    }


def _data(run: Run) -> dict[str, Any]:
    cohort = run.cohort
    followed = kaplan_meier(cohort.time, ~cohort.event)
    reached = followed.time[followed.survival <= 0.5]
    return {
        "files": dict(cohort.digests),
        "patients": len(cohort.time),
        "events": int(cohort.event.sum()),
        "features": len(cohort.names),
        "left_out": dict(cohort.left_out),
        "refused": dict(run.refused),
        "unit_of_time": run.unit,
        "median_follow_up": float(reached[0]) if len(reached) else None,
        "extraction": dict(cohort.extraction),
    }


def _optimism(run: Run) -> dict[str, Any]:
    cohort = run.cohort
    apparent = harrell(run.fitted.score(cohort.values), cohort.time, cohort.event)
    mean = float(run.optimism.mean()) if len(run.optimism) else math.nan
    return {"bootstraps": len(run.optimism), "apparent": apparent, "optimism": mean, "corrected": apparent - mean}


def _permutation(run: Run) -> dict[str, Any] | None:
    """Return what shuffles of the follow-up gave; p counts those that reach the real C-index."""
    if not len(run.permuted):
        return None
    reached = int(np.count_nonzero(run.permuted >= run.judged.c_index.value))
    return {
        "shuffles": len(run.permuted),
        "mean": float(run.permuted.mean()),
        "sd": float(run.permuted.std(ddof=1)) if len(run.permuted) > 1 else math.nan,
        "p": (reached + 1) / (len(run.permuted) + 1),
    }


def _signature(cohort: Cohort, fitted: Fitted) -> dict[str, Any]:
    columns = zip(fitted.places, fitted.mean, fitted.sd, fitted.coefficients, strict=True)
    return {
        "method": fitted.method,
        "step": fitted.step,
        "cut_off": fitted.cut_off,
        "features": [
            {
                "name": cohort.names[place],
                "logarithm": cohort.names[place] in cohort.logarithms,
                "mean": float(mean),
                "sd": float(sd),
                "coefficient": float(coefficient),
            }
            for place, mean, sd, coefficient in columns
        ],
    }


def _univariate(cohort: Cohort) -> list[dict[str, Any]]:
    """Return each feature's hazard ratio per SD on all patients, smallest p first: to look at, not to choose by."""
    sd = cohort.values.std(axis=0)
    varied = np.flatnonzero(sd > 0)
    scaled = (cohort.values[:, varied] - cohort.values[:, varied].mean(axis=0)) / sd[varied]
    found = univariate(scaled, Risk.of(cohort.time, cohort.event))
    return [
        {
            "name": cohort.names[varied[place]],
            "hazard_ratio_per_sd": float(np.exp(found.coefficient[place])),
            "p": float(found.p[place]),
        }
        for place in np.argsort(found.p, kind="stable")
    ]


def _log(run: Run) -> list[dict[str, Any]]:
    """Return every signature that was fitted for a judgement, of every method, whether taken or not."""
    cohort, outer = run.cohort, run.outer
    entries = [
        _entry(cohort, name, fitted, fitted is run.fitted) | {"on": "all patients"}
        for name, fitted in run.tried.items()
    ]
    for repeat, row in enumerate(outer.tried):
        for fold, fits in enumerate(row):
            test = outer.fold[repeat] == fold
            for name, fitted in fits.items():
                reached = harrell(fitted.score(cohort.values[test]), cohort.time[test], cohort.event[test])
                entry = _entry(cohort, name, fitted, fitted is outer.fits[repeat][fold])
                entries.append(entry | {"on": f"repeat {repeat}, all but fold {fold}", "held_out_c_index": reached})
    return entries


def _entry(cohort: Cohort, name: str, fitted: Fitted, taken: bool) -> dict[str, Any]:
    return {
        "method": name,
        "step": fitted.step,
        "inner_c_index": fitted.inner,
        "taken": taken,
        "features": [cohort.names[place] for place in fitted.places],
        "cut_off": fitted.cut_off,
    }
