"""DICOM TLS of our own client: which servers it tells anything, and what it says of the others."""

import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from certificates import HOST, Authority, Identity
from pydicom.uid import CTImageStorage
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from node.core.errors import Unavailable
from node.core.peer import Peer
from node.core.reasons import Outage

from .tls_parties import caller_tls, program, stores


def test_our_client_stores_to_dcmtk_under_tls(
    authority: Authority,
    free_port: Callable[[], int],
    tmp_path: Path,
) -> None:
    """A foreign server that wants a certificate is echoed and stored to with ours."""
    own, received, port = authority.issue("pacs"), tmp_path / "received", free_port()
    received.mkdir()
    options: list[str | Path] = ["+tls", own.key, own.certificate, "+cf", authority.file, "-od", received, str(port)]
    server = subprocess.Popen(program("storescp", *options))
    peer = Peer("STORESCP", HOST, port, "US", caller_tls(authority, authority.issue("node")))
    try:
        until = time.monotonic() + 30
        while not _answers(peer) and time.monotonic() < until:
            time.sleep(0.05)
        stores(peer, tmp_path)
    finally:
        server.kill()
        server.wait()
    assert len(list(received.iterdir())) == 1


def _answers(peer: Peer) -> bool:
    try:
        peer.echo()
    except Unavailable:
        return False
    return True


@contextmanager
def _pacs(port: int, context: ssl.SSLContext | None) -> Iterator[list[str]]:
    """Run a PACS that takes CT images; yield the calling AE titles of whoever has asked for an association."""
    ae, asked = AE("PACS"), list[str]()
    ae.supported_contexts = [build_context(CTImageStorage), build_context(Verification)]
    ae.acse_timeout = 20

    def hear(event: evt.Event) -> None:
        if event.assoc.requestor.primitive is not None:
            asked.append(str(event.assoc.requestor.primitive.calling_ae_title))

    handlers: list[Any] = [(evt.EVT_C_STORE, lambda _: 0x0000), (evt.EVT_REQUESTED, hear)]
    ae.start_server((HOST, port), block=False, ssl_context=context, evt_handlers=handlers)
    try:
        yield asked
    finally:
        ae.shutdown()


def _server(identity: Identity, authority: Authority | None = None) -> ssl.SSLContext:
    """Return the context of a foreign server; with an authority it wants a certificate of its clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    if authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)
    return context


def test_our_client_knows_the_server(authority: Authority, free_port: Callable[[], int], tmp_path: Path) -> None:
    """With the right authority and address it echoes and stores, and shows its own certificate when asked."""
    port = free_port()
    with _pacs(port, _server(authority.issue("pacs"), authority)) as asked:
        stores(Peer("PACS", HOST, port, "US", caller_tls(authority, authority.issue("node"))), tmp_path)
        assert asked == ["US", "US"]


_UNTRUSTED: list[tuple[Callable[[Authority, Authority], Identity], str]] = [
    (lambda _, stranger: stranger.issue("pacs"), "not of an authority that is accepted"),
    (lambda authority, _: authority.expired(), "has expired"),
    (lambda authority, _: authority.early(), "not valid yet"),
    (lambda authority, _: authority.issue("elsewhere", "192.0.2.7", "pacs.example"), "another host name or address"),
]


@pytest.mark.parametrize(("identity", "words"), _UNTRUSTED, ids=[words for _, words in _UNTRUSTED])
def test_our_client_tells_an_untrusted_server_nothing(
    authority: Authority,
    stranger: Authority,
    free_port: Callable[[], int],
    identity: Callable[[Authority, Authority], Identity],
    words: str,
) -> None:
    """A server of another authority, expired, or of another name hears no association request; the error says why."""
    port = free_port()
    with _pacs(port, _server(identity(authority, stranger))) as asked:
        with pytest.raises(Unavailable, match=f"TLS: the (peer|server)'s certificate .*{words}") as caught:
            Peer("PACS", HOST, port, "US", caller_tls(authority, authority.issue("node"))).echo()
        assert caught.value.code is Outage.DESTINATION_UNREACHABLE
        assert asked == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_our_client_takes_no_older_tls(authority: Authority, free_port: Callable[[], int]) -> None:
    """A server that speaks nothing newer than TLS 1.1, or no TLS at all, is not spoken to."""
    old = _server(authority.issue("pacs"))
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    for context, words in ((old, "protocol version"), (None, "TLS: ")):
        port = free_port()
        with _pacs(port, context) as asked:
            with pytest.raises(Unavailable, match=words):
                Peer("PACS", HOST, port, "US", caller_tls(authority, authority.issue("node"))).echo()
            assert asked == []


def test_a_server_that_wants_a_certificate_is_understood(authority: Authority, free_port: Callable[[], int]) -> None:
    """Where we have no certificate and the server wants one, the error says so."""
    port = free_port()
    with _pacs(port, _server(authority.issue("pacs"), authority)) as asked:
        with pytest.raises(Unavailable, match=r"certificate required"):
            Peer("PACS", HOST, port, "US", caller_tls(authority, None)).echo()
        assert asked == []
