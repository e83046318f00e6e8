"""The one DICOM client: echo and store at another application entity (PS3.4 annexes A and B), and the way to ask it.

Queries and moves are in `node.core.query`. Comes in: files and queries. Goes out: the status of each object, the
answers to a query. What can go wrong is said in words that name the cause: nobody listens, the association was rejected
and why, a presentation context was not accepted, a status that is no success. Files are sent as they are, byte by byte;
only where a destination does not accept the transfer syntax of an uncompressed file is it encoded anew, in one that the
destination does accept.
"""

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from pydicom import Dataset, dcmread
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from node.core.dicom import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, is_uid, read_header
from node.core.dimse import SUCCESS, WARNINGS, lost, unsuccessful
from node.core.errors import NodeError, Refused, Unavailable
from node.core.query import Inquiry, Level, contexts
from node.core.reasons import DoorRefusal, Outage
from node.core.requestor import answer_to_request, bounded, reactor_parked, without_delay
from node.core.settings import CallerTls
from node.core.tls import WrongTlsFile, caller_context, why_not

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 60.0
MAXIMUM_CONTEXTS = 128  # in one association: odd identifiers of one byte, PS3.8 section 9.3.2.2
MAXIMUM_PDU_BYTES = 262_144

_FALLBACKS = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_CONVERTIBLE = (*_FALLBACKS, DeflatedExplicitVRLittleEndian)

# Files are read in pieces and not decoded; nothing that a peer answers is printed.
_config.STORE_SEND_CHUNKED_DATASET = True
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_RESPONSE_IDENTIFIERS = False
_config.LOG_REQUEST_IDENTIFIERS = False


@dataclass(frozen=True)
class Stored:
    """What became of one file.

    Parameters
    ----------
    path
        The file.
    status
        The C-STORE status that was answered; None where none was.
    comment
        The Error Comment that came with it.
    error
        Why it is not stored; None for success and for a warning (B000 and above), which `status` keeps.
    """

    path: Path
    status: int | None
    comment: str
    error: NodeError | None


class NothingAccepted(Unavailable):
    """The association was accepted, and none of its presentation contexts."""


class Rejected(Unavailable):
    """The association was rejected; `source` and `reason` say by whom and why, as in PS3.8 table 9-21."""

    def __init__(self, code: Outage, detail: str, source: int | None, reason: int | None) -> None:
        super().__init__(code, detail)
        self.source, self.reason = source, reason


class _Parcel(NamedTuple):
    """A file that can be sent, with what its presentation context needs."""

    path: Path
    sop_class: str
    transfer_syntax: str


