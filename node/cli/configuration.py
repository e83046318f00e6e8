"""The commands on what the node stands on: its settings and the weights of the networks."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer
from sqlalchemy.engine import make_url

from node import screens, selection
from node.cli.application import FAILED, app, config_file, group, of_the_workers, out, say, settings_in_force
from node.cli.reference import commands_page
from node.conformance import statement
from node.core import settings, signatures, tls
from node.form import load
from node.messages import messages_page
from node.probe import ask
from node.reference import settings_page

config_app = group("config", "Check and show the settings.")
models_app = group("models", "List, fetch and verify the weights of the networks.")


@models_app.command("list")
def models_list() -> None:
    """Show which weights are needed, how they stand, their licences, and what they may be used for."""
    screens.models(out, of_the_workers("models")(settings_in_force(), "list"))


@models_app.command("fetch")
def models_fetch() -> None:
    """Download TotalSegmentator's weights with its own downloader."""
    screens.models(out, of_the_workers("models")(settings_in_force(), "fetch"))


@models_app.command("verify")
def models_verify() -> None:
    """Compare every file of the weights with the manifest."""
    screens.models(out, of_the_workers("models")(settings_in_force(), "verify"))


@config_app.command("check")
def config_check(
    probe: Annotated[
        bool, typer.Option("--probe", help="Ask each PACS among the destinations which objects it takes.")
    ] = False,
) -> None:
    """Read the settings and say whether they can be used.

    With --probe, exit code 1 where a PACS cannot be asked, or would get nothing of an object that is meant for it.
    """
    loaded = settings.load(config_file())
    make_url(loaded.ledger)
    selection.load(loaded.series_rules)
    signatures.require(loaded)
    if loaded.tls is not None:
        tls.listener_context(loaded.tls)
    tls.require_caller_files(loaded)
    if loaded.patient_facts is not None:
        load(loaded.patient_facts)
    say(f"The settings are sound ({config_file() or 'no file: defaults and variables'}).")
    if not loaded.calling:
        say("Nobody may call yet: name the callers under [[calling]].")
    if not loaded.destinations:
        say("Results go nowhere yet: name a destination under [[destinations]].")
    if probe and not _probed(loaded):
        raise typer.Exit(FAILED)


def _probed(loaded: settings.Settings) -> bool:
    """Ask each PACS what it takes, and say whether each can be told everything."""
    pacs = [one for one in loaded.destinations if isinstance(one, settings.PacsDestination)]
    answers = [ask(one, loaded.ae_title) for one in pacs]
    for sentence, _ in answers:
        say(sentence)
    return all(good for _, good in answers)


@config_app.command("show")
def config_show() -> None:
    """Print every setting as it is in force, as JSON; passwords are left out."""
    loaded = settings.load(config_file())
    urls = {
        name: make_url(url).render_as_string()
        for name in ("ledger_url", "broker_url")
        if (url := getattr(loaded, name))
    }
    typer.echo(loaded.model_copy(update=urls).model_dump_json(indent=2))


@app.command()
def conformance() -> None:
    """Print the DICOM Conformance Statement (PS3.2) of this site, as Markdown."""
    typer.echo(statement(settings.load(config_file()), datetime.now().astimezone().date()), nl=False)


class Page(StrEnum):
    """A page of the docs that is written from the code."""

    SETTINGS = "settings"
    COMMANDS = "commands"
    MESSAGES = "messages"


@config_app.command("reference")
def config_reference(
    page: Annotated[Page, typer.Argument(metavar="|".join(Page), help="Which page.")] = Page.SETTINGS,
) -> None:
    """Print every setting, command or coded message with its meaning, as Markdown."""
    pages = {Page.SETTINGS: settings_page, Page.COMMANDS: commands_page, Page.MESSAGES: messages_page}
    typer.echo(pages[page]())
