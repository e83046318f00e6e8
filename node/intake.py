"""Stage 2: the bytes of an instance into the spool, durable before the sender is told so.

In: an `Offer` (stage 1). Out: a file in the spool and its row in the ledger, where assembly (stage 3) finds it. The
data set is written as it came, neither decoded nor encoded anew, behind file meta information of our own that names
the sender, so that the ledger can be rebuilt from the spool.

What can go wrong: what the data set says is not what the request announced, or cannot be read (`Refused`); spool or
ledger are away (`Unavailable`): the sender is told to send it again. A process that dies between the file and the row
leaves a file that nobody was told of: sending the instance again replaces it.
"""

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import FileDataset
from pydicom.uid import UID
from pynetdicom.dsutils import create_file_meta, encode_file_meta
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from node.core import log
from node.core.dicom import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    RETURNING_CLASSES,
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
    is_uid,
    read_header,
)
from node.core.errors import Refused, Unavailable
from node.core.ledger import Ledger, deliveries, studies
from node.core.ledger.tables import Association, StoredInstance
from node.core.offer import Offer, Taken
from node.core.reasons import DoorRefusal, Outage
from node.core.records import Instance
from node.core.spool import Spool, digest

_ATTEMPTS = 3  # at a row that another association enters at the same moment
_PREAMBLE = bytes(128) + b"DICM"  # PS3.10 section 7.1
_META_LENGTH = slice(140, 144)  # value of File Meta Information Group Length (0002,0000), which always comes first

_log = log.get("intake")


@dataclass(frozen=True)
class Intake:
    """Takes instances into a spool and a ledger; used by many associations at once."""

    spool: Spool
    ledger: Ledger

    def take(self, offer: Offer) -> Taken:
        """Take an instance in; when this returns, it is durable.

        Raises
        ------
        Refused
            `uid-invalid`, `sop-class-unsupported`, `uid-mismatch`, `dataset-unreadable`, `dataset-truncated`;
            `uid-reused` where other content is stored under this UID: what came first is kept.
        Unavailable
            `spool-failed`, `ledger-failed`: nothing is left behind that was not there.
        """
        _check_uids(offer)
        if offer.sop_class_uid in RETURNING_CLASSES and self._returns(offer):
            return Taken.OWN_RESULT
        _check_classes(offer)
        content = _file(offer)
        header = read_header(content)
        _check_header(header, offer)
        study_uid, series_uid = str(header.StudyInstanceUID), str(header.SeriesInstanceUID)
        instance = Instance(
            sop_instance_uid=offer.sop_instance_uid,
            sop_class_uid=offer.sop_class_uid,
            transfer_syntax_uid=offer.transfer_syntax_uid,
            digest=digest(content),
            path=self.spool.instance_path(study_uid, series_uid, offer.sop_instance_uid),
        )
        with self.spool.staged(content) as staged:
            taken = self._enter(offer, instance, study_uid, series_uid, staged)
        _log.debug(
            taken,
            study=study_uid,
            series=series_uid,
            instance=instance.sop_instance_uid,
            ae_title=offer.calling_ae_title,
        )
        return taken

    def closed(self, association_id: str, outcome: str) -> None:
        """Note how an association ended; where the ledger is away, its silence tells the same a little later."""
        try:
            with self.ledger.transaction() as session:
                studies.close_association(session, association_id, outcome)
        except Unavailable as error:
            _log.warning("end-not-noted", association=association_id, outcome=outcome, code=error.code)

    def _returns(self, offer: Offer) -> bool:
        """Say whether it is an object that we made, sent back by a PACS that routes whole studies."""
        with self.ledger.transaction() as session:
            own = deliveries.is_own_result(session, offer.sop_instance_uid)
        if own:
            _log.info("own-result-dropped", instance=offer.sop_instance_uid)
        return own

    def _enter(self, offer: Offer, instance: Instance, study_uid: str, series_uid: str, staged: Path) -> Taken:
        """Enter the instance and put its file in place, as one: a row in the open transaction keeps others out."""
        for _ in range(_ATTEMPTS):
            try:
                with self.ledger.transaction() as session:
                    if deliveries.is_own_result(session, instance.sop_instance_uid):
                        _log.info("own-result-dropped", instance=instance.sop_instance_uid, study=study_uid)
                        return Taken.OWN_RESULT
                    known = studies.find_instance(session, instance.sop_instance_uid)
                    if known is not None:
                        return self._compare(known, instance, offer, staged)
                    self._note_association(session, offer)
                    studies.record_instance(
                        session,
                        instance,
                        study_uid=study_uid,
                        series_uid=series_uid,
                        association_id=offer.association_id,
                        calling_ae_title=offer.calling_ae_title,
                    )
                    session.flush()
                    self.spool.place(staged, instance.path)
                    return Taken.STORED
            except IntegrityError:
                continue  # another association was first: look again
        raise Unavailable(Outage.LEDGER_FAILED, "the same instance comes over several associations")

    def _compare(self, known: StoredInstance, instance: Instance, offer: Offer, staged: Path) -> Taken:
        """Say what a UID that is stored already means; a file that is gone is put back."""
        try:
            stored = (self.spool.root / known.path).read_bytes()
        except FileNotFoundError:
            self.spool.place(staged, known.path)
            known.digest, known.transfer_syntax_uid = instance.digest, instance.transfer_syntax_uid
            _log.warning("instance-restored", instance=instance.sop_instance_uid, study=known.study_uid)
            return Taken.RESTORED
        except OSError as error:
            raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error
        if known.transfer_syntax_uid == instance.transfer_syntax_uid and _data_set(stored) == offer.data_set:
            return Taken.KNOWN
        _log.warning(
            "uid-reused",
            instance=instance.sop_instance_uid,
            study=known.study_uid,
            kept_digest=known.digest,
            kept_from=known.calling_ae_title,
            offered_digest=instance.digest,
            offered_by=offer.calling_ae_title,
        )
        raise Refused(DoorRefusal.UID_REUSED)

    def _note_association(self, session: Session, offer: Offer) -> None:
        if session.get(Association, offer.association_id) is None:
            studies.open_association(session, offer.association_id, offer.calling_ae_title, offer.host)
            session.flush()


