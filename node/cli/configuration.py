"""The commands on what the node stands on: its settings and the weights of the networks."""

import typer
from sqlalchemy.engine import make_url

from node import screens, selection
from node.cli.application import config_file, group, of_the_workers, out, say, settings_in_force
from node.core import settings, tls
from node.form import load
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
def config_check() -> None:
    """Read the settings and say whether they can be used."""
    loaded = settings.load(config_file())
    make_url(loaded.ledger)
    selection.load(loaded.series_rules)
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


@config_app.command("reference")
def config_reference() -> None:
    """Print every setting with its meaning, as Markdown."""
    typer.echo(settings_page())
