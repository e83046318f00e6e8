"""Who is told of what waits for a person, and that nobody is told of whom it is."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from node import alerts as module
from node.alerts import Alerts
from node.core.errors import Unavailable
from node.core.ledger import Ledger, jobs
from node.core.ledger.moves import move_job, move_study
from node.core.ledger.tables import Study
from node.core.records import JobRequest
from node.core.settings import Alerts as AlertSettings
from node.core.settings import Settings
from node.core.states import JobState, StudyState


@pytest.fixture
def ledger_url(tmp_path: Any) -> str:
    """In SQLite alone: nothing here depends on the database."""
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


class Hook(HTTPServer):
    """A webhook that keeps what it gets, and answers as it is told."""

    status = 200

    def __init__(self) -> None:
        self.got: list[tuple[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.headers.get("Authorization", ""), content))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


class Mail(socketserver.TCPServer):
    """A mail server that keeps what it gets."""

    allow_reuse_address = True

    def __init__(self) -> None:
        self.got: list[str] = []
        super().__init__(("127.0.0.1", 0), _Smtp)


class _Smtp(socketserver.StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        message: list[str] | None = None
        while line := self.rfile.readline().decode():
            if message is not None and line != ".\r\n":
                message.append(line)
                continue
            if message is not None:
                self.server.got.append("".join(message))
            message = [] if line.upper().startswith("DATA") else None
            goodbye = b"221 goodbye\r\n" if line.upper().startswith("QUIT") else b"250 fine\r\n"
            self.wfile.write(b"354 go on\r\n" if message is not None else goodbye)


@pytest.fixture
def served() -> Iterator[Callable[[Any], Any]]:
    """Return a function that serves for the length of a test."""
    running = []

    def serve(server: Any) -> Any:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def troubled(ledger: Ledger, request_of: Callable[..., JobRequest], store: Callable[..., Any]) -> Callable[[str], None]:
    """Return a function that has a study set aside and its job fail."""

    def make(uid: str) -> None:
        store(uid, series=f"{uid}.1")
        with ledger.transaction() as session:
            study = session.get_one(Study, uid)
            move_study(session, study, StudyState.COMPLETE, "quiet")
            job = jobs.enqueue(session, request_of(uid))
            assert job is not None
            move_job(session, job, JobState.FAILED, "gave up")
            job.reason = "worker-lost"
            move_study(session, study, StudyState.QUARANTINED, "set aside")
            study.reason = "worker-lost"

    return make


def alerts_of(ledger: Ledger, **values: Any) -> Alerts:
    """Return alerts by these settings, which begin with what happens from now on."""
    made = Alerts(ledger, Settings(alerts=AlertSettings(**values), web_address="https://crlm.example"))
    made.round()
    return made


def test_a_webhook_is_told_once(ledger: Ledger, troubled: Callable[[str], None], served: Any, tmp_path: Any) -> None:
    """Study, reason and the address of its page, with the token of the site; what was before counts as known."""
    troubled("1.2.1")
    hook = served(Hook())
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    alerts = alerts_of(ledger, webhook=f"http://127.0.0.1:{hook.server_port}/", webhook_token_file=token)
    troubled("1.2.2")
    alerts.round()
    alerts.round()
    [(authorization, content)] = hook.got
    assert authorization == "Bearer s3cret"
    told = [(one["what"], one["study"], one["reason"], one["link"]) for one in content["alerts"]]
    link = "https://crlm.example/studies/1.2.2"
    assert told == [
        ("job-failed", "1.2.2", "worker-lost", link),
        ("study-quarantined", "1.2.2", "worker-lost", link),
    ]


def test_what_was_not_taken_is_told_again(
    ledger: Ledger, troubled: Callable[[str], None], served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rest, and nothing is lost by it."""
    hook = served(Hook())
    alerts = alerts_of(ledger, webhook=f"http://127.0.0.1:{hook.server_port}/")
    troubled("1.2.1")
    hook.status = 500
    with pytest.raises(Unavailable, match="alerts-webhook"):
        alerts.round()
    alerts.round()
    assert len(hook.got) == 1  # it rests
    hook.status = 200
    monkeypatch.setattr(module, "monotonic", lambda: 1e12)
    alerts.round()
    assert hook.got[1] == hook.got[0]


@pytest.mark.parametrize(
    ("content", "what"), [(b"\xff\xfe", "cannot be read: UnicodeDecodeError"), (b"s3cret\r\nX: 1", "holds no token")]
)
def test_a_secret_that_cannot_be_used_is_an_outage(
    content: bytes,
    what: str,
    ledger: Ledger,
    troubled: Callable[[str], None],
    free_port: Callable[[], int],
    tmp_path: Any,
) -> None:
    """The steward goes on, and says which way of telling failed, by the setting and its file."""
    token = tmp_path / "token"
    token.write_bytes(content)
    alerts = alerts_of(ledger, webhook=f"http://127.0.0.1:{free_port()}/", webhook_token_file=token)
    troubled("1.2.1")
    with pytest.raises(Unavailable, match=f"alerts-webhook: alerts.webhook_token_file: {token} {what}"):
        alerts.round()


def test_a_mail_says_it_in_words(ledger: Ledger, troubled: Callable[[str], None], served: Any) -> None:
    """To all who are named, in one message."""
    mail = served(Mail())
    port = mail.server_address[1]
    to = ("one@site.example", "two@site.example")
    alerts = alerts_of(ledger, mail_host="127.0.0.1", mail_port=port, mail_from="node@site.example", mail_to=to)
    troubled("1.2.1")
    alerts.round()
    [message] = mail.got
    assert "Subject: CRLM_NODE: 2 things wait for a person" in message
    assert "A study was set aside and waits for a person." in message
    assert "https://crlm.example/studies/1.2.1" in message


def test_nobody_is_told_where_the_site_names_nobody(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is not even looked at."""
    monkeypatch.setattr(ledger, "transaction", lambda: 1 / 0)
    Alerts(ledger, Settings()).round()
