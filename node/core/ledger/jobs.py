"""What handoff, the steward and the workers ask and say of jobs. Each function runs in the caller's transaction.

A job waits for or is in one stage. A worker takes it by a lease, renews the lease while it works, and gives it back
with the next stage, a refusal, or a reason to try again. The broker is told by the outbox (`queues`), and nothing
that the broker says is trusted: a message for a job that is leased, done or elsewhere takes nothing from it.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.core.errors import NodeError
from node.core.ledger import now, queues
from node.core.ledger.moves import born, move_job, move_study
from node.core.ledger.patience import Patience
from node.core.ledger.tables import Event, Job, Study
from node.core.reasons import Coded, Outage
from node.core.records import JobRequest, dump, parse
from node.core.states import JobState, Stage, StudyState

_OPEN = (JobState.QUEUED, JobState.RUNNING)
# A study that does this to its workers time and again is poison: it is set aside with its evidence.
_POISON = (
    Outage.WORKER_LOST,
    Outage.WORKER_FAILED,
    Outage.ENGINE_LOST,
    Outage.ENGINE_MEMORY,
    Outage.ENGINE_TIMEOUT,
)


def enqueue(session: Session, request: JobRequest, priority: int = queues.ROUTINE) -> Job | None:
    """Enter a job for this request and supersede the study's earlier ones; None if the very same job is known.

    The very same job that failed is queued again. One that was superseded is not brought back: its objects are
    known as replaced wherever they went. A content that returns is another job, with UIDs of its own, after the one
    that had come between, which it supersedes in its turn.
    """
    while (known := session.get(Job, request.key, with_for_update=True)) and known.state is JobState.SUPERSEDED:
        request = replace(request, after=_successor(session, known) or known.key)
    if known is not None:
        known.priority = max(known.priority, priority)
        if known.state is not JobState.FAILED:
            return None
        requeue(session, known, "the study was judged again")
        return known
    at = now()
    earlier = select(Job).where(Job.study_uid == request.study_instance_uid, Job.state != JobState.SUPERSEDED)
    predecessor: Job | None = None
    for old in session.scalars(earlier.order_by(Job.created_at).with_for_update()):
        move_job(session, old, JobState.SUPERSEDED, f"superseded by job {request.key}")
        _release(old)
        predecessor = old
    job = Job(
        key=request.key,
        study_uid=request.study_instance_uid,
        state=JobState.QUEUED,
        stage=Stage.SEGMENT,
        request=dump(request),
        priority=priority,
        predecessor=predecessor.key if predecessor else None,
        attempts=0,
        created_at=at,
        not_before=at,
    )
    session.add(job)
    session.flush()
    born(session, "job", job.key, JobState.QUEUED, "study complete")
    return job


def requeue(session: Session, job: Job, cause: str) -> None:
    """Run a job that has ended once more, from its first stage on, with fresh attempts and under the same key."""
    move_job(session, job, JobState.QUEUED, cause)
    job.stage, job.attempts, job.not_before = Stage.SEGMENT, 0, now()
    job.reason = job.detail = None
    _release(job)


def show(session: Session, study_uid: str, state: StudyState, code: Coded, cause: str) -> None:
    """Let the study show what its job met, unless new instances have come meanwhile."""
    study = session.get(Study, study_uid, with_for_update=True)
    if study is not None and study.state is StudyState.COMPLETE:
        move_study(session, study, state, cause)
        study.reason = code


def withdraw(session: Session, study_uid: str, cause: str) -> None:
    """Stop what waits or runs for a study that is not to be measured any more."""
    query = select(Job).where(Job.study_uid == study_uid, Job.state.in_(_OPEN))
    for job in session.scalars(query.with_for_update()):
        move_job(session, job, JobState.SUPERSEDED, cause)
        _release(job)


def take(session: Session, key: str, stage: Stage, owner: str, lease: timedelta) -> Job | None:
    """Lease the job whose turn it is for a stage, on a message that named `key`; None if there is none to work on.

    That it is another job than the one that the message named is the rule of `node.core.ledger.queues`.
    """
    job = None if queues.is_paused(session, stage) else queues.next_job(session, stage, key)
    if job is None:
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


def start_over(session: Session, key: str, owner: str) -> bool:
    """Supersede a job that ran again and came out otherwise by another one after it; False if the lease was lost.

    What went out under the UIDs of the first run stays what it is, and the new bytes get UIDs of their own.
    """
    job = _held(session, key, owner)
    if job is None:
        return False
    enqueue(session, replace(parse(JobRequest, job.request), after=job.key), job.priority)
    return True


def give_up(session: Session, key: str, owner: str, error: NodeError) -> bool:
    """Fail a job for good; False if the lease was lost."""
    job = _held(session, key, owner)
    if job is None:
        return False
    job.reason, job.detail = error.code, str(error)
    move_job(session, job, JobState.FAILED, job.detail)
    _release(job)
    return True


def try_again(session: Session, key: str, owner: str, error: NodeError, patience: Patience) -> bool:
    """Queue a job again after a pause, or fail it where the patience is at its end; False if the lease was lost."""
    job = _held(session, key, owner)
    if job is None:
        return False
    _again(session, job, error.code, error.detail, patience)
    return True


def reclaim(session: Session, patience: Patience) -> Sequence[Job]:
    """Queue again, or fail, the jobs whose worker stopped renewing its lease."""
    query = select(Job).where(Job.state == JobState.RUNNING, Job.lease_until < now())
    lost = session.scalars(query.with_for_update(skip_locked=True)).all()  # locked: its worker is alive after all
    for job in lost:
        _again(session, job, Outage.WORKER_LOST, f"{job.lease_owner} stopped answering", patience)
    return lost


def current(session: Session, study_uid: str) -> Job | None:
    """Return the job that stands for the study's content: the latest that is not superseded."""
    query = select(Job).where(Job.study_uid == study_uid, Job.state != JobState.SUPERSEDED)
    return session.scalars(query.order_by(Job.created_at.desc()).limit(1)).one_or_none()


