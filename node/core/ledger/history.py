"""All that happened to a study, its jobs and their deliveries. Runs in the caller's transaction."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from node.core.ledger import jobs
from node.core.ledger.tables import Delivery, Event


class Happened(NamedTuple):
    """An event, and the name of what it tells of: `study`, `job 2`, `seg@pacs`."""

    event: Event
    name: str


def of_study(session: Session, study_uid: str) -> Sequence[Happened]:
    """Return the events, in the order of time."""
    names = {("study", study_uid): "study"}
    known = jobs.of_study(session, study_uid)
    names |= {("job", job.key): f"job {number}" for number, job in enumerate(known, 1)}
    made = session.scalars(select(Delivery).where(Delivery.job_key.in_([job.key for job in known])))
    names |= {
        ("delivery", f"{one.sop_instance_uid}@{one.destination}"): f"{one.kind}@{one.destination}" for one in made
    }
    told = (
        and_(Event.subject == subject, Event.key.in_([key for kind, key in names if kind == subject]))
        for subject in ("study", "job", "delivery")
    )
    events = session.scalars(select(Event).where(or_(*told)).order_by(Event.at, Event.id))
    return [Happened(one, names[one.subject, one.key]) for one in events]
