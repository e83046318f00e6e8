import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from node.core.errors import NotAnalysable, Unavailable, Untrusted
from node.core.ledger import Ledger, jobs, queues, studies
from node.core.ledger.moves import move_job
from node.core.ledger.patience import Patience
from node.core.ledger.tables import Job, Study
from node.core.reasons import Outage, StudyRefusal
from node.core.records import JobRequest, parse
from node.core.states import IllegalMove, JobState, Stage, StudyState

Store = Callable[..., list[str]]
Requests = Callable[..., JobRequest]

LEASE, BASE, LONGEST = timedelta(seconds=60), timedelta(seconds=10), timedelta(seconds=15)
PATIENCE = Patience(3, BASE, timedelta(hours=1))
FAULT = Unavailable(Outage.WORKER_FAILED, "seen")


@pytest.fixture
def key(ledger: Ledger, clock: Any, store: Store, request_of: Requests) -> str:
    """The key of a queued job."""
    store()
    with ledger.transaction() as session:
        job = jobs.enqueue(session, request_of())
        assert job is not None
        return job.key


def job_of(ledger: Ledger, key: str) -> Job:
    with ledger.transaction() as session:
        job = session.get(Job, key)
        assert job is not None
        return job


def complete(ledger: Ledger) -> None:
    with ledger.transaction() as session:
        uids = [row.sop_instance_uid for row in studies.instances_of(session, "1.2.3")]
        assert studies.conclude(session, "1.2.3", uids, StudyState.COMPLETE, "quiet")


def study_of(ledger: Ledger) -> tuple[StudyState, str | None]:
    with ledger.transaction() as session:
        study = session.get_one(Study, "1.2.3")
        return study.state, study.reason


def moves_of(ledger: Ledger, key: str) -> list[tuple[str | None, str]]:
    with ledger.transaction() as session:
        return [(event.old, event.new) for event in studies.events_of(session, "job", key)]


def take(ledger: Ledger, key: str, owner: str = "w1", stage: Stage = Stage.SEGMENT) -> bool:
    with ledger.transaction() as session:
        return jobs.take(session, key, stage, owner, LEASE) is not None


def test_a_job_is_entered_whole(ledger: Ledger, key: str, request_of: Requests) -> None:
    """The ledger holds all that a worker is told, and the birth of the job is an event."""
    job = job_of(ledger, key)
    assert (job.state, job.stage, job.attempts) == (JobState.QUEUED, Stage.SEGMENT, 0)
    assert parse(JobRequest, job.request) == request_of()
    assert moves_of(ledger, key) == [(None, "queued")]


def test_the_same_job_is_entered_once(ledger: Ledger, key: str, request_of: Requests) -> None:
    """The same content of the same study is the same job, also while it runs and after it has ended."""
    for _ in range(2):
        with ledger.transaction() as session:
            assert jobs.enqueue(session, request_of()) is None
        take(ledger, key)
    with ledger.transaction() as session:
        assert len(jobs.of_study(session, "1.2.3")) == 1


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.REPORTED, JobState.FAILED])
def test_a_new_content_supersedes_the_old_job(ledger: Ledger, key: str, request_of: Requests, state: JobState) -> None:
    """Whatever the old job came to, the new one takes its place, and only the study's own."""
    with ledger.transaction() as session:
        if state is not JobState.QUEUED:
            jobs.take(session, key, Stage.SEGMENT, "w1", LEASE)
        if state is JobState.REPORTED:
            jobs.finish(session, key, "w1")
        if state is JobState.FAILED:
            jobs.give_up(session, key, "w1", FAULT)
    assert job_of(ledger, key).state is state
    with ledger.transaction() as session:
        new = jobs.enqueue(session, request_of(digest="bb"))
        assert new is not None
        assert [job.state for job in jobs.of_study(session, "1.2.3")] == [JobState.SUPERSEDED, JobState.QUEUED]
    assert moves_of(ledger, key)[-1] == (state.value, "superseded")
    with ledger.transaction() as session:
        assert not jobs.renew(session, key, "w1", LEASE)
        assert not jobs.finish(session, key, "w1")


def test_one_worker_takes_a_job(ledger: Ledger, key: str) -> None:
    """A message that comes twice is work that is done once."""
    assert take(ledger, key, "w1")
    assert not take(ledger, key, "w2")
    assert job_of(ledger, key).lease_owner == "w1"
    assert moves_of(ledger, key) == [(None, "queued"), ("queued", "running")]