def of_study(session: Session, study_uid: str) -> Sequence[Job]:
    """Return a study's jobs, oldest first."""
    return session.scalars(select(Job).where(Job.study_uid == study_uid).order_by(Job.created_at)).all()


def count_open(session: Session) -> int:
    """Return how many jobs wait or run."""
    return len(session.scalars(select(Job.key).where(Job.state.in_(_OPEN))).all())


def _successor(session: Session, job: Job) -> str | None:
    """Return the key of the job that superseded this one; None where it was withdrawn."""
    return session.scalars(select(Job.key).where(Job.predecessor == job.key).limit(1)).one_or_none()


def _held(session: Session, key: str, owner: str) -> Job | None:
    query = select(Job).where(Job.key == key, Job.lease_owner == owner, Job.state == JobState.RUNNING)
    return session.scalars(query.with_for_update()).one_or_none()


def _again(session: Session, job: Job, reason: Coded, detail: str, patience: Patience) -> None:
    failure = f"attempt {job.attempts} failed: " + (f"{reason}: {detail}" if detail else reason)
    if job.attempts < patience.attempts:
        move_job(session, job, JobState.QUEUED, failure)
        job.not_before = now() + patience.pause(job.attempts)
        _release(job)
        return
    seen = "; ".join([*_failures(session, job), failure])
    job.reason, job.detail = reason, seen
    move_job(session, job, JobState.FAILED, failure)
    _release(job)
    if reason in _POISON:
        show(session, job.study_uid, StudyState.QUARANTINED, reason, f"{reason.sentence} ({seen})")


def _failures(session: Session, job: Job) -> Sequence[str]:
    """Return what was seen at the attempts before this one."""
    query = select(Event.cause).where(
        Event.subject == "job",
        Event.key == job.key,
        Event.old == JobState.RUNNING,
        Event.new == JobState.QUEUED,
        Event.cause.startswith("attempt "),
    )
    return session.scalars(query.order_by(Event.id.desc()).limit(job.attempts - 1)).all()[::-1]


def _release(job: Job) -> None:
    job.lease_owner = job.lease_until = job.published_at = None
