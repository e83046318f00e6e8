"""Stage 10: a job's stored objects go to a destination, and the proof that they are there comes back.

Comes in: a job and the name of a destination. Goes out: deliveries that are `sent`, then `proven`. `proven` is said
only after a query of the destination has found the SOP Instance UID (PACS) or the file was read back (folder). What
can go wrong: no answer, a refusal, an object that was answered success and is not there; each is tried again with a
pause that doubles, then fails where a person can see it. A stored object that was changed fails at once. The stored
bytes are sent, never made anew.

The same work may be begun twice (a message that was told again): what one worker has proven stays proven.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from node.core import log
from node.core.errors import NodeError, Unavailable, Untrusted
from node.core.ledger import Ledger, deliveries
from node.core.ledger.tables import Delivery, Job
from node.core.peer import Peer
from node.core.reasons import Outage, StudyRefusal
from node.core.settings import FolderDestination, PacsDestination, Settings
from node.core.spool import Spool, digest
from node.core.states import DeliveryState

_log = log.get("delivery")

_OPEN = (DeliveryState.PENDING, DeliveryState.SENT)


def deliver(job_key: str, destination_name: str, settings: Settings, spool: Spool, ledger: Ledger) -> None:
    """Send what is due for a destination and prove it; every outcome ends in the ledger."""
    destination = next((one for one in settings.destinations if one.name == destination_name), None)
    with ledger.transaction() as session:
        due = deliveries.due(session, job_key, destination_name)
        job = session.get(Job, job_key)
    if not due or job is None:
        return
    try:
        _require_whole(due, spool)
        if isinstance(destination, PacsDestination):
            outcomes = _to_pacs(due, destination, job.study_uid, settings, spool, ledger)
        elif isinstance(destination, FolderDestination):
            outcomes = _to_folder(due, destination, job.study_uid, spool)
        else:
            raise Unavailable(Outage.DESTINATION_UNREACHABLE, f"no destination is called {destination_name}")
    except NodeError as error:
        outcomes = {delivery.sop_instance_uid: error for delivery in due}
    _enter(due, outcomes, settings, ledger)


def fail(job_key: str, destination_name: str, error: NodeError, settings: Settings, ledger: Ledger) -> None:
    """Enter an error for all that is due for a destination: another attempt, or the end of it."""
    with ledger.transaction() as session:
        due = deliveries.due(session, job_key, destination_name)
    _enter(due, {delivery.sop_instance_uid: error for delivery in due}, settings, ledger)


def _require_whole(due: Sequence[Delivery], spool: Spool) -> None:
    for delivery in due:
        if digest(spool.work(delivery.job_key).read(delivery.file)) != delivery.digest:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"stored {delivery.file} was changed")


def _to_pacs(
    due: Sequence[Delivery],
    destination: PacsDestination,
    study_uid: str,
    settings: Settings,
    spool: Spool,
    ledger: Ledger,
) -> dict[str, str | NodeError]:
    """Store by C-STORE, then ask by C-FIND; return per SOP Instance UID the proof or the error."""
    peer = Peer(destination.ae_title, destination.host, destination.port, settings.ae_title)
    pending = [delivery for delivery in due if delivery.state is DeliveryState.PENDING]
    outcomes: dict[str, str | NodeError] = {}
    if pending:
        files = {spool.root / spool.work(one.job_key).path / one.file: one for one in pending}
        for stored in peer.store(list(files)):
            delivery = files[stored.path]
            if stored.error:
                outcomes[delivery.sop_instance_uid] = stored.error
            else:
                with ledger.transaction() as session:
                    if row := _still_open(session, delivery):
                        deliveries.mark_sent(session, row, f"status {stored.status or 0:04X}")
    listed = peer.instances_of(study_uid)
    for delivery in due:
        if delivery.sop_instance_uid in listed:
            outcomes[delivery.sop_instance_uid] = f"found by C-FIND at {destination.ae_title}"
        else:
            outcomes.setdefault(delivery.sop_instance_uid, Unavailable(Outage.DESTINATION_LOST, destination.name))
    return outcomes


def _to_folder(
    due: Sequence[Delivery], destination: FolderDestination, study_uid: str, spool: Spool
) -> dict[str, str | NodeError]:
    """Write each object to `<folder>/<study>/<SOP Instance UID>.dcm` and read it back."""
    outcomes: dict[str, str | NodeError] = {}
    for delivery in due:
        target = destination.path / study_uid / f"{delivery.sop_instance_uid}.dcm"
        try:
            _write_whole(target, spool.work(delivery.job_key).read(delivery.file))
            same = digest(target.read_bytes()) == delivery.digest
        except OSError as error:
            outcomes[delivery.sop_instance_uid] = Unavailable(Outage.DESTINATION_UNREACHABLE, str(error.strerror))
            continue
        lost = Unavailable(Outage.DESTINATION_LOST, "the file reads back differently")
        outcomes[delivery.sop_instance_uid] = "read back from the folder" if same else lost
    return outcomes


def _write_whole(target: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, and stays through a power cut."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)


def _enter(due: Sequence[Delivery], outcomes: dict[str, str | NodeError], settings: Settings, ledger: Ledger) -> None:
    base = timedelta(seconds=settings.retry_base_s)
    for delivery in due:
        outcome = outcomes[delivery.sop_instance_uid]
        with ledger.transaction() as session:
            row = _still_open(session, delivery)
            if row is None:
                continue
            if isinstance(outcome, NodeError):
                attempts = 0 if isinstance(outcome, Untrusted) else settings.attempts
                deliveries.try_again(session, row, outcome, attempts, base)
                _log.warning("delivery-failed", job=row.job_key, kind=row.kind, code=outcome.code, state=row.state)
            else:
                deliveries.mark_sent(session, row, "stored")
                deliveries.mark_proven(session, row, outcome)
                _log.info("delivery-proven", job=row.job_key, kind=row.kind, destination=row.destination)


def _still_open(session: Session, delivery: Delivery) -> Delivery | None:
    """Return the row as it is now; None where another worker has brought it to its end meanwhile."""
    row = session.get(Delivery, (delivery.sop_instance_uid, delivery.destination), with_for_update=True)
    return row if row is not None and row.state in _OPEN else None
