"""The order of work with a real Celery worker and a real Redis: the ledger's, not that of the messages."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from node.core.ledger import Ledger, jobs, queues, studies
from node.core.ledger.tables import Job, Study
from node.core.records import JobRequest
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import JobState, Stage, StudyState
from node.outbox import Outbox

PATIENCE_S = 240.0
ROUTINE = ("1.3.1", "1.3.2", "1.3.3")
STAT = "1.3.9"
PASSWORD = "S/ecret@4711#"  # noqa: S105 - of a Redis that lives as long as a test


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The ledger of the home that the worker serves."""
    one = Ledger.of(settings)
    one.upgrade()
    yield one
    one.close()


@pytest.fixture
def password(redis_server: Any, tmp_path: Path) -> Path:
    """File of the password of the broker of this test, which lets nobody in without it."""
    path = tmp_path / "password"
    redis_server.guard(PASSWORD, path)
    return path


@pytest.fixture
def outbox(ledger: Ledger, settings: Settings, redis_url: str, password: Path) -> Outbox:
    """Tells the broker of this test."""
    return Outbox(ledger, settings.model_copy(update={"broker_url": redis_url, "broker_password_file": password}))


@pytest.fixture
def worker(
    settings: Settings, spool: Spool, redis_url: str, password: Path, tmp_path: Path
) -> Iterator[Callable[[], Any]]:
    """Return a function that starts a worker of the first queue; it is killed in the end, and has told no password."""
    del spool
    running: list[subprocess.Popen[bytes]] = []
    config = tmp_path / "config.toml"
    lines = [f'home = "{settings.home}"', f'broker_url = "{redis_url}"', f'broker_password_file = "{password}"']
    config.write_text("\n".join([*lines, "attempts = 1", ""]))
    log = tmp_path / "worker.log"

    def start() -> None:
        words = [sys.executable, "-P", "-m", "node", "--config", str(config), "worker", "--queue", "segment"]
        with log.open("wb") as output:
            running.append(subprocess.Popen(words, stdout=output, stderr=output, env={**os.environ}))

    yield start
    for process in running:
        process.kill()
        process.wait()
    said = log.read_text()
    assert "redis://:**@127.0.0.1" in said
    assert not [word for word in (PASSWORD, quote(PASSWORD, safe="")) if word in said]


def enter(ledger: Ledger, outbox: Outbox, request: JobRequest, priority: int = queues.ROUTINE) -> None:
    """Enter a job and tell the broker of it at once, so that its message lies behind the earlier ones."""
    with ledger.transaction() as session:
        study = Study(uid=request.study_instance_uid, state=StudyState.COMPLETE)
        study.first_received_at = study.last_received_at = request.requested_at
        session.add(study)
        session.flush()
        assert jobs.enqueue(session, request, priority)
    outbox.publish()


def begun(ledger: Ledger) -> list[str]:
    """Return the studies whose jobs were begun, in that order."""
    with ledger.transaction() as session:
        owners = {job.key: job.study_uid for uid in (*ROUTINE, STAT) for job in jobs.of_study(session, uid)}
        events = [
            (one.id, key) for key in owners for one in studies.events_of(session, "job", key) if one.new == "running"
        ]
        return [owners[key] for _, key in sorted(events)]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_stat_job_passes_what_lies_in_redis(
    ledger: Ledger, outbox: Outbox, worker: Callable[[], None], request_of: Callable[..., JobRequest]
) -> None:
    """Its message is the last of four; its job is the first that is begun, and no job is left over."""
    for uid in ROUTINE:
        enter(ledger, outbox, request_of(uid))
    enter(ledger, outbox, request_of(STAT), queues.STAT)
    worker()
    until(lambda: len(begun(ledger)) == 4)
    assert begun(ledger) == [STAT, *ROUTINE]


def test_a_paused_queue_waits_and_goes_on(
    ledger: Ledger,
    outbox: Outbox,
    worker: Callable[[], None],
    request_of: Callable[..., JobRequest],
    redis_server: Any,
) -> None:
    """Messages from before the pause are dropped by the worker; resumed, the outbox tells again and work is done."""
    for uid in ROUTINE:
        enter(ledger, outbox, request_of(uid))
    with ledger.transaction() as session:
        queues.pause(session, Stage.SEGMENT, "test")
    worker()
    until(lambda: redis_server.client.llen("segment") == 0)
    outbox.publish()
    assert redis_server.client.llen("segment") == 0
    with ledger.transaction() as session:
        states = {job.state for uid in ROUTINE for job in jobs.of_study(session, uid)}
        assert states == {JobState.QUEUED}
        queues.resume(session, Stage.SEGMENT)
    assert outbox.publish() == 3
    until(lambda: begun(ledger) == list(ROUTINE))


def test_a_lost_message_costs_no_job(
    ledger: Ledger,
    outbox: Outbox,
    worker: Callable[[], None],
    request_of: Callable[..., JobRequest],
    redis_server: Any,
) -> None:
    """The message of the STAT job is lost; that of a routine job brings the worker to it; the rest is told again."""
    for uid in ROUTINE:
        enter(ledger, outbox, request_of(uid))
    enter(ledger, outbox, request_of(STAT), queues.STAT)
    redis_server.client.ltrim("segment", 1, -1)  # the newest lies first
    worker()
    until(lambda: len(begun(ledger)) == 3)
    assert begun(ledger) == [STAT, *ROUTINE[:2]]
    with ledger.transaction() as session:
        (left,) = jobs.of_study(session, ROUTINE[2])
        session.get_one(Job, left.key).published_at = left.created_at - timedelta(hours=1)
    assert outbox.forget_lost() == 1
    assert outbox.publish() == 1
    until(lambda: begun(ledger) == [STAT, *ROUTINE])
