"""The commands that save a home and bring it back."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from node import inspection, overview
from node.cli.application import FAILED, FOLDER, NEW_FOLDER, app, err, ledger_of, out, say, settings_in_force
from node.core.ledger import SCHEMA, Ledger, audit
from node.core.spool import OWNER_ALONE, Spool

_MOST_NAMED = 10


@app.command()
def backup(folder: Annotated[Path, typer.Argument(help="A new folder for it.", **NEW_FOLDER)]) -> None:
    """Save the ledger and the spool, while the node may be at work.

    PostgreSQL is saved by pg_dump. Exit code 1 where a file is not what the ledger says of it.
    """
    from node import backup as backups  # here: only these commands have need of it

    os.umask(OWNER_ALONE)
    config = settings_in_force()
    with err.status("saves the ledger, then the spool"):
        saved = backups.save(config, ledger_of(config), folder)
    say(f"Saved to {folder}: the ledger and {saved.files} files, {saved.size_bytes / 1e6:.1f} MB.")
    if saved.wrong:
        out.print(
            f"[red]{len(saved.wrong)} files are gone, or are not what the ledger says of them:[/]", highlight=False
        )
        for one in saved.wrong[:_MOST_NAMED]:
            out.print(f"  {escape(one)}", highlight=False, soft_wrap=True)
        say("The backup holds the rest: crlm-node ledger check --digests says more.")
        raise typer.Exit(FAILED)


@app.command()
def restore(folder: Annotated[Path, typer.Argument(help="Folder of a backup.", **FOLDER)]) -> None:
    """Bring a backup back, into a home and a database that are empty, while no process of the node runs.

    Every file is proven before anything is written, and ledger and spool are compared at the end. Exit code 1 where
    they differ.
    """
    from node import backup as backups

    os.umask(OWNER_ALONE)
    config = settings_in_force()
    with err.status("proves the backup, then brings it back"):
        summary = backups.restore(config, folder)
    say(f"Restored to {config.home}: the ledger and {summary['files']} files of {summary['at']}.")
    if summary["schema"] != SCHEMA:
        say(f"Its schema is {summary['schema']}: crlm-node ledger upgrade, then crlm-node ledger check --digests.")
        return
    ledger = Ledger.of(config)
    ledger.require_schema()
    audit.note(ledger, audit.commanded("restore", detail=f"of {summary['at']}"))
    found = inspection.check(ledger, Spool(config.spool_dir), digests=True)
    overview.inspection(out, found)
    if not found.sound:
        raise typer.Exit(FAILED)