@dataclass(frozen=True)
class Peer:
    """Another application entity; with `tls`, the one whose certificate says that it is on this host.

    `connect_timeout_s` and `answer_timeout_s` are for who cannot wait long: the connection, and each answer.
    """

    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    tls: CallerTls | None = None
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    answer_timeout_s: float = ANSWER_TIMEOUT_S

    def echo(self) -> None:
        """Verify that it answers (C-ECHO).

        Raises
        ------
        Unavailable
            `destination-unreachable`, `destination-refused`.
        """
        with self.associated([build_context(Verification)]) as assoc:
            status = assoc.send_c_echo()
            if status.get("Status") != SUCCESS:
                raise unsuccessful("C-ECHO", status)

    def store(self, files: Sequence[Path], on_progress: Callable[[Stored], None] | None = None) -> list[Stored]:
        """Store files (C-STORE), in as many associations as their presentation contexts need.

        Parameters
        ----------
        files
            DICOM files.
        on_progress
            Is told of each file, in the order in which they are done.

        Returns
        -------
        list of Stored
            One for each file, in the order in which they were done. A file that cannot be read, a context that is
            not accepted and a connection that breaks are told here, of the files that they concern.

        Raises
        ------
        Unavailable
            No file was sent, because no association could be made: `destination-unreachable`, `destination-refused`;
            `NothingAccepted` where it takes none of the SOP classes.
        """
        outcomes: list[Stored] = []

        def done(outcome: Stored) -> None:
            outcomes.append(outcome)
            if on_progress is not None:
                on_progress(outcome)

        sent = False
        for batch in _batches(_readable(files, done)):
            waiting = list(batch)
            try:
                with self.associated(_contexts(waiting)) as assoc:
                    sent = True
                    _send_all(assoc, waiting, done)
            except Unavailable as error:
                if not sent:
                    raise
                for parcel in waiting:
                    done(Stored(parcel.path, None, "", error))
        return outcomes

    def accepted(self, sop_classes: Iterable[str]) -> set[str]:
        """Return which of these SOP classes it takes, in an encoding without compression; nothing is sent.

        Raises
        ------
        Unavailable
            As `echo`.
        """
        try:
            with self.associated([build_context(one, list(_FALLBACKS)) for one in sop_classes]) as assoc:
                return {str(context.abstract_syntax) for context in assoc.accepted_contexts}
        except NothingAccepted:
            return set()

    def find(self, level: Level, keys: Mapping[str, str]) -> list[Dataset]:
        """Query the Study Root model (C-FIND, PS3.4 section C.6.2).

        Parameters
        ----------
        level
            What one answer stands for.
        keys
            Attribute keywords with the value to match, or "" to have it returned.

        Raises
        ------
        Unavailable
            `destination-unreachable`, `destination-refused`: it does not answer, or not with success.
        """
        with self.inquiring() as inquiry:
            return inquiry.find(level, keys)

    def instances_of(self, study_uid: str, series_uids: Iterable[str] | None = None) -> set[str]:
        """Return the SOP Instance UIDs that it lists in a study, series by series; in some of its series, if named.

        Raises
        ------
        Unavailable
            As `find`.
        """
        with self.inquiring() as inquiry:
            return inquiry.instances_of(study_uid, series_uids)

    @contextlib.contextmanager
    def inquiring(self, *, moving: bool = False) -> Iterator[Inquiry]:
        """Open an association in which it is asked (C-FIND), and with `moving` also told to send (C-MOVE).

        Raises
        ------
        Unavailable
            `destination-unreachable`, `destination-refused`.
        """
        with self.associated(contexts(moving=moving)) as assoc:
            yield Inquiry(assoc)

    @contextlib.contextmanager
    def associated(
        self, contexts: list[PresentationContext], *handlers: tuple[evt.EventType, Callable[[evt.Event], Any]]
    ) -> Iterator[Association]:
        """Open an association and release it at the end; `handlers` hear of what the other side asks meanwhile.

        Raises
        ------
        Unavailable
            `destination-unreachable`, `destination-refused`.
        """
        ae = AE(self.calling_ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.connection_timeout = ae.acse_timeout = self.connect_timeout_s
        ae.dimse_timeout = ae.network_timeout = self.answer_timeout_s
        connected: list[evt.Event] = []
        secured = self._secured()
        try:
            assoc = ae.associate(
                self.host,
                self.port,
                contexts,
                self.ae_title,
                MAXIMUM_PDU_BYTES,
                evt_handlers=[(evt.EVT_CONN_OPEN, connected.append), (evt.EVT_CONN_OPEN, bounded), *handlers],
                tls_args=(secured, self.host) if secured else None,
            )
        except OSError as error:
            raise self._unreachable(error.strerror or str(error)) from error
        if not assoc.is_established:
            raise self._not_associated(assoc, connected=bool(connected))
        try:
            without_delay(assoc)
            with reactor_parked(assoc):
                yield assoc
        finally:
            if assoc.is_established:
                assoc.release()

    def _not_associated(self, assoc: Association, *, connected: bool) -> Unavailable:
        """Return the error that says why there is no association."""
        if not connected:
            return self._unreachable(self._connect_fault())
        answer = answer_to_request(assoc)
        if answer is not None and answer.result == 0:
            reasons = f"no presentation context accepted: {_reasons(assoc.rejected_contexts)}"
            return NothingAccepted(Outage.DESTINATION_REFUSED, f"{self}: {reasons}")
        if answer is not None:
            said = f"{self}: association rejected: {answer.reason_str} ({answer.result_str.lower()})"
            return Rejected(Outage.DESTINATION_REFUSED, said, answer.result_source, answer.diagnostic)
        if self.tls:
            return self._unreachable(self._connect_fault())
        return self._unreachable("it took the connection and did not answer the association request")

    def _secured(self) -> ssl.SSLContext | None:
        """Return the context for TLS, read anew, so that a certificate may be changed at any time."""
        try:
            return caller_context(self.tls) if self.tls else None
        except WrongTlsFile as error:
            raise self._unreachable(str(error)) from error

    def _connect_fault(self) -> str:
        """Connect once more, only to learn why it fails: pynetdicom does not say."""
        if secured := self._secured():
            return why_not(secured, self.host, self.port, self.connect_timeout_s)
        try:
            with socket.create_connection((self.host, self.port), timeout=self.connect_timeout_s):
                return "the connection broke at once"
        except TimeoutError:
            return f"no answer within {self.connect_timeout_s:g} s"
        except OSError as error:
            return (error.strerror or str(error)).lower()

    def _unreachable(self, detail: str) -> Unavailable:
        return Unavailable(Outage.DESTINATION_UNREACHABLE, f"{self}: {detail}")

    def __str__(self) -> str:
        """Say who and where it is."""
        return f"{self.ae_title}@{self.host}:{self.port}"


def _readable(files: Iterable[Path], done: Callable[[Stored], None]) -> list[_Parcel]:
    """Return the files that can be sent; `done` is told of the others."""
    parcels = []
    for path in files:
        try:
            parcels.append(_parcel(path))
        except Refused as error:
            done(Stored(path, None, "", error))
    return parcels


def _parcel(path: Path) -> _Parcel:
    """Read what the request for a file announces; what its two headers say of it must agree (PS3.10 section 7.1)."""
    header = read_header(path)
    announced = [str(header.get(keyword, "")) for keyword in ("SOPClassUID", "SOPInstanceUID")]
    transfer_syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    if not all(map(is_uid, (*announced, transfer_syntax))):
        raise Refused(DoorRefusal.UID_INVALID)
    meta = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID")
    if [str(header.file_meta.get(keyword, "")) for keyword in meta] != announced:
        raise Refused(DoorRefusal.UID_MISMATCH, "file meta information")
    return _Parcel(path, announced[0], transfer_syntax)


def _needs(parcel: _Parcel) -> set[tuple[str, tuple[str, ...]]]:
    """Return the presentation contexts that a file needs: SOP class, and transfer syntaxes to choose one from."""
    contexts: set[tuple[str, tuple[str, ...]]] = {(parcel.sop_class, (parcel.transfer_syntax,))}
    if parcel.transfer_syntax in _CONVERTIBLE:
        contexts.add((parcel.sop_class, _FALLBACKS))
    return contexts


def _batches(parcels: Iterable[_Parcel]) -> Iterator[list[_Parcel]]:
    """Divide files, in their order, so that the presentation contexts of each part fit into one association."""
    batch: list[_Parcel] = []
    needed: set[tuple[str, tuple[str, ...]]] = set()
    for parcel in parcels:
        if len(needed | _needs(parcel)) > MAXIMUM_CONTEXTS:
            yield batch
            batch, needed = [], set()
        batch.append(parcel)
        needed |= _needs(parcel)
    if batch:
        yield batch


def _contexts(parcels: Iterable[_Parcel]) -> list[PresentationContext]:
    needed = sorted(set().union(*map(_needs, parcels)))
    return [build_context(sop_class, list(transfer_syntaxes)) for sop_class, transfer_syntaxes in needed]


def _send_all(assoc: Association, waiting: list[_Parcel], done: Callable[[Stored], None]) -> None:
    """Send files and take each from `waiting` when it is done; stop where the association is lost."""
    for message in count():
        if not waiting:
            return
        done(_send(assoc, waiting[0], message % 65535 + 1))
        waiting.pop(0)


def _send(assoc: Association, parcel: _Parcel, message: int) -> Stored:
    """Send one file by C-STORE (PS3.4 section B.2)."""
    accepted = {
        str(context.transfer_syntax[0])
        for context in assoc.accepted_contexts
        if context.abstract_syntax == parcel.sop_class
    }
    convertible = parcel.transfer_syntax in _CONVERTIBLE and accepted & set(_FALLBACKS)
    if parcel.transfer_syntax not in accepted and not convertible:
        name = f"{UID(parcel.sop_class).name} in {UID(parcel.transfer_syntax).name}"
        return Stored(parcel.path, None, "", Unavailable(Outage.SOP_CLASS_REFUSED, f"context not accepted: {name}"))
    if not assoc.is_established or assoc.acse.is_aborted():
        raise lost("C-STORE")
    try:
        as_it_is = parcel.transfer_syntax in accepted
        status = assoc.send_c_store(parcel.path if as_it_is else dcmread(parcel.path), message)
    except (OSError, ValueError, AttributeError) as error:  # it changed since it was read, or cannot be encoded anew
        fault = Refused(DoorRefusal.DATASET_UNREADABLE, type(error).__name__)
        return Stored(parcel.path, None, "", fault)
    if "Status" not in status:
        raise lost("C-STORE")
    code = int(status.Status)
    good = code == SUCCESS or code in WARNINGS
    return Stored(
        parcel.path,
        code,
        str(status.get("ErrorComment", "")),
        None if good else unsuccessful("C-STORE", status),
    )


def _reasons(contexts: Iterable[PresentationContext]) -> str:
    """Say which SOP classes were not accepted, and why."""
    reasons = {f"{UID(str(context.abstract_syntax)).name}: {context.status.lower()}" for context in contexts}
    return "; ".join(sorted(reasons))
