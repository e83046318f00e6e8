"""Whether destinations answer: asked by a person, or by this process now and then, and kept with its time.

Comes in: the name of a destination. Goes out: a row of the ledger with what came of it. A PACS is asked by C-ECHO, a
DICOMweb server whether it answers at all, a folder for the right to write into it. What can go wrong is the answer.
"""

import os
import threading
import time
from http import HTTPStatus

import requests

from node.core import log
from node.core.errors import NodeError, Unavailable
from node.core.ledger import Ledger, now
from node.core.ledger.tables import Echo
from node.core.peer import Peer
from node.core.reasons import Outage
from node.core.settings import Destination, FolderDestination, PacsDestination, Settings, WebDestination
from node.web.guard import NotFound

EVERY_S = 300.0
_TIMEOUT_S = 5.0
_log = log.get("web")


def ask(ledger: Ledger, settings: Settings, name: str) -> Echo:
    """Ask a destination, and keep the answer.

    Raises
    ------
    NotFound
        There is no destination of that name.
    """
    destination = next((one for one in settings.destinations if one.name == name), None)
    if destination is None:
        raise NotFound("There is no such destination.")
    begin, fault = time.monotonic(), ""
    try:
        _ask(destination, settings)
    except NodeError as error:
        fault = str(error)
    found = Echo(destination=name, at=now(), seconds=time.monotonic() - begin, fault=fault)
    with ledger.transaction() as session:
        session.merge(found)
    return found


def ask_all(ledger: Ledger, settings: Settings) -> None:
    """Ask every destination."""
    for one in settings.destinations:
        ask(ledger, settings, one.name)


def keep_asking(ledger: Ledger, settings: Settings, ended: threading.Event) -> None:
    """Ask every destination now and then, until `ended`."""
    while not ended.is_set():
        try:
            ask_all(ledger, settings)
        except Unavailable as error:
            _log.warning("echo-not-kept", code=error.code)
        ended.wait(EVERY_S)


def _ask(destination: Destination, settings: Settings) -> None:
    if isinstance(destination, PacsDestination):
        them = destination
        Peer(them.ae_title, them.host, them.port, settings.ae_title, them.tls, _TIMEOUT_S, _TIMEOUT_S).echo()
    elif isinstance(destination, FolderDestination):
        there = next((one for one in (destination.path, *destination.path.parents) if one.exists()), None)
        if there is None or not os.access(there, os.W_OK):
            raise Unavailable(Outage.DESTINATION_UNREACHABLE, "the folder cannot be written to")
    else:
        _ask_web(destination)


def _ask_web(destination: WebDestination) -> None:
    """Ask a DICOMweb server for anything: one that wants a password answers too."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(destination.authorities) if destination.authorities else True
        try:
            answer = session.get(f"{destination.url.rstrip('/')}/studies?limit=1", timeout=_TIMEOUT_S)
        except (requests.RequestException, OSError) as error:
            raise Unavailable(Outage.DESTINATION_UNREACHABLE, type(error).__name__) from error
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable(Outage.DESTINATION_UNREACHABLE, f"answers {answer.status_code}")
