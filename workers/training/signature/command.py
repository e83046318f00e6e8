"""`crlm-node signature fit`: read a cohort, judge the procedure, fit on all patients, write what came of it.

In: where the tables are, a folder, a seed. Out: `manifest.json`, `MODEL_CARD.md`, `report.json`, `figures/`. What
can go wrong: `WrongCohort`, before anything is fitted but for a procedure that chooses nothing; then the report is
there, and no manifest. Next: a reader; `crlm-node signature score`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from node.core import signatures
from workers.signature import folder
from workers.training.signature import about, card, cohort, export, figures, nested, report
from workers.training.signature.cohort import Sources
from workers.training.signature.judgement import judge
from workers.training.signature.procedure import QUICK, Plan, chosen, fit_each
from workers.training.signature.tables import WrongCohort

__all__ = ["REPORT", "UNITS", "Sources", "WrongCohort", "fit", "fits"]

REPORT = "report.json"
UNITS = {"days": 365.25, "months": 12.0, "years": 1.0}
"""How long a year is in each unit of time."""


@dataclass(frozen=True)
class Outcome:
    """What a run wrote: the report, and the files, the manifest first."""

    report: dict[str, Any]
    files: tuple[str, ...]


def fits(*, quick: bool) -> int:
    """Return how often the procedure runs to be judged: how often `fit` tells of progress."""
    plan = QUICK if quick else Plan()
    return plan.folds * (plan.repeats + plan.shuffles) + plan.bootstraps


def fit(
    sources: Sources,
    out: Path,
    words: Path | None = None,
    unit: str = "months",
    seed: int = 0,
    *,
    quick: bool = False,
    classes: Mapping[str, list[str]] | None = None,
    refused: Mapping[str, str] | None = None,
    told: Callable[[], None] = lambda: None,
) -> Outcome:
    """Fit a signature and write it into `out`; files of an earlier run are replaced.

    Parameters
    ----------
    words
        TOML file of what no table holds (`about`).
    classes
        The classes of features that were asked for, with their names; else those that the table has.
    refused
        Why a patient has no row in the table of features, by patient.
    told
        Is called after each run of the procedure that it is judged by.

    Raises
    ------
    WrongCohort
        See the modules.
    """
    read = cohort.read(sources)
    said = about.read(words) if words else about.plain(sources, out)
    if strange := set(sources.every_fact) ^ said.facts.keys():
        raise WrongCohort(f"the facts of the command and those of the words differ: {', '.join(sorted(strange))}")
    run = _run(sources, read, seed, unit, quick=quick, told=told)
    run = replace(run, refused=refused or {})
    out.mkdir(parents=True, exist_ok=True)
    document = report.document(run)
    (out / REPORT).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    drawn = figures.draw(run, UNITS[unit], out)
    signature = export.manifest(read, run.fitted, run.judged, said, run.plan, classes)
    (out / card.NAME).write_text(card.card(signature, document, said.remarks), encoding="utf-8")
    (out / signatures.NAME).write_text(folder.text(signature), encoding="utf-8")
    named = (signatures.NAME, card.NAME, REPORT, *(f"{path.parent.name}/{path.name}" for path in drawn))
    return Outcome(document, named)


def _run(
    sources: Sources, read: cohort.Cohort, seed: int, unit: str, *, quick: bool, told: Callable[[], None]
) -> report.Run:
    plan = QUICK if quick else Plan()
    outer_seed, all_seed, draw_seed, bootstrap_seed, shuffle_seed = np.random.SeedSequence(seed).spawn(5)
    values, time, event = read.values, read.time, read.event
    outer = nested.validate(values, time, event, plan, outer_seed, told)
    tried = fit_each(values, time, event, plan, all_seed)
    return report.Run(
        sources=sources,
        cohort=read,
        plan=plan,
        seed=seed,
        quick=quick,
        unit=unit,
        fitted=tried[chosen(tried)],
        tried=tried,
        outer=outer,
        judged=judge(read, outer, UNITS[unit], draw_seed),
        optimism=nested.optimism(values, time, event, plan, bootstrap_seed, told),
        permuted=nested.permuted(values, time, event, replace(plan, repeats=1), shuffle_seed, told),
    )
