"""An instance's file in the spool (stage 2): made, compared, read back.

The data set is kept as it came, behind file meta information of our own that names who sent it, so that the ledger can
be rebuilt from the spool.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian

from node.core.dicom import IMAGE_CLASSES, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, is_uid, read_header
from node.core.errors import Refused
from node.core.offer import Offer
from node.core.reasons import DoorRefusal
from node.core.records import Instance
from node.core.spool import digest
from node.glance import glance

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
    meta = b"".join(
        (
            _element(0x0001, b"OB", b"\0\1"),
            _element(0x0002, b"UI", offer.sop_class_uid.encode()),
            _element(0x0003, b"UI", offer.sop_instance_uid.encode()),
            _element(0x0010, b"UI", offer.transfer_syntax_uid.encode()),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode()),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode()),
            _element(0x0017, b"AE", offer.calling_ae_title.encode("ascii", "replace")),
            _element(0x0018, b"AE", offer.called_ae_title.encode("ascii", "replace")),
        )
    )
    length = _element(0x0000, b"UL", len(meta).to_bytes(4, "little"))
    return b"".join((_PREAMBLE, length, meta, *offer.data_set))


def same(one: bytes, other: bytes) -> bool:
    """Say whether two files hold the same instance, whoever sent them."""
    return _transfer_syntax(one) == _transfer_syntax(other) and _data_set(one) == _data_set(other)


def key(content: bytes) -> str:
    """Return what tells the variants of an instance apart, whoever sent them."""
    return digest(b"\0".join((_transfer_syntax(content), _data_set(content))))[:_KEY_LENGTH]


def header_uids(content: bytes, offer: Offer) -> Mapping[str, str]:
    """Return the UIDs that say what a composed file is and where it belongs, by keyword.

    Raises
    ------
    Refused
        `uid-invalid`, `dataset-unreadable`, `dataset-truncated`.
    """
    plain = offer.transfer_syntax_uid == ExplicitVRLittleEndian and offer.sop_class_uid in IMAGE_CLASSES
    found = glance(content, _data_set_begin(content)) if plain else None
    return found if found is not None else uids(read_header(content))


def uids(header: FileDataset) -> Mapping[str, str]:
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


def _element(name: int, vr: bytes, value: bytes) -> bytes:
    """Encode an element of group 0002 (PS3.5 section 7.1.2)."""
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    length = b"\0\0" + len(value).to_bytes(4, "little") if vr == b"OB" else len(value).to_bytes(2, "little")
    return b"".join((b"\2\0", name.to_bytes(2, "little"), vr, length, value))


def _data_set(content: bytes) -> bytes:
    return content[_data_set_begin(content) :]


def _data_set_begin(content: bytes) -> int:
    return _META_LENGTH.stop + int.from_bytes(content[_META_LENGTH], "little")


def _transfer_syntax(content: bytes) -> bytes:
    at = content.find(_TRANSFER_SYNTAX, 0, _data_set_begin(content))
    begin = at + len(_TRANSFER_SYNTAX) + _LENGTH_SIZE
    return content[begin : begin + int.from_bytes(content[begin - _LENGTH_SIZE : begin], "little")] if at >= 0 else b""
