"""A PACS as a destination: C-STORE, then storage commitment where the site asks for it, else C-FIND as the proof.

What was sent waits for its commitment. The answer comes here, if it comes at once, or to the listener
(`node.commitment`). What is due again with a transaction has waited in vain: then the query has to prove, as it has
where the PACS does not offer the service, and the proof says so.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from pydicom import Dataset, dcmread

from node.core import commitment, log
from node.core.errors import Unavailable
from node.core.ledger import commitments
from node.core.ledger.deliveries import REJECTION, Schedule
from node.core.ledger.tables import Delivery
from node.core.peer import NothingAccepted, Peer
from node.core.reasons import Outage
from node.core.settings import PacsDestination
from node.core.states import DeliveryState
from workers.delivery.consignment import Consignment, Outcome

_log = log.get("delivery")


def deliver(consignment: Consignment, destination: PacsDestination) -> Mapping[str, Outcome]:
    """Return by SOP Instance UID the proof or the error; what waits for its commitment is not named."""
    us, them = consignment.settings.ae_title, destination
    peer = Peer(them.ae_title, them.host, them.port, us, them.tls)
    outcomes = _store(consignment, peer)
    sent = [one for one in consignment.due if one.sop_instance_uid not in outcomes]
    waited = [one for one in sent if one.transaction_uid]
    fresh = [one for one in sent if not one.transaction_uid]
    if destination.commitment:
        outcomes |= _commit(consignment, destination, peer, fresh)
    else:
        outcomes |= _found(consignment, peer, fresh)
    in_vain = f"no storage commitment within {destination.commitment_wait_s:g} s"
    return outcomes | _found(consignment, peer, waited, in_vain)


def _store(consignment: Consignment, peer: Peer) -> dict[str, Outcome]:
    """Send what is pending and note what was answered success; return why the others were not taken."""
    files = {consignment.path(one): one.sop_instance_uid for one in consignment.pending}
    if not files:
        return {}
    try:
        stored = peer.store(list(files))
    except NothingAccepted as error:
        return dict.fromkeys(files.values(), Unavailable(Outage.SOP_CLASS_REFUSED, error.detail))
    consignment.mark_sent({files[one.path]: f"status {one.status or 0:04X}" for one in stored if not one.error})
    return {files[one.path]: one.error for one in stored if one.error}


def _commit(
    consignment: Consignment, destination: PacsDestination, peer: Peer, sent: Sequence[Delivery]
) -> dict[str, Outcome]:
    """Ask for storage commitment and enter what is answered at once; return what needs no answer any more."""
    wait = timedelta(seconds=destination.commitment_wait_s)
    with consignment.ledger.transaction() as session:
        rows = [row for row in consignment.still_open(session, sent) if _may_be_asked_for(row)]
        if not rows:
            return {}
        transaction_uid = commitments.enter(session, rows, wait)
    headers = [_header(consignment, row) for row in rows]
    objects = [(str(ds.SOPClassUID), str(ds.SOPInstanceUID)) for ds in headers]
    try:
        report = commitment.ask(peer, transaction_uid, objects)
    except Unavailable as error:
        if error.code is Outage.COMMITMENT_REFUSED:
            return _found(consignment, peer, rows, f"no storage commitment: {error.detail}")
        return {row.sop_instance_uid: error for row in rows}
    if report is not None:
        with consignment.ledger.transaction() as session:
            commitments.settle(session, report, Schedule.of(consignment.settings))
        _log.info("commitment-answered", transaction=transaction_uid, failed=len(report.failed))
    return {}


def _may_be_asked_for(row: Delivery) -> bool:
    """Say whether an object was sent and no other worker has asked for it meanwhile."""
    return row.state is DeliveryState.SENT and row.transaction_uid is None


def _found(consignment: Consignment, peer: Peer, sent: Sequence[Delivery], remark: str = "") -> dict[str, Outcome]:
    """Ask by C-FIND for each object that was sent; `remark` says why this and nothing better is the proof."""
    headers = {one.sop_instance_uid: _header(consignment, one) for one in sent}
    rejected = {one.sop_instance_uid: _rejected(headers[one.sop_instance_uid]) for one in sent if one.kind == REJECTION}
    series = {str(ds.SeriesInstanceUID) for ds in headers.values()}.union(*map(dict.values, rejected.values()))
    try:
        listed = peer.instances_of(consignment.study_uid, series) if sent else set()
    except Unavailable as error:
        return dict.fromkeys(headers, error)
    tail = f", {remark}" if remark else ""
    outcomes: dict[str, Outcome] = {}
    for uid in headers:
        if uid in listed:
            outcomes[uid] = f"found by C-FIND at {peer.ae_title}{tail}"
        elif uid in rejected and not listed & rejected[uid].keys():
            outcomes[uid] = f"what it rejects is not found by C-FIND at {peer.ae_title}{tail}"
        else:
            outcomes[uid] = Unavailable(Outage.DESTINATION_LOST, peer.ae_title)
    return outcomes


def _header(consignment: Consignment, delivery: Delivery) -> Dataset:
    return dcmread(consignment.path(delivery), stop_before_pixels=True)


def _rejected(note: Dataset) -> dict[str, str]:
    """Return what a rejection note rejects: SOP Instance UID to Series Instance UID. A PACS may hide the note too."""
    return {
        str(item.ReferencedSOPInstanceUID): str(series.SeriesInstanceUID)
        for study in note.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
