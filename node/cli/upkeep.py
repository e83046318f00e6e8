"""The commands of a person who looks after the node: measure again, quarantine, queues, and the ledger itself."""

from typing import Annotated, Literal

import typer

from node import inspection, operations, overview
from node.cli.application import FAILED, app, group, ledger_of, out, say, settings_in_force
from node.core.ledger import Ledger, queues
from node.core.spool import Spool
from node.core.states import Stage

quarantine_app = group("quarantine", "Look at studies that were set aside, and let them go on or delete them.")
ledger_app = group("ledger", "Migrate the ledger, compare it with the spool, or make it anew from there.")

Study = Annotated[
    str, typer.Argument(metavar="STUDY", help="Study Instance UID, or how it begins.", show_default=False)
]
Cause = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit trail; no patient data.")]
_TURNS = {name: number for number, name in queues.NAMES.items()}
Turn = Annotated[
    Literal["stat", "routine", "backfill"],
    typer.Argument(metavar="|".join(_TURNS), help="Its turn among the others.", show_default=False),
]
StageName = Annotated[Stage, typer.Argument(metavar="|".join(Stage), help="The queue.", show_default=False)]


@app.command()
def replay(study: Study, cause: Cause = "") -> None:
    """Measure a study again, with the present settings.

    Where they and the version are the same, so are the UIDs and bytes of the result, and only what had failed to
    arrive is sent. Else the new result supersedes the old one.
    """
    config = settings_in_force()
    uid = operations.replay(ledger_of(config), Spool(config.spool_dir), study, cause)
    say(f"{uid} is measured again")


@app.command()
def priority(study: Study, turn: Turn, cause: Cause = "") -> None:
    """Change the turn of a study that waits: a STAT study goes before all others, a backfill after them."""
    uid = operations.prioritise(ledger_of(settings_in_force()), study, _TURNS[turn], cause)
    say(f"{uid} is {turn} now")


@app.command()
def pause(queue: StageName, cause: Cause = "") -> None:
    """Stop a queue, on all hosts.

    What is being worked on is brought to its end; studies are taken in as ever, and wait.
    """
    operations.pause(ledger_of(settings_in_force()), queue, cause)
    say(f"{queue} is paused: crlm-node resume {queue}")


@app.command()
def resume(queue: StageName) -> None:
    """Let a paused queue go on."""
    operations.resume(ledger_of(settings_in_force()), queue)
    say(f"{queue} goes on")


@quarantine_app.command("list")
def quarantine_list() -> None:
    """Show the studies that were set aside, each with its reason."""
    if not overview.quarantine(out, ledger_of(settings_in_force())):
        say("No study is in quarantine.")


@quarantine_app.command("show")
def quarantine_show(study: Study) -> None:
    """Show what was seen of a study, and what can be done."""
    ledger = ledger_of(settings_in_force())
    with ledger.transaction() as session:
        uid = operations.study_of(session, study).uid
    overview.evidence(out, ledger, uid)


@quarantine_app.command("release")
def quarantine_release(study: Study, cause: Cause = "") -> None:
    """Let a study be judged again, as if it had just come.

    Mend first what is the cause: a study that still has it is set aside again.
    """
    uid = operations.release(ledger_of(settings_in_force()), study, cause)
    say(f"{uid} is judged again")


@quarantine_app.command("delete")
def quarantine_delete(
    study: Study,
    cause: Cause = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete the files of a study, once quarantine_days have passed.

    What the ledger says of it stays.
    """
    config = settings_in_force()
    ledger = ledger_of(config)
    with ledger.transaction() as session:
        uid = operations.study_of(session, study).uid
    if not yes:
        typer.confirm(f"Delete every file of {uid}?", abort=True)
    _, count = operations.delete(ledger, Spool(config.spool_dir), config, uid, cause)
    say(f"{uid}: {count} instances deleted")


@ledger_app.command("upgrade")
def ledger_upgrade() -> None:
    """Make the ledger, or migrate it to the schema of this version.

    The steward does the same when it starts. Stop the processes of another version first.
    """
    ledger = Ledger.of(settings_in_force())
    ledger.upgrade()
    say(f"The ledger has the schema of this version, {ledger.schema()}.")


@ledger_app.command("check")
def ledger_check(
    digests: Annotated[bool, typer.Option("--digests", help="Read every file and compare its digest.")] = False,
) -> None:
    """Compare the ledger with the spool; exit code 1 where something is found.

    Nothing is changed, and the node may be running.
    """
    config = settings_in_force()
    found = inspection.check(ledger_of(config), Spool(config.spool_dir), digests=digests)
    overview.inspection(out, found)
    if not found.sound:
        raise typer.Exit(FAILED)


@ledger_app.command("rebuild")
def ledger_rebuild() -> None:
    """Make instances and studies anew from the spool, in an empty ledger.

    For a ledger that was lost: `ledger upgrade` makes an empty one. The steward then judges every study again; a result
    that still lies in the spool is made and delivered again with the same UIDs, and nothing is doubled.
    """
    config = settings_in_force()
    done = operations.rebuild(ledger_of(config), Spool(config.spool_dir))
    say(f"{done.entered} instances entered; the steward judges their studies.")
    if done.unreadable:
        say(f"{done.unreadable} files are no instances and were left: crlm-node ledger check names them.")
        raise typer.Exit(FAILED)
