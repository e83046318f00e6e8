"""A stand-in for a PACS, which answers what a test wants answered."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.dimse_messages import C_CANCEL_RQ  # type: ignore[attr-defined]  # made at run time
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

COMPLETE, FAILURES = 1, 2  # PS3.4 table J.3-2
_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


@dataclass
class Pacs:
    """What it received, and how it answers.

    `statuses` are answered in turn, the last one from then on, but to objects of the classes that are `unsupported`.
    `listed` are the answers to a query, what it has taken among them where it `keeps` it, but at the levels that are
    `unlisted`, and to queries whose number is in `find_failures`. What it is asked to keep goes to `on_commitment`
    with a function that sends a report on the same association; without it the service is not offered.
    A move sends what it has `held` to the port that it `knows` of the destination, with a pause before each object,
    unless there is a status left in `move_statuses`, which is then all that it answers (0 stands for none).
    """

    port: int
    statuses: list[int] = field(default_factory=lambda: [0])
    unsupported: dict[str, int] = field(default_factory=dict)
    keeps: bool = False
    listed: list[Dataset] = field(default_factory=list)
    find_status: int = 0
    find_failures: set[int] = field(default_factory=set)
    unlisted: tuple[str, ...] = ()
    comment: str = ""
    abort_after: int | None = None
    received: list[tuple[str, bytes]] = field(default_factory=list)
    queries: list[Dataset] = field(default_factory=list)
    associations: int = 0
    on_commitment: Callable[[Dataset, "Send"], None] | None = None
    action_status: int = 0
    asked: list[tuple[int | None, Dataset]] = field(default_factory=list)
    answers: list[int | None] = field(default_factory=list)
    held: list[Dataset] = field(default_factory=list)
    knows: dict[str, int] = field(default_factory=dict)
    moves: list[Dataset] = field(default_factory=list)
    move_statuses: list[int] = field(default_factory=list)
    move_pause_s: float = 0.0
    move_abort_after: int | None = None
    cancels: int = 0
    ended: list[str] = field(default_factory=list)

    def on_store(self, event: evt.Event) -> Dataset:
        """Keep the bytes and answer."""
        if self.abort_after is not None and len(self.received) >= self.abort_after:
            event.assoc.abort()
        self.received.append((event.context.transfer_syntax, event.encoded_dataset(include_meta=False)))
        status = Dataset()
        if event.request.AffectedSOPClassUID in self.unsupported:
            status.Status = self.unsupported[event.request.AffectedSOPClassUID]
        else:
            status.Status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if self.keeps and status.Status == 0:
            self.listed.append(listing_of(event.dataset))
        if self.comment:
            status.ErrorComment = self.comment
        return status

    def on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answer with what matches, by study and series."""
        query = event.identifier
        self.queries.append(query)
        if len(self.queries) in self.find_failures:
            yield 0xC001, None
            return
        if self.find_status:
            yield self.find_status, None
            return
        if query.QueryRetrieveLevel in self.unlisted:
            return
        level = {"SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}.get(
            query.QueryRetrieveLevel, "StudyInstanceUID"
        )
        wanted = {key: query[key].value for key in _KEYS.values() if key in query and query[key].value}
        seen = set()
        for one in self.listed:
            if all(one[key].value == value for key, value in wanted.items()) and one[level].value not in seen:
                seen.add(one[level].value)
                yield 0xFF00, one

    def on_move(self, event: evt.Event) -> Iterator[object]:
        """Send what it holds to a destination that it knows, or answer what the test wants answered."""
        query = event.identifier
        self.moves.append(query)
        port = self.knows.get(event.move_destination)
        asked = {key: query[key].value for key in _KEYS.values() if key in query}
        wanted = [one for one in self.held if all(one[key].value == value for key, value in asked.items())]
        offered = [build_context(name, _SYNTAXES) for name in {one.SOPClassUID for one in wanted}]
        yield ("127.0.0.1", port, {"contexts": offered}) if port else (None, None)
        yield len(wanted)
        if status := self.move_statuses.pop(0) if self.move_statuses else 0:
            yield status, None
            return
        for number, one in enumerate(wanted):
            until, cancelled = time.monotonic() + self.move_pause_s, event.is_cancelled  # which says so only once
            while time.monotonic() < until and not cancelled:
                time.sleep(0.01)
                cancelled = event.is_cancelled
            if cancelled:
                yield 0xFE00, None
                return
            if number == self.move_abort_after:
                event.assoc.abort()
            yield 0xFF00, one

    def on_message(self, event: evt.Event) -> None:
        """Count what asks for a move to be cancelled."""
        self.cancels += isinstance(event.message, C_CANCEL_RQ)

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        """Take a request for commitment; what the test wants reported is reported after the answer."""
        request = event.action_information
        self.asked.append((event.action_type, request))
        if self.action_status:
            return self.action_status, None

        def send(event_type: int, report: Dataset) -> None:
            with suppress(RuntimeError):  # the association has ended
                self.answers.append(_answered(event.assoc.send_n_event_report(report, event_type, *_PUSH_MODEL)))

        assert self.on_commitment is not None
        threading.Thread(target=self.on_commitment, args=(request, send), daemon=True).start()
        return 0, None


