"""DICOM TLS of the listener: who is let in and who is not, and that the reason stands in the audit trail."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import HOST, Authority, Identity
from pynetdicom import AE, build_context, evt
from pynetdicom.pdu_primitives import A_ABORT
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from node import association
from node.core.errors import Unavailable
from node.core.ledger import audit
from node.core.ledger.audit import AuditEvent, Rejection
from node.core.ledger.tables import Audit
from node.core.peer import Peer
from node.core.reasons import Outage
from node.core.settings import CallerTls
from node.core.tls import CIPHER_SUITES, TlsFault, caller_context

from .conftest import Site
from .sender import CALLER, ct_slice, data_set_of, file_of
from .tls_parties import caller_tls, listener_tls, program, run, stores

OpenSite = Callable[..., Site]


@pytest.fixture
def site(open_site: OpenSite, authority: Authority) -> Site:
    """A running site whose port serves TLS alone."""
    return open_site(tls=listener_tls(authority))


def _peer(site: Site, tls: CallerTls | None) -> Peer:
    return Peer("NODE", HOST, site.port, CALLER, tls)


def _trail(site: Site, event: AuditEvent = AuditEvent.REJECTED) -> list[Audit]:
    with site.ledger.transaction() as session:
        return [row for row in audit.rows(session) if audit.kind_of(row) is event.value]


def _rejections(site: Site, count: int = 1, limit_s: float = 20) -> list[str]:
    """Return the reasons in the audit trail, when there are so many."""
    until = time.monotonic() + limit_s
    while len(found := [row.detail.partition(":")[0] for row in _trail(site)]) < count and time.monotonic() < until:
        time.sleep(0.02)
    return found


def test_a_known_client_is_served(site: Site, authority: Authority, tmp_path: Path) -> None:
    """With a certificate of the authority a client is echoed and stored, byte by byte, and nothing is told of it."""
    sent = stores(_peer(site, caller_tls(authority, authority.issue("modality"))), tmp_path)
    assert [data_set_of(path.read_bytes()) for path in site.files()] == [sent]
    assert _trail(site) == []


def _wrong_authority(authority: Authority, stranger: Authority) -> Identity:
    return stranger.issue("modality")


def _expired(authority: Authority, stranger: Authority) -> Identity:
    return authority.expired()


def _early(authority: Authority, stranger: Authority) -> Identity:
    return authority.early()


def _for_servers(authority: Authority, stranger: Authority) -> Identity:
    return authority.for_servers_only()


def _none(authority: Authority, stranger: Authority) -> None:
    return None


_REFUSED = [
    (_wrong_authority, TlsFault.AUTHORITY_UNKNOWN, "unknown ca"),
    (_expired, TlsFault.CERTIFICATE_EXPIRED, "certificate expired"),
    (_early, TlsFault.CERTIFICATE_EARLY, "bad certificate"),
    (_for_servers, TlsFault.CERTIFICATE_INVALID, "unsupported certificate|bad certificate"),
    (_none, TlsFault.NO_CERTIFICATE, "certificate required"),
]


@pytest.mark.parametrize(("identity", "fault", "words"), _REFUSED, ids=[fault for _, fault, _ in _REFUSED])
def test_a_client_without_a_good_certificate_is_refused(
    site: Site,
    authority: Authority,
    stranger: Authority,
    identity: Callable[[Authority, Authority], Identity | None],
    fault: TlsFault,
    words: str,
) -> None:
    """It gets no association, its own error says why, and the audit trail has the reason and its host."""
    with pytest.raises(
        Unavailable, match=rf"TLS: the peer ended the handshake \((tlsv1 |sslv3 )?({words})\)"
    ) as caught:
        _peer(site, caller_tls(authority, identity(authority, stranger))).echo()
    assert caught.value.code is Outage.DESTINATION_UNREACHABLE
    assert _rejections(site) == [fault]
    (row,) = _trail(site)
    assert (row.host, row.outcome, row.user_id) == (HOST, 8, "")
    assert site.files() == []


def test_a_plain_client_is_hung_up_on(site: Site) -> None:
    """A client without TLS gets no answer to its association request, and the port goes on serving."""
    with pytest.raises(Unavailable, match=r"did not answer|broke"):
        _peer(site, None).echo()
    assert set(_rejections(site)) == {TlsFault.PLAIN_CLIENT}


@pytest.mark.parametrize("bytes_sent", [b"", b"\x16"], ids=["silent", "one-byte"])
def test_a_health_check_is_no_alarm(site: Site, authority: Authority, bytes_sent: bytes) -> None:
    """Whoever connects and hangs up without a word is not audited; whoever began a handshake is."""
    with socket.create_connection((HOST, site.port)) as check:
        check.sendall(bytes_sent)
    if bytes_sent:
        assert _rejections(site) == [TlsFault.BROKEN]
    else:
        _peer(site, caller_tls(authority, authority.issue("modality"))).echo()
        assert _trail(site) == []


def test_half_open_handshakes_hold_up_nobody(site: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """While forty clients are stuck in the handshake, one of them dribbling, a good one is served; then they go."""
    monkeypatch.setattr(association, "GREETING_TIMEOUT_S", 8.0)
    stuck = [socket.create_connection((HOST, site.port)) for _ in range(40)]
    for one in stuck:
        one.sendall(b"\x16\x03\x01\x02\x00")
    dribbling = threading.Thread(target=_dribble, args=(stuck[0],))
    dribbling.start()
    _peer(site, caller_tls(authority, authority.issue("modality"))).echo()
    for one in stuck:
        one.settimeout(30)
        with one:
            assert _hung_up(one)
    dribbling.join()
    assert _rejections(site)[0] in (TlsFault.TOO_SLOW, TlsFault.BROKEN)


def _dribble(connection: socket.socket) -> None:
    """Send a byte now and then, until the other side has had enough."""
    try:
        for _ in range(300):
            connection.sendall(b"\x01")
            time.sleep(0.1)
    except OSError:
        return


def _hung_up(connection: socket.socket) -> bool:
    """Read to the end of the connection."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