def test_a_job_is_taken_for_its_stage_alone(ledger: Ledger, key: str) -> None:
    """A stale message of another stage, or of no job at all, is dropped."""
    assert not take(ledger, key, stage=Stage.MEASURE)
    assert not take(ledger, "0" * 32)


def test_a_lease_is_renewed_by_its_owner_alone(ledger: Ledger, clock: Any, key: str) -> None:
    """The heartbeat prolongs the lease; another worker's does not."""
    take(ledger, key, "w1")
    clock.forward(50)
    with ledger.transaction() as session:
        assert jobs.renew(session, key, "w1", LEASE)
        assert not jobs.renew(session, key, "w2", LEASE)
    assert job_of(ledger, key).lease_until == clock() + LEASE
    clock.forward(50)
    with ledger.transaction() as session:
        assert jobs.reclaim(session, PATIENCE) == []


def test_a_silent_workers_job_is_taken_back(ledger: Ledger, clock: Any, key: str) -> None:
    """After the lease the job is queued again, with a pause, and the worker that comes back has lost it."""
    take(ledger, key, "w1")
    clock.forward(60.1)
    with ledger.transaction() as session:
        assert [job.key for job in jobs.reclaim(session, PATIENCE)] == [key]
    job = job_of(ledger, key)
    assert (job.state, job.lease_owner, job.published_at) == (JobState.QUEUED, None, None)
    assert 0.7 * BASE <= job.not_before - clock() <= BASE
    with ledger.transaction() as session:
        assert queues.unpublished(session) == []
        for lost in (jobs.renew(session, key, "w1", LEASE), jobs.advance(session, key, "w1", Stage.MEASURE)):
            assert not lost
        assert not jobs.finish(session, key, "w1")
        assert not jobs.give_up(session, key, "w1", FAULT)
        assert not jobs.try_again(session, key, "w1", FAULT, PATIENCE)
    clock.forward(12)
    with ledger.transaction() as session:
        assert [job.key for job in queues.unpublished(session)] == [key]


def test_a_job_that_kills_its_workers_fails_in_the_end(ledger: Ledger, clock: Any, key: str) -> None:
    """Attempts are counted when a job is taken, so that a worker that dies without a word is counted too."""
    for _ in range(3):
        assert take(ledger, key)
        clock.forward(60.1)
        with ledger.transaction() as session:
            jobs.reclaim(session, PATIENCE)
        clock.forward(100)
    job = job_of(ledger, key)
    assert (job.state, job.reason) == (JobState.FAILED, Outage.WORKER_LOST)
    assert not take(ledger, key)
    assert moves_of(ledger, key)[-1] == ("running", "failed")


def test_a_study_that_kills_its_workers_is_set_aside_with_what_was_seen(ledger: Ledger, clock: Any, key: str) -> None:
    """Quarantined, with the reason of the last attempt, and with what was seen at each."""
    complete(ledger)
    for owner in ("w1", "w2"):
        assert take(ledger, key, owner)
        clock.forward(60.1)
        with ledger.transaction() as session:
            jobs.reclaim(session, PATIENCE)
        assert study_of(ledger) == (StudyState.COMPLETE, None)
        clock.forward(100)
    assert take(ledger, key, "w3")
    with ledger.transaction() as session:
        assert jobs.try_again(session, key, "w3", Unavailable(Outage.ENGINE_MEMORY, "17 GB"), PATIENCE)
    assert study_of(ledger) == (StudyState.QUARANTINED, Outage.ENGINE_MEMORY)
    with ledger.transaction() as session:
        evidence = studies.events_of(session, "study", "1.2.3")[-1].cause
    for attempt, seen in enumerate(("w1 stopped answering", "w2 stopped answering", "17 GB"), 1):
        for text in (evidence, str(job_of(ledger, key).detail)):
            assert re.search(rf"attempt {attempt} failed: [^;]*{seen}", text), text


def test_an_outage_of_the_site_poisons_no_study(ledger: Ledger, key: str) -> None:
    """A spool that could not be read is no fault of the study: its job fails visibly, the study is not set aside."""
    complete(ledger)
    take(ledger, key)
    with ledger.transaction() as session:
        assert jobs.try_again(session, key, "w1", Unavailable(Outage.SPOOL_FAILED), replace(PATIENCE, attempts=1))
    assert job_of(ledger, key).state is JobState.FAILED
    assert study_of(ledger) == (StudyState.COMPLETE, None)


def test_a_pause_is_never_longer_than_the_longest() -> None:
    """Nor does it overflow, however many attempts there were; it differs from job to job."""
    patience = Patience(10**6, BASE, LONGEST)
    for attempt in (1, 2, 3, 1000, 10**6):
        pauses = {patience.pause(attempt) for _ in range(50)}
        most = BASE if attempt == 1 else LONGEST
        assert len(pauses) > 10
        assert all(0.7 * most <= pause <= most for pause in pauses)


