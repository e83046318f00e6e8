"""What a person sees of a batch: a bar that says how many are done, a line for each case that failed, the end.

No decisions here. On a terminal the bar stands on stderr, below the lines of cases that failed; in a pipe there is a
line for each case on stdout, and those that failed on stderr too. Cases are named by their names, never by patient.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from node.core.cases import Case, Fate, Outcome

_STYLES = {Fate.MEASURED: "green", Fate.REFUSED: "yellow", Fate.FAILED: "red"}
_MEANINGS = {
    Fate.EARLIER: "by an earlier run, not looked at in this one",
    Fate.WAITING: "not measured yet: the same command goes on here",
}


class Bar:
    """A progress bar, and the lines of single cases."""

    def __init__(self, out: Console, err: Console, progress: Progress, task: TaskID) -> None:
        self._out = out
        self._err = err
        self._progress = progress
        self._task = task
        self._fates: Counter[Fate] = Counter()

    def ended(self, case: Case, outcome: Outcome) -> None:
        """Hear how a case ended."""
        self._fates[outcome.fate] += 1
        words = ", ".join(f"{self._fates[fate]} {fate}" for fate in _STYLES if self._fates[fate])
        self._progress.update(self._task, advance=1, description=words)
        if outcome.fate is Fate.FAILED:
            line = f"{case.name} failed: {outcome.reason}: {outcome.text}"
            self._err.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
        elif not self._err.is_terminal:
            words = f" {outcome.reason}" if outcome.reason else ""
            words += " (kept)" if outcome.kept else f" ({outcome.seconds:.1f} s)"
            self._out.print(f"{case.name} {outcome.fate}{words}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bar(out: Console, err: Console, total: int) -> Iterator[Bar]:
    """Show a bar while the block runs."""
    columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}"), TextColumn("left"))
    with Progress(
        *columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal
    ) as progress:
        yield Bar(out, err, progress, progress.add_task("", total=total))


def summary(console: Console, outcomes: Mapping[str, Outcome]) -> None:
    """Print how many cases ended how, and why there are no numbers where there are none."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("Cases")
    table.add_column(f"{len(outcomes)}", justify="right")
    table.add_column("", overflow="fold")
    for fate in Fate:
        of_it = [one for one in outcomes.values() if one.fate is fate]
        if of_it:
            style = _STYLES.get(fate, "")
            table.add_row(str(fate), f"{len(of_it)}", escape(_remark(fate, of_it)), style=style)
    console.print()
    console.print(table, highlight=False)


def _remark(fate: Fate, of_it: Sequence[Outcome]) -> str:
    words = [f"{reason} {count}" for reason, count in Counter(one.reason for one in of_it).most_common() if reason]
    if kept := sum(one.kept for one in of_it):
        words.append(f"{kept} of them kept from an earlier run")
    return _MEANINGS.get(fate, ", ".join(words))
