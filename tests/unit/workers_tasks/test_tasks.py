import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from node.core.errors import NotAnalysable, Unavailable, Untrusted
from node.core.ledger import Ledger, deliveries, jobs, now, products, queues, studies
from node.core.ledger.moves import move_study
from node.core.ledger.patience import Patience
from node.core.ledger.tables import Delivery, Job, Study
from node.core.ledger.tables import Product as ProductRow
from node.core.reasons import Outage, StudyRefusal
from node.core.records import JobRequest
from node.core.settings import Settings
from node.core.spool import Spool, digest
from node.core.states import DeliveryState, JobState, Stage, StudyState
from node.folder import request_for_folder
from node.phantom import covering_grid, standard_anatomy, write_phantom
from workers import analysis, delivery
from workers.analysis import Outcome, Product
from workers.tasks import Desk

Jobs = Callable[[str], Job]
Studies = Callable[[str], Study]
Deliveries = Callable[[str], dict[str, Delivery]]
Enter = Callable[[JobRequest], str]

LEASE = timedelta(seconds=60)
PATIENCE = Patience(3, timedelta(), timedelta())
PATIENT = "Doe^Jane"


def stage_that(monkeypatch: pytest.MonkeyPatch, work: Callable[..., Outcome], stage: str = "segment") -> None:
    """Put `work` in the place of a stage."""
    # The first stage is also given the networks, which these tests have no use for.
    monkeypatch.setattr(analysis, stage, lambda *arguments, **_: work(*arguments))


def raising(error: Exception) -> Callable[..., Outcome]:
    def work(*_: object) -> Outcome:
        raise error

    return work


def causes(ledger: Ledger, key: str) -> list[str]:
    with ledger.transaction() as session:
        return [event.cause for event in studies.events_of(session, "job", key)]


def test_a_job_goes_through_its_stages(
    desk: Desk, spool: Spool, job: str, job_row: Jobs, study_row: Studies, delivery_rows: Deliveries
) -> None:
    """Segmented, measured, reported: files in the work folder, each planned for the destination with its digest."""
    desk.segment(job)
    assert (job_row(job).state, job_row(job).stage) == (JobState.QUEUED, Stage.MEASURE)
    assert spool.work(job).has("labels.npz")
    desk.measure(job)
    row = job_row(job)
    assert (row.state, row.reason, row.lease_owner) == (JobState.REPORTED, None, None)
    planned = delivery_rows(job)
    assert set(planned) == {"seg", "sr", "sr-viewer"}
    assert not spool.work(job).has("seg-labelmap.dcm")
    for kind, one in planned.items():
        assert digest(spool.work(job).read(f"{kind}.dcm")) == one.digest
        assert one.state is DeliveryState.PENDING
    assert study_row(row.study_uid).state is StudyState.COMPLETE


def test_a_job_asks_its_signatures(
    desk: Desk, ledger: Ledger, spool: Spool, enter: Callable[[JobRequest], str], job_row: Jobs, tmp_path: Path
) -> None:
    """A study that a signature may score gets its score; a manifest that has changed since stops it visibly."""
    files = write_phantom(
        tmp_path / "planned", grid=covering_grid(standard_anatomy(), spacing_mm=(6, 5, 5)), planned=True
    )
    models = tmp_path / "models"
    shutil.copytree(desk.settings.models / "signatures", models / "signatures")
    settings = desk.settings.model_copy(update={"models_dir": models, "signatures": ("tcia-crlm-os",)})
    desk = replace(desk, settings=settings)
    key = enter(
        request_for_folder(files.ct[0].parent, files.seg, settings, now=datetime.fromisoformat("2026-11-21T12:00:00"))
    )
    desk.segment(key)
    manifest = models / "signatures" / "tcia-crlm-os" / "manifest.json"
    whole = manifest.read_text()
    manifest.write_text(whole + " ")
    desk.measure(key)
    row = job_row(key)
    assert (row.state, row.stage, row.attempts) == (JobState.QUEUED, Stage.MEASURE, 1)
    assert "tcia-crlm-os: its manifest is not that of the job" in causes(ledger, key)[-1]
    assert not spool.work(key).has("result.json")
    manifest.write_text(whole)
    time.sleep(0.05)  # the pause before the next attempt
    desk.measure(key)
    assert job_row(key).state is JobState.REPORTED
    [one] = json.loads(spool.work(key).read("result.json"))["rad_scores"]
    assert one["score"] is not None


