"""What the pages show, and what their buttons do."""

import json
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from node import entered
from node.core.ledger import Ledger, audit, jobs
from node.core.ledger.accounts import Role
from node.core.ledger.moves import move_study
from node.core.ledger.tables import Event, Job, PatientEntry, Study
from node.core.reasons import NotComputed
from node.core.records import EnteredFacts, HeightSource, PatientFacts, parse
from node.core.settings import Settings
from node.core.states import StudyState

from .conftest import Known, Sign, forgery_token

PNG = b"\x89PNG\r\n\x1a\n"


def order(client: TestClient, uid: str, what: str, **fields: str) -> tuple[int, str]:
    """Give an order as a form does; return the status and what the next page says."""
    token = forgery_token(client.get(f"/studies/{uid}").text)
    answer = client.post(f"/studies/{uid}/{what}", data={"forgery-token": token, **fields})
    page = client.get(answer.headers["location"]).text if answer.status_code == 303 else answer.text
    return answer.status_code, page


def test_the_worklist_shows_studies_and_escapes_them(sign_in: Sign, known: Known) -> None:
    """A name is text, whatever stands in it."""
    client = sign_in()
    known(patient_name="<script>alert(1)</script>")
    page = client.get("/").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_rows_that_have_not_changed_are_not_sent_again(sign_in: Sign, known: Known, ledger: Ledger) -> None:
    """204 for what the browser has; the new rows where something happened."""
    client, uid = sign_in(), known()
    seen = client.get("/").text.partition("seen=")[2].partition('"')[0]
    assert client.get(f"/?seen={seen}", headers={"hx-request": "true"}).status_code == 204
    with ledger.transaction() as session:
        move_study(session, session.get_one(Study, uid), StudyState.RECEIVING, "test")
    part = client.get(f"/?seen={seen}", headers={"hx-request": "true"})
    assert part.status_code == 200
    assert "<html" not in part.text
    assert "receiving" in part.text


@pytest.mark.parametrize("query", ["since=yesterday", "state=unheard-of", "after=now_1.2"])
def test_a_search_that_cannot_be_read_is_told(sign_in: Sign, query: str) -> None:
    """400, and no fault of the program."""
    assert sign_in().get(f"/?{query}").status_code == 400


def test_a_study_that_nobody_knows(sign_in: Sign) -> None:
    """404; a page over time of it too."""
    client = sign_in()
    assert client.get("/studies/1.9").status_code == 404
    assert client.get("/studies/1.9/patient").status_code == 404


def test_who_looks_at_a_study_is_in_the_trail(sign_in: Sign, known: Known, ledger: Ledger) -> None:
    """By name and address, once for each page that is opened, not for each refresh of its part."""
    client, uid = sign_in(), known()
    client.get(f"/studies/{uid}")
    client.get(f"/studies/{uid}", headers={"hx-request": "true"})
    with ledger.reading() as session:
        told = [(row.user_id, row.host, row.detail) for row in audit.rows(session, study_uid=uid)]
    assert told == [("anna", "testclient", "page")]


def test_a_key_image_is_of_its_study_alone(sign_in: Sign, known: Known, ledger: Ledger, settings: Settings) -> None:
    """No other file of the spool is reached, and no picture by the address of another study."""
    client, uid, other = sign_in(), known(), known("1.2.4")
    with ledger.reading() as session:
        key = session.query(Job).where(Job.study_uid == uid).one().key
    folder = settings.spool_dir / "work" / key
    (folder / "key-images").mkdir(parents=True)
    (folder / "key-images" / "cover.png").write_bytes(PNG)
    (folder / "result.json").write_text("{}")
    found = client.get(f"/studies/{uid}/jobs/{key}/images/cover.png")
    assert (found.status_code, found.content) == (200, PNG)
    for path in (
        f"/studies/{other}/jobs/{key}/images/cover.png",
        f"/studies/{uid}/jobs/{key}/images/none.png",
        f"/studies/{uid}/jobs/{key}/images/..%2fresult.json",
        f"/studies/{uid}/jobs/..%2f{key}/images/cover.png",
    ):
        assert client.get(path).status_code == 404, path


def test_a_turn_is_changed(sign_in: Sign, known: Known, ledger: Ledger) -> None:
    """The job goes before others, and the trail says who wanted that and why."""
    client, uid = sign_in(Role.OPERATOR), known()
    status, page = order(client, uid, "priority", turn="stat", cause="on the table")
    assert (status, "The study is stat now." in page) == (303, True)
    with ledger.reading() as session:
        assert session.query(Job).one().priority == 1
        told = [(row.user_id, row.detail) for row in audit.rows(session, study_uid=uid) if row.action == "E"]
    assert told == [("anna", "priority stat on the table")]


