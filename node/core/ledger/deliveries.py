"""What stage 10 and the steward ask and say of deliveries. Each function runs in the caller's transaction."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from node.core.errors import NodeError
from node.core.ledger import now
from node.core.ledger.moves import born, move_delivery
from node.core.ledger.tables import Delivery, Job
from node.core.states import DeliveryState, JobState


def plan(
    session: Session,
    *,
    job_key: str,
    destination: str,
    kind: str,
    sop_instance_uid: str,
    file: str,
    digest: str,
) -> None:
    """Enter an object for a destination; nothing happens where it is entered already."""
    if session.get(Delivery, (sop_instance_uid, destination)) is not None:
        return
    session.add(
        Delivery(
            sop_instance_uid=sop_instance_uid,
            destination=destination,
            job_key=job_key,
            kind=kind,
            file=file,
            digest=digest,
            state=DeliveryState.PENDING,
            attempts=0,
            planned_at=(at := now()),
            not_before=at,
        )
    )
    session.flush()
    born(session, "delivery", f"{sop_instance_uid}@{destination}", DeliveryState.PENDING, "result stored")


def is_own_result(session: Session, sop_instance_uid: str) -> bool:
    """Say whether this UID is of an object that we made."""
    return bool(session.scalar(select(exists().where(Delivery.sop_instance_uid == sop_instance_uid))))


def due(session: Session, job_key: str, destination: str) -> Sequence[Delivery]:
    """Return a job's objects for a destination that are not proven and whose time has come."""
    query = select(Delivery).join(Job).where(*_due(), Delivery.job_key == job_key, Delivery.destination == destination)
    return session.scalars(query.order_by(Delivery.kind)).all()


def waiting(session: Session) -> Sequence[tuple[str, str]]:
    """Return the job and destination of every delivery whose time has come and that the broker has to be told of."""
    free = or_(Delivery.held_until.is_(None), Delivery.held_until <= now())
    query = select(Delivery.job_key, Delivery.destination).join(Job).where(*_due(), free).distinct()
    ordered = query.order_by(Delivery.job_key, Delivery.destination)
    return [(row.job_key, row.destination) for row in session.execute(ordered)]


def hold(session: Session, job_key: str, destination: str, pause: timedelta) -> None:
    """Keep a job's deliveries from being published again for `pause`: the broker, or a worker, has them."""
    for delivery in due(session, job_key, destination):
        delivery.held_until = now() + pause


def _due() -> tuple[ColumnElement[bool], ...]:
    """Not proven, and its time has come. What a superseded job has not sent yet stays unsent."""
    return (
        or_(
            Delivery.state == DeliveryState.SENT,
            and_(Delivery.state == DeliveryState.PENDING, Job.state != JobState.SUPERSEDED),
        ),
        Delivery.not_before <= now(),
    )


def mark_sent(session: Session, delivery: Delivery, detail: str) -> None:
    """Note that the destination answered success, or a warning that `detail` tells."""
    if delivery.state is DeliveryState.PENDING:
        move_delivery(session, delivery, DeliveryState.SENT, detail)


def mark_proven(session: Session, delivery: Delivery, proof: str) -> None:
    """Note how it was proven that the object is at the destination."""
    move_delivery(session, delivery, DeliveryState.PROVEN, proof)
    delivery.proof, delivery.reason, delivery.detail = proof, None, None


def try_again(session: Session, delivery: Delivery, error: NodeError, attempts: int, base: timedelta) -> None:
    """Schedule another attempt after a pause that doubles, or fail the delivery after `attempts`."""
    delivery.attempts += 1
    delivery.held_until = None
    delivery.reason, delivery.detail = error.code, error.detail
    if delivery.attempts >= attempts:
        move_delivery(session, delivery, DeliveryState.FAILED, str(error))
        return
    if delivery.state is DeliveryState.SENT:
        move_delivery(session, delivery, DeliveryState.PENDING, str(error))
    delivery.not_before = now() + base * 2 ** (delivery.attempts - 1)


def of_job(session: Session, job_key: str) -> Sequence[Delivery]:
    """Return all deliveries of a job."""
    query = select(Delivery).where(Delivery.job_key == job_key)
    return session.scalars(query.order_by(Delivery.destination, Delivery.kind)).all()
