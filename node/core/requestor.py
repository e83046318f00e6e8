"""What pynetdicom's association lacks where we ask: answers that reach us, limits of time, nothing sent with delay."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE

_PARKING_LIMIT_S = 10.0
_ACCEPTED = 0  # PS3.8 section 7.1.1.7


class _Gate(threading.Event):
    """A gate that only `open` opens, and that knows when somebody waits at it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)

    def set(self) -> None:
        """Stay shut: pynetdicom opens the gate after each message."""

    def open(self) -> None:
        super().set()


@contextlib.contextmanager
def reactor_parked(assoc: Association) -> Iterator[None]:
    """Keep an association's own thread from taking the answers that we wait for.

    pynetdicom stops that thread before each message and lets it go after, but does not wait until it has gone: a
    thread that wakes late, on a busy machine, finds the answer to the next message and throws it away.
    """
    gate = _Gate()
    assoc._reactor_checkpoint = gate  # noqa: SLF001 - there is no public way
    gate.reached.wait(_PARKING_LIMIT_S)
    try:
        yield
    finally:
        passable = threading.Event()
        passable.set()
        assoc._reactor_checkpoint = passable  # noqa: SLF001
        gate.open()


def stay_parked(assoc: Association) -> None:
    """Let reports that the other side sends meanwhile leave an association's own thread parked.

    pynetdicom serves each N-EVENT-REPORT in a thread of its own, which says at its end that the association's thread
    goes on, whether it does or not; what waits for that thread to stand, as the release does, then waits for ever.
    """
    serve = assoc._serve_request  # noqa: SLF001 - there is no public way

    def serve_parked(msg: Any, context_id: int) -> None:
        serve(msg, context_id)
        assoc._is_paused = True  # noqa: SLF001

    assoc._serve_request = serve_parked  # type: ignore[method-assign]  # noqa: SLF001


def bounded(event: evt.Event) -> None:
    """Let nothing be waited for longer than an association may be silent; handles `EVT_CONN_OPEN`.

    pynetdicom waits without end for the rest of a PDU that has begun to come, and such an association cannot even be
    aborted: where a destination falls silent there, whoever asked it would hang for ever.
    """
    connection = _connection(event.assoc)
    if connection is not None:
        connection.settimeout(event.assoc.network_timeout)


def without_delay(assoc: Association) -> None:
    """Send each PDU at once: the pause of Nagle's algorithm would come before every answer."""
    connection = _connection(assoc)
    if connection is not None:
        with contextlib.suppress(OSError):  # closed already: the first message will say so
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def answer_to_request(assoc: Association) -> A_ASSOCIATE | None:
    """Return what the other side answered to the association request; None where it did not.

    pynetdicom takes a connection that a rejection has closed already for one that was never made, and leaves the
    rejection unread: it looks once, and on a busy machine it looks late.
    """
    unread: object = assoc.dul.peek_next_pdu()
    if isinstance(unread, A_ASSOCIATE) and unread.result != _ACCEPTED:
        return unread
    return assoc.acceptor.primitive


def _connection(assoc: Association) -> socket.socket | None:
    wrapper = assoc.dul.socket
    return None if wrapper is None else wrapper.socket
