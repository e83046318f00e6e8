"""HTTP as the doctor asks it: within its patience, and with a few words for why there was no answer."""

from typing import Any

import requests

from node.doctor.visit import ANSWER_S, CONNECT_S

TIMES_S = (CONNECT_S, ANSWER_S)


def asked(session: requests.Session, method: str, url: str, **words: Any) -> requests.Response:
    """Ask, within the doctor's patience.

    Raises
    ------
    OSError
        No answer (`requests.RequestException` is one).
    """
    return session.request(method, url, timeout=TIMES_S, **words)


def said(error: OSError) -> str:
    """Return in a few words why there was no answer."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    return error.strerror or type(error).__name__
