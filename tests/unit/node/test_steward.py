import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from structlog.testing import capture_logs

from node import steward as module
from node.core.errors import Unavailable
from node.core.ledger import Ledger, jobs, queues, studies
from node.core.ledger.tables import Job, Study
from node.core.reasons import StudyRefusal
from node.core.records import ClinicalFacts, HeightSource, Instance, JobRequest, parse
from node.core.settings import CallingPeer, ImportRules, Settings
from node.core.spool import Spool
from node.core.states import JobState, Stage, StudyState
from node.steward import Steward

Datasets = Callable[..., list[Dataset]]
Start = Callable[[], subprocess.Popen[str]]
Receive = Callable[..., list[Instance]]


@pytest.fixture
def started(
    ledger: Ledger,
    clock: Any,
    spool: Spool,
    settings: Settings,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Steward:
    """A steward on a clock that stands still."""
    monkeypatch.setattr(module, "now", clock)
    return Steward(ledger, spool, settings.model_copy(update={"broker_url": redis_url}))


def shown(ledger: Ledger, study_uid: str = "1.2.3") -> tuple[StudyState, str | None]:
    with ledger.transaction() as session:
        study = session.get_one(Study, study_uid)
        return study.state, study.reason


def jobs_of(ledger: Ledger, study_uid: str = "1.2.3") -> list[Job]:
    with ledger.transaction() as session:
        return list(jobs.of_study(session, study_uid))


def test_a_round_takes_a_study_from_the_spool_to_the_broker(
    started: Steward, ledger: Ledger, clock: Any, series: Datasets, receive: Receive, redis_server: Any
) -> None:
    """Assembled, selected, handed off and told, in one round; the next round finds nothing to do."""
    taken = receive([*series("1.2.3.1", 12), *series("1.2.3.2", 1, ImageType=["O", "P", "LOCALIZER"])])
    clock.forward(1)
    for _ in range(2):
        started.round()
        assert shown(ledger) == (StudyState.COMPLETE, None)
        (job,) = jobs_of(ledger)
        assert job.published_at is not None
        assert redis_server.client.llen("segment") == 1
    request = parse(JobRequest, job.request)
    assert request.key == job.key
    assert list(request.candidates[0].instances) == sorted(taken[:12], key=lambda one: one.sop_instance_uid)
    assert [one.why for one in request.left_out] == ["localizer"]
    assert (request.facts.height_m, request.requested_at) == (1.75, clock())


def test_haste_goes_from_the_sender_to_the_job(
    ledger: Ledger,
    clock: Any,
    spool: Spool,
    settings: Settings,
    redis_url: str,
    series: Datasets,
    receive: Receive,
) -> None:
    """What a STAT peer sends is a STAT job."""
    peers = (CallingPeer(ae_title="EMERGENCY", priority="stat"),)
    steward = Steward(ledger, spool, settings.model_copy(update={"broker_url": redis_url, "calling": peers}))
    receive(series(), calling="EMERGENCY")
    receive(series("1.2.4.1", study="1.2.4"), association="a2")
    clock.forward(1)
    steward.round()
    assert [jobs_of(ledger, uid)[0].priority for uid in ("1.2.3", "1.2.4")] == [queues.STAT, queues.ROUTINE]


def test_a_force_goes_into_the_job_and_its_key(
    started: Steward, ledger: Ledger, clock: Any, series: Datasets, receive: Receive, settings: Settings
) -> None:
    """The request says why the study was taken; with the missing slice it is another job that says nothing of it."""
    datasets = series(count=14)
    late = datasets.pop(5)
    receive(datasets)
    clock.forward(1)
    started.round()
    assert (shown(ledger), jobs_of(ledger)) == ((StudyState.RECEIVING, None), [])
    clock.forward(settings.forced_completion_s)
    started.round()
    [job] = jobs_of(ledger)
    request = parse(JobRequest, job.request)
    assert request.forced.startswith("Processed 60 minutes after the last image came, without proof")
    assert request.key != dataclasses.replace(request, forced="").key
    with ledger.transaction() as session:
        assert f"by force: {request.forced}" in studies.events_of(session, "study", "1.2.3")[-1].cause
    receive([late], association="a2")
    clock.forward(1)
    started.round()
    assert parse(JobRequest, jobs_of(ledger)[1].request).forced == ""


def test_what_the_operator_entered_goes_into_the_job(
    ledger: Ledger,
    clock: Any,
    spool: Spool,
    settings: Settings,
    redis_url: str,
    series: Datasets,
    receive: Receive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The height where nobody else knows one, and what no other source knows; of each patient his own."""
    monkeypatch.setattr(module, "now", clock)
    form = settings.home / "form.csv"
    form.write_text("patient_id,height_m,cea_ng_ml\nP1,1.60,12\nP2,1.61,\n")
    steward = Steward(ledger, spool, settings.model_copy(update={"broker_url": redis_url, "patient_facts": form}))
    receive(series(PatientSize=None))
    receive(series("1.2.4.1", study="1.2.4", PatientID="P2"), association="a2")
    clock.forward(1)
    steward.round()
    [first], [other] = ([parse(JobRequest, job.request) for job in jobs_of(ledger, uid)] for uid in ("1.2.3", "1.2.4"))
    assert (first.facts.height_m, first.facts.height_source) == (1.6, HeightSource.OPERATOR)
    assert first.facts.clinical == ClinicalFacts(cea_ng_ml=12.0)
    assert (other.facts.height_m, other.facts.height_source) == (1.75, HeightSource.SERIES)
    assert other.facts.clinical is None


def test_late_slices_make_a_new_job_that_supersedes(
    started: Steward, ledger: Ledger, clock: Any, series: Datasets, receive: Receive
) -> None:
    """The study that grew is measured anew, the old job is not."""
    datasets = series(count=14)
    for part, association in ((datasets[:12], "a1"), (datasets[12:], "a2")):
        receive(part, association=association)
        clock.forward(1)
        started.round()
    assert [job.state for job in jobs_of(ledger)] == [JobState.SUPERSEDED, JobState.QUEUED]
    assert len(parse(JobRequest, jobs_of(ledger)[1].request).candidates[0].instances) == 14


@pytest.mark.parametrize(
    ("datasets", "code"),
    [
        ({"count": 1}, StudyRefusal.TOO_FEW_SLICES),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, StudyRefusal.NO_SUITABLE_SERIES),
    ],
)
def test_a_study_that_cannot_be_measured_ends_visibly(
    started: Steward,
    ledger: Ledger,
    clock: Any,
    series: Datasets,
    receive: Receive,
    datasets: dict[str, Any],
    code: StudyRefusal,
) -> None:
    """The state, the coded reason and an event with the sentence; no job."""
    receive(series(**datasets))
    clock.forward(1)
    started.round()
    assert shown(ledger) == (StudyState.NOT_ANALYSABLE, code)
    assert jobs_of(ledger) == []
    with ledger.transaction() as session:
        assert code.sentence in studies.events_of(session, "study", "1.2.3")[-1].cause


def test_a_lost_worker_is_noticed(
    started: Steward, ledger: Ledger, clock: Any, series: Datasets, receive: Receive, settings: Settings
) -> None:
    """A job whose lease ran out is queued again by the round, and told again after its pause."""
    receive(series())
    clock.forward(1)
    started.round()
    (job,) = jobs_of(ledger)
    with ledger.transaction() as session:
        jobs.take(session, job.key, Stage.SEGMENT, "w1", started._outbox._lease)
    clock.forward(settings.lease_s + 1)
    with capture_logs() as logs:
        started.round()
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["worker-lost"]
    assert jobs_of(ledger)[0].state is JobState.QUEUED
    clock.forward(1.2 * settings.retry_base_s)
    started.round()
    assert jobs_of(ledger)[0].published_at == clock()


def test_a_flushed_redis_is_told_again(
    started: Steward,
    ledger: Ledger,
    clock: Any,
    series: Datasets,
    receive: Receive,
    redis_server: Any,
    settings: Settings,
) -> None:
    """Flushing Redis loses nothing: after a lease the round tells it again."""
    receive(series())
    clock.forward(1)
    started.round()
    redis_server.client.flushall()
    started.round()
    assert redis_server.client.llen("segment") == 0
    clock.forward(settings.lease_s + 1)
    started.round()
    assert redis_server.client.llen("segment") == 1


def test_an_outage_of_redis_is_told_once_and_stops_nothing_else(
    started: Steward, ledger: Ledger, clock: Any, series: Datasets, receive: Receive, redis_server: Any
) -> None:
    """Studies are completed while Redis is down; one event when the outage begins, one when it ends."""
    redis_server.stop()
    receive(series())
    clock.forward(1)
    with capture_logs() as logs:
        for _ in range(3):
            started.round()
        assert shown(ledger) == (StudyState.COMPLETE, None)
        redis_server.start()
        for _ in range(2):
            started.round()
    told = [(one["event"], one["code"]) for one in logs if one["event"].startswith("outage")]
    assert told == [("outage-begins", "broker-unreachable"), ("outage-ends", "broker-unreachable")]
    assert redis_server.client.llen("segment") == 1


def test_an_outage_of_the_ledger_does_not_end_the_steward(
    started: Steward, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away is an outage of each part, told once per part."""
    monkeypatch.setattr("node.core.ledger._BUSY_TIMEOUT_S", 0)
    ledger.close()
    with Ledger(ledger.url).transaction() as session, capture_logs() as logs:
        session.connection()
        broken = Steward(Ledger(ledger.url), started._assembly._spool, started._settings)
        broken.round()
        broken.round()
    parts = ["reconcile", "assembly", "reclaim", "outbox", "retention"]
    assert [one["part"] for one in logs if one["event"] == "outage-begins"] == parts
    assert [one for one in logs if one["event"] == "outage-ends"] == []


class TestRealData:
    """The shared studies, received as intake does."""

    def test_the_abdomen_and_its_segmentation(
        self,
        test_data: Path,
        ledger: Ledger,
        clock: Any,
        spool: Spool,
        settings: Settings,
        redis_url: str,
        receive: Receive,
    ) -> None:
        """112 slices, the SEG of an allowed manufacturer, and the height."""
        rules = ImportRules(manufacturers=("QIICR",))
        steward = Steward(ledger, spool, settings.model_copy(update={"broker_url": redis_url, "imports": rules}))
        files = [*sorted((test_data / "abdomen3mm" / "ct").iterdir()), test_data / "abdomen3mm" / "seg.dcm"]
        taken = receive([dcmread(path) for path in files])
        clock.forward(1)
        begin = time.monotonic()
        steward.round()
        assert time.monotonic() - begin < 10
        with ledger.transaction() as session:
            (study,) = studies.find_studies(session)
        (job,) = jobs_of(ledger, study.uid)
        request = parse(JobRequest, job.request)
        assert [len(one.instances) for one in request.candidates] == [112]
        assert request.segmentations == (taken[-1],)
        assert (request.facts.height_m, request.facts.height_source) == (1.75, HeightSource.SERIES)


class TestProcess:
    """The steward as its own process."""

    @pytest.fixture
    def start(self, settings: Settings, redis_url: str, tmp_path: Path) -> Iterator[Start]:
        """Return a function that starts a steward of this home; those that still run are killed in the end."""
        program = f"""
import sys
from pathlib import Path
from node.core.errors import Unavailable
from node.core.log import configure
from node.core.settings import Settings
from node.core.lock import Held
from node.steward import run
configure(form="json")
try:
    run(Settings(home=Path({str(settings.home)!r}), broker_url={redis_url!r}, quiet_time_s=0.2, steward_period_s=30.0))
except Held as error:
    sys.exit(str(error))
"""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        processes: list[subprocess.Popen[str]] = []

        def begin() -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
            )
            processes.append(process)
            return process

        yield begin
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def wait_for(self, process: subprocess.Popen[str], event: str) -> None:
        """Read the log until the event comes."""
        assert process.stderr is not None
        for line in process.stderr:
            if event in line:
                return
        pytest.fail(f"the steward ended before {event}")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_stops_at_once(self, start: Start, settings: Settings, number: signal.Signals) -> None:
        """Told to stop in the pause between two rounds it ends in a moment, without a traceback, with success."""
        process = start()
        self.wait_for(process, "started")
        time.sleep(0.5)
        begin = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - begin < 15  # half a pause
        assert process.returncode == 0
        assert "Traceback" not in errors
        assert "stopped" in errors
        Ledger(settings.ledger).require_schema()

    def test_there_is_one_steward_of_a_home(self, start: Start, settings: Settings) -> None:
        """A second one ends with a sentence that names the first; one that was killed leaves no lock behind."""
        first = start()
        self.wait_for(first, "started")
        second = start()
        _, errors = second.communicate(timeout=30)
        assert second.returncode == 1
        assert errors.strip() == f"A steward works in {settings.home} already (process {first.pid})."
        first.kill()
        first.wait()
        third = start()
        self.wait_for(third, "started")


def test_a_home_that_cannot_be_made_is_an_outage(tmp_path: Path) -> None:
    """The start fails with a coded reason, not with a traceback of the file system."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        module.run(Settings(home=tmp_path / "file" / "home"))
