"""An Orthanc by its REST interface: what it knows of us, whether it can call us, and what its clock says.

Its address is given, or that of a DICOMweb destination, whose user and password are then taken. An Orthanc knows us by
AE title, host and port; the host counts where it calls us (C-MOVE, reports of storage commitment, routing) and, with
`DicomCheckModalityHost`, where we call it. So it is told to call us (C-ECHO): another host that leads to us all the
same, as behind a container's network, is no fault.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from node.core.ailments import Ailment
from node.core.dicomweb import session_of
from node.core.errors import Unavailable
from node.core.findings import Finding, fault, fine, warning
from node.core.settings import Settings, WebDestination
from node.doctor import clock, http
from node.doctor.visit import Visit, own_address, same_host

_ECHO_S = 5


@dataclass(frozen=True)
class Rest:
    """The REST interface of an Orthanc."""

    url: str
    session: requests.Session

    def ask(self, method: str, path: str, **words: Any) -> Any:
        """Return what it answers, from JSON.

        Raises
        ------
        OSError
            No answer, or none with success.
        ValueError
            It is no JSON.
        """
        answer = http.asked(self.session, method, f"{self.url}{path}", **words)
        answer.raise_for_status()
        return answer.json()

    def own_address(self) -> str:
        """Return our address as it sees us."""
        parts = urlsplit(self.url)
        return own_address(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def rests(visit: Visit) -> Iterator[Rest]:
    """Yield the interfaces that are known; a DICOMweb server that is no Orthanc, or not to be asked, is left out."""
    if visit.orthanc:
        yield Rest(visit.orthanc.rstrip("/"), session_of(None))
        return
    for one in visit.settings.destinations:
        if not isinstance(one, WebDestination):
            continue
        try:
            rest = Rest(one.url.partition("/dicom-web")[0].rstrip("/"), session_of(one))
            rest.ask("GET", "/system")["DicomAet"]
        except (Unavailable, OSError, ValueError, KeyError, TypeError):  # told of by `web`
            continue
        yield rest


def look(visit: Visit) -> Iterator[Finding]:
    """Ask each of them what it knows of us."""
    for rest in rests(visit):
        try:
            yield from _look(rest, visit.settings)
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = http.said(error) if isinstance(error, OSError) else "it is no Orthanc"
            words = f"The REST interface of Orthanc at {_shown(rest.url)} cannot be asked: {why}."
            yield fault("orthanc.answers", Ailment.ORTHANC_SILENT, words, _shown(rest.url))


def _look(rest: Rest, config: Settings) -> Iterator[Finding]:
    system = rest.ask("GET", "/system")
    name, ours = f"Orthanc {system['DicomAet']}", rest.own_address()

    def time() -> float:
        told = http.asked(rest.session, "GET", f"{rest.url}/tools/now").text
        return datetime.strptime(told, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()

    by_s = clock.ahead_s(time)
    yield clock.compared(f"{name} ({_shown(rest.url)})", by_s)
    entries = rest.ask("GET", "/modalities", params={"expand": ""})
    us = {entry: facts for entry, facts in entries.items() if facts["AET"].strip() == config.ae_title.strip()}
    if not us:
        others = ", ".join(sorted(facts["AET"] for facts in entries.values())) or "nobody"
        words = f"{name} knows no AE title {config.ae_title}; it knows {others}."
        facts = {"ae_title": config.ae_title, "ours": ours, "port": config.port}
        yield fault("orthanc.modality", Ailment.UNKNOWN_TO_ORTHANC, words, name, **facts)
    for entry, facts in us.items():
        yield _entry(rest, name, system["DicomAet"], entry, facts, ours, config)


def _entry(
    rest: Rest, name: str, caller: str, entry: str, known: Mapping[str, Any], ours: str, config: Settings
) -> Finding:
    """Compare one entry with us, and have Orthanc call it."""
    where = f"{known['Host']}, port {known['Port']}"
    calls = _calls(rest, entry)
    if calls:
        return fine("orthanc.modality", f"{name} knows {config.ae_title} at {where}, and reaches us there.", name)
    if int(known["Port"]) == config.port and same_host(str(known["Host"]), ours):
        words = f"{name} knows {config.ae_title} at {where}, which is right, and cannot reach us there."
        facts = {"host": urlsplit(rest.url).hostname, "port": config.port, "caller": caller}
        return warning("orthanc.modality", Ailment.ORTHANC_CANNOT_CALL, words, name, **facts)
    words = f"{name} knows {config.ae_title} at {where}; you come from {ours}, and listen on port {config.port}."
    return fault("orthanc.modality", Ailment.HOST_DIFFERS, words, name, entry=entry, ours=ours, port=config.port)


def _calls(rest: Rest, entry: str) -> bool:
    """Have Orthanc send us a C-ECHO."""
    try:
        rest.ask("POST", f"/modalities/{entry}/echo", json={"Timeout": _ECHO_S})
    except requests.HTTPError:
        return False
    return True


def _shown(url: str) -> str:
    """Return a URL without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
