"""What stage 10 and the steward ask and say of deliveries. Each function runs in the caller's transaction.

A delivery is due when its time has come; what a superseded job has not sent stays unsent. A rejection note (IHE IOCM)
is planned with the results of the job that supersedes another and is due only when those are proven at the same
destination, so that there is never a moment without a result, and when nothing of the earlier ones is on its way.

An object that a destination does not take at all fails at once; where the job made something that may go in its place,
that is planned there, and stands for both from then on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session, aliased

from node.core.errors import NodeError, Untrusted
from node.core.ledger import now, products
from node.core.ledger.moves import born, move_delivery
from node.core.ledger.patience import Patience
from node.core.ledger.queues import turn
from node.core.ledger.tables import Delivery, Job
from node.core.reasons import Outage
from node.core.settings import Settings
from node.core.states import DeliveryState, JobState

REJECTION = "rejection"
_NOT_THERE = (Outage.DESTINATION_LOST, Outage.COMMITMENT_REFUSED)


@dataclass(frozen=True)
class Schedule:
    """When a failed delivery is tried again, and how long.

    Parameters
    ----------
    patience
        The pauses; its number of attempts does not count here.
    span
        So long after it was planned a delivery has its last attempt.
    """

    patience: Patience
    span: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the site's."""
        return cls(Patience.of(settings), timedelta(days=settings.delivery_days))


def plan(
    session: Session,
    *,
    job_key: str,
    destination: str,
    kind: str,
    sop_instance_uid: str,
    file: str,
    digest: str,
    cause: str = "result stored",
) -> None:
    """Enter an object for a destination; of one that is entered already, and never left, the new bytes count."""
    known = session.get(Delivery, (sop_instance_uid, destination))
    if known is not None:
        if known.state in (DeliveryState.PENDING, DeliveryState.FAILED):
            known.digest = digest
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
    born(session, "delivery", f"{sop_instance_uid}@{destination}", DeliveryState.PENDING, cause)


def is_own_result(session: Session, sop_instance_uid: str) -> bool:
    """Say whether this UID is of an object that we made."""
    return bool(session.scalar(select(exists().where(Delivery.sop_instance_uid == sop_instance_uid))))


def due(session: Session, job_key: str, destination: str) -> Sequence[Delivery]:
    """Return a job's objects for a destination that are not proven and whose time has come."""
    query = select(Delivery).join(Job).where(*_due(), Delivery.job_key == job_key, Delivery.destination == destination)
    return session.scalars(query.order_by(Delivery.kind)).all()


def waiting(session: Session) -> Sequence[tuple[str, str]]:
    """Return the job and destination of every delivery whose time has come and that the broker has to be told of.

    They come by the turn of their jobs.
    """
    free = or_(Delivery.held_until.is_(None), Delivery.held_until <= now())
    columns = (Delivery.job_key, Delivery.destination, Job.created_at, Job.priority)
    rows = session.execute(select(*columns).join(Job).where(*_due(), free).distinct())
    ranked = sorted((turn(row.created_at, row.priority), row.job_key, row.destination) for row in rows)
    return [(job_key, destination) for _, job_key, destination in ranked]


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
        or_(Delivery.kind != REJECTION, and_(~_results_open(), ~_earlier_on_its_way())),
    )


def _results_open() -> ColumnElement[bool]:
    """Say whether a result of the same job is not proven at the same destination, and nothing else stands for it."""
    other = aliased(Delivery)
    return exists().where(
        other.job_key == Delivery.job_key,
        other.destination == Delivery.destination,
        other.kind != REJECTION,
        other.state != DeliveryState.PROVEN,
        other.substitute_uid.is_(None),
    )


def _earlier_on_its_way() -> ColumnElement[bool]:
    """Say whether it is not known yet if an object of a superseded job of the same study is at the destination."""
    other, job = aliased(Delivery), aliased(Job)
    return exists().where(
        other.job_key == job.key,
        job.study_uid == Job.study_uid,
        job.state == JobState.SUPERSEDED,
        other.destination == Delivery.destination,
        or_(
            other.state == DeliveryState.SENT,
            and_(other.state == DeliveryState.PENDING, other.held_until > now()),
        ),
    )


def superseded_at(session: Session, job: Job, destination: str) -> Sequence[Delivery]:
    """Return what earlier jobs of the study have, or may have, at a destination and no rejection note has rejected.

    A note that is proven has rejected everything from before its job.
    """
    earlier = (Job.study_uid == job.study_uid, Job.state == JobState.SUPERSEDED, Job.created_at < job.created_at)
    query = select(Delivery, Job.created_at).join(Job).where(*earlier, Delivery.destination == destination)
    rows = session.execute(query.order_by(Job.created_at, Delivery.kind)).all()
    notes = [at for one, at in rows if one.kind == REJECTION and one.state is DeliveryState.PROVEN]
    left = [one for one, at in rows if one.kind != REJECTION and (not notes or at >= max(notes))]
    at = now()
    return [
        one
        for one in left
        if one.state in (DeliveryState.SENT, DeliveryState.PROVEN)
        or (one.state is DeliveryState.PENDING and one.held_until is not None and one.held_until > at)
    ]


