"""The settings: read as every process reads them, with the files that they name."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from node import selection
from node.core import settings, tls
from node.core.ailments import Ailment
from node.core.findings import Finding, fault, fine, warning
from node.core.settings import Settings, SettingsError
from node.doctor.visit import Visit, account
from node.form import WrongForm, load


def read(option: Path | None) -> tuple[Settings | None, Finding | None]:
    """Return the settings, or none and what is wrong with them; where they are read, `look` goes on."""
    file = settings.config_file(option)
    try:
        return settings.load(option), None
    except SettingsError as error:
        where = str(file) if file else "the variables CRLM_NODE_*"
        return None, fault("settings.read", Ailment.SETTINGS_UNSOUND, f"{error}.", file=where)


def look(visit: Visit) -> Iterator[Finding]:
    """Look at what the settings name, and whether anybody may send and anything gets out."""
    config = visit.settings
    wrong = [
        fault(
            "settings.files", Ailment.SETTINGS_UNSOUND, f"{words}.", file="the file that is named, or in the settings"
        )
        for words in map(_complaint, _uses(config))
        if words
    ]
    yield from wrong
    if not wrong:
        yield fine("settings.read", f"The settings are sound; we are {config.ae_title}, home {config.home}.")
    if not config.calling:
        yield warning("settings.calling", Ailment.NOBODY_MAY_CALL, "Nobody may send studies here.")
    if not config.destinations:
        yield warning("settings.destinations", Ailment.RESULTS_GO_NOWHERE, "Results go nowhere.")
    yield from _account(config)


def _uses(config: Settings) -> Iterator[Callable[[], object]]:
    """Yield what is done with each file and URL when a process starts."""
    yield lambda: make_url(config.ledger)
    yield lambda: selection.load(config.series_rules)
    yield lambda: tls.require_caller_files(config)
    if (listener := config.tls) is not None:
        yield lambda: tls.listener_context(listener)
    if (form := config.patient_facts) is not None:
        yield lambda: load(form)


def _complaint(use: Callable[[], object]) -> str:
    try:
        use()
    except (SettingsError, ArgumentError, WrongForm, tls.WrongTlsFile) as error:
        return str(error).rstrip(".")
    return ""


def _account(config: Settings) -> Iterator[Finding]:
    """Say where the home belongs to somebody else: what root may, the node may not."""
    try:
        owner = config.home.stat().st_uid
    except OSError:  # not there, or not to be seen: the disk's matter
        return
    if owner != os.geteuid():
        name = account(owner)
        words = f"You are {account()}, and the home belongs to {name}: what you may do, the node may not."
        yield warning("settings.account", Ailment.OTHER_ACCOUNT, words, owner=name)
