from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from node.core.errors import Unavailable
from node.core.ledger import Ledger, deliveries, jobs, studies
from node.core.ledger.tables import Delivery
from node.core.reasons import Outage
from node.core.records import JobRequest
from node.core.states import DeliveryState, Stage

Store = Callable[..., list[str]]
Requests = Callable[..., JobRequest]

BASE, HOLD = timedelta(seconds=10), timedelta(seconds=60)
REFUSED = Unavailable(Outage.DESTINATION_REFUSED, "status A700")


@pytest.fixture
def key(ledger: Ledger, clock: Any, store: Store, request_of: Requests) -> str:
    """A reported job with a SEG and an SR for one destination, and the SR for another."""
    store()
    with ledger.transaction() as session:
        job = jobs.enqueue(session, request_of())
        assert job is not None
        jobs.take(session, job.key, Stage.SEGMENT, "w1", HOLD)
        jobs.finish(session, job.key, "w1")
        for kind, destination in (("seg", "pacs"), ("sr", "pacs"), ("sr", "folder")):
            plan(session, job.key, kind, destination)
        return job.key


def plan(session: Session, key: str, kind: str, destination: str) -> None:
    deliveries.plan(
        session,
        job_key=key,
        destination=destination,
        kind=kind,
        sop_instance_uid=f"2.25.{len(kind)}",
        file=f"{kind}.dcm",
        digest="aa",
    )


def row(session: Session, kind: str = "sr", destination: str = "pacs") -> Delivery:
    return session.get_one(Delivery, (f"2.25.{len(kind)}", destination))


def moves_of(ledger: Ledger, subject: str = "2.25.2@pacs") -> list[tuple[str | None, str]]:
    with ledger.transaction() as session:
        return [(event.old, event.new) for event in studies.events_of(session, "delivery", subject)]


def test_an_object_is_planned_once_per_destination(ledger: Ledger, key: str) -> None:
    """A stage that is repeated plans nothing twice."""
    with ledger.transaction() as session:
        plan(session, key, "sr", "pacs")
        assert len(deliveries.of_job(session, key)) == 3
        assert deliveries.waiting(session) == [(key, "folder"), (key, "pacs")]
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["seg", "sr"]
    assert moves_of(ledger) == [(None, "pending")]


def test_our_own_objects_are_known(ledger: Ledger, key: str) -> None:
    """What comes back from the PACS by auto-routing is recognised by its UID."""
    with ledger.transaction() as session:
        assert deliveries.is_own_result(session, "2.25.2")
        assert not deliveries.is_own_result(session, "1.2.3.1.1")


def test_a_held_delivery_is_not_told_again_and_can_still_be_worked_on(ledger: Ledger, clock: Any, key: str) -> None:
    """The hold keeps the outbox quiet while a worker finds its work; it ends by itself if the message was lost."""
    with ledger.transaction() as session:
        deliveries.hold(session, key, "pacs", HOLD)
        assert deliveries.waiting(session) == [(key, "folder")]
        assert len(deliveries.due(session, key, "pacs")) == 2
    clock.forward(60)
    with ledger.transaction() as session:
        assert (key, "pacs") in deliveries.waiting(session)


def test_a_failed_attempt_is_told_again_after_its_pause(ledger: Ledger, clock: Any, key: str) -> None:
    """The pause of an attempt counts, not what is left of the hold."""
    with ledger.transaction() as session:
        deliveries.hold(session, key, "pacs", HOLD)
        deliveries.try_again(session, row(session), REFUSED, 3, BASE)
        deliveries.mark_sent(session, row(session, "seg"), "status 0000")
        deliveries.mark_proven(session, row(session, "seg"), "C-FIND")
        assert (key, "pacs") not in deliveries.waiting(session)
        assert deliveries.due(session, key, "pacs") == []
    clock.forward(10)
    with ledger.transaction() as session:
        assert (key, "pacs") in deliveries.waiting(session)
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["sr"]


def test_sent_is_not_proven(ledger: Ledger, key: str) -> None:
    """An object stays due until its proof; then it is done for good."""
    with ledger.transaction() as session:
        deliveries.mark_sent(session, row(session), "status B000")
        deliveries.mark_sent(session, row(session), "status 0000")
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["seg", "sr"]
        deliveries.mark_proven(session, row(session), "found by C-FIND")
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["seg"]
        assert row(session).proof == "found by C-FIND"
    assert moves_of(ledger) == [(None, "pending"), ("pending", "sent"), ("sent", "proven")]
    with ledger.transaction() as session:
        assert row(session, "sr", "folder").state is DeliveryState.PENDING


def test_attempts_pause_longer_each_time_and_end(ledger: Ledger, clock: Any, key: str) -> None:
    """After the last attempt the delivery fails with its reason, and is not due any more."""
    for pause_s in (10, 20):
        with ledger.transaction() as session:
            deliveries.try_again(session, row(session), REFUSED, 3, BASE)
            assert row(session).not_before - clock() == timedelta(seconds=pause_s)
        clock.forward(pause_s)
    with ledger.transaction() as session:
        deliveries.try_again(session, row(session), REFUSED, 3, BASE)
        failed = row(session)
        assert (failed.state, failed.reason) == (DeliveryState.FAILED, Outage.DESTINATION_REFUSED)
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["seg"]
    assert moves_of(ledger) == [(None, "pending"), ("pending", "failed")]


def test_an_object_that_was_lost_after_success_is_sent_again(ledger: Ledger, key: str) -> None:
    """Answered success and not there: the object goes back to pending, and so is stored anew."""
    with ledger.transaction() as session:
        deliveries.mark_sent(session, row(session), "status 0000")
        deliveries.try_again(session, row(session), Unavailable(Outage.DESTINATION_LOST), 3, BASE)
        assert row(session).state is DeliveryState.PENDING


def test_a_superseded_job_sends_nothing_more(ledger: Ledger, key: str, request_of: Requests) -> None:
    """Results of an older content that were not sent stay unsent; what was sent is still followed to its proof."""
    with ledger.transaction() as session:
        deliveries.mark_sent(session, row(session), "status 0000")
        jobs.enqueue(session, request_of(digest="bb"))
        assert deliveries.waiting(session) == [(key, "pacs")]
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["sr"]