def _check_uids(offer: Offer) -> None:
    if not is_uid(offer.sop_class_uid) or not is_uid(offer.sop_instance_uid):
        raise Refused(DoorRefusal.UID_INVALID, "in the request")


def _check_classes(offer: Offer) -> None:
    """Refuse what cannot be taken whatever the data set holds (PS3.4 section B.2.2)."""
    if offer.sop_class_uid not in STORAGE_CLASSES or offer.transfer_syntax_uid not in TRANSFER_SYNTAXES:
        raise Refused(DoorRefusal.SOP_CLASS_UNSUPPORTED)
    if offer.sop_class_uid != offer.abstract_syntax:
        raise Refused(DoorRefusal.UID_MISMATCH, "SOP class is not that of the context")


def _check_header(header: FileDataset, offer: Offer) -> None:
    """Refuse a data set that is not what the request announced, or that belongs to no study or series."""
    uids = {
        keyword: str(header.get(keyword, ""))
        for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    }
    for keyword, uid in uids.items():
        if not is_uid(uid):
            raise Refused(DoorRefusal.UID_INVALID, keyword)
    if uids["SOPClassUID"] != offer.sop_class_uid:
        raise Refused(DoorRefusal.UID_MISMATCH, "SOPClassUID")
    if uids["SOPInstanceUID"] != offer.sop_instance_uid:
        raise Refused(DoorRefusal.UID_MISMATCH, "SOPInstanceUID")


def _file(offer: Offer) -> bytes:
    """Return the DICOM file of an offer (PS3.10 section 7): our file meta information, then the bytes as they came."""
    meta = create_file_meta(
        sop_class_uid=UID(offer.sop_class_uid),
        sop_instance_uid=UID(offer.sop_instance_uid),
        transfer_syntax=UID(offer.transfer_syntax_uid),
        implementation_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version=IMPLEMENTATION_VERSION_NAME,
    )
    meta.SendingApplicationEntityTitle = offer.calling_ae_title
    meta.ReceivingApplicationEntityTitle = offer.called_ae_title
    return b"".join((_PREAMBLE, encode_file_meta(meta), offer.data_set))


def _data_set(content: bytes) -> bytes:
    """Return the encoded data set of a file that `_file` wrote."""
    return content[_META_LENGTH.stop + int.from_bytes(content[_META_LENGTH], "little") :]
