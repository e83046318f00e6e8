"""The proxy passes bytes unchanged, and breaks a connection at the byte that it is told."""

import socket
import threading
from collections.abc import Iterator

import pytest

from .proxy import HOST, Manner, Proxy, Trap, Way


@pytest.fixture
def echo() -> Iterator[int]:
    """Port of a server that sends back what it gets, and closes when its caller does."""
    door = socket.create_server((HOST, 0))

    def serve() -> None:
        while True:
            try:
                one, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=_answer, args=(one,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield door.getsockname()[1]
    door.close()


def _answer(one: socket.socket) -> None:
    with one:
        try:
            while data := one.recv(1000):
                one.sendall(data)
        except OSError:
            return


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    """A proxy before it."""
    one = Proxy(echo)
    one.start()
    yield one
    one.stop()


def read(one: socket.socket, size: int) -> bytes:
    """Read so many bytes, or what comes before the end."""
    got = b""
    while len(got) < size and (data := one.recv(size - len(got))):
        got += data
    return got


def test_it_passes_everything(proxy: Proxy) -> None:
    """A megabyte there and back, and the end of one side reaches the other."""
    content = bytes(range(256)) * 4096
    with socket.create_connection((HOST, proxy.port), timeout=30) as one:
        sending = threading.Thread(target=one.sendall, args=(content,), daemon=True)
        sending.start()
        assert read(one, len(content)) == content
        sending.join(30)
        one.shutdown(socket.SHUT_WR)
        assert read(one, 1) == b""


@pytest.mark.parametrize("way", Way)
def test_a_reset_comes_at_its_byte(proxy: Proxy, way: Way) -> None:
    """So many bytes come back as were let through, over two connections, then the connection is gone."""
    proxy.arm(trap := Trap(Manner.RESET, way, 15))
    with socket.create_connection((HOST, proxy.port), timeout=30) as one:
        one.sendall(b"0123456789")
        assert read(one, 10) == b"0123456789"
    with socket.create_connection((HOST, proxy.port), timeout=30) as one:
        one.sendall(b"0123456789")
        assert trap.sprung.wait(30)
        with pytest.raises(ConnectionResetError):
            read(one, 6)


def test_half_closed(proxy: Proxy) -> None:
    """What the caller sends is cut off; what it was already sent comes, then the end."""
    proxy.arm(Trap(Manner.HALF_CLOSED, Way.THERE, 4))
    with socket.create_connection((HOST, proxy.port), timeout=30) as one:
        one.sendall(b"0123456789")
        assert read(one, 10) == b"0123"


def test_silent(proxy: Proxy) -> None:
    """Nothing comes any more, and nobody is told."""
    proxy.arm(trap := Trap(Manner.SILENT, Way.BACK, 4))
    with socket.create_connection((HOST, proxy.port), timeout=1) as one:
        one.sendall(b"0123456789")
        assert read(one, 4) == b"0123"
        with pytest.raises(TimeoutError):
            one.recv(1)
    assert trap.sprung.is_set()


def test_a_trap_that_is_taken_back(proxy: Proxy) -> None:
    """It does not spring."""
    proxy.arm(trap := Trap(Manner.RESET, Way.THERE, 3))
    proxy.disarm(trap)
    with socket.create_connection((HOST, proxy.port), timeout=30) as one:
        one.sendall(b"0123456789")
        assert read(one, 10) == b"0123456789"
    assert not trap.sprung.is_set()
