"""The API: the same as the pages, for programs, as its document says."""

import json

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from node.core.ledger import Ledger, deliveries, jobs
from node.core.ledger.accounts import Role
from node.core.ledger.audit import Rejection, note, rejected
from node.core.ledger.tables import Delivery, Job
from node.core.states import StudyState
from node.web.api import DOORS
from node.web.openapi import document

from .conftest import PASSWORD, Known, Sign


@pytest.fixture
def program(sign_in: Sign) -> TestClient:
    """A program that is signed in as an administrator."""
    client = sign_in(Role.ADMINISTRATOR)
    client.cookies.clear()
    token = client.post("/api/session", json={"name": "anna", "password": PASSWORD}).json()["token"]
    client.headers["authorization"] = f"Bearer {token}"
    return client


def test_the_document_names_every_operation() -> None:
    """Path, method, who may, and what is sent; the references in it lead somewhere."""
    told = document()
    paths = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert paths == {("POST", "/api/session"), *((door.method, door.path) for door in DOORS)}
    words = json.dumps(told)
    for name in words.split("#/components/schemas/")[1:]:
        assert name.partition('"')[0] in told["components"]["schemas"]


def test_answers_are_as_the_document_says(program: TestClient, known: Known) -> None:
    """Each answer is valid by its schema."""
    uid, told = known(), document()
    for door in (one for one in DOORS if one.method == "GET"):
        answer = program.get(door.path.replace("{name}", uid))
        assert answer.status_code == 200, door.path
        schema = told["paths"][door.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": told["components"]})


def test_a_program_needs_no_forgery_token(program: TestClient, known: Known, ledger: Ledger) -> None:
    """No browser sends a bearer by itself; an order is followed as on the page."""
    uid = known()
    answer = program.post(f"/api/studies/{uid}/priority", json={"turn": "stat"})
    assert (answer.status_code, answer.json()) == (200, {"detail": "The study is stat now."})
    with ledger.reading() as session:
        assert session.query(Job).one().priority == 1


def test_what_is_no_object_is_refused(program: TestClient, known: Known) -> None:
    """400 with a sentence."""
    uid = known()
    for content in ("[1]", "{", '"x"'):
        assert program.post(f"/api/studies/{uid}/replay", content=content).status_code == 400, content


def test_yes_and_no_may_be_true_and_false(program: TestClient, known: Known) -> None:
    """JSON has words of its own for them."""
    sent = {"height_m": 1.7, "node_positive_primary": True, "extrahepatic_disease": False, "cea_ng_ml": None}
    assert program.post(f"/api/studies/{known()}/facts", json=sent).status_code == 200


def test_pages_of_the_api_lead_on(program: TestClient, known: Known) -> None:
    """`after` of one page is where the next begins."""
    for number in range(60):
        known(f"1.2.{number}", job=False)
    first = program.get("/api/studies").json()
    second = program.get("/api/studies", params={"after": first["after"]}).json()
    uids = [one["study_instance_uid"] for page in (first, second) for one in page["studies"]]
    assert len(uids) == len(set(uids)) == 60
    assert second["after"] == ""


def test_metrics_count_and_name_nobody(client: TestClient, known: Known, ledger: Ledger) -> None:
    """Studies by condition, queues, deliveries, times and rejections; no name, no ID, no UID."""
    known(patient_name="Secretname Jane", patient_id="SECRET-1", accession_number="SECRET-2")
    known("1.2.4", state=StudyState.QUARANTINED)
    client.get("/metrics")  # what is timed and counted is counted from here on
    with ledger.transaction() as session:
        job = session.query(Job).where(Job.study_uid == "1.2.3").one()
        assert jobs.take(session, job.key, job.stage, "w", jobs.timedelta(seconds=9)) is not None
        assert jobs.finish(session, job.key, "w")
        delivery = session.get_one(Delivery, ("1.2.3.9", "results"))
        deliveries.mark_sent(session, delivery, "sent")
        deliveries.mark_proven(session, delivery, "seen there")
    first = rejected(Rejection.CALLER_UNKNOWN, calling_ae_title="X", host="10.0.0.9", detail="a word")
    more = rejected(Rejection.CALLER_UNKNOWN, calling_ae_title="X", host="10.0.0.9", detail="41 more in 60 s")
    note(ledger, first, more)
    text = client.get("/metrics").text
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["crlm_studies", "", "delivered"] == 1
    assert found["crlm_studies", "", "quarantined"] == 1
    assert found["crlm_deliveries", "proven", "results"] == 1
    assert found["crlm_stage_seconds_count", "segment"] == 1
    assert found["crlm_rejected_associations_total", "caller-unknown"] == 42
    assert found["crlm_queue_waiting", "segment"] == 1
    for word in ("Secret", "SECRET", "1.2.3", "10.0.0.9"):
        assert word not in text
