"""What a person sees of a backfill: a bar that says what is done now, a line for each study, the table of a dry run.

No decisions here. On a terminal the bar stands below the lines; in a pipe there are the lines alone, and a line for
each new cause of waiting. Studies are named by UID and date, never by patient.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from node.backfill.campaign import counts_of, reasons_of
from node.backfill.fetching import Series
from node.backfill.pace import Wait
from node.backfill.pieces import Piece
from node.backfill.plan import Fate, Outcome, Plan
from node.backfill.search import Findings, Found
from node.core.query import Moved

_STYLES = {Fate.FETCHED: "green", Fate.FAILED: "red"}
_MOST_NAMED = 10
_NO_DATE = "no date "


class Bar:
    """A progress bar and the lines above it.

    Parameters
    ----------
    console
        Where it is printed.
    progress, task
        The bar.
    """

    def __init__(self, console: Console, progress: Progress, task: TaskID) -> None:
        self._console = console
        self._progress = progress
        self._task = task
        self._waited_for = ""
        self._study = ""

    def asked(self, piece: Piece, findings: Findings) -> None:
        """Hear of a part of the search."""
        self._say(f"asked for {piece}: {len(findings.studies)} studies")

    def waits(self, wait: Wait) -> None:
        """Hear what is waited for; a new cause gets a line where no bar is seen."""
        self._say(wait.sentence)
        if wait.limit != self._waited_for and not self._console.is_terminal:
            self._line(escape(wait.sentence))
        self._waited_for = wait.limit

    def begins(self, found: Found) -> None:
        """Hear of a study that is fetched now."""
        self._waited_for, self._study = "", found.date or _NO_DATE
        self._say(f"fetches {self._study}")

    def moves(self, moved: Moved) -> None:
        """Hear how the move of a series stands."""
        self._say(f"fetches {self._study}: {moved.completed + moved.warned} of {moved.total} instances")

    def ends(self, found: Found, outcome: Outcome) -> None:
        """Hear how a study ended."""
        style = _STYLES.get(outcome.fate)
        fate = f"[{style}]{outcome.fate}[/]" if style else str(outcome.fate)
        words = f", {outcome.instances} instances" if outcome.instances else ""
        words += f": {outcome.reason}" if outcome.reason else ""
        self._line(f"{escape(found.date or _NO_DATE)} {escape(found.study_uid)} {fate}{escape(words)}")
        if outcome.fate is not Fate.FAILED:
            self._progress.advance(self._task)

    def _say(self, words: str) -> None:
        self._progress.update(self._task, description=escape(words))

    def _line(self, markup: str) -> None:
        self._progress.console.print(markup, highlight=False, soft_wrap=True)


@contextmanager
def bar(console: Console, total: int | None, done: int = 0) -> Iterator[Bar]:
    """Show a bar while the block runs."""
    columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(console, progress, progress.add_task("", total=total, completed=done))


def remarks(console: Console, findings: Findings) -> None:
    """Print what a person should know of the archive's answers."""
    for keyword, count in findings.ignored.items():
        console.print(
            f"[yellow]the archive does not heed {keyword}[/]: {count} answers did not match it and were dropped",
            highlight=False,
            soft_wrap=True,
        )
    if findings.doubtful:
        named = ", ".join(map(str, findings.doubtful[:_MOST_NAMED]))
        console.print(
            f"[yellow]the archive may have more[/] than it answered for {named}"
            + (f" and {len(findings.doubtful) - _MOST_NAMED} more" if len(findings.doubtful) > _MOST_NAMED else "")
            + ": the number of its answers looks like a limit; ask with narrower keys",
            highlight=False,
            soft_wrap=True,
        )


def preview(console: Console, rows: Sequence[tuple[Found, Sequence[Series], Mapping[str, int]]]) -> None:
    """Print what would be fetched: studies with their CT series, and how much of each is here."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for name, justify in (
        ("Date", "left"),
        ("Study", "left"),
        ("Series", "left"),
        ("Images", "right"),
        ("Here", "right"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    for found, series, held in rows:
        title = [found.date, found.description or found.study_uid]
        for cells in [_cells(one, held) for one in series] or [["no CT series", "", ""]]:
            table.add_row(*map(escape, [*title, *cells]))
            title = ["", ""]
    console.print(table, highlight=False)
    images = sum(one.instances or 0 for _, series, _ in rows for one in series)
    console.print(
        f"{len(rows)} studies, {sum(len(one) for _, one, _ in rows)} CT series, {images} images", highlight=False
    )


def _cells(one: Series, held: Mapping[str, int]) -> list[str]:
    count = "?" if one.instances is None else str(one.instances)
    return [one.description or one.series_uid, count, str(held.get(one.series_uid, 0))]


def summary(console: Console, plan: Plan) -> None:
    """Print what became of all studies of a plan, and why those failed that did."""
    for found, outcome in reasons_of(plan):
        words = f"{found.date} {found.study_uid}: {outcome.reason}"
        console.print(f"[red]failed[/] {escape(words)}", highlight=False, soft_wrap=True)
    counts = counts_of(plan)
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count or name in ("found", Fate.FETCHED))
    console.print(words, highlight=False)
