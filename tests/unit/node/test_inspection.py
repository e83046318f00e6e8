"""`ledger check`: each kind of fault is planted, found, and named; what is sound is not."""

from collections.abc import Callable
from typing import Any

import pytest
from pydicom import Dataset

from node.core.ledger import Ledger, deliveries, jobs, studies
from node.core.ledger.tables import Job, StoredInstance, Study
from node.core.records import Instance, JobRequest
from node.core.spool import Spool
from node.core.states import DeliveryState, JobState, StudyState
from node.inspection import Fault, check

UID = "1.2.3"


@pytest.fixture
def taken(
    series: Callable[..., list[Dataset]],
    receive: Callable[..., list[Instance]],
    ledger: Ledger,
    clock: Any,
    request_of: Callable[..., JobRequest],
    spool: Spool,
) -> list[Instance]:
    """A study of three slices with a queued job and an object that is to be delivered: nothing is wrong."""
    del clock
    instances = receive(series(count=3))
    with ledger.transaction() as session:
        seen = [one.sop_instance_uid for one in instances]
        studies.conclude(session, UID, seen, StudyState.COMPLETE, "quiet")
        job = jobs.enqueue(session, request_of())
        assert job is not None
        digest = spool.work(job.key).write("sr.dcm", b"object")
        plan = {"job_key": job.key, "destination": "pacs", "kind": "sr", "file": "sr.dcm"}
        deliveries.plan(session, sop_instance_uid="2.25.1", digest=digest, **plan)
    return instances


def found(ledger: Ledger, spool: Spool, *, digests: bool = True) -> dict[Fault, list[str]]:
    return {fault: about for fault, about in check(ledger, spool, digests=digests).findings.items() if about}


def test_what_is_sound_is_counted(ledger: Ledger, spool: Spool, taken: list[Instance]) -> None:
    """Studies, instances, jobs and files, and no finding."""
    seen = check(ledger, spool, digests=True)
    assert seen.sound
    assert seen.counts == {"studies": 1, "instances": len(taken), "jobs": 1, "files": 3}


def test_files_are_compared_with_rows(ledger: Ledger, spool: Spool, taken: list[Instance], clock: Any) -> None:
    """One is gone, one is unknown, one was changed (read only when asked for), one should have been removed."""
    gone, changed, removed = (spool.root / one.path for one in taken)
    gone.unlink()
    changed.write_bytes(b"other")
    (removed.parent / "stranger.dcm").write_bytes(b"who")
    with ledger.transaction() as session:
        session.get_one(StoredInstance, taken[2].sop_instance_uid).removed_at = clock()
    quick = {
        Fault.MISSING: [taken[0].path],
        Fault.UNKNOWN: [str((removed.parent / "stranger.dcm").relative_to(spool.root))],
        Fault.LEFT: [taken[2].path],
    }
    assert found(ledger, spool, digests=False) == quick
    assert found(ledger, spool) == quick | {Fault.CHANGED: [taken[1].path]}
    removed.unlink()
    assert Fault.LEFT not in found(ledger, spool)


def test_results_and_work_are_compared_with_jobs(ledger: Ledger, spool: Spool, taken: list[Instance]) -> None:
    """An object that is still to be sent is changed or gone; a folder is of no job; a superseded job needs nothing."""
    del taken
    with ledger.transaction() as session:
        (job,) = jobs.of_study(session, UID)
    spool.work("0" * 32).write("labels.npz", b"")
    spool.work(job.key).write("sr.dcm", b"changed")
    expected = {Fault.ORPHAN: [f"work/{'0' * 32}"], Fault.RESULT: [f"work/{job.key}/sr.dcm"]}
    assert found(ledger, spool) == expected
    spool.work(job.key).clear()
    assert found(ledger, spool) == expected
    with ledger.transaction() as session:
        jobs.withdraw(session, UID, "test")
    del expected[Fault.RESULT]
    assert found(ledger, spool) == expected


def test_states_that_cannot_be_are_told(
    ledger: Ledger, spool: Spool, taken: list[Instance], request_of: Callable[..., JobRequest]
) -> None:
    """What no sequence of moves leads to: somebody wrote into the database."""
    del taken
    with ledger.transaction() as session:
        second = jobs.enqueue(session, request_of(digest="bb"))
        assert second is not None
        first = session.get_one(Job, second.predecessor)
        first.state = JobState.RUNNING
        deliveries.of_job(session, first.key)[0].state = DeliveryState.PROVEN
        lonely = Study(uid="1.9", state=StudyState.COMPLETE)
        lonely.first_received_at = lonely.last_received_at = first.created_at
        session.add(lonely)
    assert sorted(found(ledger, spool)[Fault.STATE]) == [
        "delivery 2.25.1 to pacs: proven without a proof",
        f"job {first.key}: running with lease until None",
        "study 1.2.3: several jobs that none supersedes",
        "study 1.9: complete without a job",
    ]
