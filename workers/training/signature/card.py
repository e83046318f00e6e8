"""The model card of a signature: what it is, how good it is, and what it must not be used for, for a reader.

In: the manifest and the report. Out: Markdown. What can go wrong: nothing. Next: a reader.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workers.signature.manifest import Signature

NAME = "MODEL_CARD.md"


def card(signature: Signature, report: Mapping[str, Any], remarks: Sequence[str] = ()) -> str:
    """Return the card; `remarks` are what a person has to say of how it came about."""
    parts = (_head(signature, report), _remarks(remarks), _performance(report), _numbers(signature))
    return "\n".join([line for part in parts for line in part] + [*_making(report), *_command(signature, report), ""])


def _head(signature: Signature, report: Mapping[str, Any]) -> Iterator[str]:
    outer, data = report["outer"], report["data"]
    yield f"# {signature.id} {signature.version}"
    yield f"\n{signature.title}. {signature.intended_use}"
    yield (
        f"\n**C-index {_figure(outer, 'c_index')}** in the outer folds of a repeated nested cross-validation of the "
        f"whole procedure ({data['patients']} patients, {data['events']} events). 0.5 is a coin."
    )
    yield f"\n- Patients: {signature.population}"
    yield f"- Endpoint: {signature.endpoint.name}. {signature.endpoint.text}"
    left_out = ", ".join(f"{count} ({why})" for why, count in data["left_out"].items() if count) or "none"
    yield f"- Patients left out: {left_out}"
    yield f"- Licence: {signature.licence}"
    yield from (f"- Source: {one}" for one in signature.citation)


def _remarks(remarks: Sequence[str]) -> Iterator[str]:
    if remarks:
        yield "\n## To know before reading the figures\n"
        yield from (f"- {one}" for one in remarks)


def _performance(report: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## How good it is\n"
    yield "Every figure is of scores by a signature that had not seen the patient. In brackets: 95 % interval.\n"
    yield "| figure | value | patients |\n|---|---|---|"
    yield _row("C-index", report["outer"], "c_index")
    groups = report["groups"]
    yield _row(f"Hazard ratio of the groups (log-rank p {groups['log_rank_p']:.2g})", groups, "hazard_ratio")
    yield from (_row(f"AUC at {one['years']} year{'s' * (one['years'] > 1)}", one, "auc") for one in report["auc"])
    for name, one in report["baselines"].items():
        there = one["signature_on_the_same"]
        remark = f" (the signature on the same patients: {there['c_index']:.3f})" if there["c_index"] else ""
        yield _row(f"C-index of `{name}` alone{remark}", one, "c_index")
    optimism = report["optimism"]
    yield (
        f"\nOn its own training patients the signature reaches {optimism['apparent']:.3f}, which says nothing of "
        f"others. The calibration slope is {report['calibration']['slope']:.2f}: 1 is right, below 1 the score is too "
        "wide."
    )
    if optimism["corrected"] is not None:
        yield (
            f"{optimism['bootstraps']} bootstraps put the optimism of that at {optimism['optimism']:.3f}, "
            f"which leaves {optimism['corrected']:.3f}."
        )
    if found := report["permutation"]:
        yield (
            f"With the follow-up shuffled among the patients ({found['shuffles']} times) the same procedure has a mean "
            f"C-index of {found['mean']:.3f}; p of the real one is {found['p']:.2g}."
        )


def _numbers(signature: Signature) -> Iterator[str]:
    yield "\n## What it is made of\n"
    yield "Score = sum of coefficient x (value - mean) / SD; of a feature in `ln(1 + ...)` that is its value.\n"
    yield "| feature | coefficient | mean | SD |\n|---|---|---|---|"
    for one in signature.features:
        name = f"ln(1 + {one.name})" if one.logarithm else one.name
        yield f"| `{name}` | {one.coefficient:+.4f} | {one.mean:.6g} | {one.sd:.6g} |"
    if signature.groups:
        low, high = signature.groups.names
        yield f"\nGroup `{high}` above {signature.groups.cut_offs[0]:.4f}, else `{low}` ({signature.groups.method})."


def _making(report: Mapping[str, Any]) -> Iterator[str]:
    plan = report["plan"]
    yield "\n## How it was made\n"
    yield (
        f"Features that are near-constant or copies (Spearman above {plan['rules']['correlation']}) go; of the others "
        f"those with a univariate Cox p up to {plan['rules']['p']} stay, and the {plan['rules']['fewest']} best in any "
        f"case. Method and number of features (at most {plan['most']}) are chosen by the C-index of {plan['inner']} "
        f"inner folds; the cut-off is the median training score. All of this is repeated in every outer fold. Seed "
        f"{report['seed']}.\n"
    )
    yield "| method | C-index alone, outer folds | chosen in |\n|---|---|---|"
    for name, one in report["candidates"].items():
        yield f"| {name} | {_figure(one['outer'], 'c_index')} | {one['chosen']:.0%} |"
    yield "\n`report.json` has the log of every signature that was tried."


def _command(signature: Signature, report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the command that gives the same files again, with the names of the tables in place of their paths."""
    told = report["columns"]
    words = [("--features", told["features"]), ("--followup", told["followup"]), ("--id", told["id"])]
    words += [("--time", told["time"]), ("--event", told["event"]), ("--prefix", told["prefix"])]
    for option, names in (("--fact", "facts"), ("--log-fact", "log_facts"), ("--baseline", "baselines")):
        words += [(option, name) for name in told[names]]
    words += [("--unit", report["data"]["unit_of_time"]), ("--seed", str(report["seed"]))]
    lines = [f"{option} {shlex.quote(word)}" for option, word in words]
    yield "\n## The command\n"
    yield "With the file of words beside this card as `--about`, the same files and the same libraries:\n"
    quick = " --quick" if report["quick"] else ""
    yield "```\ncrlm-node signature fit \\\n    " + " \\\n    ".join(lines) + f" --out {signature.id}{quick}\n```"


def _row(name: str, one: Mapping[str, Any], key: str) -> str:
    return f"| {name} | {_figure(one, key)} | {one['patients']} |"


def _figure(one: Mapping[str, Any], key: str) -> str:
    if one[key] is None:
        return "not computable"
    return f"{one[key]:.3f} ({one['low']:.3f} to {one['high']:.3f})"
