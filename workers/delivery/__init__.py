"""Stage 10: a job's stored objects go to a destination, and the proof that they are there comes back.

Comes in: a job and the name of a destination. Goes out: deliveries that are `sent`, then `proven`. `proven` is said
only after the PACS has committed itself to keep the object or a query has found it, or the file was read back. What
can go wrong: no answer, a refusal, an object that was answered success and is not there; each is tried again for days
with growing pauses, then fails where a person can see it, and none holds up the others. A stored object that was
changed fails at once, with all that was made with it. An object of a kind that the destination does not take fails at
once too, and the next best, in the end the Summary, is planned in its place. The stored bytes are sent and never made
anew.

The same work may be begun twice (a message that was told again): what one worker has proven stays proven.

Rooms: `consignment` (what every kind of destination works on), `pacs`, `web` and `folder` (one for each kind).
"""

from collections.abc import Mapping
from dataclasses import replace

from node.core import log
from node.core.errors import NodeError, Unavailable
from node.core.ledger import Ledger, deliveries
from node.core.ledger.deliveries import Schedule
from node.core.ledger.tables import Delivery, Job
from node.core.reasons import Outage
from node.core.settings import Destination, FolderDestination, PacsDestination, Settings, WebDestination
from node.core.spool import Spool
from workers.delivery import folder, pacs, web
from workers.delivery.consignment import Consignment, Outcome

_log = log.get("delivery")


def deliver(job_key: str, destination_name: str, settings: Settings, spool: Spool, ledger: Ledger) -> None:
    """Send what is due for a destination and prove it; every outcome ends in the ledger."""
    found = _due(job_key, destination_name, settings, spool, ledger)
    # A note that became due this moment is not written yet.
    consignment = replace(found, due=tuple(one for one in found.due if one.digest))
    if not consignment.due:
        return
    try:
        consignment.require_whole()
        outcomes = _handed_over(consignment, destination_name)
    except NodeError as error:
        outcomes = {delivery.sop_instance_uid: error for delivery in consignment.due}
    _enter(consignment, outcomes)


def fail(job_key: str, destination_name: str, error: NodeError, settings: Settings, ledger: Ledger) -> None:
    """Enter an error for all that is due for a destination: another attempt, or the end of it."""
    consignment = _due(job_key, destination_name, settings, Spool(settings.spool_dir), ledger)
    _enter(consignment, {delivery.sop_instance_uid: error for delivery in consignment.due})


def _due(job_key: str, destination_name: str, settings: Settings, spool: Spool, ledger: Ledger) -> Consignment:
    with ledger.transaction() as session:
        due = deliveries.due(session, job_key, destination_name)
        job = session.get(Job, job_key)
    return Consignment(job.study_uid if job else "", tuple(due), settings, spool, ledger)


def _handed_over(consignment: Consignment, destination_name: str) -> Mapping[str, Outcome]:
    """Return by SOP Instance UID what became of the objects; one that is not named waits for its commitment."""
    match _named(consignment.settings, destination_name):
        case PacsDestination() as destination:
            return pacs.deliver(consignment, destination)
        case WebDestination() as destination:
            return web.deliver(consignment, destination)
        case FolderDestination() as destination:
            return folder.deliver(consignment, destination)
        case None:
            raise Unavailable(Outage.DESTINATION_UNREACHABLE, f"no destination is called {destination_name}")


def _named(settings: Settings, name: str) -> Destination | None:
    return next((one for one in settings.destinations if one.name == name), None)


def _substitutes(settings: Settings, row: Delivery) -> bool:
    """Say whether something else may go to the destination of a delivery in its place."""
    destination = _named(settings, row.destination)
    return destination is not None and destination.substitutes


def _enter(consignment: Consignment, outcomes: Mapping[str, Outcome]) -> None:
    """Enter all outcomes at once, but those that another worker has entered meanwhile."""
    schedule = Schedule.of(consignment.settings)
    named = [one for one in consignment.due if one.sop_instance_uid in outcomes]
    with consignment.ledger.transaction() as session:
        rows = consignment.still_open(session, named)
        for row in rows:
            outcome = outcomes[row.sop_instance_uid]
            if isinstance(outcome, NodeError) and outcome.code is Outage.SOP_CLASS_REFUSED:
                deliveries.refuse(session, row, outcome, substitutes=_substitutes(consignment.settings, row))
            elif isinstance(outcome, NodeError):
                deliveries.try_again(session, row, outcome, schedule)
            else:
                deliveries.mark_sent(session, row, "stored")
                deliveries.mark_proven(session, row, outcome)
    for row in rows:
        facts = {"job": row.job_key, "kind": row.kind, "destination": row.destination}
        if row.proof:
            _log.info("delivery-proven", **facts)
        elif row.substitute_uid:
            _log.warning("delivery-replaced", code=row.reason, detail=row.detail, **facts)
        else:
            _log.warning("delivery-failed", code=row.reason, detail=row.detail, state=row.state, **facts)
