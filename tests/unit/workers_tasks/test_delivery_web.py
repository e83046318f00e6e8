"""A DICOMweb destination: what we send and say of ourselves, and what we make of every answer."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydicom import dcmread

from node.core.ledger import Ledger, products
from node.core.ledger.tables import Delivery
from node.core.settings import Settings, WebDestination
from node.core.spool import Spool
from node.core.states import DeliveryState
from node.phantom import PhantomFiles
from workers import delivery

PENDING, SENT, PROVEN, FAILED = (
    DeliveryState.PENDING,
    DeliveryState.SENT,
    DeliveryState.PROVEN,
    DeliveryState.FAILED,
)
SECRET = "Secretname^Jane"  # noqa: S105 - stands in answers, and may not be found in what we say of them


@dataclass
class Server:
    """A DICOMweb server: `stow` are the answers to STOW-RS in turn, the last from then on; it lists `held`."""

    stow: list[tuple[int, dict[str, Any]]] = field(default_factory=lambda: [(200, {})])
    qido: int = 200
    held: set[str] = field(default_factory=set)
    body: bytes | None = None
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Server

    def do_POST(self) -> None:
        """Take what is stored."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self._keep("POST", content)
        answers = self.script.stow
        status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self._answer(status, json.dumps(answer).encode())

    def do_GET(self) -> None:
        """Answer a search."""
        self._keep("GET", b"")
        wanted = self.path.partition("SOPInstanceUID=")[2].partition("&")[0]
        found = [{"00080018": {"vr": "UI", "Value": [wanted]}}] if wanted in self.script.held else []
        self._answer(self.script.qido, json.dumps(found).encode())

    def _keep(self, method: str, content: bytes) -> None:
        self.script.requests.append((method, self.path, dict(self.headers), content))

    def _answer(self, status: int, body: bytes) -> None:
        body = self.script.body if self.script.body is not None else body
        self.send_response(status, SECRET)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _run(script: Server, context: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    script.url = f"http{'s' if context else ''}://localhost:{server.server_address[1]}/dicom-web"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that takes everything and lists nothing, until told otherwise."""
    script = Server()
    running = _run(script)
    yield script
    running.shutdown()
    running.server_close()


Deliver = Callable[..., list[Delivery]]


@pytest.fixture
def files(small_phantom: PhantomFiles) -> list[tuple[str, bytes]]:
    """Two objects of one study: UID and bytes."""
    return [content_of(path) for path in (small_phantom.seg, small_phantom.ct[0])]


@pytest.fixture
def summary(small_phantom: PhantomFiles) -> tuple[str, bytes]:
    """A third object, which stands for the Summary."""
    return content_of(small_phantom.ct[1])


def content_of(path: Path) -> tuple[str, bytes]:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID), path.read_bytes()


@pytest.fixture
def send(
    settings: Settings,
    spool: Spool,
    ledger: Ledger,
    reported: Callable[..., str],
    delivery_rows: Callable[[str], dict[str, Delivery]],
    files: list[tuple[str, bytes]],
) -> Deliver:
    """Return a function that delivers the two objects once and returns their rows, SEG first."""

    def run(server: Server, summary: tuple[str, bytes] | None = None, **changes: object) -> list[Delivery]:
        key = reported("1.2.3", "web", dict(zip(("seg", "sr"), files, strict=True)))
        if summary is not None:
            keep(key, *summary)
        web = WebDestination(kind="dicomweb", name="web", url=server.url, **changes)
        chosen = settings.model_copy(update={"destinations": (web,)})
        delivery.deliver(key, "web", chosen, spool, ledger)
        if summary is not None:
            delivery.deliver(key, "web", chosen, spool, ledger)
        rows = delivery_rows(key)
        return [rows[kind] for kind in ("seg", "sr", "summary") if kind in rows]

    def keep(key: str, uid: str, content: bytes) -> None:
        with ledger.transaction() as session:
            written = spool.work(key).write("summary.dcm", content)
            facts = {"kind": "summary", "sop_instance_uid": uid, "file": "summary.dcm", "digest": written}
            products.enter(session, job_key=key, **facts)

    return run


def outcomes(rows: list[Delivery]) -> list[tuple[DeliveryState, str | None, str | None]]:
    return [(row.state, row.reason, row.detail) for row in rows]


def test_each_object_in_a_request_of_its_own(server: Server, send: Deliver, files: list[tuple[str, bytes]]) -> None:
    """The stored bytes, in one piece, to the study; then a search for each; nothing is said of who we are."""
    server.held = {uid for uid, _ in files}
    assert {row.state for row in send(server)} == {PROVEN}
    posts = [one for one in server.requests if one[0] == "POST"]
    assert [path for _, path, _, _ in posts] == ["/dicom-web/studies/1.2.3"] * 2
    for (_, content), (_, _, headers, body) in zip(files, posts, strict=True):
        assert content in body
        assert body.count(b"DICM") == 1
        assert headers["Content-Type"].startswith('multipart/related; type="application/dicom"')
        assert "Authorization" not in headers


def test_one_refused_object_does_not_hold_up_the_other(
    server: Server, send: Deliver, files: list[tuple[str, bytes]]
) -> None:
    """The first is answered 409, the second is taken, found and proven."""
    server.stow = [(409, {}), (200, {})]
    server.held = {files[1][0]}
    refused, proven = send(server)
    assert (refused.state, refused.reason, refused.detail) == (
        PENDING,
        "destination-refused",
        "STOW-RS answered 409, conflict",
    )
    assert proven.state is PROVEN


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "destination-refused"),
        (401, "destination-refused"),
        (403, "destination-refused"),
        (413, "destination-refused"),
        (500, "destination-refused"),
        (429, "destination-unreachable"),
        (503, "destination-unreachable"),
    ],
)
def test_a_status_that_is_no_success(server: Server, send: Deliver, status: int, reason: str) -> None:
    """It is told by its number, without the server's own words, and asked once an attempt."""
    server.stow = [(status, {"message": SECRET})]
    for state, code, detail in outcomes(send(server)):
        assert (state, code) == (PENDING, reason)
        assert str(detail).startswith(f"STOW-RS answered {status}, ")
        assert SECRET not in str(detail)
    assert len(server.requests) == 2


def test_an_object_that_failed_inside_a_success(server: Server, send: Deliver, files: list[tuple[str, bytes]]) -> None:
    """202 with a failed object (PS3.18 table 10.5.3-2): the reason is read, whatever the status says."""
    server.stow = [(202, failed_with(0xC000, files[0][0]))]
    assert outcomes(send(server)) == [(PENDING, "destination-refused", "STOW-RS: failed, C000")] * 2


def failed_with(reason: int, uid: str) -> dict[str, Any]:
    item = {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
    return {"00081198": {"vr": "SQ", "Value": [item]}}


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (202, 0x0122, "STOW-RS: failed, 0122, SOP class not supported"),
        (409, 0x0122, "STOW-RS: failed, 0122, SOP class not supported"),
        (409, 0x0124, "STOW-RS: failed, 0124, not authorised"),
        (409, 0xC122, "STOW-RS: failed, C122, transfer syntax not supported"),
        (415, None, "STOW-RS answered 415, unsupported media type"),
    ],
)
def test_a_kind_that_is_refused_is_replaced_by_the_summary(
    server: Server,
    send: Deliver,
    files: list[tuple[str, bytes]],
    summary: tuple[str, bytes],
    status: int,
    reason: int | None,
    words: str,
) -> None:
    """The SEG is refused, by the status or by what comes with it; the other is proven, and the Summary goes next."""
    server.stow = [(status, failed_with(reason, files[0][0]) if reason else {}), (200, {})]
    server.held = {files[1][0], summary[0]}
    seg, sr, stand_in = send(server, summary=summary)
    assert outcomes([seg, sr]) == [(FAILED, "sop-class-refused", words), (PROVEN, None, None)]
    assert seg.substitute_uid == stand_in.sop_instance_uid == summary[0]
    assert stand_in.state is PROVEN
    assert [summary[1] in body for _, _, _, body in server.requests if body] == [False, False, True]