def test_what_no_destination_wants_is_entered_all_the_same(
    desk: Desk, ledger: Ledger, spool: Spool, job: str, delivery_rows: Deliveries
) -> None:
    """It may have to stand in for what is refused: its UID, file and digest are known from the start."""
    desk = wanting(desk, "sr")
    desk.segment(job)
    desk.measure(job)
    assert set(delivery_rows(job)) == {"sr"}
    with ledger.transaction() as session:
        made = {one.kind: one for one in session.scalars(select(ProductRow))}
    assert {"seg", "sr", "sr-viewer"} <= set(made)
    for one in made.values():
        assert digest(spool.work(job).read(one.file)) == one.digest


def wanting(desk: Desk, *objects: str) -> Desk:
    """Return the desk with destinations that want these objects."""
    destinations = tuple(one.model_copy(update={"objects": objects}) for one in desk.settings.destinations)
    return replace(desk, settings=desk.settings.model_copy(update={"destinations": destinations}))


def test_a_label_map_is_made_where_a_destination_wants_one(
    desk: Desk, spool: Spool, job: str, delivery_rows: Deliveries
) -> None:
    """And nowhere else: it costs time and space."""
    desk = wanting(desk, "seg-labelmap", "sr")
    desk.segment(job)
    desk.measure(job)
    assert set(delivery_rows(job)) == {"seg-labelmap", "sr"}
    assert spool.work(job).has("seg-labelmap.dcm")


def test_an_unknown_or_misplaced_message_does_nothing(desk: Desk, spool: Spool, job: str, job_row: Jobs) -> None:
    """A key that is not in the ledger, and a message for a stage that the job does not wait for, are dropped."""
    desk.segment("no such job")
    desk.measure(job)
    desk.deliver(job, "folder")
    assert (job_row(job).state, job_row(job).attempts) == (JobState.QUEUED, 0)
    assert not spool.work(job).has("labels.npz")


