"""DICOMweb destinations: a query of one study, which is refused, denied or answered, and the server's time."""

from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from node.core.ailments import Ailment
from node.core.dicomweb import session_of
from node.core.errors import Unavailable
from node.core.findings import Finding, fault, fine
from node.core.settings import WebDestination
from node.doctor import clock, http
from node.doctor.visit import Visit

_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_ANSWERED = (HTTPStatus.OK, HTTPStatus.NO_CONTENT)


def look(visit: Visit) -> Iterator[Finding]:
    """Ask each of them."""
    for one in visit.settings.destinations:
        if isinstance(one, WebDestination):
            yield from _asked(one)


def _asked(one: WebDestination) -> Iterator[Finding]:
    setting = f"destinations ({one.name})"
    url, headers = f"{one.url.rstrip('/')}/studies", {"Accept": "application/dicom+json"}
    statuses: list[int] = []

    def ask() -> float:
        answer = http.asked(session, "GET", url, params={"limit": "1"}, headers=headers)
        statuses.append(answer.status_code)
        with suppress(ValueError):
            return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
        return float("nan")

    try:
        with session_of(one) as session:
            by_s = clock.ahead_s(ask)
    except Unavailable as error:
        words = f"The DICOMweb server {one.url} is not asked: {error.detail}."
        yield fault("web.answers", Ailment.WEB_DENIED, words, one.name, setting=setting)
        return
    except OSError as error:
        words = f"The DICOMweb server {one.url} does not answer: {http.said(error)}."
        yield fault("web.answers", Ailment.WEB_SILENT, words, one.name, setting=setting)
        return
    [status] = statuses
    if status in _ANSWERED:
        yield fine("web.answers", f"The DICOMweb server {one.url} answers queries.", one.name)
        if by_s == by_s:  # a server need not say its time
            yield clock.compared(one.url, by_s)
        return
    ailment = Ailment.WEB_DENIED if status in _DENIED else Ailment.WEB_SILENT
    yield fault("web.answers", ailment, f"{url} answers {status}.", one.name, setting=setting)