def test_an_order_that_does_not_fit_says_why(sign_in: Sign, known: Known, ledger: Ledger) -> None:
    """409 with the sentence of the command line; the attempt is in the trail by name."""
    client, uid = sign_in(Role.OPERATOR), known()
    status, page = order(client, uid, "release")
    assert status == 409
    assert f"{uid} is not in quarantine" in page
    with ledger.reading() as session:
        assert [row.user_id for row in audit.rows(session) if row.outcome == 4] == ["anna"]


def test_a_released_study_is_judged_again(sign_in: Sign, known: Known, ledger: Ledger) -> None:
    """The event names who let it out."""
    client, uid = sign_in(Role.OPERATOR), known(state=StudyState.QUARANTINED)
    assert order(client, uid, "release", cause="mended")[0] == 303
    with ledger.reading() as session:
        assert session.get_one(Study, uid).state is StudyState.RECEIVING
        causes = [one.cause for one in session.query(Event).where(Event.subject == "study")]
    assert causes == ["quarantine release by anna: mended"]


def test_a_study_is_replayed(sign_in: Sign, known: Known, ledger: Ledger) -> None:
    """The button calls what the command calls: the job is queued again."""
    client, uid = sign_in(Role.OPERATOR), known()
    with ledger.transaction() as session:
        job = session.query(Job).one()
        assert jobs.take(session, job.key, job.stage, "w", jobs.timedelta(seconds=9)) is not None
        assert jobs.finish(session, job.key, "w")
    assert order(client, uid, "replay")[0] == 303
    with ledger.reading() as session:
        assert session.query(Job).one().state == "queued"


def test_facts_are_entered_and_the_study_is_judged_again(sign_in: Sign, known: Known, ledger: Ledger) -> None:
    """They are kept for the patient; the trail names the facts, and no value."""
    client, uid = sign_in(Role.OPERATOR), known()
    status, page = order(client, uid, "facts", height_m="1.72", ras="kras-mutant", cea_ng_ml="12.5")
    assert status == 303
    assert 'value="1.72"' in page
    with ledger.reading() as session:
        kept = session.query(PatientEntry).one()
        told = [row.detail for row in audit.rows(session, study_uid=uid) if row.action == "E"]
        assert session.get_one(Study, uid).state is StudyState.RECEIVING
    assert (kept.patient, kept.entered_by) == ("p1", "anna")
    assert parse(EnteredFacts, kept.facts).height_m == 1.72
    assert told == ["facts enter height_m, cea_ng_ml, ras"]


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"height_m": "172"}, 409, "a height is between 1.0 and 2.3 m"),
        ({"height_m": "1,72"}, 400, "Height is no number"),
        ({"ras": "perhaps"}, 400, "RAS is none of"),
    ],
)
def test_facts_that_cannot_be_are_refused(
    sign_in: Sign, known: Known, ledger: Ledger, fields: dict[str, str], status: int, said: str
) -> None:
    """With the field and what is wrong with it; nothing is entered."""
    client, uid = sign_in(Role.OPERATOR), known()
    found = order(client, uid, "facts", **fields)
    assert found[0] == status
    assert said in found[1]
    with ledger.reading() as session:
        assert session.query(PatientEntry).count() == 0


def test_what_the_page_says_stands_above_the_form() -> None:
    """Fact by fact; what it leaves open stays as the form has it, and a height of the images is never replaced."""
    missing = PatientFacts(None, None, NotComputed.HEIGHT_MISSING, None, "")
    found = entered.with_page(missing, parse(EnteredFacts, '{"height_m": 1.7, "clinical": {"cea_ng_ml": 3}}'))
    assert (found.height_m, found.height_source) == (1.7, HeightSource.OPERATOR)
    assert found.clinical is not None
    assert found.clinical.cea_ng_ml == 3
    again = entered.with_page(found, parse(EnteredFacts, '{"height_m": 1.8, "clinical": {"ras": "mutant"}}'))
    assert again.clinical is not None
    assert (again.height_m, again.clinical.cea_ng_ml, again.clinical.ras) == (1.8, 3, "mutant")
    by_image = PatientFacts(1.6, HeightSource.SERIES, None, None, "")
    assert entered.with_page(by_image, EnteredFacts(1.9)).height_m == 1.6
    assert entered.with_page(by_image, EnteredFacts()) == by_image


