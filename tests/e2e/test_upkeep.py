"""What a person orders, at the whole site: measured again without a double, and a ledger that equals its spool."""

from node.core.ledger import studies
from node.core.states import JobState

from .conftest import Sent, send_all
from .stack import Stack


def runs(stack: Stack, key: str) -> int:
    """Return how often a job was reported."""
    with stack.ledger.transaction() as session:
        return sum(event.new == JobState.REPORTED for event in studies.events_of(session, "job", key))


def test_a_study_that_is_measured_again_is_in_the_pacs_once(stack: Stack, study: Sent) -> None:
    """The same job, the same UIDs, the same bytes: nothing is sent a second time; ledger and spool stay equal."""
    send_all(stack, study)
    before = stack.wait(study.uid)
    held = stack.pacs().instances_of(study.uid)
    bytes_ = {one.file: (stack.work(before) / one.file).read_bytes() for one in before.deliveries}
    assert study.uid in stack.cli("replay", study.uid, "--cause", "test")
    after = stack.wait(study.uid, lambda now: runs(stack, now.job.key) == 2 and now.proven)
    assert [job.key for job in after.jobs] == [before.job.key]
    assert stack.pacs().instances_of(study.uid) == held
    assert {one.file: (stack.work(after) / one.file).read_bytes() for one in after.deliveries} == bytes_
    assert not any("again" in cause for cause in stack.causes(study.uid))
    stack.cli("ledger", "check", "--digests")


def test_a_paused_site_takes_studies_in_and_measures_them_later(stack: Stack, study: Sent) -> None:
    """The study waits while its queue is paused, `status` says so, and it is measured when the queue goes on."""
    stack.cli("pause", "measure", "--cause", "service")
    try:
        send_all(stack, study)
        stack.wait(study.uid, lambda now: bool(now.jobs) and now.job.stage == "measure")
        stack.rounds()
        assert stack.view(study.uid).job.state is JobState.QUEUED
        assert "measure is paused" in stack.cli("status")
    finally:
        stack.cli("resume", "measure")
    stack.wait(study.uid)
