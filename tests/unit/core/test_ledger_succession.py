from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from node.core.dicom import result_series_uid, result_uid
from node.core.errors import Unavailable
from node.core.ledger import Ledger, deliveries, jobs, succession
from node.core.ledger.deliveries import Schedule
from node.core.ledger.patience import Patience
from node.core.ledger.tables import Delivery, Job
from node.core.reasons import Outage
from node.core.records import Document, JobRequest, Superseded
from node.core.states import DeliveryState, Stage

HOLD = timedelta(seconds=60)
DAY = 24 * 3600.0


@pytest.fixture
def reported(ledger: Ledger, clock: Any, store: Callable[..., list[str]], request_of: Any) -> Callable[..., str]:
    """Return a function that enters a job of a content, reports it and plans its objects; a day passes before each."""
    store()

    def make(digest: str, kinds: tuple[str, ...] = ("seg", "sr", "sr-viewer")) -> str:
        clock.forward(DAY)
        with ledger.transaction() as session:
            job = jobs.enqueue(session, request_of(digest=digest))
            assert job is not None
            jobs.take(session, job.key, Stage.SEGMENT, "w1", HOLD)
            jobs.finish(session, job.key, "w1")
            for kind in kinds:
                uid = str(result_uid(job.key, kind))
                deliveries.plan(
                    session,
                    job_key=job.key,
                    destination="pacs",
                    kind=kind,
                    sop_instance_uid=uid,
                    file=f"{kind}.dcm",
                    digest="aa",
                )
            return job.key

    return make


def send(ledger: Ledger, job_key: str, *kinds: str, then: DeliveryState = DeliveryState.PROVEN) -> None:
    """Let objects reach the destination."""
    with ledger.transaction() as session:
        for kind in kinds:
            row = session.get_one(Delivery, (str(result_uid(job_key, kind)), "pacs"))
            deliveries.mark_sent(session, row, "status 0000")
            if then is DeliveryState.PROVEN:
                deliveries.mark_proven(session, row, "found")
            elif then is DeliveryState.PENDING:
                lost = Unavailable(Outage.DESTINATION_LOST, "pacs")
                deliveries.try_again(session, row, lost, Schedule(Patience(9, HOLD, HOLD), timedelta(days=9)))
            assert row.state is then


def superseded(ledger: Ledger, job_key: str) -> Superseded | None:
    with ledger.transaction() as session:
        return succession.superseded_by(session, session.get_one(Job, job_key))


def delivered(ledger: Ledger) -> bool:
    with ledger.transaction() as session:
        return succession.was_delivered(session, "1.2.3")


def document(job_key: str, kind: str) -> Document:
    return Document(str(result_series_uid(job_key, kind)), str(result_uid(job_key, kind)))


def test_the_first_result_supersedes_nothing(ledger: Ledger, reported: Callable[..., str]) -> None:
    """Nor does it once it is delivered itself."""
    first = reported("aa")
    assert superseded(ledger, first) is None
    send(ledger, first, "seg", "sr", "sr-viewer")
    assert superseded(ledger, first) is None


def test_a_new_result_supersedes_the_delivered_one(
    ledger: Ledger, reported: Callable[..., str], request_of: Callable[..., JobRequest]
) -> None:
    """It names the job, its date, its revision and each of its SR, and not its SEG."""
    first = reported("aa")
    send(ledger, first, "seg", "sr", "sr-viewer")
    second = reported("bb")
    documents = (document(first, "sr"), document(first, "sr-viewer"))
    assert superseded(ledger, second) == Superseded(first, request_of().requested_at, 1, documents)


def test_only_what_reached_a_destination_is_named(ledger: Ledger, reported: Callable[..., str]) -> None:
    """An SR that still waited when its job was superseded is nowhere; where the SEG alone arrived, no SR is named."""
    first = reported("aa")
    send(ledger, first, "seg")
    second = reported("bb")
    found = superseded(ledger, second)
    assert found is not None
    assert (found.job, found.revision, found.documents) == (first, 1, ())
    send(ledger, second, "seg", "sr", then=DeliveryState.SENT)
    found = superseded(ledger, reported("cc"))
    assert found is not None
    assert (found.job, found.revision, found.documents) == (second, 2, (document(second, "sr"),))


def test_a_job_that_delivered_nothing_is_passed_over(ledger: Ledger, reported: Callable[..., str]) -> None:
    """The predecessor is the latest result that anybody could have seen, and the numbers count those alone."""
    first = reported("aa")
    send(ledger, first, "seg", "sr", "sr-viewer")
    reported("bb")
    found = superseded(ledger, reported("cc"))
    assert found is not None
    assert (found.job, found.revision) == (first, 1)


def test_what_was_answered_success_counts_although_it_was_not_found_again(
    ledger: Ledger, reported: Callable[..., str]
) -> None:
    """A query that failed after the store, or an object that a PACS hides for a while: somebody may have read it."""
    first = reported("aa")
    assert not delivered(ledger)
    send(ledger, first, "sr", then=DeliveryState.PENDING)
    assert delivered(ledger)
    found = superseded(ledger, reported("bb"))
    assert found is not None
    assert found.documents == (document(first, "sr"),)


def test_other_studies_are_other_studies(
    ledger: Ledger, reported: Callable[..., str], store: Callable[..., list[str]], request_of: Callable[..., JobRequest]
) -> None:
    """A result of another study is never a predecessor."""
    send(ledger, reported("aa"), "sr")
    store(study="1.2.4", series="1.2.4.1", association="a2")
    with ledger.transaction() as session:
        other = jobs.enqueue(session, request_of(study="1.2.4", digest="dd"))
        assert other is not None
        assert succession.superseded_by(session, other) is None
        assert not succession.was_delivered(session, "1.2.4")
