"""Who gets in, who does not, and what keeps it so."""

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from node import accounts as orders
from node.core import ledger as ledgers
from node.core.ledger import Ledger, accounts, audit
from node.core.ledger.accounts import Role
from node.core.ledger.audit import AuditEvent
from node.passwords import WeakPassword, hashed
from node.web import throttle
from node.web.api import DOORS
from node.web.application import _LOOK, _ORDER
from node.web.throttle import ACCOUNT_TRIES, HOST_TRIES, TRIES, WINDOW_S, Throttle

from .conftest import PASSWORD, Known, Sign, forgery_token

PUBLIC = ("/health/live", "/metrics", "/api/openapi.json", "/sign-in", "/static/page.css")


def test_nobody_sees_a_page_without_signing_in(client: TestClient) -> None:
    """A page leads to the sign-in, the API says 401; neither says anything else."""
    for path in (*_LOOK, "/live", *(door.path for door in DOORS if door.method == "GET")):
        found = client.get(path)
        assert found.status_code == (401 if path.startswith("/api/") else 303), path
        assert found.status_code == 401 or found.headers["location"].startswith("/sign-in?next="), path


def test_nobody_orders_without_signing_in(client: TestClient) -> None:
    """Whatever is sent."""
    for path in (*_ORDER, *(door.path for door in DOORS if door.method == "POST")):
        assert client.post(path, data={"cause": "x"}).status_code == (401 if path.startswith("/api/") else 303), path


def test_a_wrong_password_is_told_no_more_than_a_wrong_name(client: TestClient, ledger: Ledger) -> None:
    """The same answer, and an entry in the trail for both."""
    orders.add(ledger, "anna", Role.READER, PASSWORD)
    wrong, unknown = (client.post("/sign-in", data={"name": name, "password": "x" * 12}) for name in ("anna", "nobody"))
    assert (wrong.status_code, wrong.text) == (401, unknown.text)
    with ledger.reading() as session:
        told = [
            (row.user_id, row.outcome) for row in audit.rows(session) if row.event == AuditEvent.SIGNED_IN.value.codes
        ]
    assert told == [("anna", 8), ("nobody", 8)]


def test_too_many_attempts_have_to_wait(client: TestClient, ledger: Ledger) -> None:
    """Even with the right password, which was perhaps only guessed."""
    orders.add(ledger, "anna", Role.READER, PASSWORD)
    for _ in range(TRIES):
        client.post("/sign-in", data={"name": "anna", "password": "wrong password"})
    late = client.post("/sign-in", data={"name": "anna", "password": PASSWORD})
    assert late.status_code == 429
    assert 0 < int(late.headers["retry-after"]) <= WINDOW_S


def test_attempts_are_forgotten_with_time_and_counted_by_address() -> None:
    """An account opens again after the window; an address that tries many accounts has to wait too."""
    time = [0.0]
    one = Throttle(lambda: time[0])
    for number in range(HOST_TRIES):
        one.failed(f"account {number}", "10.0.0.9")
    assert one.wait_s("another", "10.0.0.9") > 0
    assert one.wait_s("another", "10.0.0.8") == 0
    time[0] = WINDOW_S + 1
    assert one.wait_s("another", "10.0.0.9") == 0
    assert (TRIES <= 10, HOST_TRIES <= 100, ACCOUNT_TRIES <= 100, WINDOW_S >= 600) == (True, True, True, True)


def test_who_knows_a_name_shuts_nobody_out() -> None:
    """Failures at one address close an account there alone; those of many addresses close it everywhere."""
    one = Throttle(lambda: 0.0)
    for _ in range(TRIES):
        one.failed("anna", "10.0.0.9")
    assert (one.wait_s("anna", "10.0.0.9"), one.wait_s("ben", "10.0.0.9")) == (WINDOW_S, 0)
    for number in range(ACCOUNT_TRIES - TRIES):
        assert one.wait_s("anna", "10.0.0.8") == 0, number
        one.failed("anna", f"10.0.1.{number}")
    assert (one.wait_s("anna", "10.0.0.8"), one.wait_s("ben", "10.0.0.8")) == (WINDOW_S, 0)


