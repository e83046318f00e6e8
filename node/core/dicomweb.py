"""A session with a DICOMweb server: who we are there, and whom we trust, as the settings say and nobody else.

Comes in: a destination, whose secrets are read when they are needed. Goes out: a session that takes nothing from the
environment (netrc, proxies, authorities). What can go wrong: a file with a secret or with authorities is away, or
holds something else; what is in it is in no message. Next: `workers.delivery.web`, and the doctor.
"""

from pathlib import Path

import requests
from requests.auth import HTTPBasicAuth

from node.core.errors import Unavailable
from node.core.reasons import Outage
from node.core.settings import WebDestination


def session_of(destination: WebDestination | None) -> requests.Session:
    """Return a session with what the settings say of this destination, if it is one.

    Raises
    ------
    Unavailable
        `destination-refused`: a file of it cannot be used.
    """
    session = requests.Session()
    session.trust_env = False
    if destination is None:
        return session
    if destination.authorities is not None:
        if not destination.authorities.is_file():
            raise Unavailable(Outage.DESTINATION_REFUSED, f"{destination.authorities} is not there")
        session.verify = str(destination.authorities)
    if destination.user:
        password = _secret(destination.password_file)
        session.auth = HTTPBasicAuth(destination.user.encode(), password.encode())  # RFC 7617: as UTF-8
    if (file := destination.token_file) is not None:
        token = _secret(file)
        if not token.isascii() or not token.isprintable():  # no header can hold it
            raise Unavailable(Outage.DESTINATION_REFUSED, f"{file} holds no token")
        session.headers["Authorization"] = f"Bearer {token}"
    return session


def _secret(file: Path | None) -> str:
    try:
        return file.read_text(encoding="utf-8").strip() if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(Outage.DESTINATION_REFUSED, f"{file} cannot be read: {type(error).__name__}") from error