def test_a_job_that_failed_is_tried_again_when_its_study_is_judged_again(
    ledger: Ledger, key: str, request_of: Requests
) -> None:
    """The same content, the same key, fresh attempts, from the first stage on."""
    take(ledger, key)
    with ledger.transaction() as session:
        jobs.advance(session, key, "w1", Stage.MEASURE)
    take(ledger, key, stage=Stage.MEASURE)
    with ledger.transaction() as session:
        jobs.give_up(session, key, "w1", FAULT)
        again = jobs.enqueue(session, request_of())
        assert again is not None
        assert (again.key, again.state, again.stage, again.attempts) == (key, JobState.QUEUED, Stage.SEGMENT, 0)
        assert (again.reason, again.detail) == (None, None)
        assert len(jobs.of_study(session, "1.2.3")) == 1


def test_a_job_names_the_one_that_it_superseded(ledger: Ledger, key: str, request_of: Requests) -> None:
    """The latest one, not the first."""
    keys = [key]
    for content in ("bb", "cc"):
        with ledger.transaction() as session:
            job = jobs.enqueue(session, request_of(digest=content))
            assert job is not None
            assert job.predecessor == keys[-1]
            keys.append(job.key)
    assert job_of(ledger, key).predecessor is None


def test_a_content_that_returns_is_another_job(ledger: Ledger, clock: Any, key: str, request_of: Requests) -> None:
    """Its objects get UIDs of their own and supersede what came between; sent once more, it makes nothing new."""
    keys = [key]
    for content in ("bb", "aa", "bb", "aa"):
        clock.forward(1)
        with ledger.transaction() as session:
            job = jobs.enqueue(session, request_of(digest=content))
            assert job is not None
            assert parse(JobRequest, job.request).key == job.key
            assert job.predecessor == keys[-1]
            keys.append(job.key)
        with ledger.transaction() as session:
            assert jobs.enqueue(session, request_of(digest=content)) is None
            known = jobs.current(session, "1.2.3")
            assert known is not None
            assert known.key == keys[-1]
    assert len(set(keys)) == 5
    states = [job_of(ledger, one).state for one in keys]
    assert states == [*4 * [JobState.SUPERSEDED], JobState.QUEUED]


def test_a_withdrawn_content_that_returns_is_measured(ledger: Ledger, key: str, request_of: Requests) -> None:
    """A study that was quarantined and is judged again gets a job, once."""
    with ledger.transaction() as session:
        jobs.withdraw(session, "1.2.3", "study quarantined")
        job = jobs.enqueue(session, request_of())
        assert job is not None
        assert (job.key != key, job.predecessor) == (True, None)
        assert jobs.enqueue(session, request_of()) is None


def test_a_reported_job_may_run_again_under_its_key(ledger: Ledger, key: str) -> None:
    """From the first stage on, with fresh attempts."""
    take(ledger, key)
    with ledger.transaction() as session:
        jobs.finish(session, key, "w1", NotAnalysable(StudyRefusal.UNEVEN_SPACING))
        jobs.requeue(session, session.get_one(Job, key), "replay")
    job = job_of(ledger, key)
    assert (job.state, job.stage, job.attempts, job.reason) == (JobState.QUEUED, Stage.SEGMENT, 0, None)
    assert take(ledger, key)


def test_the_next_stage_begins_anew(ledger: Ledger, key: str) -> None:
    """A job that went on waits for its next stage, with fresh attempts, to be told to the broker."""
    take(ledger, key, "w1")
    with ledger.transaction() as session:
        assert jobs.advance(session, key, "w1", Stage.MEASURE)
    job = job_of(ledger, key)
    assert (job.state, job.stage, job.attempts, job.published_at) == (JobState.QUEUED, Stage.MEASURE, 0, None)
    assert not take(ledger, key)
    assert take(ledger, key, stage=Stage.MEASURE)


def test_attempts_pause_longer_each_time_and_end(ledger: Ledger, clock: Any, key: str) -> None:
    """The pause doubles, less its jitter; after the last attempt all that was seen stays visible."""
    for pause_s in (10, 20):
        assert take(ledger, key)
        with ledger.transaction() as session:
            assert jobs.try_again(session, key, "w1", FAULT, PATIENCE)
        pause = job_of(ledger, key).not_before - clock()
        assert timedelta(seconds=0.7 * pause_s) <= pause <= timedelta(seconds=pause_s)
        clock.forward(100)
    assert take(ledger, key)
    with ledger.transaction() as session:
        assert jobs.try_again(session, key, "w1", FAULT, PATIENCE)
    job = job_of(ledger, key)
    assert (job.state, job.reason) == (JobState.FAILED, Outage.WORKER_FAILED)
    assert str(job.detail).count("worker-failed: seen") == 3


