"""Rejection notes of a job that supersedes another: promised with its results, written when they are proven.

Comes in: a job and its destinations. Goes out: a delivery of kind `rejection` for each PACS whose settings ask for it,
and its file in the job's work folder. It is due, by the rules of `node.core.ledger.deliveries`, only after the new
result is proven there and when it is known what of the earlier ones arrived; what it rejects is read then. What can
go wrong: a stored object of the earlier job cannot be read (`spool-failed`: tried again).
"""

from collections.abc import Sequence
from io import BytesIO

from pydicom import Dataset, dcmread
from sqlalchemy.orm import Session

from node.core import log
from node.core.ledger import Ledger, deliveries
from node.core.ledger.deliveries import REJECTION
from node.core.ledger.tables import Delivery, Job
from node.core.records import JobRequest, parse
from node.core.settings import PacsDestination, Settings
from node.core.spool import Spool
from node.core.states import DeliveryState
from workers.report import rejection

_NOTHING = "nothing of an earlier result is there to be rejected"

_log = log.get("rejection")


def promise(session: Session, job: Job, settings: Settings) -> None:
    """Plan a note for each PACS that asks for one, has, or may have, earlier results and gets others now.

    The note has no bytes as yet.
    """
    request = parse(JobRequest, job.request)
    served = {one.destination for one in deliveries.of_job(session, job.key)}
    for destination in settings.destinations:
        if not isinstance(destination, PacsDestination) or not destination.reject_superseded:
            continue
        if destination.name not in served:
            continue
        if deliveries.superseded_at(session, job, destination.name):
            deliveries.plan(
                session,
                job_key=job.key,
                destination=destination.name,
                kind=REJECTION,
                sop_instance_uid=rejection.instance_uid(request, destination.name),
                file=f"{rejection.kind(destination.name)}.dcm",
                digest="",
            )


def write(job_key: str, destination: str, spool: Spool, ledger: Ledger) -> None:
    """Write the note that is due for a destination, if one is; where nothing arrived there, close it.

    Raises
    ------
    Unavailable
        `spool-failed`: an object cannot be read, or the note cannot be written.
    """
    with ledger.transaction() as session:
        notes = [one for one in deliveries.due(session, job_key, destination) if one.kind == REJECTION]
        if not notes or notes[0].digest:
            return
        job = session.get_one(Job, job_key)
        earlier = deliveries.superseded_at(session, job, destination)
        proven = [one for one in earlier if one.state is DeliveryState.PROVEN]
        own = [one for one in deliveries.of_job(session, job_key) if one.kind != REJECTION]
    if proven:
        ds = rejection.build(
            parse(JobRequest, job.request), destination, _headers(proven, spool), _headers(own[:1], spool)[0]
        )
        digest = spool.work(job_key).write(notes[0].file, rejection.encode(ds))
    with ledger.transaction() as session:
        note = session.get_one(Delivery, (notes[0].sop_instance_uid, destination), with_for_update=True)
        if proven:
            note.digest = digest
        elif note.state is DeliveryState.PENDING:
            deliveries.mark_sent(session, note, _NOTHING)
            deliveries.mark_proven(session, note, _NOTHING)
    _log.info("rejection-written", job=job_key, destination=destination, objects=len(proven))


def _headers(chosen: Sequence[Delivery], spool: Spool) -> list[Dataset]:
    return [dcmread(BytesIO(spool.work(one.job_key).read(one.file)), stop_before_pixels=True) for one in chosen]
