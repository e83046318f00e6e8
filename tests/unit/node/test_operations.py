"""What a person orders, on a real ledger and spool: it is done, it is audited, and what does not fit is refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydicom import Dataset
from sqlalchemy import select

from node import operations, retention
from node import steward as steward_module
from node.core.errors import Unavailable
from node.core.ledger import Ledger, deliveries, jobs, queues, studies
from node.core.ledger.moves import move_study
from node.core.ledger.patience import Patience
from node.core.ledger.tables import Audit, Job, StoredInstance, Study
from node.core.reasons import Outage
from node.core.settings import MeasurementSettings, Settings
from node.core.spool import Spool
from node.core.states import DeliveryState, JobState, Stage, StudyState
from node.operations import NotPossible
from node.steward import Steward

LEASE = timedelta(seconds=60)
UID = "1.2.3"


@pytest.fixture
def settings(settings: Settings, redis_url: str) -> Settings:
    """The settings of the home, with a broker."""
    return settings.model_copy(update={"broker_url": redis_url})


@pytest.fixture
def judge(
    ledger: Ledger, spool: Spool, clock: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Job]:
    """Return a function that lets a steward make a round, with other settings if wanted; the study's job comes back."""
    for module in (steward_module, operations, retention):
        monkeypatch.setattr(module, "now", clock)

    def round_(**changes: Any) -> Job:
        clock.forward(1)
        Steward(ledger, spool, settings.model_copy(update=changes)).round()
        return current(ledger)

    return round_


@pytest.fixture
def job(series: Callable[..., list[Dataset]], receive: Callable[..., Any], judge: Callable[..., Job]) -> Job:
    """The queued job of a study of twelve slices."""
    receive(series())
    return judge()


def current(ledger: Ledger) -> Job:
    with ledger.transaction() as session:
        one = jobs.current(session, UID)
        assert one is not None
        return one


def state_of(ledger: Ledger) -> StudyState:
    with ledger.transaction() as session:
        return session.get_one(Study, UID).state


def report(ledger: Ledger, spool: Spool, key: str, *states: DeliveryState) -> None:
    """Bring a job to its end, with an object for each state that its delivery is in."""
    with ledger.transaction() as session:
        assert jobs.take(session, key, Stage.SEGMENT, "w1", LEASE)
        jobs.finish(session, key, "w1")
        for number, state in enumerate(states):
            uid, kind = f"2.25.{number}", f"kind{number}"
            digest = spool.work(key).write(f"{kind}.dcm", b"object")
            deliveries.plan(
                session,
                job_key=key,
                destination="pacs",
                kind=kind,
                sop_instance_uid=uid,
                file=f"{kind}.dcm",
                digest=digest,
            )
            row = deliveries.of_job(session, key)[number]
            if state in (DeliveryState.SENT, DeliveryState.PROVEN):
                deliveries.mark_sent(session, row, "stored")
            if state is DeliveryState.PROVEN:
                deliveries.mark_proven(session, row, "found")
            if state is DeliveryState.FAILED:
                row.state = state


def poison(ledger: Ledger, key: str) -> None:
    """Have a job kill its workers until its study is set aside."""
    with ledger.transaction() as session:
        jobs.take(session, key, Stage.SEGMENT, "w1", LEASE)
        error = Unavailable(Outage.WORKER_LOST, "signal 9")
        jobs.try_again(session, key, "w1", error, Patience(1, LEASE, LEASE))
    assert state_of(ledger) is StudyState.QUARANTINED


def audited(ledger: Ledger) -> list[tuple[int, str]]:
    with ledger.transaction() as session:
        rows = session.scalars(select(Audit).where(Audit.event == "110113/110132").order_by(Audit.id)).all()
        return [(row.outcome, row.detail) for row in rows]