def test_a_job_ends_with_results_or_with_the_refusal(ledger: Ledger, key: str, request_of: Requests) -> None:
    """A refusal is a result: the job is reported, and says why."""
    take(ledger, key)
    with ledger.transaction() as session:
        assert jobs.finish(session, key, "w1", NotAnalysable(StudyRefusal.UNEVEN_SPACING, "a gap"))
    job = job_of(ledger, key)
    assert (job.state, job.reason, job.detail) == (JobState.REPORTED, StudyRefusal.UNEVEN_SPACING, "a gap")
    with ledger.transaction() as session:
        other = jobs.enqueue(session, request_of(digest="bb"))
        assert other is not None
        jobs.take(session, other.key, Stage.SEGMENT, "w1", LEASE)
        assert jobs.finish(session, other.key, "w1")
        assert (other.state, other.reason) == (JobState.REPORTED, None)
        assert jobs.count_open(session) == 0


def test_an_untrusted_job_fails_at_once(ledger: Ledger, key: str) -> None:
    """What contradicts itself is not tried again."""
    take(ledger, key)
    with ledger.transaction() as session:
        assert jobs.give_up(session, key, "w1", Untrusted(StudyRefusal.INPUT_UNTRUSTED))
    assert job_of(ledger, key).state is JobState.FAILED


def test_a_reported_job_is_not_moved_back(ledger: Ledger, key: str) -> None:
    """The table of moves holds for jobs in the ledger."""
    take(ledger, key)
    with ledger.transaction() as session:
        jobs.finish(session, key, "w1")
    with pytest.raises(IllegalMove), ledger.transaction() as session:
        move_job(session, session.get_one(Job, key), JobState.RUNNING, "never")
    assert moves_of(ledger, key)[-1] == ("running", "reported")


def test_a_publication_is_noted_of_the_attempt_that_was_told(ledger: Ledger, key: str) -> None:
    """A worker that is faster than the note: the next stage, or attempt, is told on its own."""
    with ledger.transaction() as session:
        queues.mark_published(session, key, Stage.SEGMENT, 0)
        assert queues.unpublished(session) == []
        jobs.take(session, key, Stage.SEGMENT, "w1", LEASE)
        jobs.advance(session, key, "w1", Stage.MEASURE)
        queues.mark_published(session, key, Stage.SEGMENT, 0)
        assert [job.key for job in queues.unpublished(session)] == [key]
        jobs.take(session, key, Stage.MEASURE, "w1", LEASE)
        queues.mark_published(session, key, Stage.MEASURE, 0)
        assert session.get_one(Job, key).published_at is None
        queues.mark_published(session, "0" * 32, Stage.MEASURE, 0)


def test_a_publication_is_forgotten_after_a_while_by_stage(ledger: Ledger, clock: Any, key: str) -> None:
    """A job that the broker was told of long ago and nobody took is told again; a fresh or running one is not."""
    with ledger.transaction() as session:
        queues.mark_published(session, key, Stage.SEGMENT, 0)
    clock.forward(60)
    with ledger.transaction() as session:
        assert queues.long_published(session, LEASE) == []
        assert queues.forget_publication(session, Stage.SEGMENT, LEASE) == 0
    clock.forward(1)
    with ledger.transaction() as session:
        assert queues.long_published(session, LEASE) == [Stage.SEGMENT]
        assert queues.forget_publication(session, Stage.MEASURE, LEASE) == 0
        assert queues.forget_publication(session, Stage.SEGMENT, LEASE) == 1
        assert [job.key for job in queues.unpublished(session)] == [key]


def test_what_waits_or_runs_is_withdrawn(ledger: Ledger, key: str) -> None:
    """The open job of a study that was quarantined stops; its worker loses the lease; what ended stays."""
    take(ledger, key)
    with ledger.transaction() as session:
        jobs.withdraw(session, "1.2.3", "study quarantined")
        jobs.withdraw(session, "1.2.3", "study quarantined")
        assert not jobs.renew(session, key, "w1", LEASE)
    assert job_of(ledger, key).state is JobState.SUPERSEDED
    assert moves_of(ledger, key)[-1] == ("running", "superseded")
