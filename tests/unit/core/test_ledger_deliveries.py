from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from node.core.errors import Unavailable, Untrusted
from node.core.ledger import Ledger, deliveries, jobs, studies
from node.core.ledger.deliveries import REJECTION, Schedule
from node.core.ledger.patience import Patience
from node.core.ledger.tables import Delivery, Job
from node.core.reasons import Outage, StudyRefusal
from node.core.records import JobRequest
from node.core.states import DeliveryState, Stage

Store = Callable[..., list[str]]
Requests = Callable[..., JobRequest]

HOLD = timedelta(seconds=60)
SCHEDULE = Schedule(Patience(3, timedelta(seconds=10), timedelta(seconds=100)), timedelta(hours=1))
REFUSED = Unavailable(Outage.DESTINATION_REFUSED, "status A700")
LOST = Unavailable(Outage.DESTINATION_LOST, "PACS")
AWAY = Unavailable(Outage.DESTINATION_UNREACHABLE, "connection refused")


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


def plan(session: Session, key: str, kind: str, destination: str, number: int = 0, digest: str = "aa") -> None:
    deliveries.plan(
        session,
        job_key=key,
        destination=destination,
        kind=kind,
        sop_instance_uid=f"2.25.{10 * number + len(kind)}",
        file=f"{kind}.dcm",
        digest=digest,
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
        deliveries.try_again(session, row(session), REFUSED, SCHEDULE)
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


def test_pauses_double_up_to_the_longest(ledger: Ledger, clock: Any, key: str) -> None:
    """Each pause is somewhat shorter, by chance, than twice the one before, and none is longer than the longest."""
    pauses: list[list[float]] = []
    for uid in ("2.25.2", "2.25.3"):
        pauses.append([])
        for _ in range(8):
            with ledger.transaction() as session:
                one = session.get_one(Delivery, (uid, "pacs"))
                deliveries.try_again(session, one, REFUSED, SCHEDULE)
                pauses[-1].append((one.not_before - clock()).total_seconds())
    for mine in pauses:
        for pause, whole in zip(mine, [10, 20, 40, 80, 100, 100, 100, 100], strict=True):
            assert 0.7 * whole <= pause <= whole
    assert pauses[0] != pauses[1]


def test_attempts_go_on_for_days_and_end(ledger: Ledger, clock: Any, key: str) -> None:
    """The last attempt is made when the time since planning is over; then the delivery fails with its reason."""
    attempts = 0
    while True:
        attempts += 1
        with ledger.transaction() as session:
            deliveries.try_again(session, row(session), REFUSED, SCHEDULE)
            one = row(session)
            if one.state is DeliveryState.FAILED:
                break
            assert one.not_before <= one.planned_at + SCHEDULE.span
            clock.at = one.not_before
    assert clock() == one.planned_at + SCHEDULE.span
    assert attempts > 3600 / 100
    assert (one.reason, one.detail, one.attempts) == (Outage.DESTINATION_REFUSED, "status A700", attempts)
    assert moves_of(ledger) == [(None, "pending"), ("pending", "failed")]
    with ledger.transaction() as session:
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["seg"]


def test_changed_bytes_fail_at_once(ledger: Ledger, key: str) -> None:
    """What is not what was made is not tried again."""
    with ledger.transaction() as session:
        deliveries.try_again(session, row(session), Untrusted(StudyRefusal.INPUT_UNTRUSTED), SCHEDULE)
        assert row(session).state is DeliveryState.FAILED


def test_an_object_that_was_lost_after_success_is_sent_again(ledger: Ledger, key: str) -> None:
    """Answered success and not there: the object goes back to pending, and so is stored anew."""
    with ledger.transaction() as session:
        deliveries.mark_sent(session, row(session), "status 0000")
        deliveries.try_again(session, row(session), LOST, SCHEDULE)
        assert row(session).state is DeliveryState.PENDING


def test_an_object_that_cannot_be_asked_for_is_asked_for_again(ledger: Ledger, key: str) -> None:
    """The destination is away when the proof is asked for: the object is not sent again for that."""
    with ledger.transaction() as session:
        deliveries.mark_sent(session, row(session), "status 0000")
        deliveries.try_again(session, row(session), AWAY, SCHEDULE)
        assert row(session).state is DeliveryState.SENT
    assert moves_of(ledger) == [(None, "pending"), ("pending", "sent")]


def test_a_failed_delivery_is_asked_for_again(ledger: Ledger, clock: Any, key: str) -> None:
    """By job or by study: all that failed, and nothing else, has the whole time and the short pauses once more."""
    with ledger.transaction() as session:
        row(session).attempts = 40
        deliveries.try_again(session, row(session), Untrusted(StudyRefusal.INPUT_UNTRUSTED), SCHEDULE)
        deliveries.try_again(session, row(session, "seg"), REFUSED, SCHEDULE)
    clock.forward(SCHEDULE.span.total_seconds())
    with ledger.transaction() as session:
        assert deliveries.retry(session, "asked for by a person", study_uid="9.9") == []
        assert deliveries.retry(session, "asked for by a person", job_key="none") == []
        assert [one.kind for one in deliveries.retry(session, "asked for by a person", study_uid="1.2.3")] == ["sr"]
    with ledger.transaction() as session:
        again = row(session)
        assert (again.state, again.attempts, again.planned_at) == (DeliveryState.PENDING, 0, clock())
        assert (key, "pacs") in deliveries.waiting(session)
        assert row(session, "seg").attempts == 1
    assert moves_of(ledger)[-1] == ("failed", "pending")


def test_what_was_never_sent_may_be_made_anew(ledger: Ledger, key: str) -> None:
    """A job that is run again may make other bytes: those of a delivery that never left count, others stay."""
    with ledger.transaction() as session:
        deliveries.mark_sent(session, row(session), "status 0000")
        for kind in ("seg", "sr"):
            plan(session, key, kind, "pacs", digest="bb")
        assert (row(session, "seg").digest, row(session).digest) == ("bb", "aa")


def test_a_superseded_job_sends_nothing_more(ledger: Ledger, key: str, request_of: Requests) -> None:
    """Results of an older content that were not sent stay unsent; what was sent is still followed to its proof."""
    with ledger.transaction() as session:
        deliveries.mark_sent(session, row(session), "status 0000")
        jobs.enqueue(session, request_of(digest="bb"))
        assert deliveries.waiting(session) == [(key, "pacs")]
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["sr"]


# --- a rejection note -------------------------------------------------------------------------------------------------


@pytest.fixture
def later(ledger: Ledger, clock: Any, key: str, request_of: Requests) -> str:
    """A job that superseded the first, which had its SR proven at the PACS; with its own SR and a rejection note."""
    with ledger.transaction() as session:
        deliveries.mark_sent(session, row(session), "status 0000")
        deliveries.mark_proven(session, row(session), "C-FIND")
    clock.forward(10)
    with ledger.transaction() as session:
        job = jobs.enqueue(session, request_of(digest="bb"))
        assert job is not None
        plan(session, job.key, "sr", "pacs", 1)
        plan(session, job.key, REJECTION, "pacs", 2)
        return job.key


def due_kinds(ledger: Ledger, key: str) -> list[str]:
    with ledger.transaction() as session:
        return [one.kind for one in deliveries.due(session, key, "pacs")]


def test_a_rejection_waits_for_the_proof_of_the_new_result(ledger: Ledger, later: str) -> None:
    """While the new SR is pending or sent the old one is not rejected; once it is proven the note is due."""
    assert due_kinds(ledger, later) == ["sr"]
    with ledger.transaction() as session:
        new = session.get_one(Delivery, ("2.25.12", "pacs"))
        deliveries.mark_sent(session, new, "status 0000")
    assert due_kinds(ledger, later) == ["sr"]
    with ledger.transaction() as session:
        deliveries.mark_proven(session, session.get_one(Delivery, ("2.25.12", "pacs")), "C-FIND")
        assert deliveries.waiting(session) == [(later, "pacs")]
    assert due_kinds(ledger, later) == [REJECTION]


@pytest.mark.parametrize("held", [False, True], ids=["sent", "in the hands of a worker"])
def test_a_rejection_waits_for_what_is_on_its_way(ledger: Ledger, clock: Any, later: str, *, held: bool) -> None:
    """An object of the old result may yet arrive: it is rejected with the others, not forgotten."""
    with ledger.transaction() as session:
        old, new = row(session, "seg"), session.get_one(Delivery, ("2.25.12", "pacs"))
        for one in (new,) if held else (new, old):
            deliveries.mark_sent(session, one, "status 0000")
        deliveries.mark_proven(session, new, "C-FIND")
        if held:
            old.held_until = clock() + HOLD
    assert due_kinds(ledger, later) == []
    with ledger.transaction() as session:
        job = session.get_one(Job, later)
        assert [one.kind for one in deliveries.superseded_at(session, job, "pacs")] == ["seg", "sr"]
        if not held:
            deliveries.mark_proven(session, row(session, "seg"), "C-FIND")
    clock.forward(61)
    assert due_kinds(ledger, later) == [REJECTION]


def test_what_is_rejected_once_is_not_rejected_again(
    ledger: Ledger, clock: Any, later: str, request_of: Requests
) -> None:
    """A third job rejects what the second has delivered, and what the first has only where the second's note failed."""

    def old_ones(job_key: str) -> list[str]:
        with ledger.transaction() as session:
            job = session.get_one(Job, job_key)
            return [one.sop_instance_uid for one in deliveries.superseded_at(session, job, "pacs")]

    assert old_ones(later) == ["2.25.2"]
    with ledger.transaction() as session:
        second = session.get_one(Delivery, ("2.25.12", "pacs"))
        deliveries.mark_sent(session, second, "status 0000")
        deliveries.mark_proven(session, second, "C-FIND")
    clock.forward(10)
    with ledger.transaction() as session:
        job = jobs.enqueue(session, request_of(digest="cc"))
        assert job is not None
    assert old_ones(job.key) == ["2.25.2", "2.25.12"]
    assert due_kinds(ledger, later) == []
    with ledger.transaction() as session:
        note = session.get_one(Delivery, ("2.25.29", "pacs"))
        deliveries.mark_sent(session, note, "status 0000")
        deliveries.mark_proven(session, note, "C-FIND")
    assert old_ones(job.key) == ["2.25.12"]