class TestReplay:
    """Measured again, with what the site has set now."""

    def test_the_same_job_runs_again(self, ledger: Ledger, spool: Spool, job: Job, judge: Callable[..., Job]) -> None:
        """Same key, from the first stage on; its work is gone; judged again, it stays one job; who asked is kept."""
        report(ledger, spool, job.key, DeliveryState.PROVEN)
        assert operations.replay(ledger, spool, UID[:3], "new radiologist") == UID
        again = current(ledger)
        assert (again.key, again.state, again.stage) == (job.key, JobState.QUEUED, Stage.SEGMENT)
        assert not spool.work(job.key).has("kind0.dcm")
        assert judge().key == job.key
        assert state_of(ledger) is StudyState.COMPLETE
        with ledger.transaction() as session:
            assert len(jobs.of_study(session, UID)) == 1
            assert [one.state for one in deliveries.of_job(session, job.key)] == [DeliveryState.PROVEN]
            for subject, key in (("job", job.key), ("study", UID)):
                causes = [event.cause for event in studies.events_of(session, subject, key)]
                assert any(cause.startswith("replay by ") and "new radiologist" in cause for cause in causes)
        assert audited(ledger) == [(0, "replay new radiologist")]

    def test_other_settings_make_another_job(
        self, ledger: Ledger, spool: Spool, job: Job, judge: Callable[..., Job]
    ) -> None:
        """Which supersedes the first, by name."""
        report(ledger, spool, job.key, DeliveryState.PROVEN)
        operations.replay(ledger, spool, UID, "")
        new = judge(measurement=MeasurementSettings(core_erosion_mm=4.0))
        assert new.key != job.key
        assert (new.predecessor, new.state) == (job.key, JobState.QUEUED)

    def test_a_failed_job_gets_fresh_attempts(
        self, ledger: Ledger, spool: Spool, job: Job, judge: Callable[..., Job]
    ) -> None:
        """And is told to the broker again."""
        with ledger.transaction() as session:
            jobs.take(session, job.key, Stage.SEGMENT, "w1", LEASE)
            jobs.give_up(session, job.key, "w1", Unavailable(Outage.SPOOL_FAILED))
        operations.replay(ledger, spool, UID, "disk repaired")
        again = judge()
        assert (again.key, again.state, again.attempts, again.reason) == (job.key, JobState.QUEUED, 0, None)
        assert again.published_at is not None

    def test_what_is_on_its_way_keeps_its_bytes(self, ledger: Ledger, spool: Spool, job: Job) -> None:
        """A delivery that is not proven still finds the stored object."""
        report(ledger, spool, job.key, DeliveryState.PROVEN, DeliveryState.SENT)
        operations.replay(ledger, spool, UID, "")
        assert spool.work(job.key).has("kind1.dcm")

    def test_what_does_not_fit_is_refused_and_audited(self, ledger: Ledger, spool: Spool, job: Job, clock: Any) -> None:
        """No such study; on its way; receiving; in quarantine; its input removed."""

        def refusal() -> str:
            with pytest.raises(NotPossible) as caught:
                operations.replay(ledger, spool, UID, "")
            return str(caught.value)

        with pytest.raises(NotPossible, match=r"no study 9\.9 is known here"):
            operations.replay(ledger, spool, "9.9", "")
        assert "its job is queued for stage segment" in refusal()
        report(ledger, spool, job.key, DeliveryState.PROVEN)
        with ledger.transaction() as session:
            row = session.scalars(select(StoredInstance).limit(1)).one()
            row.removed_at = clock()
        assert "was removed: send the study again first" in refusal()
        for state, word in ((StudyState.RECEIVING, "still receiving"), (StudyState.QUARANTINED, "in quarantine")):
            with ledger.transaction() as session:
                move_study(session, session.get_one(Study, UID), state, "test")
            assert word in refusal()
        assert [outcome for outcome, _ in audited(ledger)] == [4] * 5
        assert current(ledger).state is JobState.REPORTED


def test_a_beginning_must_name_one_study(ledger: Ledger, store: Callable[..., Any]) -> None:
    """The whole UID always does, though another begins with it."""
    for uid in ("1.2.3", "1.2.34"):
        store(uid, series=f"{uid}.1")
    with ledger.transaction() as session:
        assert operations.study_of(session, "1.2.3").uid == "1.2.3"
        assert operations.study_of(session, "1.2.34").uid == "1.2.34"
        with pytest.raises(NotPossible, match=r"several studies begin with 1\.2"):
            operations.study_of(session, "1.2")


class TestQuarantine:
    """A person looks, and decides."""

    def test_a_released_study_is_judged_and_measured_again(
        self, ledger: Ledger, job: Job, judge: Callable[..., Job]
    ) -> None:
        """The job that had failed is queued once more."""
        poison(ledger, job.key)
        assert operations.release(ledger, UID, "more memory") == UID
        again = judge()
        assert (again.key, again.state) == (job.key, JobState.QUEUED)
        assert state_of(ledger) is StudyState.COMPLETE
        with pytest.raises(NotPossible, match="is not in quarantine, it is complete"):
            operations.release(ledger, UID, "")
        assert [outcome for outcome, _ in audited(ledger)] == [0, 4]

    def test_it_is_deleted_by_a_person_and_not_before_its_time(
        self, ledger: Ledger, spool: Spool, job: Job, clock: Any, settings: Settings
    ) -> None:
        """Every file and the work; the rows say since when; released it cannot be any more."""
        spool.work(job.key).write("labels.npz", b"work")
        poison(ledger, job.key)
        with pytest.raises(NotPossible, match="quarantine_days is 90"):
            operations.delete(ledger, spool, settings, UID, "")
        clock.forward(90 * 24 * 3600)
        assert operations.delete(ledger, spool, settings, UID, "not needed") == (UID, 12)
        assert [path for path in (spool.root / "instances").rglob("*") if path.is_file()] == []
        assert not spool.work(job.key).has("labels.npz")
        with ledger.transaction() as session:
            assert {row.removed_at for row in studies.instances_of(session, UID)} == {clock()}
        with pytest.raises(NotPossible, match="was removed"):
            operations.release(ledger, UID, "")

    def test_what_is_not_set_aside_is_not_deleted(
        self, ledger: Ledger, spool: Spool, job: Job, settings: Settings
    ) -> None:
        """No order deletes the input of a study that goes its way."""
        del job
        with pytest.raises(NotPossible, match="is not in quarantine"):
            operations.delete(ledger, spool, settings, UID, "")
        assert len([path for path in (spool.root / "instances").rglob("*") if path.is_file()]) == 12


def test_a_queue_is_paused_once_and_says_who_did_it(ledger: Ledger) -> None:
    """Cause and account stand where `status` finds them."""
    operations.pause(ledger, Stage.SEGMENT, "GPU service")
    with pytest.raises(NotPossible, match="segment is paused already"):
        operations.pause(ledger, Stage.SEGMENT, "")
    with ledger.transaction() as session:
        cause = queues.paused(session)[Stage.SEGMENT].cause
    assert cause.startswith("pause segment by ")
    assert cause.endswith(": GPU service")
    operations.resume(ledger, Stage.SEGMENT)
    with pytest.raises(NotPossible, match="segment is not paused"):
        operations.resume(ledger, Stage.SEGMENT)
    assert [outcome for outcome, _ in audited(ledger)] == [0, 4, 0, 4]
