"""The command that fetches past studies from an archive."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from node.backfill.command import Run
from node.backfill.criteria import WrongCriteria, parse
from node.backfill.pace import Pace, Window
from node.backfill.preflight import WrongArchive, archive_of
from node.cli.application import (
    FAILED,
    FILE,
    INTERRUPTED,
    OK,
    WrongUse,
    app,
    ledger_of,
    out,
    say,
    settings_in_force,
)
from node.core.lock import alone
from node.core.peer import Peer
from node.core.signals import until_told
from node.room import Room


@app.command()
def backfill(
    archive: Annotated[str, typer.Option("--from", metavar="AET", help="AE title of one of `archives`.")],
    query: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="What studies match, repeatable: StudyDate=20240101-20240630, StudyDescription=*ABDOMEN*; "
            "ModalitiesInStudy is CT unless it is given.",
        ),
    ] = None,
    patients: Annotated[
        Path | None, typer.Option(help="Patient IDs, one a line, or the column PatientID of a CSV file.", **FILE)
    ] = None,
    accessions: Annotated[
        Path | None,
        typer.Option(help="Accession numbers, one a line, or the column AccessionNumber of a CSV file.", **FILE),
    ] = None,
    between: Annotated[
        str, typer.Option(metavar="HH:MM-HH:MM", help="Fetch only in these hours, local time; may cross midnight.")
    ] = "",
    at_once: Annotated[
        int, typer.Option(metavar="N", min=1, help="Wait while so many studies are being received or measured.")
    ] = 4,
    per_hour: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Fetch at most so many studies in an hour.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be fetched, and fetch nothing.")] = False,
    anew: Annotated[
        bool, typer.Option("--anew", help="Search again, where an earlier run of this command has not ended.")
    ] = False,
) -> None:
    """Find past studies at an archive, and have it send their CT series to us.

    The same command again goes on where it was stopped. Exit code 1 where a study was not fetched.
    """
    config = settings_in_force()
    try:
        entry = archive_of(config, archive)
        lists = {"PatientID": patients, "AccessionNumber": accessions}
        criteria = parse(query or (), datetime.now().date(), lists)  # noqa: DTZ005 - today is local
        window = Window.parse(between) if between else None
    except (WrongCriteria, WrongArchive) as error:
        raise WrongUse(str(error)) from error
    except ValueError as error:
        raise WrongUse(f"--between: {error}") from error
    ledger = ledger_of(config)
    peer = Peer(entry.ae_title, entry.host, entry.port, config.ae_title, entry.tls)
    run = Run(config, ledger, peer, criteria, out)
    if dry_run:
        run.preview()
        return
    pace = Pace(ledger, Room(config.spool_dir, config), at_once, per_hour, window)
    with alone(run.folder / "lock", "A backfill works in this home already"):
        plan = run.plan(anew=anew)
        with until_told() as stop:
            run.fetch(plan, pace, stop)
    if stop.is_set() and plan.open:
        say("Stopped: the same command goes on here.")
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(FAILED if plan.open else OK)