def test_only_what_is_recent_is_held_and_little_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who signs in is forgiven what failed at this account and address; what is held does not grow without end."""
    time = [0.0]
    one = Throttle(lambda: time[0])
    for _ in range(TRIES):
        one.failed("anna", "10.0.0.9")
        one.failed("anna", "10.0.0.8")
    one.succeeded("anna", "10.0.0.9")
    assert (one.wait_s("anna", "10.0.0.9"), one.wait_s("anna", "10.0.0.8")) == (0, WINDOW_S)
    assert sorted(len(times) for times in one._failures.values()) == [TRIES, TRIES, TRIES, 2 * TRIES]
    time[0] = WINDOW_S + 1
    assert one.wait_s("anna", "10.0.0.8") == 0
    one.failed("anna", "10.0.0.9")
    assert [len(one._failures[key]) for key in (("anna", "10.0.0.9"), ("", "10.0.0.9"), ("anna", ""))] == [1, 1, 1]
    monkeypatch.setattr(throttle, "_MOST_KEYS", 4)
    for name in ("ben", "cara"):
        one.failed(name, "10.0.0.9")
    assert [*one._failures] == [("ben", ""), ("cara", "10.0.0.9"), ("", "10.0.0.9"), ("cara", "")]


def test_the_cookie_is_for_this_site_and_no_script(client: TestClient, ledger: Ledger) -> None:
    """HttpOnly, SameSite, and the ledger holds nothing that could be used in its place."""
    orders.add(ledger, "anna", Role.READER, PASSWORD)
    answer = client.post("/sign-in", data={"name": "anna", "password": PASSWORD, "next": "//elsewhere.example"})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert answer.headers["location"] == "/"
    token = cookie.partition("=")[2].partition(";")[0]
    with ledger.reading() as session:
        kept = session.query(ledgers.tables.SignIn).one()
    assert token not in (kept.digest, kept.account)
    client.cookies.clear()
    client.cookies.set("crlm-session", kept.digest)
    assert client.get("/").status_code == 303


def test_who_signed_out_is_out(sign_in: Sign) -> None:
    """The cookie is worth nothing then, also where the browser kept it."""
    client = sign_in()
    kept = client.cookies["crlm-session"]
    client.post("/sign-out", data={"forgery-token": forgery_token(client.get("/").text)})
    client.cookies.set("crlm-session", kept)
    assert client.get("/").status_code == 303


@pytest.mark.parametrize("idle", [accounts.IDLE, accounts.LONGEST])
def test_a_session_ends(sign_in: Sign, monkeypatch: pytest.MonkeyPatch, idle: timedelta) -> None:
    """After a time without a request; and after the longest time, however busy."""
    client = sign_in()
    begun = accounts.now()
    step = timedelta(hours=1)
    at = begun
    while idle is accounts.LONGEST and at + step < begun + idle:
        at += step
        monkeypatch.setattr(accounts, "now", lambda at=at: at)
        assert client.get("/").status_code == 200
    monkeypatch.setattr(accounts, "now", lambda: begun + idle)
    assert client.get("/").status_code == 303


def test_a_changed_password_signs_out(sign_in: Sign, ledger: Ledger) -> None:
    """Who has the cookie is out at once; so is one whose account is removed."""
    client = sign_in()
    orders.change_password(ledger, "anna", "another password")
    assert client.get("/").status_code == 303
    client.post("/sign-in", data={"name": "anna", "password": "another password"})
    assert client.get("/").status_code == 200
    orders.remove(ledger, "anna")
    assert client.get("/").status_code == 303


def test_a_reader_looks_and_orders_nothing(sign_in: Sign, known: Known) -> None:
    """403 on the page and in the API, and the page shows no such button."""
    client, uid = sign_in(Role.READER), known()
    page = client.get(f"/studies/{uid}").text
    token = forgery_token(page)
    for order in ("replay", "release", "priority", "facts"):
        assert f'formaction="/studies/{uid}/{order}"' not in page
        assert client.post(f"/studies/{uid}/{order}", data={"forgery-token": token}).status_code == 403
        assert client.post(f"/api/studies/{uid}/{order}", headers={"x-forgery-token": token}).status_code == 403
    assert "Enter and judge again" not in page


def test_an_operator_is_no_administrator(sign_in: Sign) -> None:
    """The trail and the accounts are not for everybody."""
    client = sign_in(Role.OPERATOR)
    for path in ("/audit", "/accounts", "/api/audit", "/api/users"):
        assert client.get(path).status_code == 403, path


def test_an_order_from_another_site_is_not_followed(sign_in: Sign, known: Known, ledger: Ledger) -> None:
    """Without the token of the session's own page, or with that of another session, whatever a proxy adds."""
    another = forgery_token(sign_in(Role.OPERATOR, "ben").get("/").text)
    client, uid = sign_in(Role.OPERATOR), known()
    assert len(another) == 64
    for sent in ({}, {"forgery-token": "0" * 64}, {"forgery-token": another}):
        for headers in ({}, {"authorization": "Basic eDp5"}):
            answer = client.post(f"/studies/{uid}/priority", data={"turn": "stat", **sent}, headers=headers)
            assert answer.status_code == 403
    as_json = client.post(f"/api/studies/{uid}/priority", json={"turn": "stat"})
    assert as_json.status_code == 403
    with ledger.reading() as session:
        assert session.query(ledgers.tables.Job).one().priority == 0


