"""Whether a process of this machine serves: what a container engine or a service manager asks again and again.

In: the settings and which process. Out: one sentence of what is wrong, or nothing. Nothing is changed, nobody outside
is called, and no association is made: a connection without a word is none to the listener.
"""

import socket
from enum import StrEnum
from ipaddress import ip_address

from node.broker import ping
from node.core.lock import STEWARD, is_held
from node.core.settings import Settings

_PATIENCE_S = 5.0


class Process(StrEnum):
    """A process that can be asked after."""

    LISTEN = "listen"
    STEWARD = "steward"
    WORKER = "worker"


def why_not(process: Process, settings: Settings) -> str:
    """Return why a process does not serve; empty: it does.

    Parameters
    ----------
    process
        `listen` must take connections; of `steward` one must work in this home, which needs the broker, as a `worker`
        does. That the ledger answers is asked by who calls this.
    settings
        Those of the process.
    """
    if process is Process.LISTEN:
        return _listener(settings)
    if process is Process.STEWARD and not is_held(settings.home / STEWARD):
        return f"no steward works in {settings.home}"
    return _broker(settings)


def _listener(settings: Settings) -> str:
    anywhere = settings.host in ("", "localhost") or _is_unspecified(settings.host)
    host = "127.0.0.1" if anywhere else settings.host
    try:
        socket.create_connection((host, settings.port), _PATIENCE_S).close()
    except OSError as error:
        return f"nobody listens on {host}:{settings.port} ({error.strerror or error})"
    return ""


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:  # a name
        return False


def _broker(settings: Settings) -> str:
    from redis import RedisError  # here: no other command waits for it

    try:
        ping(settings, _PATIENCE_S)
    except RedisError as error:
        return f"the broker does not answer ({type(error).__name__})"
    return ""
