"""A TCP proxy whose connections can be cut at a chosen byte, as networks do."""

import select
import socket
import struct
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic

HOST = "127.0.0.1"
_PIECE_BYTES = 65_536
_BUSY_S = 0.3
_STUCK_S = 30.0


class Manner(StrEnum):
    """How a connection breaks."""

    RESET = "reset"
    HALF_CLOSED = "half-closed"
    SILENT = "silent"


class Way(StrEnum):
    """Which bytes are counted: those of the caller, or those of the called."""

    THERE = "there"
    BACK = "back"


@dataclass
class Trap:
    """A break that waits for its byte: the `after`th from now that goes this way, over however many connections."""

    manner: Manner
    way: Way
    after: int
    sprung: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Passes connections on to a port of this machine; `start` and `stop` it."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._door = socket.create_server((HOST, 0), backlog=128)
        self.port: int = self._door.getsockname()[1]
        self._traps: list[Trap] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._moved_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether bytes went through just now."""
        return monotonic() - self._moved_at < _BUSY_S

    def start(self) -> None:
        """Accept connections, in a thread of its own."""
        self._door.settimeout(0.2)
        threading.Thread(target=self._accept, daemon=True, name=f"proxy-{self.port}").start()

    def stop(self) -> None:
        """Accept no more, and end the connections that there are."""
        self._over.set()
        self._door.close()

    def arm(self, trap: Trap) -> None:
        """Set a trap."""
        with self._lock:
            self._traps.append(trap)

    def disarm(self, trap: Trap) -> None:
        """Take back a trap that has not sprung."""
        with self._lock:
            if trap in self._traps:
                self._traps.remove(trap)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._door.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection((HOST, self._target_port), timeout=5)
        except OSError:
            _reset(near)
            return
        for one in (near, far):
            one.settimeout(_STUCK_S)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._pass(near, far)
        except OSError:
            pass  # one side is gone: the other is told so below
        finally:
            _reset(near)
            _reset(far)

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        """Carry bytes both ways until both sides have ended, or a trap ends it."""
        other = {near: far, far: near}
        open_: set[socket.socket] = {near, far}
        deaf: set[socket.socket] = set()  # what they send is lost
        while open_ and not self._over.is_set():
            for source in select.select(list(open_), [], [], 0.2)[0]:
                data = source.recv(_PIECE_BYTES)
                if source in deaf:
                    if not data:
                        open_.discard(source)
                    continue
                if not data:
                    open_.discard(source)
                    other[source].shutdown(socket.SHUT_WR)
                    continue
                self._moved_at = monotonic()
                trap, allowed = self._count(Way.THERE if source is near else Way.BACK, len(data))
                other[source].sendall(data[:allowed])
                if trap is None:
                    continue
                trap.sprung.set()
                if trap.manner is Manner.RESET:
                    return
                if trap.manner is Manner.HALF_CLOSED:
                    other[source].shutdown(socket.SHUT_WR)
                deaf |= {source} if trap.manner is Manner.HALF_CLOSED else {near, far}

    def _count(self, way: Way, size: int) -> tuple[Trap | None, int]:
        """Return the trap that springs within the next `size` bytes, and how many of them still pass."""
        with self._lock:
            for trap in self._traps:
                if trap.way is not way:
                    continue
                if trap.after < size:
                    self._traps.remove(trap)
                    return trap, trap.after
                trap.after -= size
        return None, size


def _reset(one: socket.socket) -> None:
    """Close a socket so that its peer sees a reset where it still talks."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()
