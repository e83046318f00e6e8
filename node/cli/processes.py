"""The commands that run processes: the demonstration, all of a machine, and each of them alone."""

import os
from pathlib import Path
from typing import Annotated

import typer

from node.alive import Process, why_not
from node.cli.application import (
    FAILED,
    FILE,
    FOLDER,
    WrongUse,
    app,
    config_file,
    ledger_of,
    of_the_workers,
    out,
    say,
    settings_in_force,
    tell,
)
from node.core import signatures
from node.core.ledger import Ledger
from node.core.settings import Settings, address_of
from node.core.spool import OWNER_ALONE
from node.core.states import Stage


@app.command()
def demo(
    study: Annotated[Path | None, typer.Option(help="Folder of your own study.", **FOLDER)] = None,
    seg: Annotated[Path | None, typer.Option(help="DICOM SEG of that study.", **FILE)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
) -> None:
    """Run the main job once, in a throw-away home.

    Starts Redis, Orthanc as the PACS (a folder where it is not installed) and the node on free ports of this machine,
    sends the synthetic abdomen or your own study to both, waits, and prints what was measured and what the PACS holds.
    """
    from node import demo as demonstration  # here: only this command starts servers

    if seg is not None and study is None:
        raise WrongUse("--seg goes with --study: the synthetic abdomen brings its own")
    raise typer.Exit(demonstration.run(out, study=study, seg=seg, keep=keep))


@app.command()
def up() -> None:
    """Run listener, steward, workers and the page on this machine until Ctrl-C.

    A process that ends is started again. The output of each goes to a file in HOME/log.
    """
    from node.up import Crew, command_lines

    config = _settings_of_a_process()
    ledger = Ledger.of(config)
    ledger.upgrade()  # before the listener asks for it
    ledger.close()
    say(f"{config.ae_title} listens on {config.host}:{config.port}; the processes write to {config.home / 'log'}")
    page = config.web_port != 0
    if page:
        say(f"The page is at {address_of(config)}: crlm-node user add makes an account")
    Crew(command_lines(config_file(), web=page), config.home / "log").serve()


@app.command()
def listen() -> None:
    """Take in studies by C-STORE.

    Several may run and share the port. The steward makes the ledger: start it first.
    """
    from node import listen as listener

    listener.run(_settings_of_a_process())


@app.command()
def steward() -> None:
    """Move studies on, from complete to delivered.

    Exactly one works in a home. It also makes and migrates the ledger.
    """
    from node import steward as keeper

    keeper.run(_settings_of_a_process())


@app.command()
def web() -> None:
    """Serve the page and the API, on this machine's own address unless `web_host` says another.

    The steward makes the ledger: start it first. `crlm-node user add` makes the first account.
    """
    from node.web import server

    server.run(_settings_of_a_process())


@app.command()
def worker(
    queue: Annotated[
        list[Stage] | None, typer.Option(metavar="|".join(Stage), help="A queue to serve, repeatable; all by default.")
    ] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, help="Jobs at once.")] = 1,
    gpu: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="The GPU of this worker, in place of that of the settings.")
    ] = None,
) -> None:
    """Segment, measure, report and deliver.

    On a machine with several GPUs, run one worker of the queue `segment` for each.
    """
    config = _settings_of_a_process()
    if gpu is not None:
        if config.device == "cpu":
            raise WrongUse('--gpu goes with device = "gpu" in the settings, which the key of a job is made of')
        config = config.model_copy(update={"device": f"gpu:{gpu}"})
    of_the_workers("worker")(config, tuple(queue or Stage), concurrency)


@app.command()
def alive(
    process: Annotated[Process, typer.Argument(metavar="|".join(Process), help="Which process.", show_default=False)],
) -> None:
    """Say whether a process of this machine serves, for a container engine or a service manager.

    The listener must take connections, a steward must work in this home; ledger and broker must answer. Exit code 1
    where something is not so.
    """
    config = settings_in_force()
    ledger_of(config).close()
    if fault := why_not(process, config):
        raise typer.Exit(tell(fault, FAILED))
    say(f"{process} serves")


def _settings_of_a_process() -> Settings:
    """Return the settings; from here on, what this process and its children write is readable by this user alone.

    The signatures that the site asks must be there.
    """
    os.umask(OWNER_ALONE)
    settings = settings_in_force()
    signatures.require(settings)
    return settings
