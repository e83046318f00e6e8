"""HTTP as the doctor asks it: who is asked, and who is trusted, stands in the settings and not in the environment."""

from pathlib import Path
from typing import Any

import requests

from node.core.settings import WebDestination
from node.doctor.visit import ANSWER_S, CONNECT_S

TIMES_S = (CONNECT_S, ANSWER_S)


def session_of(destination: WebDestination | None) -> requests.Session:
    """Return a session with what the settings say of this destination, if it is one.

    Raises
    ------
    OSError
        A file with a secret, or with authorities, cannot be read.
    """
    session = requests.Session()
    session.trust_env = False
    if destination is None:
        return session
    if destination.authorities is not None:
        session.verify = str(destination.authorities)
    if destination.user:
        session.auth = (destination.user, _secret(destination.password_file))
    if destination.token_file is not None:
        session.headers["Authorization"] = f"Bearer {_secret(destination.token_file)}"
    return session


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


def _secret(file: Path | None) -> str:
    return file.read_text(encoding="utf-8").strip() if file else ""