def test_a_job_that_another_worker_has_is_left_to_it(
    desk: Desk, ledger: Ledger, job: str, job_row: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker may tell a job twice: the second worker does not even begin."""
    stage_that(monkeypatch, raising(AssertionError("begun")))
    with ledger.transaction() as session:
        jobs.take(session, job, Stage.SEGMENT, "w2", LEASE)
    desk.segment(job)
    assert (job_row(job).state, job_row(job).lease_owner) == (JobState.RUNNING, "w2")


def test_a_message_brings_a_worker_to_the_most_urgent_job(
    desk: Desk,
    spool: Spool,
    ledger: Ledger,
    enter: Enter,
    request_of_phantom: JobRequest,
    job: str,
    job_row: Jobs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The routine job's message serves the STAT job, under whose key the work lies; the other message the routine."""
    stat = enter(replace(request_of_phantom, study_instance_uid="1.2.99"))
    with ledger.transaction() as session:
        session.get_one(Job, stat).priority = queues.STAT
        for key in (job, stat):
            queues.mark_published(session, key, Stage.SEGMENT, 0)
    worked: list[str] = []

    def note(request: JobRequest, *_: object) -> Outcome:
        worked.append(request.study_instance_uid)
        return Outcome(final=False)

    stage_that(monkeypatch, note)
    desk.segment(job)
    assert (job_row(stat).stage, job_row(job).stage) == (Stage.MEASURE, Stage.SEGMENT)
    desk.segment(stat)
    assert worked == ["1.2.99", request_of_phantom.study_instance_uid]
    assert job_row(job).stage is Stage.MEASURE


def test_a_paused_queue_is_not_worked_on(
    desk: Desk, ledger: Ledger, job: str, reported: Callable[..., str], job_row: Jobs, delivery_rows: Deliveries
) -> None:
    """Messages that were told before the pause are dropped; what they name is done after it."""
    with ledger.transaction() as session:
        for stage in Stage:
            queues.pause(session, stage, "")
    key = reported("1.2.4")
    desk.segment(job)
    desk.deliver(key, "folder")
    assert (job_row(job).state, job_row(job).attempts) == (JobState.QUEUED, 0)
    assert {one.state for one in delivery_rows(key).values()} == {DeliveryState.PENDING}
    with ledger.transaction() as session:
        for stage in Stage:
            queues.resume(session, stage)
    desk.segment(job)
    desk.deliver(key, "folder")
    assert job_row(job).stage is Stage.MEASURE
    assert {one.state for one in delivery_rows(key).values()} == {DeliveryState.PROVEN}


class TestAgain:
    """A reported job that is run again: the same UIDs, and never another content under them."""

    @pytest.fixture
    def done(self, desk: Desk, ledger: Ledger, job: str) -> str:
        """A job whose results are proven, and that waits to be run again, its work gone."""
        desk.segment(job)
        desk.measure(job)
        desk.deliver(job, "folder")
        with ledger.transaction() as session:
            assert {one.state for one in deliveries.of_job(session, job)} == {DeliveryState.PROVEN}
            jobs.requeue(session, session.get_one(Job, job), "replay")
        desk.spool.work(job).clear()
        return job

    def test_the_same_comes_out_and_nothing_is_sent_twice(
        self, desk: Desk, ledger: Ledger, done: str, job_row: Jobs, delivery_rows: Deliveries
    ) -> None:
        """Byte for byte; what is proven stays so, and only what had failed to arrive is sent again."""
        with ledger.transaction() as session:
            failed = deliveries.of_job(session, done)[0]
            failed.state, failed.attempts = DeliveryState.FAILED, 7
        before = {kind: one.digest for kind, one in delivery_rows(done).items()}
        desk.segment(done)
        desk.measure(done)
        assert job_row(done).state is JobState.REPORTED
        after = delivery_rows(done)
        assert {kind: one.digest for kind, one in after.items()} == before
        for kind, one in after.items():
            assert digest(desk.spool.work(done).read(f"{kind}.dcm")) == one.digest
            wanted = DeliveryState.PENDING if kind == failed.kind else DeliveryState.PROVEN
            assert one.state is wanted
        desk.deliver(done, "folder")
        assert {one.state for one in delivery_rows(done).values()} == {DeliveryState.PROVEN}

    def test_the_date_that_a_result_tells_makes_the_same_bytes(
        self, desk: Desk, request_of_phantom: JobRequest
    ) -> None:
        """The date of a job is finer than what is written of it: a ledger that was rebuilt knows only the latter."""
        digests = []
        for at in ("2026-11-21T12:00:00.654321", "2026-11-21T12:00:00"):
            request = replace(request_of_phantom, requested_at=datetime.fromisoformat(at))
            outcome = analysis.segment(request, desk.spool, desk.spool.work(request.key))
            outcome = analysis.measure(request, desk.spool, desk.spool.work(request.key), desk.settings.models)
            digests.append({one.sop_instance_uid: one.digest for one in outcome.products})
            written = json.loads(desk.spool.work(request.key).read("result.json"))["study"]["requested_at"]
            assert written == "2026-11-21T12:00:00"
        assert digests[0] == digests[1]

    def test_another_content_gets_uids_of_its_own(
        self,
        desk: Desk,
        ledger: Ledger,
        done: str,
        job_row: Jobs,
        delivery_rows: Deliveries,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A program or a network that is not the same any more: another job after it, which names it."""
        real = analysis.measure

        def otherwise(request: JobRequest, *rest: Any) -> Outcome:
            outcome = real(request, *rest, desk.settings.models)
            products = (replace(outcome.products[0], digest="0" * 64), *outcome.products[1:])
            return replace(outcome, products=products)

        before = {kind: (one.sop_instance_uid, one.digest, one.state) for kind, one in delivery_rows(done).items()}
        stage_that(monkeypatch, otherwise, "measure")
        desk.segment(done)
        desk.measure(done)
        monkeypatch.setattr(analysis, "measure", real)
        assert job_row(done).state is JobState.SUPERSEDED
        after = {kind: (one.sop_instance_uid, one.digest, one.state) for kind, one in delivery_rows(done).items()}
        assert after == before
        with ledger.transaction() as session:
            new = jobs.current(session, job_row(done).study_uid)
        assert new is not None
        assert (new.state, new.predecessor) == (JobState.QUEUED, done)
        desk.segment(new.key)
        desk.measure(new.key)
        made = {one.sop_instance_uid for one in delivery_rows(new.key).values()}
        assert made.isdisjoint(uid for uid, *_ in before.values())
        assert len(made) == len(before)


def test_a_refused_study_is_reported_and_shows_it(
    desk: Desk, ledger: Ledger, refused_job: str, job_row: Jobs, study_row: Studies, delivery_rows: Deliveries
) -> None:
    """No segmentation: the job is done, its report is planned, and the study says that it is not analysable.

    A Summary may go in place of the report as of any.
    """
    desk.segment(refused_job)
    row = job_row(refused_job)
    assert (row.state, row.reason) == (JobState.REPORTED, "segmentation-unavailable")
    study = study_row(row.study_uid)
    assert (study.state, study.reason) == (StudyState.NOT_ANALYSABLE, "segmentation-unavailable")
    assert set(delivery_rows(refused_job)) == {"sr"}
    with ledger.transaction() as session:
        assert [one.kind for one in products.in_place_of(session, refused_job, "sr")] == ["summary"]


def test_a_changed_slice_quarantines(
    desk: Desk,
    spool: Spool,
    enter: Enter,
    request_of_phantom: JobRequest,
    job_row: Jobs,
    study_row: Studies,
    delivery_rows: Deliveries,
) -> None:
    """A slice whose bytes are not those that came: stop, keep the evidence, deliver nothing."""
    first = request_of_phantom.candidates[0]
    changed = replace(first.instances[3], digest="0" * 64)
    slices = (*first.instances[:3], changed, *first.instances[4:])
    key = enter(replace(request_of_phantom, candidates=(replace(first, instances=slices),)))
    desk.segment(key)
    row = job_row(key)
    assert (row.state, row.reason) == (JobState.FAILED, "input-untrusted")
    assert changed.sop_instance_uid in str(row.detail)
    assert study_row(row.study_uid).state is StudyState.QUARANTINED
    assert delivery_rows(key) == {}


@pytest.mark.parametrize("kind", [Untrusted, NotAnalysable])
def test_what_trying_again_cannot_mend_is_not_tried_again(
    kind: type[Untrusted | NotAnalysable], desk: Desk, job: str, job_row: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that raises either of the two final errors fails the job at the first attempt."""
    stage_that(monkeypatch, raising(kind(StudyRefusal.INPUT_UNTRUSTED, "seen")))
    desk.segment(job)
    assert (job_row(job).state, job_row(job).attempts) == (JobState.FAILED, 1)


def test_an_outage_is_tried_again_then_fails_visibly(
    desk: Desk, spool: Spool, ledger: Ledger, job: str, job_row: Jobs
) -> None:
    """Label map gone: queued again after a pause, to be told again; after three attempts failed, with its reason."""
    desk.segment(job)
    (spool.root / spool.work(job).path / "labels.npz").unlink()
    for attempt in (1, 2):
        desk.measure(job)
        row = job_row(job)
        assert (row.state, row.attempts, row.published_at) == (JobState.QUEUED, attempt, None)
        assert f"attempt {attempt} failed: spool-failed: No such file" in causes(ledger, job)[-1]
    desk.measure(job)
    assert (job_row(job).state, job_row(job).reason) == (JobState.FAILED, "spool-failed")


def test_a_fault_of_the_program_is_an_outage_and_says_nothing_of_the_patient(
    desk: Desk,
    job: str,
    job_row: Jobs,
    study_row: Studies,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever a stage raises ends in the ledger; where it was raised is logged, what it said is not."""
    stage_that(monkeypatch, raising(ValueError(PATIENT)))
    for _ in range(3):
        desk.segment(job)
    assert (job_row(job).state, job_row(job).reason) == (JobState.FAILED, "worker-failed")
    assert "ValueError" in str(job_row(job).detail)
    assert study_row(job_row(job).study_uid).state is StudyState.QUARANTINED
    assert PATIENT not in str(job_row(job).detail)
    log = "".join(capfd.readouterr())
    assert "stage-failed" in log
    assert "test_tasks.py" in log
    assert PATIENT not in log


def test_a_stage_may_take_longer_than_a_lease(
    desk: Desk, ledger: Ledger, job: str, job_row: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is renewed while the stage works: nobody takes the job away."""
    desk = replace(desk, settings=desk.settings.model_copy(update={"lease_s": 2.0}))
    reclaimed: list[Job] = []

    def slow(*_: object) -> Outcome:
        for _turn in range(15):
            time.sleep(0.2)
            with ledger.transaction() as session:
                reclaimed.extend(jobs.reclaim(session, PATIENCE))
        return Outcome(final=False)

    stage_that(monkeypatch, slow)
    desk.segment(job)
    assert reclaimed == []
    assert (job_row(job).state, job_row(job).stage) == (JobState.QUEUED, Stage.MEASURE)


def test_a_worker_that_lost_its_lease_changes_nothing(
    desk: Desk, ledger: Ledger, job: str, job_row: Jobs, delivery_rows: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back after another took the job over: its result is dropped, and the other's lease stands."""

    def overtaken(*_: object) -> Outcome:
        with ledger.transaction() as session:
            session.get_one(Job, job).lease_until = now() - LEASE
            assert len(jobs.reclaim(session, PATIENCE)) == 1
            session.get_one(Job, job).not_before = now() - LEASE
            assert jobs.take(session, job, Stage.SEGMENT, "w2", LEASE) is not None
        return Outcome(final=True, products=(Product("sr", "sr.dcm", "2.25.1", "aa"),))

    stage_that(monkeypatch, overtaken)
    desk.segment(job)
    assert (job_row(job).state, job_row(job).lease_owner) == (JobState.RUNNING, "w2")
    assert delivery_rows(job) == {}


@pytest.mark.parametrize("error", [None, Unavailable(Outage.SPOOL_FAILED), Untrusted(StudyRefusal.INPUT_UNTRUSTED)])
def test_a_job_that_was_superseded_meanwhile_stays_so(
    error: Exception | None,
    desk: Desk,
    ledger: Ledger,
    job: str,
    job_row: Jobs,
    study_row: Studies,
    delivery_rows: Deliveries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Late slices make a new job while the old one runs: however the old one ends, nothing of it is sent or shown."""

    def superseded(*_: object) -> Outcome:
        with ledger.transaction() as session:
            jobs.withdraw(session, session.get_one(Job, job).study_uid, "late slices")
        if error:
            raise error
        return Outcome(final=True, products=(Product("sr", "sr.dcm", "2.25.1", "aa"),))

    stage_that(monkeypatch, superseded)
    desk.segment(job)
    assert job_row(job).state is JobState.SUPERSEDED
    assert study_row(job_row(job).study_uid).state is StudyState.COMPLETE
    assert delivery_rows(job) == {}


def test_a_refusal_does_not_close_a_study_that_receives_again(
    desk: Desk, ledger: Ledger, refused_job: str, study_row: Studies, job_row: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further slices came while the job ran: the study is judged anew with them, not by the old refusal."""
    real = analysis.segment

    def receiving(request: JobRequest, *rest: object) -> Outcome:
        with ledger.transaction() as session:
            study = session.get_one(Study, request.study_instance_uid)
            move_study(session, study, StudyState.RECEIVING, "a further instance came")
        return real(request, *rest)  # type: ignore[arg-type]

    stage_that(monkeypatch, receiving)
    desk.segment(refused_job)
    assert job_row(refused_job).state is JobState.REPORTED
    assert study_row(job_row(refused_job).study_uid).state is StudyState.RECEIVING


def test_a_ledger_that_is_away_drops_the_task_without_a_fault(
    settings: Settings, spool: Spool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing can be entered then: one line in the log, no exception to Celery."""
    nowhere = Desk(settings, spool, Ledger(f"sqlite:///{tmp_path / 'missing' / 'ledger.sqlite'}"))
    nowhere.segment("key")
    nowhere.measure("key")
    nowhere.deliver("key", "folder")
    assert capfd.readouterr()[0].count("task-dropped") == 3


def test_a_delivery_longer_than_a_lease_is_not_told_again(
    desk: Desk, ledger: Ledger, reported: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hold is set when a worker begins, renewed while it works, and others are not kept waiting by it."""
    desk = replace(desk, settings=desk.settings.model_copy(update={"lease_s": 2.0}))
    key, other = reported("1.2.3"), reported("1.2.4")
    over = threading.Event()
    seen: list[list[tuple[str, str]]] = []

    def slow(*_: object) -> None:
        for _turn in range(15):
            time.sleep(0.2)
            with ledger.transaction() as session:
                seen.append(list(deliveries.waiting(session)))
        over.set()

    monkeypatch.setattr(delivery, "deliver", slow)
    desk.deliver(key, "folder")
    assert over.is_set()
    assert seen == [[(other, "folder")]] * 15
    time.sleep(2.1)
    with ledger.transaction() as session:
        assert len(deliveries.waiting(session)) == 2


def test_a_fault_of_the_program_in_a_delivery_is_counted(
    desk: Desk,
    reported: Callable[..., str],
    delivery_rows: Deliveries,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is tried again and then fails where a person sees it, instead of being told of for ever."""
    key = reported()
    briefly = replace(desk, settings=desk.settings.model_copy(update={"delivery_days": 1e-9}))

    def faulty(*_: object) -> None:
        raise ValueError(PATIENT)

    monkeypatch.setattr(delivery, "deliver", faulty)
    for one, state in ((desk, DeliveryState.PENDING), (briefly, DeliveryState.FAILED)):
        time.sleep(0.01)
        one.deliver(key, "folder")
        for row in delivery_rows(key).values():
            assert (row.state, row.reason) == (state, "worker-failed")
    assert PATIENT not in "".join(capfd.readouterr())
