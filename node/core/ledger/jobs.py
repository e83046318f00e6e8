"""What handoff, the steward and the workers ask and say of jobs. Each function runs in the caller's transaction.

A job waits for or is in one stage. A worker takes it by a lease, renews the lease while it works, and gives it back
with the next stage, a refusal, or a reason to try again. The broker is told by the outbox (`unpublished`), and
nothing that the broker says is trusted: a message for a job that is leased, done or elsewhere is dropped.
"""

import random
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.core.errors import NodeError
from node.core.ledger import now
from node.core.ledger.moves import born, move_job
from node.core.ledger.tables import Job
from node.core.reasons import Outage
from node.core.records import JobRequest, dump
from node.core.states import JobState, Stage

_OPEN = (JobState.QUEUED, JobState.RUNNING)


def enqueue(session: Session, request: JobRequest) -> Job | None:
    """Enter a job for this request and supersede the study's earlier ones; None if the very same job is known."""
    if session.get(Job, request.key) is not None:
        return None
    at = now()
    earlier = select(Job).where(Job.study_uid == request.study_instance_uid, Job.state != JobState.SUPERSEDED)
    for old in session.scalars(earlier):
        move_job(session, old, JobState.SUPERSEDED, f"superseded by job {request.key}")
        _release(old)
    job = Job(
        key=request.key,
        study_uid=request.study_instance_uid,
        state=JobState.QUEUED,
        stage=Stage.SEGMENT,
        request=dump(request),
        attempts=0,
        created_at=at,
        not_before=at,
    )
    session.add(job)
    session.flush()
    born(session, "job", job.key, JobState.QUEUED, "study complete")
    return job


def unpublished(session: Session) -> Sequence[Job]:
    """Return queued jobs that the broker has to be told of and whose time has come."""
    query = select(Job).where(Job.state == JobState.QUEUED, Job.published_at.is_(None), Job.not_before <= now())
    return session.scalars(query.order_by(Job.created_at)).all()


def mark_published(session: Session, key: str, stage: Stage, attempts: int) -> None:
    """Note that the broker was told of a job that waited for `stage` after `attempts`; not if it moved on since."""
    job = session.scalars(select(Job).where(Job.key == key).with_for_update()).one_or_none()
    if job is not None and (job.state, job.stage, job.attempts) == (JobState.QUEUED, stage, attempts):
        job.published_at = now()


def withdraw(session: Session, study_uid: str, cause: str) -> None:
    """Stop what waits or runs for a study that is not to be measured any more."""
    query = select(Job).where(Job.study_uid == study_uid, Job.state.in_(_OPEN))
    for job in session.scalars(query.with_for_update()):
        move_job(session, job, JobState.SUPERSEDED, cause)
        _release(job)


def take(session: Session, key: str, stage: Stage, owner: str, lease: timedelta) -> Job | None:
    """Lease a job for a stage; None if it is not to be worked on now: another has it, or it has moved on."""
    job = session.scalars(select(Job).where(Job.key == key).with_for_update()).one_or_none()
    if job is None or job.state is not JobState.QUEUED or job.stage is not stage:
        return None
    move_job(session, job, JobState.RUNNING, f"{stage} by {owner}")
    job.lease_owner, job.lease_until = owner, now() + lease
    job.attempts += 1
    return job


def renew(session: Session, key: str, owner: str, lease: timedelta) -> bool:
    """Prolong the lease; False if it was lost, and the work must stop."""
    job = _held(session, key, owner)
    if job is None:
        return False
    job.lease_until = now() + lease
    return True


def advance(session: Session, key: str, owner: str, stage: Stage) -> bool:
    """Give a job back for its next stage; False if the lease was lost."""
    job = _held(session, key, owner)
    if job is None:
        return False
    move_job(session, job, JobState.QUEUED, f"{job.stage} done")
    job.stage, job.attempts = stage, 0
    _release(job)
    return True


def finish(session: Session, key: str, owner: str, refusal: NodeError | None = None) -> bool:
    """Give a job back as reported, with the study's refusal if there is one; False if the lease was lost."""
    job = _held(session, key, owner)
    if job is None:
        return False
    job.reason, job.detail = (refusal.code, refusal.detail) if refusal else (None, None)
    move_job(session, job, JobState.REPORTED, f"refused: {refusal.code}" if refusal else "results stored")
    _release(job)
    return True


def give_up(session: Session, key: str, owner: str, error: NodeError) -> bool:
    """Fail a job for good; False if the lease was lost."""
    job = _held(session, key, owner)
    if job is None:
        return False
    _fail(session, job, error.code, str(error))
    return True


def try_again(session: Session, key: str, owner: str, error: NodeError, attempts: int, base: timedelta) -> bool:
    """Queue a job again after a pause that doubles, or fail it after `attempts`; False if the lease was lost."""
    job = _held(session, key, owner)
    if job is None:
        return False
    _again(session, job, error.code, str(error), attempts, base)
    return True


def reclaim(session: Session, attempts: int, base: timedelta) -> Sequence[Job]:
    """Queue again, or fail, the jobs whose worker stopped renewing its lease."""
    query = select(Job).where(Job.state == JobState.RUNNING, Job.lease_until < now())
    lost = session.scalars(query.with_for_update()).all()
    for job in lost:
        _again(session, job, Outage.WORKER_LOST, f"{job.lease_owner} stopped answering", attempts, base)
    return lost


def long_published(session: Session, older: timedelta) -> Sequence[Stage]:
    """Return the stages for which a job waits that the broker was told of longer ago."""
    query = select(Job.stage).where(Job.state == JobState.QUEUED, Job.published_at < now() - older)
    return session.scalars(query.distinct()).all()


def forget_publication(session: Session, stage: Stage, older: timedelta) -> int:
    """Have the broker told again of jobs that it was told of long ago and nobody took: it may have lost them."""
    at = now()
    query = select(Job).where(Job.state == JobState.QUEUED, Job.stage == stage, Job.published_at < at - older)
    stale = session.scalars(query.with_for_update()).all()
    for job in stale:
        job.published_at = None
    return len(stale)


def of_study(session: Session, study_uid: str) -> Sequence[Job]:
    """Return a study's jobs, oldest first."""
    return session.scalars(select(Job).where(Job.study_uid == study_uid).order_by(Job.created_at)).all()


def count_open(session: Session) -> int:
    """Return how many jobs wait or run."""
    return len(session.scalars(select(Job.key).where(Job.state.in_(_OPEN))).all())


def _held(session: Session, key: str, owner: str) -> Job | None:
    query = select(Job).where(Job.key == key, Job.lease_owner == owner, Job.state == JobState.RUNNING)
    return session.scalars(query.with_for_update()).one_or_none()


def _again(session: Session, job: Job, reason: str, detail: str, attempts: int, base: timedelta) -> None:
    if job.attempts >= attempts:
        _fail(session, job, reason, detail)
        return
    move_job(session, job, JobState.QUEUED, f"attempt {job.attempts} failed: {detail}")
    job.not_before = now() + base * 2 ** (job.attempts - 1) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
    _release(job)


def _fail(session: Session, job: Job, reason: str, detail: str) -> None:
    job.reason, job.detail = reason, detail
    move_job(session, job, JobState.FAILED, detail)
    _release(job)


def _release(job: Job) -> None:
    job.lease_owner = job.lease_until = job.published_at = None
