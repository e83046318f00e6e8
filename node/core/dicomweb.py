"""A session with a DICOMweb server: who we are there, and whom we trust, as the settings say and nobody else.

Comes in: a destination, whose secrets are read when they are needed. Goes out: a session that takes nothing from the
environment (netrc, proxies, authorities). What can go wrong: a file with a secret or with authorities is away, or
holds something else; what is in it is in no message. Next: `workers.delivery.web`, and the doctor.
"""

import requests
from requests.auth import HTTPBasicAuth

from node.core.errors import Unavailable
from node.core.reasons import Outage
from node.core.settings import SettingsError, WebDestination, bearer, secret


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
    try:
        if destination.user:
            password = secret("password_file", file) if (file := destination.password_file) else ""
            session.auth = HTTPBasicAuth(destination.user.encode(), password.encode())  # RFC 7617: as UTF-8
        if destination.token_file is not None:
            session.headers["Authorization"] = bearer("token_file", destination.token_file)
    except SettingsError as error:
        raise Unavailable(Outage.DESTINATION_REFUSED, str(error)) from error
    return session