def test_a_client_that_says_nothing_under_tls_leaves_no_thread(
    site: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good certificate does not buy the right to hold a connection for ever, or to leave a thread behind."""
    before = set(threading.enumerate())
    context = caller_context(caller_tls(authority, authority.issue("modality")))
    for wait in (False, True):
        plain = socket.create_connection((HOST, site.port), timeout=60)
        with context.wrap_socket(plain, server_hostname=HOST) as secured:
            assert not wait or _hung_up(secured)
    until = time.monotonic() + 30
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.05)
    assert set(threading.enumerate()) <= before


def test_stopping_aborts_what_is_open_under_tls(site: Site, authority: Authority) -> None:
    """An association that stays open is aborted after the grace, under TLS to its end, and the port is free."""
    received: list[type] = []
    handlers: list[Any] = [(evt.EVT_ACSE_RECV, lambda event: received.append(type(event.primitive)))]
    context = caller_context(caller_tls(authority, authority.issue("modality")))
    assoc = AE(CALLER).associate(
        HOST, site.port, [build_context(Verification)], "NODE", evt_handlers=handlers, tls_args=(context, HOST)
    )
    assert assoc.is_established
    site.listener.stop()
    assoc.join(30)
    assert assoc.is_aborted
    assert received[-1] is A_ABORT
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, site.port))


def test_a_revoked_certificate_is_refused(open_site: OpenSite, authority: Authority) -> None:
    """Where the file of authorities holds a revocation list, a certificate on it is refused and another is not."""
    good, revoked = authority.issue("modality"), authority.issue("revoked")
    site = open_site(tls=listener_tls(authority, authorities=authority.with_revoked(revoked)))
    _peer(site, caller_tls(authority, good)).echo()
    with pytest.raises(Unavailable, match=r"certificate revoked"):
        _peer(site, caller_tls(authority, revoked)).echo()
    assert _rejections(site) == [TlsFault.CERTIFICATE_REVOKED]


def test_a_certificate_does_not_make_a_caller(site: Site, authority: Authority) -> None:
    """Under TLS, too, AE title and host must be in the settings."""
    with pytest.raises(Unavailable, match="association rejected"):
        Peer("NODE", HOST, site.port, "STRANGER", caller_tls(authority, authority.issue("modality"))).echo()
    assert _rejections(site) == [Rejection.CALLER_UNKNOWN]


def _files(identity: Identity, authority: Authority) -> list[str]:
    return ["-cert", str(identity.certificate), "-key", str(identity.key), "-CAfile", str(authority.file)]


def _s_client(site: Site, authority: Authority, identity: Identity, *options: str) -> tuple[int, str]:
    """Let OpenSSL's own client say what it sees; return its exit code and its words."""
    where = ("-connect", f"{HOST}:{site.port}", "-verify_return_error")
    done = run("openssl", "s_client", *where, *options, *_files(identity, authority))
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_openssl_sees_a_sound_server(site: Site, authority: Authority, version: str) -> None:
    """Outside judgement: the certificate verifies, the suite is of the profile, nothing is compressed or resumed."""
    code, said = _s_client(site, authority, authority.issue("modality"), f"-{version}")
    assert code == 0, said
    assert "Verify return code: 0 (ok)" in said
    assert "Compression: NONE" in said
    suite = said.partition("Cipher is ")[2].split()[0]
    assert suite in CIPHER_SUITES or suite.startswith("TLS_")
    assert "TLS session ticket:" not in said


_WEAK = "ALL:COMPLEMENTOFDEFAULT:@SECLEVEL=0"


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("-tls1_1", "-cipher", _WEAK), TlsFault.PROTOCOL_VERSION),
        (("-tls1", "-cipher", _WEAK), TlsFault.PROTOCOL_VERSION),
        (("-tls1_2", "-cipher", "AES128-SHA"), TlsFault.CIPHER_SUITES),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384"), TlsFault.CIPHER_SUITES),
        (("-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"), TlsFault.CIPHER_SUITES),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_a_downgrade_is_refused(site: Site, authority: Authority, options: tuple[str, ...], fault: TlsFault) -> None:
    """A client that offers nothing newer than TLS 1.1, or no suite of the profile, gets no handshake."""
    code, said = _s_client(site, authority, authority.issue("modality"), *options)
    assert code != 0, said
    assert "alert" in said
    assert _rejections(site) == [fault]


