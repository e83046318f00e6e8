from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydicom import Dataset

from node import steward as module
from node.core.ledger import Ledger, deliveries, jobs, succession
from node.core.ledger.tables import Delivery, Job, Study
from node.core.records import Instance, JobRequest, parse
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import DeliveryState, JobState, StudyState
from node.steward import Steward

LEASE = timedelta(seconds=600)
OBJECT = ("2.25.1", "pacs")


@pytest.mark.parametrize("reached", [None, *DeliveryState], ids=["running", *DeliveryState])
def test_slices_after_completion_are_measured_wherever_the_first_result_is(
    reached: DeliveryState | None,
    ledger: Ledger,
    clock: Any,
    spool: Spool,
    settings: Settings,
    series: Callable[..., list[Dataset]],
    receive: Callable[..., list[Instance]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While its job runs, while it waits for delivery, once it is sent, proven or given up: it is superseded.

    What was not sent is not sent any more, what a worker still makes of it is not taken, and only what was sent is a
    predecessor.
    """
    monkeypatch.setattr(module, "now", clock)
    steward = Steward(ledger, spool, settings)
    datasets = series(count=14)
    receive(datasets[:12])
    clock.forward(1)
    steward._assembly.round()
    with ledger.transaction() as session:
        [first] = jobs.of_study(session, "1.2.3")
        assert jobs.take(session, first.key, first.stage, "w1", LEASE)
        if reached is not None:
            bring(session, first.key, reached)
    receive(datasets[12:], association="a2")
    clock.forward(1)
    steward._assembly.round()
    with ledger.transaction() as session:
        assert session.get_one(Study, "1.2.3").state is StudyState.COMPLETE
        [old, new] = jobs.of_study(session, "1.2.3")
        assert (old.state, new.state) == (JobState.SUPERSEDED, JobState.QUEUED)
        assert len(parse(JobRequest, new.request).candidates[0].instances) == 14
        assert not jobs.finish(session, old.key, "w1")
        waiting = [key for key, _ in deliveries.waiting(session)]
        assert waiting == ([old.key] if reached is DeliveryState.SENT else [])  # its proof is still asked for
        found = succession.superseded_by(session, session.get_one(Job, new.key))
        named = found.job if found else None
        assert named == (old.key if reached in (DeliveryState.SENT, DeliveryState.PROVEN) else None)


def bring(session: Any, job_key: str, state: DeliveryState) -> None:
    """Report a job that runs, and bring its one object into a state."""
    assert jobs.finish(session, job_key, "w1")
    deliveries.plan(
        session, job_key=job_key, destination="pacs", kind="sr", sop_instance_uid="2.25.1", file="x", digest="x"
    )
    row = session.get_one(Delivery, OBJECT)
    if state in (DeliveryState.SENT, DeliveryState.PROVEN):
        deliveries.mark_sent(session, row, "0000")
    if state is DeliveryState.PROVEN:
        deliveries.mark_proven(session, row, "found")
    if state is DeliveryState.FAILED:
        row.state = DeliveryState.FAILED
