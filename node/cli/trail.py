"""The command that prints the audit trail: a line for each entry, or the messages that an audit repository reads."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from node import audit
from node.cli.application import WrongUse, app, ledger_of, say, settings_in_force
from node.core.dicom import is_uid
from node.core.ledger.audit import kind_of
from node.core.ledger.tables import Audit

_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


@app.command("audit")
def print_trail(
    since: Annotated[
        datetime | None, typer.Option(metavar="TIME", formats=_TIMES, help="No entry before this time, UTC.")
    ] = None,
    study: Annotated[str | None, typer.Option(metavar="UID", help="Only entries of this study.")] = None,
    xml: Annotated[bool, typer.Option("--xml", help="As DICOM Audit Messages (PS3.15 section A.5).")] = False,
) -> None:
    """Print the audit trail: who did what, when, and with what outcome.

    Each line: time (UTC), DICOM codes, action, outcome (0 success, 4, 8, 12 failures), who, where, study, and what.
    To read the trail is itself an entry of it.
    """
    if study is not None and not is_uid(study):
        raise WrongUse(f"--study is a Study Instance UID, not {study}")
    config = settings_in_force()
    rows = audit.read(ledger_of(config), since=since, study_uid=study)
    if xml:
        typer.echo(audit.as_xml(rows, config))
        return
    for row in rows:
        say(_line(row))


def _line(row: Audit) -> str:
    at = row.at.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kind = kind_of(row)
    who = f"{row.user_id or '-'} {row.host or '-'} {row.study_uid or '-'}"
    return f"{at} {row.event} {row.action} {row.outcome} {who} {kind.type_meaning or kind.meaning}: {row.detail}"
