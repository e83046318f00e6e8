"""Storage commitment, push model (PS3.4 annex J): asking a PACS whether it will keep what it was sent.

Comes in: SOP classes and instances, and a transaction UID that the ledger holds already. Goes out: the report, where it
comes on the same association; a PACS may as well send it later on an association of its own, which `node.commitment`
takes. What can go wrong: the service is not offered or the request not taken (`commitment-refused`, and a query has
to prove), no association (`destination-unreachable`). An association that breaks off is no answer: one may yet come.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from node.core.dicom import PARSER_FAULTS, is_uid
from node.core.errors import Refused, Unavailable
from node.core.peer import Peer
from node.core.reasons import DoorRefusal, Outage
from node.core.requestor import stay_parked

SAME_ASSOCIATION_WAIT_S = 1.0

_REQUEST_ACTION = 1  # PS3.4 table J.3-1
_COMPLETE, _FAILURES_EXIST = 1, 2  # PS3.4 table J.3-2
_SUCCESS = 0x0000
_INVALID_ARGUMENT = 0x0115
_REASONS = {  # PS3.3 section C.14.1.1
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0213: "resource limitation",
    0x0122: "SOP class not supported",
    0x0119: "class and instance conflict",
    0x0131: "duplicate transaction UID",
}


@dataclass(frozen=True)
class Report:
    """What a PACS says of the objects of one transaction.

    Parameters
    ----------
    transaction_uid
        The transaction.
    committed
        SOP Instance UIDs that it will keep.
    failed
        SOP Instance UIDs that it will not keep, each with the reason.
    """

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, str]


def read_report(event_type: int | None, ds: Dataset) -> Report:
    """Read the event information of an N-EVENT-REPORT request (PS3.4 table J.3-2).

    Raises
    ------
    Refused
        `uid-invalid`, `dataset-unreadable`: it is no such report.
    """
    try:
        uid = str(ds.get("TransactionUID", ""))
        committed = frozenset(str(item.ReferencedSOPInstanceUID) for item in ds.get("ReferencedSOPSequence") or ())
        failed = {
            str(item.ReferencedSOPInstanceUID): _reason(item.get("FailureReason"))
            for item in ds.get("FailedSOPSequence") or ()
        }
    except PARSER_FAULTS as error:
        raise Refused(DoorRefusal.DATASET_UNREADABLE, type(error).__name__) from error
    if not is_uid(uid):
        raise Refused(DoorRefusal.UID_INVALID, "transaction")
    if event_type not in (_COMPLETE, _FAILURES_EXIST):
        raise Refused(DoorRefusal.DATASET_UNREADABLE, "event type")
    return Report(uid, committed - failed.keys(), failed)


def _reason(code: object) -> str:
    if not isinstance(code, int):
        return "no reason given"
    return f"{code:04X}, {_REASONS.get(code, 'failure')}"


@dataclass
class _Ear:
    """Hears reports on our own association; each comes in a thread of pynetdicom's."""

    transaction_uid: str
    report: Report | None = None
    heard: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def on_report(self, event: evt.Event) -> tuple[int, None]:
        """Keep the report of our transaction."""
        self.threads.append(threading.current_thread())
        try:
            report = read_report(event.event_type, event.event_information)
        except (Refused, *PARSER_FAULTS):
            return _INVALID_ARGUMENT, None
        if report.transaction_uid == self.transaction_uid:
            self.report = report
            self.heard.set()
        return _SUCCESS, None


def ask(
    peer: Peer,
    transaction_uid: str,
    objects: Sequence[tuple[str, str]],
    wait_s: float = SAME_ASSOCIATION_WAIT_S,
) -> Report | None:
    """Ask for storage commitment (N-ACTION, PS3.4 section J.3.2); None where the report does not come at once.

    Parameters
    ----------
    peer
        The PACS.
    transaction_uid
        A new transaction.
    objects
        SOP Class UID and SOP Instance UID of each object.
    wait_s
        So long the association is kept open for the report.

    Raises
    ------
    Unavailable
        `commitment-refused`: it does not offer the service, or did not take the request; `destination-unreachable`.
    """
    ear = _Ear(transaction_uid)
    context = build_context(StorageCommitmentPushModel)
    try:
        with peer.associated([context], (evt.EVT_N_EVENT_REPORT, ear.on_report)) as assoc:
            stay_parked(assoc)
            _request(assoc, transaction_uid, objects)
            _listen(assoc, ear, wait_s)
    except Unavailable as error:
        if error.code is Outage.DESTINATION_REFUSED:
            raise Unavailable(Outage.COMMITMENT_REFUSED, error.detail) from error
        raise
    return ear.report


def _request(assoc: Association, transaction_uid: str, objects: Sequence[tuple[str, str]]) -> None:
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in objects:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UID(sop_class_uid), UID(sop_instance_uid)
        ds.ReferencedSOPSequence.append(item)
    status, _ = assoc.send_n_action(ds, _REQUEST_ACTION, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    # Without an answer it may have been taken, or not: some break off who do not want to commit themselves.
    if status.get("Status", _SUCCESS) != _SUCCESS:
        raise Unavailable(Outage.COMMITMENT_REFUSED, f"N-ACTION answered {int(status.Status):04X}")


def _listen(assoc: Association, ear: _Ear, wait_s: float) -> None:
    """Wait for the report, until the other side ends the association or time is over."""
    until = time.monotonic() + wait_s
    while assoc.is_established and not assoc.acse.is_aborted() and time.monotonic() < until:
        if ear.heard.wait(0.02):
            break
    for thread in ear.threads:  # the report is answered before we release
        thread.join(wait_s)
