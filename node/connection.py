"""What lies under an association (stage 1): the connection, its first byte, its limits, the address it comes from.

Whoever connects is not known yet, and need not speak DICOM: nothing here trusts a length or waits without end.
"""

import contextlib
import errno
import ipaddress
import select
import socket
import ssl
import time
from typing import cast

from pynetdicom.transport import AssociationSocket

_HEADER_LENGTH = 6  # of a PDU: some peers count it in
_ASSOCIATE_RQ = b"\x01"  # PDU type, PS3.8 table 9-11


class BoundedSocket(AssociationSocket):
    """A connection that reads no PDU longer than it should be and waits for none longer than the idle time.

    Takes over a socket that pynetdicom made, which reads whatever length a peer announces, 4 GB at most, in small
    pieces.

    Parameters
    ----------
    made
        The socket of an association that has not begun.
    maximum_pdu_bytes
        What we tell peers of the longest PDU that we take (PS3.8 section D.1).
    idle_s
        How long one PDU may take.
    """

    def __init__(self, made: AssociationSocket, maximum_pdu_bytes: int, idle_s: float) -> None:
        self.__dict__.update(made.__dict__)
        self._longest = maximum_pdu_bytes + _HEADER_LENGTH
        self._idle_s = idle_s
        self._put_back = bytearray()
        self._watch = select.poll()
        self._watch.register(cast(socket.socket, self.socket), select.POLLIN)
        self.received = 0

    @property
    def ready(self) -> bool:
        """Say whether there is something to read, or an end to notice."""
        return self.readable(0.0)

    def readable(self, wait_s: float) -> bool:
        """Say whether there is something to read, or an end to notice, within `wait_s`."""
        connection = self.socket
        if self._put_back:
            return True
        if connection is None or not self._is_connected:
            return False
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            return True
        return bool(self._watch.poll(wait_s * 1000))

    def put_back(self, content: bytes | bytearray) -> None:
        """Let what was read be read again, before what comes next."""
        self._put_back[:0] = content
        self.received -= len(content)

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes` bytes, or fewer where the connection ends.

        Raises
        ------
        OSError
            More bytes than a PDU may have, or they did not come in time: the connection is closed.
        """
        if nr_bytes > self._longest:
            raise ConnectionAbortedError(errno.EMSGSIZE, "a PDU is longer than was agreed")
        content = bytearray(nr_bytes)
        return content[: self.fill(memoryview(content))]

    def fill(self, view: memoryview) -> int:
        """Read so many bytes as the view has, or fewer where the connection ends; return how many.

        Raises
        ------
        OSError
            As `recv`.
        """
        connection, nr_bytes = cast(socket.socket, self.socket), len(view)
        if nr_bytes > self._longest:
            raise ConnectionAbortedError(errno.EMSGSIZE, "a PDU is longer than was agreed")
        held = min(nr_bytes, len(self._put_back))
        view[:held] = self._put_back[:held]
        del self._put_back[:held]
        self.received += held
        deadline = time.monotonic() + self._idle_s
        while held < nr_bytes:
            count = connection.recv_into(view[held:])
            if count == 0:
                break
            held += count
            self.received += count
            if held < nr_bytes and time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "a PDU took too long")
        return held


def greets(connection: socket.socket) -> bool:
    """Say whether the first byte begins an association request; it stays to be read."""
    with contextlib.suppress(OSError):  # reset, or silent for too long
        return connection.recv(1, socket.MSG_PEEK) == _ASSOCIATE_RQ
    return False


def plain(host: str) -> str:
    """Write an address in its one form; an IPv4 address that came over IPv6 as IPv4."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
