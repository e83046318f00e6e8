"""Which delivered result of a study a new one supersedes. Each function runs in the caller's transaction.

A result counts as delivered from the first object on that a destination has answered success for, whatever became of
it later: from then on somebody may have read it. The events say so; where they were lost with a ledger that was
rebuilt, the state of the delivery does. What is on the wire while the next result is written is not seen.
"""

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import Session

from node.core.dicom import result_series_uid
from node.core.ledger.tables import Delivery, Event, Job
from node.core.records import Document, JobRequest, Superseded, parse
from node.core.states import DeliveryState

_REPORTS = ("sr", "sr-viewer")


def was_delivered(session: Session, study_uid: str) -> bool:
    """Say whether any object of the study has ever reached a destination."""
    query = select(Delivery).join(Job).where(Job.study_uid == study_uid, _reached())
    return session.scalars(query.limit(1)).first() is not None


def superseded_by(session: Session, job: Job) -> Superseded | None:
    """Return the latest delivered result of the study from before a job; None where there is none.

    A job that had delivered nothing is passed over: nobody has seen its result.
    """
    reached = exists().where(Delivery.job_key == Job.key, _reached())
    query = select(Job).where(Job.study_uid == job.study_uid, Job.created_at < job.created_at, reached)
    earlier = session.scalars(query.order_by(Job.created_at)).all()
    if not earlier:
        return None
    return Superseded(
        job=earlier[-1].key,
        requested_at=parse(JobRequest, earlier[-1].request).requested_at,
        revision=len(earlier),
        documents=_documents(session, earlier[-1].key),
    )


def _documents(session: Session, job_key: str) -> tuple[Document, ...]:
    query = select(Delivery.kind, Delivery.sop_instance_uid).where(
        Delivery.job_key == job_key, Delivery.kind.in_(_REPORTS), _reached()
    )
    rows = session.execute(query.distinct().order_by(Delivery.kind))
    return tuple(Document(str(result_series_uid(job_key, kind)), uid) for kind, uid in rows)


def _reached() -> ColumnElement[bool]:
    """Whether a delivery was ever answered success."""
    told = exists().where(
        Event.subject == "delivery",
        Event.key == Delivery.sop_instance_uid + "@" + Delivery.destination,
        Event.new == DeliveryState.SENT.value,
    )
    return or_(Delivery.state.in_((DeliveryState.SENT, DeliveryState.PROVEN)), told)
