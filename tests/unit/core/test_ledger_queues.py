from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from node.core.ledger import Ledger, jobs, queues
from node.core.ledger.queues import BACKFILL, BACKFILL_DELAY, HEAD_START, ROUTINE, STAT
from node.core.ledger.tables import Job
from node.core.records import JobRequest
from node.core.states import Stage

LEASE = timedelta(seconds=60)
Enter = Callable[..., str]


@pytest.fixture
def enter(ledger: Ledger, clock: Any, store: Callable[..., list[str]], request_of: Callable[..., JobRequest]) -> Enter:
    """Return a function that enters a job of a study of its own, of which the broker was told; then a second passes."""

    def make(number: int, priority: int = ROUTINE, *, told: bool = True) -> str:
        uid = f"1.2.{number}"
        store(uid, series=f"{uid}.1")
        with ledger.transaction() as session:
            job = jobs.enqueue(session, request_of(uid), priority)
            assert job is not None
            if told:
                queues.mark_published(session, job.key, Stage.SEGMENT, 0)
        clock.forward(1)
        return job.key

    return make


def take(ledger: Ledger, key: str) -> str | None:
    """Come with the message of a job and return the job that was got."""
    with ledger.transaction() as session:
        job = jobs.take(session, key, Stage.SEGMENT, "w1", LEASE)
        return job.key if job else None


def test_a_message_brings_to_the_job_whose_turn_it_is(ledger: Ledger, enter: Enter) -> None:
    """Whatever order Redis has: STAT first, then by the time of entry; each job once, and nothing is left over."""
    routine = [enter(number) for number in range(3)]
    stat = [enter(number, STAT) for number in range(3, 5)]
    messages = [routine[2], stat[1], routine[0], routine[1], stat[0]]
    assert [take(ledger, key) for key in messages] == [*stat, *routine]
    assert take(ledger, routine[0]) is None


def test_nothing_starves(ledger: Ledger, clock: Any, enter: Enter) -> None:
    """A routine job is passed by STAT jobs of the head start after it, and by no later one, however many come."""
    waiting = enter(0)
    clock.forward(HEAD_START.total_seconds() - 1.5)
    last_that_passes = enter(1, STAT)
    late = [enter(number, STAT) for number in range(2, 5)]
    assert [take(ledger, late[0]) for _ in range(5)] == [last_that_passes, waiting, *late]


def test_a_backfill_is_passed_by_whatever_comes_within_a_day(ledger: Ledger, clock: Any, enter: Enter) -> None:
    """Today's patients are first, also those who come after it; a day later it starves no more than any other."""
    past = enter(0, BACKFILL)
    today = [enter(1), enter(2, STAT)]
    assert [take(ledger, past) for _ in range(2)] == today[::-1]
    clock.forward(BACKFILL_DELAY.total_seconds())
    tomorrow = enter(3)
    assert [take(ledger, tomorrow) for _ in range(2)] == [past, tomorrow]


def test_a_job_that_nobody_was_told_of_is_not_taken_on_anothers_message(ledger: Ledger, enter: Enter) -> None:
    """Else its own message would find nothing, and the one whose message was used would wait without any."""
    routine = enter(0)
    enter(1, STAT, told=False)
    assert take(ledger, routine) == routine


def test_the_named_job_counts_as_told(ledger: Ledger, enter: Enter) -> None:
    """The worker may be faster than the note of the steward."""
    key = enter(0, told=False)
    assert take(ledger, key) == key


def test_lost_messages_delay_the_last_in_turn(ledger: Ledger, enter: Enter) -> None:
    """Two of four messages are lost, of the first jobs: the two that came serve just these."""
    keys = [enter(number) for number in range(4)]
    assert [take(ledger, key) for key in keys[2:]] == keys[:2]


def test_the_broker_is_told_by_turn(ledger: Ledger, enter: Enter) -> None:
    """STAT before routine, earlier before later."""
    keys = [enter(number, priority, told=False) for number, priority in enumerate((ROUTINE, STAT, ROUTINE, STAT))]
    with ledger.transaction() as session:
        assert [job.key for job in queues.unpublished(session)] == [keys[1], keys[3], keys[0], keys[2]]


class TestPause:
    """A person stops a stage and lets it go on."""

    def test_nothing_is_told_or_taken_until_it_is_resumed(self, ledger: Ledger, enter: Enter) -> None:
        """What waited is then told anew, for workers have dropped the messages that they had."""
        told, untold = enter(0), enter(1, told=False)
        with ledger.transaction() as session:
            assert queues.pause(session, Stage.SEGMENT, "scanner service")
            assert not queues.pause(session, Stage.SEGMENT, "again")
        with ledger.transaction() as session:
            assert {stage: queue.cause for stage, queue in queues.paused(session).items()} == {
                Stage.SEGMENT: "scanner service"
            }
            assert queues.unpublished(session) == []
        assert take(ledger, told) is None
        with ledger.transaction() as session:
            assert queues.resume(session, Stage.SEGMENT)
            assert not queues.resume(session, Stage.SEGMENT)
        with ledger.transaction() as session:
            assert queues.paused(session) == {}
            assert [job.key for job in queues.unpublished(session)] == [told, untold]
        assert take(ledger, told) == told

    def test_the_other_stages_go_on(self, ledger: Ledger, enter: Enter) -> None:
        """A pause is of one queue."""
        key = enter(0)
        with ledger.transaction() as session:
            queues.pause(session, Stage.MEASURE, "")
        assert take(ledger, key) == key

    def test_what_runs_is_brought_to_its_end(self, ledger: Ledger, clock: Any, enter: Enter) -> None:
        """A worker keeps its job; a paused queue is not said to have lost anything."""
        key, other = enter(0), enter(1)
        take(ledger, key)
        with ledger.transaction() as session:
            queues.pause(session, Stage.SEGMENT, "")
            assert jobs.renew(session, key, "w1", LEASE)
            assert jobs.finish(session, key, "w1")
            session.get_one(Job, other).published_at = clock() - 2 * LEASE
            assert queues.long_published(session, LEASE) == []

    def test_it_can_be_paused_again(self, ledger: Ledger, enter: Enter) -> None:
        """The second pause has its own cause."""
        key = enter(0)
        with ledger.transaction() as session:
            for cause in ("first", "second"):
                assert queues.pause(session, Stage.SEGMENT, cause)
                assert queues.paused(session)[Stage.SEGMENT].cause == cause
                if cause == "first":
                    assert queues.resume(session, Stage.SEGMENT)
        assert take(ledger, key) is None
