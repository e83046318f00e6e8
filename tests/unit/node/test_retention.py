"""What is deleted, when, and above all what is not: on a real ledger and spool."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydicom import Dataset
from sqlalchemy import select

from node import retention
from node.core.errors import NotAnalysable, Unavailable
from node.core.ledger import Ledger, deliveries, jobs, products, studies
from node.core.ledger.moves import move_study
from node.core.ledger.tables import Audit, Delivery, Job, Study, Variant
from node.core.reasons import Outage, StudyRefusal
from node.core.records import Instance, JobRequest
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import DeliveryState, JobState, Stage, StudyState
from node.retention import Retention

UID, DAY = "1.2.3", 24 * 3600.0
LEASE = timedelta(seconds=60)
PROVEN, SENT, PENDING, FAILED = (
    DeliveryState.PROVEN,
    DeliveryState.SENT,
    DeliveryState.PENDING,
    DeliveryState.FAILED,
)
Enter = Callable[..., str]


@pytest.fixture
def keep(
    ledger: Ledger, spool: Spool, settings: Settings, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], int]:
    """Return a function that makes a round and returns how many files of instances are left."""
    monkeypatch.setattr(retention, "now", clock)
    monkeypatch.setattr(retention, "_PERIOD_S", 0.0)
    keeper = Retention(ledger, spool, settings)

    def round_() -> int:
        keeper.round()
        return len([path for path in (spool.root / "instances").rglob("*") if path.is_file()])

    return round_


@pytest.fixture
def taken(series: Callable[..., list[Dataset]], receive: Callable[..., list[Instance]], clock: Any) -> list[Instance]:
    """Three slices of a study, received now."""
    del clock
    return receive(series(count=3))


@pytest.fixture
def report(ledger: Ledger, spool: Spool, taken: list[Instance], request_of: Callable[..., JobRequest]) -> Enter:
    """Return a function that completes the study and reports a job of it, with a delivery in each of these states."""

    def make(*states: DeliveryState, digest: str = "aa", refusal: NotAnalysable | None = None) -> str:
        with ledger.transaction() as session:
            if session.get_one(Study, UID).state is StudyState.RECEIVING:
                seen = [one.sop_instance_uid for one in taken]
                assert studies.conclude(session, UID, seen, StudyState.COMPLETE, "quiet")
            job = jobs.enqueue(session, request_of(digest=digest))
            assert job is not None
            jobs.take(session, job.key, Stage.SEGMENT, "w1", LEASE)
            jobs.finish(session, job.key, "w1", refusal)
            if refusal:
                jobs.show(session, UID, StudyState.NOT_ANALYSABLE, refusal.code, str(refusal))
            for number in range(len(states)):
                deliveries.plan(
                    session,
                    job_key=job.key,
                    destination=f"pacs-{number}",
                    kind="sr",
                    sop_instance_uid=f"2.25.{job.key[:4]}",
                    file="sr.dcm",
                    digest=spool.work(job.key).write("sr.dcm", b"object"),
                )
            for row, state in zip(deliveries.of_job(session, job.key), states, strict=True):
                if state in (SENT, PROVEN):
                    deliveries.mark_sent(session, row, "stored")
                if state is PROVEN:
                    deliveries.mark_proven(session, row, "found")
                row.state = state
            return job.key

    return make


def test_an_input_goes_when_its_result_is_proven_and_the_time_is_over(
    ledger: Ledger, spool: Spool, report: Enter, keep: Callable[[], int], clock: Any
) -> None:
    """Files, empty folders and work are gone, the rows say since when, the trail says so; a second round is quiet."""
    key = report(PROVEN, PROVEN)
    clock.forward(14 * DAY - 1)
    assert keep() == 3
    clock.forward(1)
    assert keep() == 0
    assert list((spool.root / "instances").iterdir()) == []
    assert not (spool.root / spool.work(key).path).exists()
    assert keep() == 0
    with ledger.transaction() as session:
        assert {row.removed_at for row in studies.instances_of(session, UID)} == {clock()}
        trail = session.scalars(select(Audit).where(Audit.event == "110105")).all()
        assert [(row.study_uid, row.detail[:12]) for row in trail] == [(UID, "3 instances,")]


def test_a_reported_refusal_counts_as_a_result(report: Enter, keep: Callable[[], int], clock: Any) -> None:
    """It is proven at the destination, too."""
    report(PROVEN, refusal=NotAnalysable(StudyRefusal.UNEVEN_SPACING))
    clock.forward(15 * DAY)
    assert keep() == 0


def test_the_time_counts_from_the_last_proof(
    ledger: Ledger, report: Enter, keep: Callable[[], int], clock: Any
) -> None:
    """A PACS that was down for days does not shorten it."""
    key = report(PROVEN, SENT)
    clock.forward(13 * DAY)
    with ledger.transaction() as session:
        deliveries.mark_proven(session, deliveries.of_job(session, key)[1], "found")
    clock.forward(13 * DAY)
    assert keep() == 3
    clock.forward(DAY)
    assert keep() == 0


@pytest.mark.parametrize("proven", [True, False])
def test_a_refused_object_counts_by_what_went_in_its_place(
    ledger: Ledger, report: Enter, keep: Callable[[], int], clock: Any, *, proven: bool
) -> None:
    """An SR that the PACS does not take, and a Summary that it has: the study is told; before the proof it is not."""
    key = report(PENDING)
    with ledger.transaction() as session:
        summary = {"kind": "summary", "sop_instance_uid": "2.25.7", "file": "summary.dcm", "digest": "aa"}
        products.enter(session, job_key=key, **summary)
        (sr,) = deliveries.of_job(session, key)
        deliveries.refuse(session, sr, Unavailable(Outage.SOP_CLASS_REFUSED), substitutes=True)
        row = session.get_one(Delivery, ("2.25.7", sr.destination))
        deliveries.mark_sent(session, row, "stored")
        if proven:
            deliveries.mark_proven(session, row, "found")
    clock.forward(15 * DAY)
    assert keep() == (0 if proven else 3)


@pytest.mark.parametrize("states", [(), (PROVEN, SENT), (PROVEN, PENDING), (PROVEN, FAILED)], ids=str)
def test_what_is_not_proven_everywhere_stays(
    states: tuple[DeliveryState, ...], report: Enter, keep: Callable[[], int], clock: Any
) -> None:
    """However long ago: also where there was nowhere to send it."""
    report(*states)
    clock.forward(1000 * DAY)
    assert keep() == 3


@pytest.mark.parametrize("study", [StudyState.RECEIVING, StudyState.QUARANTINED])
def test_a_study_that_receives_or_is_set_aside_stays(
    study: StudyState, ledger: Ledger, report: Enter, keep: Callable[[], int], clock: Any
) -> None:
    """Whatever its last result was."""
    report(PROVEN)
    with ledger.transaction() as session:
        move_study(session, session.get_one(Study, UID), study, "test")
    clock.forward(1000 * DAY)
    assert keep() == 3


def test_the_current_job_decides(ledger: Ledger, report: Enter, keep: Callable[[], int], clock: Any) -> None:
    """A superseded one that is proven is not enough; neither is one that failed, or an old one still on its way."""
    first = report(PROVEN)
    second = report(SENT, digest="bb")
    clock.forward(20 * DAY)
    assert keep() == 3
    with ledger.transaction() as session:
        jobs.requeue(session, session.get_one(Job, second), "replay")
        jobs.take(session, second, Stage.SEGMENT, "w1", LEASE)
        jobs.give_up(session, second, "w1", Unavailable(Outage.SPOOL_FAILED))
        deliveries.mark_proven(session, deliveries.of_job(session, second)[0], "found")
    clock.forward(20 * DAY)
    assert keep() == 3
    third = report(PROVEN, digest="cc")
    with ledger.transaction() as session:
        deliveries.of_job(session, first)[0].state = SENT
    clock.forward(20 * DAY)
    assert keep() == 3
    with ledger.transaction() as session:
        deliveries.mark_proven(session, deliveries.of_job(session, first)[0], "found")
        assert session.get_one(Job, third).state is JobState.REPORTED
    assert keep() == 0


def test_a_study_that_was_never_reported_stays(
    ledger: Ledger, taken: list[Instance], keep: Callable[[], int], clock: Any
) -> None:
    """Refused before there was a job: nobody but the ledger knows of it."""
    with ledger.transaction() as session:
        seen = [one.sop_instance_uid for one in taken]
        studies.conclude(session, UID, seen, StudyState.NOT_ANALYSABLE, "one slice", "too-few-slices")
    clock.forward(1000 * DAY)
    assert keep() == 3


def test_what_was_kept_beside_goes_with_it(
    ledger: Ledger, spool: Spool, report: Enter, taken: list[Instance], keep: Callable[[], int], clock: Any
) -> None:
    """A variant is an input as well."""
    report(PROVEN)
    path = taken[0].path.replace(".dcm", ".other.dcm")
    spool.write(path, b"variant")
    with ledger.transaction() as session:
        variant = Variant(sop_instance_uid=taken[0].sop_instance_uid, study_uid=UID, digest="bb", path=path)
        variant.transfer_syntax_uid, variant.calling_ae_title = taken[0].transfer_syntax_uid, "SCANNER"
        variant.association_id, variant.received_at = "a1", clock()
        session.add(variant)
    clock.forward(15 * DAY)
    assert keep() == 0
    assert list((spool.root / "instances").iterdir()) == []


def test_a_death_between_the_files_and_the_rows_is_made_good(
    ledger: Ledger, spool: Spool, report: Enter, keep: Callable[[], int], clock: Any
) -> None:
    """Some files are gone, no row says so: the next round finishes."""
    report(PROVEN)
    next((spool.root / "instances").rglob("*.dcm")).unlink()
    clock.forward(15 * DAY)
    assert keep() == 0
    with ledger.transaction() as session:
        assert None not in {row.removed_at for row in studies.instances_of(session, UID)}


def test_a_file_that_cannot_be_deleted_is_an_outage(
    ledger: Ledger, spool: Spool, report: Enter, taken: list[Instance], keep: Callable[[], int], clock: Any
) -> None:
    """Told as such; no row says that it is gone."""
    report(PROVEN)
    stubborn = spool.root / taken[1].path
    stubborn.unlink()
    stubborn.mkdir()
    clock.forward(15 * DAY)
    with pytest.raises(Unavailable) as caught:
        keep()
    assert caught.value.code is Outage.SPOOL_FAILED
    with ledger.transaction() as session:
        assert {row.removed_at for row in studies.instances_of(session, UID)} == {None}


def test_rounds_lie_apart(ledger: Ledger, spool: Spool, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steward comes by each second; the ledger is asked now and then."""
    asked: list[int] = []

    def ask(_: Retention) -> list[str]:
        asked.append(1)
        return []

    monkeypatch.setattr(Retention, "_aged", ask)
    keeper = Retention(ledger, spool, settings)
    for _ in range(5):
        keeper.round()
    assert asked == [1]
