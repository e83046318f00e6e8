"""The commands on what a site enters about its patients: an empty form, and whether a filled one can be used."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node.cli.application import FAILED, FILE, group, say
from node.facts import is_plausible
from node.form import CLINICAL, Fault, Form, empty_csv, empty_toml, read

facts_app = group("facts", "Check and begin the form of facts that the site enters about its patients.")

_IMPLAUSIBLE = "is no plausible height: the indices of this patient will not be computed by it"


class Format(StrEnum):
    """How a form is written."""

    CSV = "csv"
    TOML = "toml"


@facts_app.command("check")
def facts_check(form: Annotated[Path, typer.Argument(help="The form, .csv or .toml.", **FILE)]) -> None:
    """Say what a form holds, and each of its faults by line and column.

    No patient is named. Exit code 1 where there is a fault: the node would not use the form.
    """
    found = read(form)
    for name, count in _counts(found).items():
        say(f"{count:>6}  {name}")
    implausible = (
        Fault(one.line, "height_m", _IMPLAUSIBLE)
        for one in found.entries
        if one.height_m is not None and not is_plausible(one.height_m)
    )
    faults = [*found.faults, *implausible]
    for fault in faults:
        say(str(fault))
    if faults:
        raise typer.Exit(FAILED)
    say(f"The form can be used ({form}).")


@facts_app.command("template")
def facts_template(
    format_: Annotated[Format, typer.Option("--format", help="As CSV or as TOML.")] = Format.CSV,
) -> None:
    """Print an empty form, with what each of its columns means."""
    typer.echo(empty_csv() if format_ is Format.CSV else empty_toml(), nl=False)


def _counts(form: Form) -> dict[str, int]:
    """Return how many patients there are, and of how many each fact is known."""
    clinical = [one.clinical for one in form.entries if one.clinical]
    counts = {"patients": len(form.entries), "height_m": sum(one.height_m is not None for one in form.entries)}
    return counts | {name: sum(getattr(one, name) is not None for one in clinical) for name in CLINICAL}
