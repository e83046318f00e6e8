"""The commands on signatures: which there are, what one needs and how good it is, and scores by it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from node import signatures
from node.cli.application import (
    FAILED,
    FILE,
    NEW_FILE,
    WrongUse,
    group,
    of_the_workers,
    out,
    say,
    settings_in_force,
)

signature_app = group(
    "signature", "List signatures, show what one needs and how good it is, score features by one, fit one to a cohort."
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The signature, as `list` names it.", show_default=False)]


@signature_app.command("list")
def signature_list() -> None:
    """Show the signatures that are installed, and how they stand.

    Exit code 1 where a manifest is not to be trusted.
    """
    listed = of_the_workers("signature").listed(settings_in_force().models)
    signatures.listed(out, listed)
    if any(one.state == "NOT TRUSTED" for one in listed):
        raise typer.Exit(FAILED)


@signature_app.command("show")
def signature_show(id_: Id) -> None:
    """Show all that the manifest of a signature says: what it requires, its numbers, how good it was."""
    signatures.shown(out, _found(id_))


@signature_app.command("score")
def signature_score(
    id_: Id,
    features: Annotated[Path, typer.Option(help="CSV of features, a row for each case.", **FILE)],
    prefix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROI=]PREFIX",
            help="What stands before the names of features; repeatable, ROI=PREFIX where there are several regions.",
            show_default=False,
        ),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COL", help="Column of cases; else the first.", show_default=False)
    ] = None,
    facts: Annotated[
        Path | None, typer.Option(help="CSV of facts about the cases; its first column says which.", **FILE)
    ] = None,
    absent: Annotated[
        str, typer.Option(metavar="TEXT", help="What a cell says where nothing is known, beside nothing.")
    ] = "",
    known: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ITEM=VALUE",
            help="What is known of all cases, as contrast_phase=portal-venous; repeatable. A column of that name says "
            "it for its case.",
            show_default=False,
        ),
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--out", help="CSV of scores and contributions to write.", **NEW_FILE)
    ] = None,
) -> None:
    """Score the cases of a table of features.

    What the signature requires has to be stated with --known: what is not known counts as not met. Exit code 1 where no
    case has a score.
    """
    command = of_the_workers("signature")
    signature = _found(id_)
    try:
        tables = command.Tables(features, tuple(prefix or ()), id_column, facts, absent)
        verdicts = command.scored(signature, tables, known or ())
    except ValueError as error:
        raise WrongUse(str(error)) from error
    signatures.scored(out, signature, verdicts)
    if scores:
        command.write(scores, verdicts)
        say(f"Written: {scores}")
    if not any(signatures.has_score(one.answer) for one in verdicts):
        raise typer.Exit(FAILED)


def _found(id_: str) -> Any:
    try:
        return of_the_workers("signature").found(settings_in_force().models, id_)
    except ValueError as error:
        raise WrongUse(str(error)) from error
