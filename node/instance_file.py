"""An instance's file in the spool (stage 2): made, compared, read back.

The data set is kept as it came, behind file meta information of our own that names who sent it, so that the ledger can
be rebuilt from the spool.
"""

from dataclasses import dataclass

from pydicom.dataset import FileDataset
from pydicom.uid import UID
from pynetdicom.dsutils import create_file_meta, encode_file_meta

from node.core.dicom import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, is_uid, read_header
from node.core.errors import Refused
from node.core.offer import Offer
from node.core.reasons import DoorRefusal
from node.core.records import Instance
from node.core.spool import digest

_PREAMBLE = bytes(128) + b"DICM"  # PS3.10 section 7.1
_META_LENGTH = slice(140, 144)  # value of File Meta Information Group Length (0002,0000), which always comes first
_TRANSFER_SYNTAX, _LENGTH_SIZE = b"\x02\x00\x10\x00UI", 2  # (0002,0010), explicit VR little endian
_KEY_LENGTH = 32
_NAMED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True)
class Placed:
    """An instance, and where it belongs."""

    instance: Instance
    study_uid: str
    series_uid: str
    calling_ae_title: str


def compose(offer: Offer) -> bytes:
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


def same(one: bytes, other: bytes) -> bool:
    """Say whether two files hold the same instance, whoever sent them."""
    return _transfer_syntax(one) == _transfer_syntax(other) and _data_set(one) == _data_set(other)


def key(content: bytes) -> str:
    """Return what tells the variants of an instance apart, whoever sent them."""
    return digest(b"\0".join((_transfer_syntax(content), _data_set(content))))[:_KEY_LENGTH]


def uids(header: FileDataset) -> dict[str, str]:
    """Return the UIDs that say what an instance is and where it belongs, by keyword.

    Raises
    ------
    Refused
        `uid-invalid`: one is missing, or is no UID.
    """
    found = {keyword: str(header.get(keyword, "")) for keyword in _NAMED}
    for keyword, uid in found.items():
        if not is_uid(uid):
            raise Refused(DoorRefusal.UID_INVALID, keyword)
    return found


def placed(content: bytes, path: str) -> Placed:
    """Read back what a stored file is.

    Raises
    ------
    Refused
        It is not whole, or no instance.
    """
    header = read_header(content)
    named, meta = uids(header), header.file_meta
    instance = Instance(
        sop_instance_uid=named["SOPInstanceUID"],
        sop_class_uid=named["SOPClassUID"],
        transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
        digest=digest(content),
        path=path,
    )
    sender = str(meta.get("SendingApplicationEntityTitle", "")).strip()
    return Placed(instance, named["StudyInstanceUID"], named["SeriesInstanceUID"], sender)


def _data_set(content: bytes) -> bytes:
    return content[_META_LENGTH.stop + int.from_bytes(content[_META_LENGTH], "little") :]


def _transfer_syntax(content: bytes) -> bytes:
    at = content.find(_TRANSFER_SYNTAX, 0, _META_LENGTH.stop + int.from_bytes(content[_META_LENGTH], "little"))
    begin = at + len(_TRANSFER_SYNTAX) + _LENGTH_SIZE
    return content[begin : begin + int.from_bytes(content[begin - _LENGTH_SIZE : begin], "little")] if at >= 0 else b""
