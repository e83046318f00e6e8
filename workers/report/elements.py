"""Data elements as bytes, explicit VR little endian (PS3.5 sections 7.1.2 and 7.5.1), for what is there many times.

Comes in: keywords and values. Goes out: bytes, lengths given and even. Who puts elements into an item puts them in the
order of their tags.
"""

import struct
from collections.abc import Mapping
from functools import cache

from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.tag import Tag

_WHOLE, _REAL = {"US": "H", "UL": "I"}, {"FL": "f", "FD": "d"}
_ITEM = (0xFFFE, 0xE000)
_LONG = frozenset({"SQ", "UC", "UN", "UT"})  # four bytes for the length, PS3.5 table 7.1-1
_MOST = 0xFFFF


def text(keyword: str, value: str) -> bytes:
    """Return an element of a string of whatever kind, in ISO_IR 192, padded to an even length."""
    tag, vr = _named(keyword)
    content = value.encode()
    return _element(tag, vr, content + (b"\0" if vr == "UI" else b" ") * (len(content) % 2))


def whole(keyword: str, *values: int) -> bytes:
    """Return an element of unsigned whole numbers."""
    tag, vr = _named(keyword)
    return _element(tag, vr, struct.pack(f"<{len(values)}{_WHOLE[vr]}", *values))


def real(keyword: str, *values: float) -> bytes:
    """Return an element of floating point numbers; too many for a length of two bytes become UN (PS3.5 6.2.2)."""
    tag, vr = _named(keyword)
    content = struct.pack(f"<{len(values)}{_REAL[vr]}", *values)
    return _element(tag, vr if len(content) <= _MOST else "UN", content)


def item(*elements: bytes) -> bytes:
    """Return an item of a sequence."""
    content = b"".join(elements)
    return struct.pack("<HHI", *_ITEM, len(content)) + content


def sequence(keyword: str, *elements: bytes) -> bytes:
    """Return a sequence of one item."""
    return items(keyword, item(*elements))


def items(keyword: str, *encoded_items: bytes) -> bytes:
    """Return a sequence of items."""
    return _element(*_named(keyword), b"".join(encoded_items))


def reference(sop_class_uid: str, sop_instance_uid: str, frame: int | None = None) -> bytes:
    """Return the elements that refer to an instance, or to one frame of it (PS3.3 table 10-3)."""
    instance = text("ReferencedSOPClassUID", sop_class_uid) + text("ReferencedSOPInstanceUID", sop_instance_uid)
    return instance + (text("ReferencedFrameNumber", str(frame)) if frame else b"")


def encoded(element: DataElement) -> bytes:
    """Return an element as pydicom encodes it."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element)
    return buffer.getvalue()


def put(ds: Dataset, sequences: Mapping[str, bytes]) -> None:
    """Put encoded items into a data set that nobody changes any more, as if they had been read from a file with it."""
    tags = {Tag(_named(keyword)[0]): content for keyword, content in sequences.items()}
    for tag in tags:
        ds.pop(tag, None)
    correct_ambiguous_vr(ds, is_little_endian=True)  # pydicom does so of what was not read
    for tag, content in tags.items():
        ds[tag] = RawDataElement(tag, "SQ", len(content), content, 0, False, True)
    ds.set_original_encoding(False, True, convert_encodings(ds.SpecificCharacterSet))


def _element(tag: tuple[int, int], vr: str, content: bytes) -> bytes:
    if vr in _LONG:
        return struct.pack("<HH2sHI", *tag, vr.encode(), 0, len(content)) + content
    return struct.pack("<HH2sH", *tag, vr.encode(), len(content)) + content


@cache
def _named(keyword: str) -> tuple[tuple[int, int], str]:
    """Return group and element of an attribute, and its VR."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    return (tag.group, tag.element), dictionary_VR(tag)
