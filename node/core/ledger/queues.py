"""Which job is next, and what the broker has to be told of. Each function runs in the caller's transaction.

A message says that there is work for a stage; which work, the ledger says: whoever comes with a message gets the job
whose turn it is among those that the broker was told of. So the order of the messages in Redis does not matter, a
STAT study passes what was queued before it, and a lost message delays the last of the queue, not the one it named.

The turn: by the time of entry, where a STAT job counts as entered an hour earlier, and a job of a backfill a day later.
Nothing starves: a job is passed only by those of a higher class that come within that time after it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from node.core.ledger import now
from node.core.ledger.tables import Delivery, Job, Queue
from node.core.states import DeliveryState, JobState, Stage

BACKFILL, ROUTINE, STAT = -1, 0, 1
NAMES = {STAT: "stat", ROUTINE: "routine", BACKFILL: "backfill"}  # as the settings say it
HEAD_START = timedelta(hours=1)  # of STAT before routine
BACKFILL_DELAY = timedelta(days=1)  # of routine before a backfill: today's patients are always first


def turn(created_at: datetime, priority: int) -> datetime:
    """Return the time that a job is ranked by, the earliest being next."""
    return created_at + {STAT: -HEAD_START, BACKFILL: BACKFILL_DELAY}.get(priority, timedelta())


def next_job(session: Session, stage: Stage, key: str) -> Job | None:
    """Return, locked, the job whose turn it is for a stage: of those that the broker was told of, and of `key`."""
    while chosen := _next_key(session, stage, key):
        query = select(Job).where(Job.key == chosen, Job.state == JobState.QUEUED, Job.stage == stage)
        if job := session.scalars(query.with_for_update()).one_or_none():
            return job  # else another worker was first: look again
    return None


def _next_key(session: Session, stage: Stage, key: str) -> str | None:
    known = or_(Job.published_at.is_not(None), Job.key == key)
    waiting = select(Job.key, Job.created_at, Job.priority).where(
        Job.state == JobState.QUEUED, Job.stage == stage, known
    )
    first = waiting.order_by(Job.created_at, Job.key).limit(1)
    rows = [session.execute(first.where(Job.priority == priority)).first() for priority in (STAT, ROUTINE, BACKFILL)]
    ranked = sorted((turn(row.created_at, row.priority), row.key) for row in rows if row)
    return ranked[0][1] if ranked else None


def unpublished(session: Session) -> Sequence[Job]:
    """Return, by their turn, queued jobs that the broker has to be told of now; none of a paused queue."""
    query = select(Job).where(
        Job.state == JobState.QUEUED,
        Job.published_at.is_(None),
        Job.not_before <= now(),
        Job.stage.not_in(list(paused(session))),
    )
    return sorted(session.scalars(query), key=lambda job: (turn(job.created_at, job.priority), job.key))


def mark_published(session: Session, key: str, stage: Stage, attempts: int) -> None:
    """Note that the broker was told of a job that waited for `stage` after `attempts`; not if it moved on since."""
    job = session.scalars(select(Job).where(Job.key == key).with_for_update()).one_or_none()
    if job is not None and (job.state, job.stage, job.attempts) == (JobState.QUEUED, stage, attempts):
        job.published_at = now()


def long_published(session: Session, older: timedelta) -> Sequence[Stage]:
    """Return the stages for which a job waits that the broker was told of longer ago; no paused one."""
    query = select(Job.stage).where(Job.state == JobState.QUEUED, Job.published_at < now() - older)
    return session.scalars(query.where(Job.stage.not_in(list(paused(session)))).distinct()).all()


def forget_publication(session: Session, stage: Stage, older: timedelta = timedelta()) -> int:
    """Have the broker told again of jobs that it was told of longer ago and nobody took: it may have lost them."""
    query = select(Job).where(Job.state == JobState.QUEUED, Job.stage == stage, Job.published_at < now() - older)
    stale = session.scalars(query.with_for_update()).all()
    for job in stale:
        job.published_at = None
    return len(stale)


def pause(session: Session, stage: Stage, cause: str) -> bool:
    """Stop a stage: what runs ends, nothing new is taken; False if it is paused already."""
    queue = session.get(Queue, stage, with_for_update=True) or Queue(stage=stage, paused_at=None)
    if queue.paused_at is not None:
        return False
    queue.paused_at, queue.cause = now(), cause
    session.add(queue)
    return True


def resume(session: Session, stage: Stage) -> bool:
    """Let a stage go on, and have the broker told of all that waits for it; False if it is not paused.

    Workers have dropped the messages that came meanwhile.
    """
    queue = session.get(Queue, stage, with_for_update=True)
    if queue is None or queue.paused_at is None:
        return False
    queue.paused_at = None
    waiting = (Job.state == JobState.QUEUED, Job.stage == stage)
    session.execute(update(Job).where(*waiting).values(published_at=None))
    return True


def paused(session: Session) -> dict[Stage, Queue]:
    """Return the queues that a person has paused, by stage."""
    return {queue.stage: queue for queue in session.scalars(select(Queue).where(Queue.paused_at.is_not(None)))}


def count_waiting(session: Session, stage: Stage) -> int:
    """Return how many jobs wait for a stage, or for `deliver`, how many objects."""
    if stage is Stage.DELIVER:
        query = select(func.count()).select_from(Delivery).where(Delivery.state == DeliveryState.PENDING)
    else:
        query = select(func.count()).select_from(Job).where(Job.state == JobState.QUEUED, Job.stage == stage)
    return session.scalar(query) or 0


def is_paused(session: Session, stage: Stage) -> bool:
    """Say whether a person has paused this stage."""
    queue = session.get(Queue, stage)
    return queue is not None and queue.paused_at is not None