def mark_sent(session: Session, delivery: Delivery, detail: str) -> None:
    """Note that the destination answered success, or a warning that `detail` tells."""
    if delivery.state is DeliveryState.PENDING:
        move_delivery(session, delivery, DeliveryState.SENT, detail)


def mark_proven(session: Session, delivery: Delivery, proof: str) -> None:
    """Note how it was proven that the object is at the destination."""
    move_delivery(session, delivery, DeliveryState.PROVEN, proof)
    delivery.proof, delivery.reason, delivery.detail = proof, None, None


def try_again(session: Session, delivery: Delivery, error: NodeError, schedule: Schedule) -> None:
    """Schedule another attempt, or fail the delivery where its time is over or its bytes are not those that we made.

    An object is sent again where the destination said that it is not there; where it only could not be asked, it is
    asked again.
    """
    at, ends = now(), delivery.planned_at + schedule.span
    delivery.attempts += 1
    delivery.held_until = delivery.transaction_uid = None
    delivery.reason, delivery.detail = error.code, error.detail
    if isinstance(error, Untrusted) or at >= ends:
        move_delivery(session, delivery, DeliveryState.FAILED, str(error))
        return
    if delivery.state is DeliveryState.SENT and error.code in _NOT_THERE:
        move_delivery(session, delivery, DeliveryState.PENDING, str(error))
    delivery.not_before = min(at + schedule.patience.pause(delivery.attempts), ends)


def refuse(session: Session, delivery: Delivery, error: NodeError, *, substitutes: bool) -> None:
    """Fail a delivery whose object the destination does not take, and plan there what goes in its place.

    Nothing does where `substitutes` is false, where the job made nothing of the kind, and where that was given up at
    this destination already.
    """
    delivery.attempts += 1
    delivery.held_until = delivery.transaction_uid = None
    delivery.reason, delivery.detail = error.code, error.detail
    found = products.in_place_of(session, delivery.job_key, delivery.kind) if substitutes else ()
    known = [session.get(Delivery, (one.sop_instance_uid, delivery.destination)) for one in found]
    if not found or any(one is not None and given_up(one) for one in known):
        move_delivery(session, delivery, DeliveryState.FAILED, str(error))
        return
    for product in found:
        plan(
            session,
            job_key=product.job_key,
            destination=delivery.destination,
            kind=product.kind,
            sop_instance_uid=product.sop_instance_uid,
            file=product.file,
            digest=product.digest,
            cause=f"in place of {delivery.kind}",
        )
    delivery.substitute_uid = found[0].sop_instance_uid
    move_delivery(session, delivery, DeliveryState.FAILED, f"{error}; {found[0].kind} goes in its place")


def given_up(delivery: Delivery) -> bool:
    """Say whether a delivery has failed for good and nothing goes in its place."""
    return delivery.state is DeliveryState.FAILED and delivery.substitute_uid is None


def stand_in(delivery: Delivery, there: Sequence[Delivery]) -> Delivery:
    """Return what goes to a destination in place of this one in the end, of its job's deliveries there; or itself."""
    by_uid = {one.sop_instance_uid: one for one in there}
    while delivery.substitute_uid in by_uid:
        delivery = by_uid[delivery.substitute_uid]
    return delivery


def standing(made: Sequence[Delivery]) -> Sequence[Delivery]:
    """Return the deliveries that speak for themselves: a job has arrived where all of these are proven."""
    return [one for one in made if one.substitute_uid is None]


def retry(
    session: Session, cause: str, *, job_key: str | None = None, study_uid: str | None = None
) -> Sequence[Delivery]:
    """Plan failed deliveries anew, as if the results were stored now; those of superseded jobs stay as they are.

    Parameters
    ----------
    cause
        Who asks, for the event.
    job_key, study_uid
        Of which job, or of which study.
    """
    query = select(Delivery).join(Job).where(Delivery.state == DeliveryState.FAILED, Job.state != JobState.SUPERSEDED)
    if job_key is not None:
        query = query.where(Delivery.job_key == job_key)
    if study_uid is not None:
        query = query.where(Job.study_uid == study_uid)
    failed = session.scalars(query.order_by(Delivery.sop_instance_uid).with_for_update(of=Delivery)).all()
    for delivery in failed:
        move_delivery(session, delivery, DeliveryState.PENDING, cause)
        delivery.attempts, delivery.substitute_uid = 0, None
        delivery.planned_at = delivery.not_before = now()
    return failed


def of_job(session: Session, job_key: str) -> Sequence[Delivery]:
    """Return all deliveries of a job."""
    query = select(Delivery).where(Delivery.job_key == job_key)
    return session.scalars(query.order_by(Delivery.destination, Delivery.kind)).all()