def test_a_weak_key_is_refused(site: Site, authority: Authority) -> None:
    """A client certificate with an RSA key of 1024 bits is not accepted, though its authority is."""
    code, said = _s_client(site, authority, authority.weak(), "-tls1_2", "-cipher", "DEFAULT:@SECLEVEL=0")
    assert code != 0, said
    assert _rejections(site) == [TlsFault.CERTIFICATE_WEAK]


def test_a_renegotiation_is_refused(site: Site, authority: Authority) -> None:
    """A client of TLS 1.2 that asks for new keys midway gets none, and the next client is served."""
    identity = authority.issue("modality")
    where = ("-connect", f"{HOST}:{site.port}", "-tls1_2")
    command = program("openssl", "s_client", *where, *_files(identity, authority))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdin is not None
    assert process.stdout is not None
    said = b""
    while b"Extended master secret" not in said:
        said += process.stdout.readline()
    process.stdin.write(b"R\n")
    process.stdin.flush()
    rest, _ = process.communicate(timeout=60)
    assert b"no renegotiation" in rest, rest
    _peer(site, caller_tls(authority, identity)).echo()


def test_dcmtk_stores_under_tls(site: Site, authority: Authority, tmp_path: Path) -> None:
    """A foreign client stores with a certificate; without one, and without TLS, it gets nowhere."""
    path = tmp_path / "slice.dcm"
    path.write_bytes(file_of(ct_slice()))
    own = authority.issue("modality")
    titles = ("-aet", CALLER, "-aec", "NODE", HOST, str(site.port), path)
    done = run("storescu", "-v", "+tls", own.key, own.certificate, "+cf", authority.file, *titles)
    assert done.returncode == 0, done.stderr
    assert [data_set_of(stored.read_bytes()) for stored in site.files()] == [data_set_of(path.read_bytes())]
    assert _trail(site) == []
    assert run("storescu", "+tla", "+cf", authority.file, *titles).returncode != 0
    assert run("storescu", *titles).returncode != 0
    assert set(_rejections(site, 2)) == {TlsFault.NO_CERTIFICATE, TlsFault.PLAIN_CLIENT}
