"""The node's own processes on this machine: the listener's address, who has its port, and whether a steward works.

The port is bound for an instant where nobody has it, and is never listened on: nothing that is meant for the listener
comes here.
"""

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from node.core.ailments import Ailment
from node.core.findings import Finding, fault, fine, note, warning
from node.core.lock import STEWARD
from node.core.settings import Settings
from node.doctor.visit import Visit

_LOCKS = Path("/proc/locks")


def look(visit: Visit) -> Iterator[Finding]:
    """Look at the listener, then at the steward."""
    yield _port(visit.settings)
    yield from _loopback(visit.settings)
    yield _steward(visit.settings)


def _port(config: Settings) -> Finding:
    where = f"{config.host}:{config.port}"
    code = _bind(config.host, config.port)
    if code == 0:
        return warning(
            "processes.listener", Ailment.LISTENER_DOWN, f"Nobody listens on {where} here; the port is free."
        )
    if code == errno.EADDRINUSE:
        return _who(where, config.port)
    if code == errno.EACCES:
        words = f"This account may not listen on {where}."
        return fault("processes.listener", Ailment.PORT_FORBIDDEN, words)
    words = f"{config.host} is no address of this machine: {os.strerror(code).lower()}."
    return fault("processes.listener", Ailment.ADDRESS_FOREIGN, words)


def _bind(host: str, port: int) -> int:
    """Take an address and give it back; return the error, or 0."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EADDRNOTAVAIL
    return 0


def _who(where: str, port: int) -> Finding:
    """Say who listens; a process of another account may hide its name."""
    names = []
    for number in _listening(port):
        with suppress(psutil.Error):
            process = psutil.Process(number)
            line = process.cmdline()
            if "listen" in line and any(Path(word).name in ("crlm-node", "node") for word in line):
                return fine("processes.listener", f"The listener is at {where} (process {number}).")
            names.append(f"{process.name()} (process {number})")
    if not names:
        return note("processes.listener", f"Somebody listens on {where}, whom this account may not see.")
    words = f"The port of {where} is taken by {', '.join(names)}."
    return fault("processes.listener", Ailment.PORT_TAKEN, words)


def _listening(port: int) -> list[int]:
    try:
        known = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return []
    found = [one.pid for one in known if one.status == psutil.CONN_LISTEN and one.laddr[1:2] == (port,)]
    return sorted({pid for pid in found if pid is not None})


def _loopback(config: Settings) -> Iterator[Finding]:
    """Warn where callers of other machines are named and only this one can reach the listener."""
    if config.host != "localhost" and not ipaddress.ip_address(config.host).is_loopback:
        return
    elsewhere = [one.ae_title for one in config.calling if any(not host.is_loopback for host in one.hosts)]
    if elsewhere:
        words = f"Only this machine reaches host = {config.host}, and {', '.join(elsewhere)} may call from others."
        yield warning("processes.address", Ailment.LOOPBACK_ONLY, words)


def _steward(config: Settings) -> Finding:
    file = config.home / STEWARD
    holder = _holder(file)
    if holder is None:
        return warning("processes.steward", Ailment.STEWARD_DOWN, f"No steward works in {config.home} here.")
    return fine("processes.steward", f"The steward works (process {holder}).")


def _holder(file: Path) -> str | None:
    """Return the process that holds the lock on a file, as the kernel lists it; the lock itself is not touched."""
    try:
        inode = file.stat().st_ino
        held = [line.split() for line in _LOCKS.read_text(encoding="ascii").splitlines()]
    except OSError:
        return None
    return next((one[4] for one in held if one[1] != "->" and one[5].rpartition(":")[2] == str(inode)), None)
