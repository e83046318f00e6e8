"""What the doctor finds, drawn for a terminal, or as JSON for what monitors the site.

A mark and a word on each line, so that it can be read without colours; the cure under what is not well; a summary.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node import __version__
from node.core.findings import Finding, Level, Part

_MARKS = {
    Level.FINE: ("✓", "fine", "green"),
    Level.NOTE: ("·", "note", "dim"),
    Level.WARNING: ("!", "warning", "yellow"),
    Level.FAULT: ("✗", "FAULT", "bold red"),
}
_WIDEST = 110


def heading(console: Console, part: Part) -> None:
    """Begin a part."""
    console.print(f"\n[bold]{part.capitalize()}[/]", highlight=False)


def line(console: Console, finding: Finding) -> None:
    """Print one finding, and its cure below it."""
    mark, word, style = _MARKS[finding.level]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=3, justify="right")
    grid.add_column(width=7)
    grid.add_column(overflow="fold")
    told = escape(finding.found)
    grid.add_row(
        f"[{style}]{mark}[/]", f"[{style}]{word}[/]", f"[dim]{told}[/]" if finding.level is Level.NOTE else told
    )
    if finding.cure:
        grid.add_row("", "", f"[cyan]→[/] {escape(finding.cure)}")
    console.print(grid, width=min(console.width, _WIDEST), highlight=False)


def summary(console: Console, found: Sequence[Finding]) -> None:
    """Print how it stands."""
    counts = Counter(one.level for one in found)
    words = f"{len(found)} things looked at: {counts[Level.FINE]} fine"
    for level, name in ((Level.NOTE, "note"), (Level.WARNING, "warning"), (Level.FAULT, "fault")):
        if number := counts[level]:
            words += f", [{_MARKS[level][2]}]{number} {name}{'s' if number > 1 else ''}[/]"
    console.print(f"\n{words}.", highlight=False)
    end = "Mend the faults in this order." if counts[Level.FAULT] else "Nothing stands in the way of a study."
    console.print(end, highlight=False)


def as_json(found: Sequence[tuple[Part, Finding]]) -> str:
    """Return everything as one object."""
    counts = Counter(finding.level for _, finding in found)
    return json.dumps(
        {
            "version": __version__,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "sound": not counts[Level.FAULT],
            "counts": {level.value: counts[level] for level in Level},
            "findings": [
                {
                    "part": part,
                    "check": finding.check,
                    "subject": finding.subject,
                    "level": finding.level,
                    "ailment": finding.ailment,
                    "found": finding.found,
                    "cure": finding.cure,
                }
                for part, finding in found
            ],
        },
        indent=1,
        ensure_ascii=False,
    )
