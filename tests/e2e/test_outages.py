"""Parts of the site that go away while a study travels: it waits, says so, and ends when they are back."""

import signal
import time
from collections.abc import Callable

import redis

from node.core.states import DeliveryState, JobState, Stage

from .conftest import Sent, send_all
from .stack import LEASE_S, Stack, View


def waits_for(stage: Stage) -> Callable[[View], bool]:
    """Return whether the job waits for a stage and the broker was told of it."""

    def told(view: View) -> bool:
        return bool(view.jobs) and view.job.stage is stage and view.job.published_at is not None

    return told


def runs(view: View) -> bool:
    """Say whether the measurement is going on."""
    return bool(view.jobs) and view.job.state is JobState.RUNNING and view.job.stage is Stage.MEASURE


def test_a_pacs_that_is_down(stack: Stack, study: Sent) -> None:
    """The reason stands in the status while it lasts; when the PACS is back, the results are stored and proven."""
    stack.orthanc.stop()
    try:
        send_all(stack, study)
        view = stack.wait(
            study.uid, lambda now: bool(now.deliveries) and all(one.attempts for one in now.kinds().values())
        )
        assert {one.reason for one in view.kinds().values()} == {"destination-unreachable"}
        shown = " ".join(stack.cli("status", study.uid).split())
        assert "destination-unreachable" in shown
        assert "connection refused" in shown
        assert {one.state for one in view.kinds("folder").values()} == {DeliveryState.PROVEN}
    finally:
        stack.orthanc.start()
    view = stack.wait(study.uid)
    assert stack.pacs().instances_of(study.uid) == {one.sop_instance_uid for one in view.kinds().values()}
    assert {one.reason for one in view.kinds().values()} == {None}


def test_redis_is_away_when_the_study_is_complete(stack: Stack, study: Sent) -> None:
    """Stopped before the hand-off and started empty after it: steward and workers find each other again."""
    stack.broker.stop()
    try:
        send_all(stack, study)
        view = stack.wait(study.uid, lambda now: bool(now.jobs))
        stack.await_(lambda: "outage-begins" in stack.log("steward"), "the steward tells of the outage")
        assert (view.job.state, view.job.published_at) == (JobState.QUEUED, None)
    finally:
        stack.broker.start()
    stack.wait(study.uid)
    assert "outage-ends" in stack.log("steward")


def test_redis_forgets_a_job(stack: Stack, study: Sent) -> None:
    """The queue is flushed after the job was told of and before anybody took it: it is told again after a lease."""
    stack.kill("worker-measure", signal.SIGTERM)
    try:
        send_all(stack, study)
        stack.wait(study.uid, waits_for(Stage.MEASURE))
        flush(stack)
    finally:
        stack.revive("worker-measure")
    stack.wait(study.uid)


def test_redis_forgets_a_delivery(stack: Stack, study: Sent) -> None:
    """The same for what is to be delivered: the hold ends by itself and the broker is told again."""
    stack.kill("worker-deliver", signal.SIGTERM)
    try:
        send_all(stack, study)
        stack.wait(study.uid, lambda now: bool(now.deliveries) and all(one.held_until for one in now.deliveries))
        flush(stack)
    finally:
        stack.revive("worker-deliver")
    stack.wait(study.uid)


def test_a_worker_is_killed_at_its_work(stack: Stack, study: Sent) -> None:
    """The lease of the dead worker runs out, the job is queued again with that reason, and another worker ends it."""
    send_all(stack, study)
    first = stack.wait(study.uid, runs).job.lease_owner
    stack.kill("worker-measure")
    died = time.monotonic()
    try:
        assert stack.view(study.uid).job.state is JobState.RUNNING, "killed too late: the job had ended"
        stack.wait(study.uid, lambda now: now.job.state is JobState.QUEUED)
        assert time.monotonic() - died > LEASE_S / 3
    finally:
        stack.revive("worker-measure")
    view = stack.wait(study.uid)
    causes = stack.causes(study.uid)
    assert any(f"{first} stopped answering" in cause for cause in causes), causes
    assert view.job.attempts >= 2
    assert len({cause for cause in causes if cause.startswith("measure by ")}) >= 2


def flush(stack: Stack) -> None:
    """Have Redis forget everything."""
    with redis.Redis(port=stack.broker.port) as client:
        assert client.dbsize() > 0
        client.flushall()
