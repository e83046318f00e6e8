"""Moves between states: checked against the tables of `node.core.states`, each written as an event."""

from sqlalchemy.orm import Session

from node.core.ledger import audit, now
from node.core.ledger.audit import Outcome
from node.core.ledger.tables import Delivery, Event, Job, Study
from node.core.states import DeliveryState, JobState, StudyState, check_move


def move_study(session: Session, study: Study, new: StudyState, cause: str) -> None:
    """Move a study and write the event."""
    check_move(study.state, new)
    _write(session, "study", study.uid, study.state, new, cause)
    study.state = new


def move_job(session: Session, job: Job, new: JobState, cause: str) -> None:
    """Move a job and write the event."""
    check_move(job.state, new)
    _write(session, "job", job.key, job.state, new, cause)
    job.state = new


def move_delivery(session: Session, delivery: Delivery, new: DeliveryState, cause: str) -> None:
    """Move a delivery and write the event; its end is audited."""
    check_move(delivery.state, new)
    _write(session, "delivery", f"{delivery.sop_instance_uid}@{delivery.destination}", delivery.state, new, cause)
    delivery.state = new
    job = session.get(Job, delivery.job_key)
    if new in (DeliveryState.PROVEN, DeliveryState.FAILED) and job is not None:
        outcome = Outcome.SUCCESS if new is DeliveryState.PROVEN else Outcome.SERIOUS_FAILURE
        if delivery.substitute_uid is not None:
            outcome = Outcome.MINOR_FAILURE
        detail = f"{delivery.kind} {delivery.sop_instance_uid} {new}: {cause}"
        audit.write(
            session,
            audit.delivered(outcome, destination=delivery.destination, study_uid=job.study_uid, detail=detail),
        )


def born(session: Session, subject: str, key: str, state: str, cause: str) -> None:
    """Write the event of a new row."""
    _write(session, subject, key, None, state, cause)


def _write(session: Session, subject: str, key: str, old: str | None, new: str, cause: str) -> None:
    session.add(Event(at=now(), subject=subject, key=key, old=old, new=new, cause=cause))
