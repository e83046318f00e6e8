"""What every check is given: the settings, what the person has asked for, and who the node would be."""

import os
import pwd
import socket
from dataclasses import dataclass

from node.core.settings import Settings

CONNECT_S = 5.0
ANSWER_S = 15.0


@dataclass(frozen=True)
class Visit:
    """One run of the doctor.

    Parameters
    ----------
    settings
        The site's.
    orthanc
        URL of the REST interface of an Orthanc; empty: not given.
    phantom
        Whether a synthetic study is stored.
    """

    settings: Settings
    orthanc: str = ""
    phantom: bool = False


def account(uid: int | None = None) -> str:
    """Return the name of a user, by default of the one that this process works as."""
    number = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container may have a number without a name
        return str(number)


def addresses(host: str) -> set[str]:
    """Return the addresses of a host.

    Raises
    ------
    OSError
        Its name is not known.
    """
    return {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}


def same_host(one: str, other: str) -> bool:
    """Say whether two names or addresses are of one host; a name that is not known is of none."""
    try:
        return bool(addresses(one) & addresses(other))
    except OSError:
        return one == other


def own_address(host: str, port: int) -> str:
    """Return the address of this machine that a host sees, by a connection that is closed at once.

    Raises
    ------
    OSError
        There is no connection.
    """
    with socket.create_connection((host, port), timeout=CONNECT_S) as connection:
        return str(connection.getsockname()[0])
