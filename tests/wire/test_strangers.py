"""Clients that do not speak DICOM, or only its first words: nothing leaks, and the listener serves on."""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pynetdicom import AE, build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.sop_class import Verification

from .conftest import Site
from .sender import CALLER, associate, ct_slice, offer_slice

_RANDOM = random.Random(20260207)  # noqa: S311 - the same noise in each run
_ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x00"  # A-ABORT of the provider, no reason given


def _connections() -> int:
    """Return how many sockets this process holds."""
    names = []
    for handle in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            names.append(str(handle.readlink()))
    return sum(name.startswith("socket:") for name in names)


@contextmanager
def _nothing_leaks(site: Site, limit_s: float = 5) -> Iterator[None]:
    """Fail unless threads and sockets return to their level, and the site serves afterwards."""
    site.peer.echo()
    time.sleep(0.1)
    threads, sockets = threading.active_count(), _connections()
    yield
    site.peer.echo()  # connections are accepted in order: whoever came before is in by now
    until = time.monotonic() + limit_s
    while (threading.active_count() > threads or _connections() > sockets) and time.monotonic() < until:
        time.sleep(0.05)
    assert threading.active_count() <= threads, threading.enumerate()
    assert _connections() <= sockets
    assoc = associate(site.port)
    assert offer_slice(assoc, ct_slice()) == 0
    assoc.release()


def _say(site: Site, content: bytes, wait_s: float = 5) -> bytes:
    """Say something and return what is answered until the listener hangs up, or b"..." where it does not."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=wait_s) as connection:
        answer = b""
        try:
            connection.sendall(content)
            while piece := connection.recv(4096):
                answer += piece
        except TimeoutError:
            return b"..."
        except OSError:  # reset: it did not read to the end
            pass
        return answer


def _request(calling: str = CALLER) -> bytes:
    """Return a whole association request, as a known caller makes it."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        ae = AE(calling)
        ae.acse_timeout = 1
        port = server.getsockname()[1]
        caller = threading.Thread(target=lambda: ae.associate("127.0.0.1", port, [build_context(Verification)], "NODE"))
        caller.start()
        connection, _ = server.accept()
        requests.append(connection.recv(65536))
        connection.close()
        caller.join()
    A_ASSOCIATE_RQ().decode(requests[0])
    return requests[0]


def test_connect_and_close_200_times(site: Site) -> None:
    """TCP health checks take no thread and no socket, and no association."""
    with _nothing_leaks(site):
        for _ in range(200):
            socket.create_connection(("127.0.0.1", site.port)).close()


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x04\x00\x00\x00\x00\x08" + bytes(8),
        b"\x00" * 1000,
    ],
    ids=["http", "tls", "ssh", "p-data-first", "zeros"],
)
def test_another_protocol_is_hung_up_on(site: Site, content: bytes) -> None:
    """Whatever does not begin with an association request is closed at once and without an answer."""
    with _nothing_leaks(site):
        assert _say(site, content) == b""


def test_random_bytes_leak_nothing(site: Site) -> None:
    """A hundred random messages, half of them dressed as association requests, with true and false lengths."""
    with _nothing_leaks(site, limit_s=12):
        for number in range(100):
            noise = _RANDOM.randbytes(_RANDOM.randrange(1, 2000))
            length = len(noise) if number % 4 else _RANDOM.randrange(1, 2**20)
            with socket.create_connection(("127.0.0.1", site.port)) as connection, suppress(OSError):
                connection.sendall(noise if number % 2 else b"\x01\x00" + struct.pack(">L", length) + noise)


@pytest.mark.parametrize("place", [6, 10, 74, 80, 100, 150])
def test_broken_association_request_is_hung_up_on(site: Site, place: int) -> None:
    """A request with a byte overwritten in each of its parts ends with an answer or without, but it ends."""
    request = bytearray(_request())
    request[place] = 0xFF
    with _nothing_leaks(site):
        assert _say(site, bytes(request) + b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00") != b"..."


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_half_an_association_request_and_gone(site: Site, share: float) -> None:
    """A caller that hangs up in its first sentence leaves nothing behind."""
    request = _request()
    with _nothing_leaks(site), socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(request[: int(len(request) * share)])


def test_association_request_that_never_ends(open_site: Callable[..., Site]) -> None:
    """A caller that stops in its first sentence and stays is hung up on after the idle time."""
    site = open_site(association_idle_s=0.5)
    with _nothing_leaks(site):
        assert _say(site, _request()[:-1]) != b"..."


def test_announced_gigabytes_are_not_waited_for(site: Site) -> None:
    """A PDU that announces 4 GB, as the first or within an association, ends the connection at once."""
    endless = b"\xff\xff\xff\xff" + bytes(100)
    with _nothing_leaks(site):
        assert _say(site, b"\x01\x00" + endless) != b"..."
        with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
            connection.sendall(_request())
            assert connection.recv(4096)[:1] == b"\x02", "the association itself is accepted"
            connection.sendall(b"\x04\x00" + endless)
            with suppress(ConnectionResetError):
                assert connection.recv(4096) in (b"", _ABORT)


def test_silence_is_not_waited_for_by_others(site: Site) -> None:
    """Clients that connect and say nothing do not keep others waiting."""
    silent = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(50)]
    begun = time.monotonic()
    site.peer.echo()
    assert time.monotonic() - begun < 2
    for connection in silent:
        connection.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # pynetdicom's, and harmless
def test_rejected_caller_that_keeps_talking(site: Site) -> None:
    """A stranger that ignores its rejection and goes on sending is hung up on."""
    with _nothing_leaks(site):
        answer = _say(site, _request("STRANGER") + b"\x04\x00\x00\x00\x00\x10" + bytes(16) + bytes(4000))
    assert answer[:1] in (b"\x03", b"\x07", b""), "rejected, aborted or reset, whichever came first; never accepted"
