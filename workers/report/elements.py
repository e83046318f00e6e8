"""Data elements as bytes, explicit VR little endian (PS3.5 sections 7.1.2 and 7.5.1), for what is there many times.

Comes in: keywords and values. Goes out: bytes, lengths given and even. Who puts elements into an item puts them in the
order of their tags.
"""

import struct
from functools import cache

from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.tag import Tag

_WHOLE = {"US": "H", "UL": "I"}
_ITEM = (0xFFFE, 0xE000)


def text(keyword: str, value: str) -> bytes:
    """Return an element of a UID, a code string or a number string, padded to an even length."""
    tag, vr = _named(keyword)
    content = value.encode("ascii")
    content += (b"\0" if vr == "UI" else b" ") * (len(content) % 2)
    return struct.pack("<HH2sH", *tag, vr.encode(), len(content)) + content


def whole(keyword: str, *values: int) -> bytes:
    """Return an element of unsigned whole numbers."""
    tag, vr = _named(keyword)
    content = struct.pack(f"<{len(values)}{_WHOLE[vr]}", *values)
    return struct.pack("<HH2sH", *tag, vr.encode(), len(content)) + content


def item(*elements: bytes) -> bytes:
    """Return an item of a sequence."""
    content = b"".join(elements)
    return struct.pack("<HHI", *_ITEM, len(content)) + content


def sequence(keyword: str, *elements: bytes) -> bytes:
    """Return a sequence of one item."""
    content = item(*elements)
    return struct.pack("<HH2sHI", *_named(keyword)[0], b"SQ", 0, len(content)) + content


def encoded(element: DataElement) -> bytes:
    """Return an element as pydicom encodes it."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element)
    return buffer.getvalue()


def put(ds: Dataset, keyword: str, items: bytes) -> None:
    """Put encoded items into a data set that nobody changes any more, as if they had been read from a file with it."""
    tag = Tag(_named(keyword)[0])
    ds.pop(tag, None)
    correct_ambiguous_vr(ds, is_little_endian=True)  # pydicom does so of what was not read
    ds[tag] = RawDataElement(tag, "SQ", len(items), items, 0, False, True)
    ds.set_original_encoding(False, True, convert_encodings(ds.SpecificCharacterSet))


@cache
def _named(keyword: str) -> tuple[tuple[int, int], str]:
    """Return group and element of an attribute, and its VR."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    return (tag.group, tag.element), dictionary_VR(tag)