def test_every_answer_has_the_headers(client: TestClient) -> None:
    """No script of another place, no frame, no guessing of types; nothing but static files may be kept."""
    for path in (*PUBLIC, "/", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
        assert "strict-transport-security" not in headers
        assert ("no-store" in headers["cache-control"]) != path.startswith("/static/"), path


def test_what_came_by_tls_stays_with_tls(client: TestClient, ledger: Ledger) -> None:
    """The cookie is sent back by no other way, and the browser comes by no other."""
    orders.add(ledger, "anna", Role.READER, PASSWORD)
    for scheme in ("http", "https"):
        answer = client.post(f"{scheme}://testserver/sign-in", data={"name": "anna", "password": PASSWORD})
        assert answer.status_code == 303
        assert ("Secure" in answer.headers["set-cookie"]) is (scheme == "https")
        assert ("strict-transport-security" in answer.headers) is (scheme == "https")


def test_a_form_of_another_site_signs_nobody_in(client: TestClient, ledger: Ledger) -> None:
    """Else somebody could be signed in as another without knowing it."""
    orders.add(ledger, "anna", Role.READER, PASSWORD)
    sent = {"name": "anna", "password": PASSWORD}
    answer = client.post("/sign-in", data=sent, headers={"sec-fetch-site": "cross-site"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_a_weak_password_is_none() -> None:
    """Eleven characters are too few."""
    with pytest.raises(WeakPassword):
        hashed("x" * 11)


def test_a_body_that_is_too_large_is_not_read(sign_in: Sign, known: Known) -> None:
    """It is refused, whatever it is."""
    client, uid = sign_in(Role.OPERATOR), known()
    assert client.post(f"/studies/{uid}/replay", content=b"x" * 70_000).status_code == 400


def test_the_sign_in_leads_nowhere_else(client: TestClient) -> None:
    """A link that was sent around must not lead to another site after the password."""
    for onward in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        assert 'name="next" value="/"' in client.get("/sign-in", params={"next": onward}).text, onward
    assert 'name="next" value="/studies/1.2"' in client.get("/sign-in", params={"next": "/studies/1.2"}).text
