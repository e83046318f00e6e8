"""Queues, workers and destinations as they are now. Each function runs in the caller's transaction, and only looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.core.ledger import now, queues
from node.core.ledger.audit import AuditEvent
from node.core.ledger.tables import Audit, Delivery, Echo, Job
from node.core.states import DeliveryState, JobState, Stage

_MOST_PROCESSES = 500


@dataclass(frozen=True)
class QueueView:
    """A queue: what waits and works there, how long the first has waited, and whether a person has paused it."""

    stage: Stage
    waiting: int
    working: int
    oldest_s: float | None
    paused_at: datetime | None
    cause: str


@dataclass(frozen=True)
class WorkView:
    """A worker at a job; `left_s` is what is left of its lease."""

    owner: str
    job: str
    study: str
    stage: Stage
    left_s: float


@dataclass(frozen=True)
class ProcessView:
    """A process that has started, and has not said that it stopped."""

    name: str
    pid: int
    version: str
    account: str
    host: str
    since: datetime


@dataclass(frozen=True)
class DestinationView:
    """How deliveries to a destination stand, when one was last proven, and what its last echo said."""

    name: str
    states: Mapping[DeliveryState, int]
    proven_at: datetime | None
    echo: Echo | None


def every_queue(session: Session) -> Sequence[QueueView]:
    """Return the queues of all stages."""
    stopped = queues.paused(session)
    return [_queue(session, stage, stopped.get(stage)) for stage in Stage]


def at_work(session: Session) -> Sequence[WorkView]:
    """Return who works at what."""
    found = session.scalars(select(Job).where(Job.state == JobState.RUNNING).order_by(Job.lease_owner))
    return [
        WorkView(
            job.lease_owner or "",
            job.key,
            job.study_uid,
            job.stage,
            (job.lease_until - now()).total_seconds() if job.lease_until else 0.0,
        )
        for job in found
    ]


def processes(session: Session) -> Sequence[ProcessView]:
    """Return the processes that have started and not stopped, by the audit trail; one that was killed is among them."""
    codes = (AuditEvent.STARTED.value.codes, AuditEvent.STOPPED.value.codes)
    query = select(Audit).where(Audit.event.in_(codes)).order_by(Audit.id.desc()).limit(_MOST_PROCESSES)
    running: dict[tuple[str, str], ProcessView] = {}
    for row in reversed(session.scalars(query).all()):
        what, _, version = row.detail.partition(", version ")
        name, _, pid = what.rpartition(" ")
        if row.event == codes[0] and pid.isdecimal():
            running[row.host, what] = ProcessView(name, int(pid), version, row.user_id, row.host, row.at)
        else:
            running.pop((row.host, what), None)
    return list(running.values())


def destinations(session: Session, names: Sequence[str]) -> Sequence[DestinationView]:
    """Return the destinations of these names, and those that something was ever planned for."""
    states: dict[str, dict[DeliveryState, int]] = {name: {} for name in names}
    counted = select(Delivery.destination, Delivery.state, func.count()).group_by(Delivery.destination, Delivery.state)
    for name, state, count in session.execute(counted):
        states.setdefault(name, {})[state] = count
    echoes = {one.destination: one for one in session.scalars(select(Echo))}
    return [DestinationView(name, found, _proven_at(session, name), echoes.get(name)) for name, found in states.items()]


def _queue(session: Session, stage: Stage, stopped: object) -> QueueView:
    first = select(func.min(Job.created_at)).where(Job.state == JobState.QUEUED, Job.stage == stage)
    if stage is Stage.DELIVER:
        first = select(func.min(Delivery.planned_at)).where(Delivery.state == DeliveryState.PENDING)
    working = select(func.count()).select_from(Job).where(Job.state == JobState.RUNNING, Job.stage == stage)
    since = session.scalar(first)
    return QueueView(
        stage=stage,
        waiting=queues.count_waiting(session, stage),
        working=session.scalar(working) or 0,
        oldest_s=(now() - since).total_seconds() if since else None,
        paused_at=getattr(stopped, "paused_at", None),
        cause=getattr(stopped, "cause", ""),
    )


def _proven_at(session: Session, name: str) -> datetime | None:
    """Return when the latest audited delivery there was; the trail is looked at from its end."""
    codes, action = AuditEvent.DELIVERED.value.codes, AuditEvent.DELIVERED.value.action
    query = select(Audit.at).where(
        Audit.event == codes, Audit.action == action, Audit.user_id == name, Audit.outcome == 0
    )
    return session.scalars(query.order_by(Audit.id.desc()).limit(1)).one_or_none()