def test_an_object_that_is_not_listed(server: Server, send: Deliver) -> None:
    """Answered success, and not found: lost, and sent again."""
    assert outcomes(send(server)) == [(PENDING, "destination-lost", "web")] * 2


def test_a_search_that_fails_is_no_loss(server: Server, send: Deliver) -> None:
    """It cannot be asked: the object stays sent, and is asked for again."""
    server.qido = 503
    words = "QIDO-RS answered 503, service unavailable"
    assert outcomes(send(server)) == [(SENT, "destination-unreachable", words)] * 2


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"00081198": 7}'])
def test_an_answer_without_sense(server: Server, send: Deliver, body: bytes) -> None:
    """What cannot be read proves nothing."""
    server.body = body
    for state, code, detail in outcomes(send(server)):
        assert state in (PENDING, SENT)
        assert code in ("destination-refused", "destination-lost")
        assert "answer that cannot be read" in str(detail) or detail == "web"


def test_user_and_password(server: Server, send: Deliver, files: list[tuple[str, bytes]], tmp_path: Path) -> None:
    """Basic authentication with the password from its file, which ends with a line break."""
    server.held = {uid for uid, _ in files}
    (tmp_path / "password").write_text("open sesame\n")
    send(server, user="node", password_file=tmp_path / "password")
    assert {headers["Authorization"] for _, _, headers, _ in server.requests} == {"Basic bm9kZTpvcGVuIHNlc2FtZQ=="}


def test_a_bearer_token(server: Server, send: Deliver, tmp_path: Path) -> None:
    """The token comes from its file."""
    (tmp_path / "token").write_text("abc\n")
    send(server, token_file=tmp_path / "token")
    assert {headers["Authorization"] for _, _, headers, _ in server.requests} == {"Bearer abc"}


def test_a_secret_that_cannot_be_read(server: Server, send: Deliver, tmp_path: Path) -> None:
    """Nothing is sent without it, and the file is named."""
    for _, code, detail in outcomes(send(server, token_file=tmp_path / "token")):
        assert code == "destination-refused"
        assert detail == f"token_file: {tmp_path / 'token'} cannot be read: FileNotFoundError"
    assert server.requests == []


def test_nothing_is_taken_from_the_environment(
    server: Server, send: Deliver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a proxy nor a netrc of the account that we run as."""
    (tmp_path / ".netrc").write_text("machine localhost login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    send(server)
    assert server.requests
    assert all("Authorization" not in headers for _, _, headers, _ in server.requests)


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_the_certificate_is_checked(
    send: Deliver, files: list[tuple[str, bytes]], tmp_path: Path, *, known: bool
) -> None:
    """A server whose authority is in the settings is trusted, any other is not: nothing is sent to it."""
    ours, theirs = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.issue_cert("localhost").configure_cert(context)
    (theirs if known else ours).cert_pem.write_to_path(str(tmp_path / "authorities.pem"))
    script = Server(held={uid for uid, _ in files})
    running = _run(script, context)
    try:
        rows = send(script, authorities=tmp_path / "authorities.pem")
    finally:
        running.shutdown()
        running.server_close()
    if known:
        assert {row.state for row in rows} == {PROVEN}
    else:
        assert outcomes(rows) == [(PENDING, "destination-unreachable", "STOW-RS: TLS failed")] * 2
        assert script.requests == []