def test_a_queue_is_paused_and_goes_on(sign_in: Sign) -> None:
    """And the page of the operation says so, with the cause."""
    client = sign_in(Role.OPERATOR)
    token = {"forgery-token": forgery_token(client.get("/operation").text)}
    assert client.post("/queues/measure/pause", data={**token, "cause": "service"}).status_code == 303
    page = client.get("/operation").text
    assert "measure is paused." in page
    assert "pause measure by anna: service" in page
    assert client.post("/queues/measure/resume", data=token).status_code == 303
    assert client.post("/queues/unheard-of/pause", data=token).status_code == 400


def test_a_destination_is_asked(sign_in: Sign, settings: Settings) -> None:
    """The answer stays on the page with its time; a folder answers where it can be written to."""
    client = sign_in(Role.OPERATOR)
    page = client.get("/destinations").text
    assert "not asked yet" in page
    token = {"forgery-token": forgery_token(page)}
    assert client.post("/destinations/results/echo", data=token).status_code == 303
    assert "answers" in client.get("/destinations").text
    assert client.post("/destinations/elsewhere/echo", data=token).status_code == 404


def test_an_administrator_looks_after_accounts(sign_in: Sign, ledger: Ledger) -> None:
    """Makes one, changes its password, removes it; each by name in the trail."""
    client = sign_in(Role.ADMINISTRATOR)
    token = {"forgery-token": forgery_token(client.get("/accounts").text)}
    made = {"name": "ben", "role": "operator", "password": "long enough for ben"}
    assert client.post("/accounts", data=token | made).status_code == 303
    assert client.post("/accounts", data=token | made).status_code == 409
    assert client.post("/accounts/ben/password", data={**token, "password": "short"}).status_code == 409
    assert client.post("/accounts/ben/remove", data=token).status_code == 303
    with ledger.reading() as session:
        told = [row.detail for row in audit.rows(session) if row.user_id == "anna" and row.detail.startswith("user")]
    assert told == ["user add ben operator", "user remove ben"]


def test_a_fault_tells_nothing_of_itself(
    client: TestClient, sign_in: Sign, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 with a sentence; what the fault says may hold patient data."""
    sign_in()
    uid = known()
    fails: Callable[..., None] = lambda *_: {}["Secretname"]  # noqa: E731
    monkeypatch.setattr("node.web.study.gather", fails)
    quiet = TestClient(client.app, raise_server_exceptions=False, cookies=dict(client.cookies))
    found = quiet.get(f"/studies/{uid}")
    assert found.status_code == 500
    assert "Secretname" not in found.text


def test_a_ledger_that_is_away_is_told(sign_in: Sign, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with its sentence, on the page and in the API; the health check says which part."""
    from node.core.errors import Unavailable
    from node.core.reasons import Outage

    client = sign_in()

    def away() -> None:
        raise Unavailable(Outage.LEDGER_FAILED)

    monkeypatch.setattr(ledger, "reading", away)
    monkeypatch.setattr(ledger, "schema", away)
    assert client.get("/").status_code == 503
    assert client.get("/api/studies").json() == {"detail": Outage.LEDGER_FAILED.sentence}
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["checks"]["ledger"]) == (503, "ledger-failed")
    assert client.get("/health/live").status_code == 200
    assert "crlm_ledger_up 0.0" in client.get("/metrics").text


def test_a_patient_over_time(sign_in: Sign, known: Known, ledger: Ledger, settings: Settings) -> None:
    """Studies of the same patient and no other; numbers as a curve and as a table; no address holds a Patient ID."""
    from datetime import date

    client = sign_in()
    for number, value in enumerate((101.5, 96.25)):
        uid = known(f"1.2.{number}", study_date=date(2026, 1 + number, 1), patient_id="SECRET", patient="secret")
        with ledger.reading() as session:
            key = session.query(Job).where(Job.study_uid == uid).one().key
        folder = settings.spool_dir / "work" / key
        folder.mkdir(parents=True)
        measured = {"psoas.pmvi": {"value": value, "interval": [value - 5, value + 5]}}
        quality = {"settings": {"psoas": "iliopsoas"}}
        (folder / "result.json").write_text(json.dumps({"measurements": measured, "quality": quality, "refusal": None}))
    known("1.2.9", patient="another", patient_id="OTHER")
    page = client.get("/studies/1.2.0/patient").text
    assert page.count("<circle") == 2
    assert "101.50" in page
    assert "96.25" in page
    assert "OTHER" not in page
    assert "SECRET" not in "".join(part.partition('"')[0] for part in page.split('href="')[1:])
