"""Stage 2: the bytes of an instance into the spool, durable before the sender is told so.

In: an `Offer` (stage 1). Out: a file in the spool and its row in the ledger, where assembly (stage 3) finds it. The
data set is written as it came, neither decoded nor encoded anew. What comes again with the same content changes
nothing; what comes under a UID that is taken, with other content, is kept beside the first, and its study is flagged.

What can go wrong: what the data set says is not what the request announced, or cannot be read (`Refused`); the disk is
full, or spool or ledger are away: the sender is told to send it again. A process that dies between the file and the
row leaves a file that nobody was told of: it is entered when the instance is sent again, or by `node.reconcile`.
"""

import errno
from collections.abc import Mapping

from node import instance_file
from node.core import log
from node.core.dicom import IMAGE_CLASSES, STORAGE_CLASSES, TRANSFER_SYNTAXES, is_uid, read_header
from node.core.errors import Refused, Unavailable
from node.core.ledger import Ledger, deliveries, studies
from node.core.ledger.arrivals import Arrival
from node.core.offer import Offer, Taken
from node.core.reasons import DoorRefusal
from node.core.records import Instance
from node.core.spool import Spool, beside, digest
from node.register import Register
from node.room import Room

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

_log = log.get("intake")


class Intake:
    """Takes instances into a spool and a ledger; used by many associations at once.

    Parameters
    ----------
    spool, ledger
        Where instances go.
    room
        The space that is left for them.
    """

    def __init__(self, spool: Spool, ledger: Ledger, room: Room) -> None:
        self._spool, self._ledger, self._room = spool, ledger, room
        self._register = Register(spool, ledger)

    def take(self, offer: Offer) -> Taken:
        """Take an instance in; when this returns, it is durable.

        Raises
        ------
        Refused
            `uid-invalid`, `sop-class-unsupported`, `uid-mismatch`, `dataset-unreadable`, `dataset-truncated`;
            `out-of-resources`: send it again later.
        Unavailable
            `spool-failed`, `ledger-failed`: send it again later.
        """
        _check_uids(offer)
        if offer.sop_class_uid not in IMAGE_CLASSES and self._returns(offer):
            return Taken.OWN_RESULT
        _check_classes(offer)
        content = instance_file.compose(offer)
        uids = instance_file.header_uids(content, offer)
        _check_uids_agree(uids, offer)
        study_uid, series_uid = uids["StudyInstanceUID"], uids["SeriesInstanceUID"]
        path, is_new = self._place(content, self._spool.instance_path(study_uid, series_uid, offer.sop_instance_uid))
        instance = Instance(
            sop_instance_uid=offer.sop_instance_uid,
            sop_class_uid=offer.sop_class_uid,
            transfer_syntax_uid=offer.transfer_syntax_uid,
            digest=digest(content if is_new else self._spool.read(path)),
            path=path,
        )
        sender = offer.association_id, offer.calling_ae_title, offer.host
        taken = self._register.enter(Arrival(instance, study_uid, series_uid, *sender), is_new=is_new)
        _log.debug(taken, study=study_uid, series=series_uid, instance=instance.sop_instance_uid, ae_title=sender[1])
        return taken

    def closed(self, association_id: str, outcome: str) -> None:
        """Note how an association ended; where the ledger is away, its silence tells the same a little later."""
        self._register.forget(association_id)
        try:
            with self._ledger.transaction() as session:
                studies.close_association(session, association_id, outcome)
        except Unavailable as error:
            _log.warning("end-not-noted", association=association_id, outcome=outcome, code=error.code)

    def _returns(self, offer: Offer) -> bool:
        """Say whether it is an object that we made, sent back by a PACS that routes whole studies."""
        with self._ledger.transaction() as session:
            own = deliveries.is_own_result(session, offer.sop_instance_uid)
        if own:
            _log.info("own-result-dropped", instance=offer.sop_instance_uid)
        return own

    def _place(self, content: bytes, path: str) -> tuple[str, bool]:
        """Put the file into its place, or beside what has that place; return where it lies, and whether it is new."""
        self._room.require()
        try:
            if self._spool.deposit(path, content):
                return path, True
            stored = self._spool.read(path)
            if instance_file.same(stored, content):
                self._spool.sync(path)  # another association may be about to do so
                return path, False
            if not _is_whole(stored):
                self._spool.write(path, content)
                return path, True
            path = beside(path, instance_file.key(content))
            is_new = self._spool.deposit(path, content)
            if not is_new:
                self._spool.sync(path)
        except Unavailable as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_SPACE:
                raise Refused(DoorRefusal.OUT_OF_RESOURCES, error.detail) from error
            raise
        return path, is_new


def _is_whole(content: bytes) -> bool:
    """Say whether a stored file is an instance, and not what a crash has left of one."""
    try:
        read_header(content)
    except Refused:
        return False
    return True


def _check_uids(offer: Offer) -> None:
    if not is_uid(offer.sop_class_uid) or not is_uid(offer.sop_instance_uid):
        raise Refused(DoorRefusal.UID_INVALID, "in the request")


def _check_classes(offer: Offer) -> None:
    """Refuse what cannot be taken whatever the data set holds (PS3.4 section B.2.2)."""
    if offer.sop_class_uid not in STORAGE_CLASSES or offer.transfer_syntax_uid not in TRANSFER_SYNTAXES:
        raise Refused(DoorRefusal.SOP_CLASS_UNSUPPORTED)
    if offer.sop_class_uid != offer.abstract_syntax:
        raise Refused(DoorRefusal.UID_MISMATCH, "SOP class is not that of the context")


def _check_uids_agree(uids: Mapping[str, str], offer: Offer) -> None:
    """Refuse a data set that is not what the request announced."""
    if uids["SOPClassUID"] != offer.sop_class_uid:
        raise Refused(DoorRefusal.UID_MISMATCH, "SOPClassUID")
    if uids["SOPInstanceUID"] != offer.sop_instance_uid:
        raise Refused(DoorRefusal.UID_MISMATCH, "SOPInstanceUID")