Send = Callable[[int, Dataset], None]
_PUSH_MODEL = (StorageCommitmentPushModel, StorageCommitmentPushModelInstance)


def _answered(answer: tuple[Dataset, Dataset | None]) -> int | None:
    status = answer[0].get("Status")
    return None if status is None else int(status)


def listing_of(ds: Dataset) -> Dataset:
    """Return the answer to a query that lists an object."""
    answer = Dataset()
    for keyword in _KEYS.values():
        setattr(answer, keyword, ds[keyword].value)
    return answer


def report_of(request: Dataset, failed: int = 0, reason: int = 0x0112) -> tuple[int, Dataset]:
    """Return event type and report for a request, of which the last `failed` objects are not kept."""
    ds = Dataset()
    ds.TransactionUID = request.TransactionUID
    items = list(request.ReferencedSOPSequence)
    kept = len(items) - failed
    if items[:kept]:
        ds.ReferencedSOPSequence = items[:kept]
    for item in items[kept:]:
        item.FailureReason = reason
    if failed:
        ds.FailedSOPSequence = items[kept:]
    return (FAILURES if failed else COMPLETE), ds


def report_anew(port: int, event_type: int, report: Dataset, calling: str, *, role: bool = True) -> int | None:
    """Send a report on an association of our own, as SCP (PS3.7 section D.3.3.4); None where we are not let in."""
    ae = AE(calling)
    roles = [build_role(StorageCommitmentPushModel, scp_role=True)] if role else []
    assoc = ae.associate("127.0.0.1", port, [build_context(StorageCommitmentPushModel)], "NODE", ext_neg=roles)  # type: ignore[arg-type]
    if not assoc.is_established:
        return None
    try:
        return _answered(assoc.send_n_event_report(report, event_type, *_PUSH_MODEL))
    finally:
        assoc.release()


@contextmanager
def serving(
    pacs: Pacs, contexts: list[PresentationContext], ae_title: str = "PACS", *, moving: bool = True
) -> Iterator[Pacs]:
    """Run it with these storage contexts beside verification, query and move."""
    ae = AE(ae_title)
    ae.require_called_aet = True
    ae.supported_contexts = contexts
    ae.add_supported_context(Verification)
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    if moving:
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
    if pacs.on_commitment is not None:
        ae.add_supported_context(StorageCommitmentPushModel)

    def count(_: evt.Event) -> None:
        pacs.associations += 1

    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_C_STORE, pacs.on_store),
        (evt.EVT_C_FIND, pacs.on_find),
        (evt.EVT_C_MOVE, pacs.on_move),
        (evt.EVT_DIMSE_RECV, pacs.on_message),
        (evt.EVT_ESTABLISHED, count),
        (evt.EVT_N_ACTION, pacs.on_action),
        (evt.EVT_RELEASED, lambda _: pacs.ended.append("released")),
        (evt.EVT_ABORTED, lambda _: pacs.ended.append("aborted")),
    ]
    server = ae.start_server(("127.0.0.1", pacs.port), block=False, evt_handlers=handlers)
    try:
        yield pacs
    finally:
        ae.shutdown()
        del server
