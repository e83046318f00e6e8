"""The commands on what a site enters about its patients: an empty form, and whether a filled one can be used."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node import operations
from node.cli.application import FAILED, FILE, WrongUse, group, ledger_of, say, settings_in_force
from node.facts import is_plausible
from node.form import CLINICAL, Fault, Form, empty_csv, empty_toml, read, read_fields

facts_app = group("facts", "Check and begin the form of facts that the site enters about its patients, or enter some.")

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


@facts_app.command("enter")
def facts_enter(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Study Instance UID, or how it begins.", show_default=False)
    ],
    fact: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A column of the form and what it says, repeatable: height_m=1.72."),
    ] = None,
    cause: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit trail; no patient data.")] = "",
) -> None:
    """Enter facts about the patient of a study, as on the page, and judge the study again.

    They stand above the form, and in place of what was entered on the page before.
    """
    pairs = [one.partition("=") for one in fact or ()]
    for name, equals, _ in pairs:
        if not equals or name not in ("height_m", *CLINICAL):
            raise WrongUse(f"--fact is one of {', '.join(('height_m', *CLINICAL))} with its value, unlike {name}")
    facts, faults = read_fields({name: value for name, _, value in pairs})
    if faults:
        raise WrongUse("; ".join(str(one) for one in faults))
    uid = operations.enter_facts(ledger_of(settings_in_force()), study, facts, cause)
    say(f"{uid} is judged again")


def _counts(form: Form) -> dict[str, int]:
    """Return how many patients there are, and of how many each fact is known."""
    clinical = [one.clinical for one in form.entries if one.clinical]
    counts = {"patients": len(form.entries), "height_m": sum(one.height_m is not None for one in form.entries)}
    return counts | {name: sum(getattr(one, name) is not None for one in clinical) for name in CLINICAL}
