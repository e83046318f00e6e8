"""A destination that falls silent in the midst of a PDU: the client says so in its time, and does not hang."""

import threading
from collections.abc import Iterator

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from node.core.errors import Unavailable
from node.core.peer import Peer

from .proxy import HOST, Manner, Proxy, Trap, Way
from .site import PACS, SCANNER

_RELEASE_RP_BYTES = 10


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a peer that answers C-ECHO."""
    ae = AE(PACS)
    ae.add_supported_context(Verification)
    server = ae.start_server((HOST, 0), block=False)
    assert server is not None
    one = Proxy(server.server_address[1])
    one.start()
    yield one
    one.stop()
    server.shutdown()


@pytest.mark.parametrize("where", ["association", "echo", "release"])
def test_silent_in_the_midst_of_an_answer(proxy: Proxy, where: str) -> None:
    """Part of the A-ASSOCIATE-AC, the C-ECHO-RSP or the A-RELEASE-RP comes, then nothing, and nobody closes."""
    peer_ = Peer(PACS, HOST, proxy.port, SCANNER, connect_timeout_s=2.0, answer_timeout_s=2.0)
    proxy.arm(whole := Trap(Manner.RESET, Way.BACK, 1_000_000))
    peer_.echo()
    proxy.disarm(whole)
    size = 1_000_000 - whole.after
    after = {"association": 3, "echo": size - _RELEASE_RP_BYTES - 4, "release": size - 4}[where]
    proxy.arm(trap := Trap(Manner.SILENT, Way.BACK, after))
    told: list[Unavailable] = []

    def ask() -> None:
        try:
            peer_.echo()
        except Unavailable as error:
            told.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert trap.sprung.wait(60)
    asking.join(60)
    assert not asking.is_alive(), "the client hangs"
    assert bool(told) is (where != "release")  # all was answered before the release
