"""What `crlm-node signature` prints: the list, a manifest, scores with their contributions. No decisions here.

Comes in: lines, a signature or verdicts of `workers.signature`, by their attributes. Everything fits 80 columns, but
what a manifest says in sentences, which is not cut.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_STYLES = {"ready": "green", "incomplete": "yellow", "NOT TRUSTED": "red"}
_BAR = 12  # characters that the largest contribution fills
_SHORT = 12  # digits of a digest that tell manifests apart


def listed(console: Console, lines: Sequence[Any]) -> None:
    """Print every signature: how it stands, of how many features, what it foretells."""
    if not lines:
        console.print("No signature is installed.")
        return
    table = _table("Signature", "State", "Version", "Features>", "Endpoint", "Digest")
    for one in lines:
        state = f"[{_STYLES[one.state]}]{escape(one.state)}[/]"
        count = f"{one.features}" if one.features else ""
        table.add_row(escape(one.id), state, one.version, count, escape(one.endpoint), one.digest[:_SHORT])
    console.print(table)
    for one in lines:
        _line(console, f"{one.id}: {one.remark}")


def fitted(console: Console, report: Mapping[str, Any]) -> None:
    """Print whom a signature was fitted on, how good the procedure is on unseen patients, and its terms."""
    _cohort(console, report["data"])
    table = _table("Patients that were not seen", "C-index>", "95 % interval>", "Patients>")
    rows = [("the whole procedure", report["outer"])]
    rows += [(f"{name} alone", one["outer"]) for name, one in report["candidates"].items()]
    rows += [(f"{name}, as it stands", one) for name, one in report["baselines"].items()]
    for place, (name, one) in enumerate(rows):
        if one["c_index"] is not None:
            interval = f"{one['low']:.3f} to {one['high']:.3f}"
            style = "bold" if place == 0 else None
            table.add_row(escape(name), f"{one['c_index']:.3f}", interval, f"{one['patients']}", style=style)
    console.print(table)
    console.print()
    for sentence in _verdict(report):
        _line(console, sentence)
    chosen = report["signature"]
    _section(console, f"Signature of all patients ({chosen['method']})")
    terms = _table("Feature", "Coefficient>", "Mean>", "SD>")
    for one in chosen["features"]:
        name = f"ln(1 + {one['name']})" if one["logarithm"] else one["name"]
        terms.add_row(escape(name), f"{one['coefficient']:+.4f}", f"{one['mean']:.4g}", f"{one['sd']:.4g}")
    console.print(terms)


def _cohort(console: Console, data: Mapping[str, Any]) -> None:
    """Print how many patients there are, and why others are not among them."""
    gone = [f"{count} ({why})" for why, count in data["left_out"].items() if count]
    words = f"{data['patients']} patients, {data['events']} events, {data['features']} features"
    _line(console, words + (f"; left out: {', '.join(gone)}" if gone else ""))
    if data["refused"]:
        _line(console, f"Without features: {', '.join(data['refused'])}; report.json says why")
    console.print()


def _verdict(report: Mapping[str, Any]) -> Iterable[str]:
    """Yield what the outer folds say, and what they do not."""
    groups = report["groups"]
    ratio = f"{groups['hazard_ratio']:.2f} ({groups['low']:.2f} to {groups['high']:.2f})"
    yield f"Groups: hazard ratio {ratio}, log-rank p {groups['log_rank_p']:.2g}, folds as strata."
    yield f"Calibration slope {report['calibration']['slope']:.2f}; 1 is right."
    if found := report["permutation"]:
        yield f"With shuffled follow-up ({found['shuffles']} times) the mean C-index is {found['mean']:.3f}."
    if report["outer"]["low"] <= 0.5:
        yield "The interval holds 0.5: on unseen patients this may be no better than a coin."
    better = [
        name
        for name, one in report["baselines"].items()
        if one["c_index"] is not None and one["c_index"] >= one["signature_on_the_same"]["c_index"]
    ]
    if better:
        yield "No worse on the same patients, without any fitting:"
        yield from (f"- {name}" for name in better)


def shown(console: Console, signature: Any) -> None:
    """Print what a manifest says."""
    console.print(f"\n[bold]{escape(signature.title)}[/] (research use only)", highlight=False, soft_wrap=True)
    facts = {
        "Signature": f"{signature.id}, version {signature.version}",
        "Digest": signature.digest,
        "Foretells": f"{signature.endpoint.name}. {signature.endpoint.text}",
        "Made from": signature.population,
        "For": signature.intended_use,
        "Licence": signature.licence,
    }
    for name, value in facts.items():
        _line(console, f"{name:<10} {value}")
    for citation in signature.citation:
        _line(console, f"{'Source':<10} {citation}")
    if signature.missing:
        _section(console, "Missing: there is no score")
        for what in signature.missing:
            _line(console, f"- {what}")
    if signature.requires:
        _section(console, "Requires (what is not known counts as not met)")
        for item, wanted in _required(signature.requires):
            _line(console, f"{item:<20} {wanted}")
    for roi in signature.rois:
        _section(console, f"Region {roi.id}")
        _line(console, roi.text)
    _numbers(console, signature)
    if signature.validation:
        _section(console, "How good it was")
        for one in signature.validation:
            _line(console, f"{one.name}: {_figure(one)}. {one.method}")


def _required(requires: Any) -> Iterable[tuple[str, str]]:
    yield "contrast_phase", " or ".join(requires.contrast_phase) or "any"
    thickness = requires.slice_thickness_mm
    yield "slice_thickness_mm", f"{thickness[0]:g} to {thickness[1]:g}" if thickness else "any"
    yield "lossless", "true" if requires.lossless else "any"
    yield "untreated_tumour", "true" if requires.untreated_tumour else "any"
    for roi, one in requires.mask_provenance.items():
        labels = f", with the labels {', '.join(one.labels)} and no others" if one.labels else ""
        yield "mask_provenance", f"{roi}: {' or '.join(one.origins)}{labels}"
    yield "indication", " or ".join(requires.indication) or "any"


def _numbers(console: Console, signature: Any) -> None:
    """Print the terms of the score, its groups and how it is spread in training."""
    if not signature.features:
        return
    _section(console, "Score = sum of coefficient x (value - mean) / SD, of `ln(1 + ...)` where it says so")
    table = _table("Feature", "Coefficient>", "Mean>", "SD>", "Training>")
    for one in signature.features:
        spread = f"{one.training.least:.4g} to {one.training.most:.4g}"
        name = f"ln(1 + {one.column})" if one.logarithm else one.column
        table.add_row(escape(name), f"{one.coefficient:+.4f}", f"{one.mean:.4g}", f"{one.sd:.4g}", spread)
    console.print(table)
    for id_, digest in signature.weights.items():
        _line(console, f"Deep features: by the network {id_}, digest {digest}")
    names, bounds = signature.groups.names, signature.groups.cut_offs
    parts = [names[0], *(f"above {bound:.4f} {name}" for bound, name in zip(bounds, names[1:], strict=True))]
    _line(console, f"Groups: {', '.join(parts)} ({signature.groups.method})")
    training = signature.training
    spread = f"{training.score.least:.3f} to {training.score.most:.3f}"
    _line(console, f"Training: {training.patients} patients, {training.events} events, scores from {spread}")
    _line(console, training.text)


def _figure(one: Any) -> str:
    interval = "" if one.low is None else f" ({one.low:.3f} to {one.high:.3f})"
    patients = "" if one.patients is None else f", {one.patients} patients"
    return f"{one.value:.3f}{interval}{patients}"


def has_score(answer: Any) -> bool:
    """Say whether an answer is a score, and not the reason why there is none."""
    return not hasattr(answer, "reason")


def scored(console: Console, signature: Any, verdicts: Sequence[Any]) -> None:
    """Print the scores of cases, the contributions where it is one case, and why others have none."""
    found = [one for one in verdicts if has_score(one.answer)]
    console.print(
        f"\n[bold]Rad score[/] (research use only) by {signature.id}, version {signature.version}, "
        f"manifest {signature.digest[:_SHORT]}",
        highlight=False,
        soft_wrap=True,
    )
    if found:
        table = _table("Case", "Score>", "Group", "Training below>", "Outside training")
        for one in found:
            table.add_row(escape(one.case), *_cells(one.answer))
        console.print(table)
    if len(verdicts) == 1 and found:
        _contributions(console, found[0].answer)
    for (reason, why), count in Counter(
        (one.answer.reason, one.answer.why) for one in verdicts if not has_score(one.answer)
    ).items():
        _line(console, f"{count} without a score: {reason}. {reason.sentence}")
        for sentence in why:
            _line(console, f"- {sentence}")


def _cells(answer: Any) -> tuple[str, str, str, str]:
    strange = ["score"] * answer.outside + ([f"{len(answer.strange)} features"] if answer.strange else [])
    return f"{answer.score:+.3f}", escape(answer.group), f"{answer.place:.0%}", ", ".join(strange)


def _contributions(console: Console, answer: Any) -> None:
    """Print what each feature gives, as a bar to the left or to the right."""
    largest = max(abs(one.points) for one in answer.contributions) or 1.0
    table = _table("Feature", "Value>", "Points>", "")
    for one in answer.contributions:
        width = round(_BAR * abs(one.points) / largest)
        bar = ("▪" * width).rjust(_BAR) + " " * _BAR if one.points < 0 else " " * _BAR + "▪" * width
        name = f"{one.name} (outside)" if one.outside else one.name
        table.add_row(escape(name), f"{one.value:.4g}", f"{one.points:+.3f}", bar)
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.rstrip(">"), justify="right" if name.endswith(">") else "left", overflow="fold")
    return table


def _section(console: Console, title: str) -> None:
    console.print(f"\n[bold]{escape(title)}[/]", highlight=False)


def _line(console: Console, sentence: str) -> None:
    console.print(escape(sentence), highlight=False, soft_wrap=True)
