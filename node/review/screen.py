"""Verdicts on the terminal: for each object every rule with its state, and below it where it is broken."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.review.objects import class_name
from node.review.reading import text
from node.review.subject import Subject
from node.review.verdict import Finding, State, Verdict

_STYLES = {State.OK: "green", State.WARNED: "yellow", State.BROKEN: "bold red", State.NOT_APPLICABLE: "dim"}
_MOST_FINDINGS = 5  # of one rule: a fault of a writer is in every frame


def verdicts(console: Console, subject: Subject, given: Sequence[Verdict]) -> None:
    """Print what the rules say of an object."""
    heading = Text(str(subject.path), style="bold").append(f"  {_what(subject)}", style="not bold dim")
    console.print(heading, soft_wrap=True)
    grid = Table.grid(padding=(0, 1))
    for width in (max(map(len, State)), max(len(one.rule.id) for one in given)):
        grid.add_column(no_wrap=True, min_width=width)
    grid.add_column(overflow="fold")
    for one in given:
        style = _STYLES[one.state]
        sentence = Text(one.rule.sentence, style="dim" if one.why else "")
        if one.why:
            sentence.append(f" ({one.why})")
        grid.add_row(Text(one.state, style=style), Text(one.rule.id, style="dim" if one.why else ""), sentence)
        for finding in _told(one.findings):
            grid.add_row("", "", Text(finding, style=style))
    console.print(grid, highlight=False)
    console.print()


def _what(subject: Subject) -> str:
    what = class_name(text(subject.ds, "SOPClassUID"))
    return what if subject.ours else f"{what}, not made by crlm-node"


def _told(findings: Sequence[Finding]) -> list[str]:
    lines = [f"{one.where}: {one.what}" for one in findings[:_MOST_FINDINGS]]
    if (more := len(findings) - _MOST_FINDINGS) > 0:
        lines.append(f"and {more} more")
    return lines


def end(console: Console, given: Sequence[Verdict]) -> None:
    """Print how many rules of all objects stand how."""
    counted = Counter(one.state for one in given)
    words = [f"{counted[one]} {one}" for one in State if counted[one] or one in (State.OK, State.BROKEN)]
    console.print(", ".join(words).replace("n/a", "not applicable"), highlight=False)
