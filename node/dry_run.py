"""What `crlm-node series` prints: the ranking of a study with every reason. Nothing is measured, nothing decided here.

Beside the ten stages. Comes in: the `Ranking` of stage 4. Goes out: tables on the terminal. What can go wrong:
nothing. Next: the person who writes a site's rules.
"""

from collections import defaultdict
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from node.core.records import LeftOut
from node.selection import Ranked, Ranking
from node.selection.rules import Weights

_SHORT = {"coverage": "cover", "thickness": "thick", "field of view": "field"}


def show(console: Console, ranking: Ranking, weights: Weights) -> None:
    """Print the candidates by rank, the points of each beside the most there are, and what was left out and why."""
    if ranking.ranked:
        _candidates(console, ranking.ranked)
        _points(console, ranking.ranked, weights)
    if ranking.left_out:
        _left_out(console, ranking.left_out)
    _end(console, ranking)


def _candidates(console: Console, ranked: Sequence[Ranked]) -> None:
    console.print(f"\n[bold]Candidates[/], best first ({len(ranked)})", highlight=False)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="bold green")
    grid.add_column(overflow="fold")
    for place, one in enumerate(ranked, 1):
        words = one.candidate.why.removeprefix(f"{one.candidate.part}: ").rpartition(": ")[0]
        about = Text(_name(one), style="bold")
        about.append(f"  {one.score.total:.1f} points", style="green")
        facts = [f"{one.traits.slices} slices", f"field of view {one.traits.field_of_view_mm:.0f} mm"]
        if one.traits.phase_by and "after" not in one.traits.phase_by:
            facts.append(f"phase by the {one.traits.phase_by}")
        grid.add_row(f"{place}", about)
        grid.add_row("", Text(words))
        grid.add_row("", Text(", ".join(facts), style="dim"))
        grid.add_row("", Text(one.candidate.series_instance_uid, style="dim"))
    console.print(grid, highlight=False)


def _points(console: Console, ranked: Sequence[Ranked], weights: Weights) -> None:
    console.print("\n[bold]Points[/] by criterion", highlight=False)
    most = weights.model_dump()
    criteria = list(ranked[0].score.criteria)
    preferred = any(one.score.preferences for one in ranked)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("", justify="right", style="bold green")
    for name in [*criteria, *(["rules"] if preferred else []), "total"]:
        table.add_column(_SHORT.get(name, name), justify="right", style="green" if name == "total" else "")
    for place, one in enumerate(ranked, 1):
        rules = [f"{sum(one.score.preferences.values()):+.1f}" if one.score.preferences else ""] if preferred else []
        points = [f"{one.score.criteria[name]:.1f}" for name in criteria]
        table.add_row(f"{place}", *points, *rules, f"{one.score.total:.1f}")
    shown = [f"{most[name.replace(' ', '_')]:.1f}" for name in criteria]
    table.add_row("of", *shown, *([""] if preferred else []), f"{sum(most.values()):.1f}", style="dim not bold")
    console.print(table)


def _left_out(console: Console, left_out: Sequence[LeftOut]) -> None:
    """Print each reason once, with the series that it is the reason of."""
    console.print(f"\n[bold]Left out[/] ({len(left_out)})", highlight=False)
    by_reason: defaultdict[str, list[LeftOut]] = defaultdict(list)
    for one in left_out:
        by_reason[one.why].append(one)
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(overflow="fold")
    for why, series in by_reason.items():
        grid.add_row("", f"[yellow]{escape(why)}[/]")
        for one in series:
            description = escape(one.description or "without description")
            uid = f"  [dim]{one.series_instance_uid}[/]" if one.series_instance_uid else ""
            grid.add_row("", f"  {description}{uid}")
    console.print(grid, highlight=False)


def _end(console: Console, ranking: Ranking) -> None:
    console.print()
    if ranking.refusal is not None:
        code, sentence = ranking.refusal.code, ranking.refusal.code.sentence
        console.print(f"[yellow]No candidate: {code}.[/] {escape(sentence)}", highlight=False)
        return
    words = f"[bold]{escape(_name(ranking.ranked[0]))}[/] would be measured"
    if others := len(ranking.ranked) - 1:
        words += f", and the other{'s in their order' if others > 1 else ''} only where it cannot be"
    if count := len(ranking.segmentations):
        words += f"; {count} segmentation{'s' * (count != 1)} of the study would be imported where they lie on it"
    console.print(words + ".", highlight=False)


def _name(one: Ranked) -> str:
    number = f"series {one.series_number}" if one.series_number is not None else "series without number"
    part = f", {one.candidate.part}" if one.candidate.part else ""
    return f"{one.candidate.description or 'without description'} ({number}{part})"
