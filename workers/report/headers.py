"""The headers of the slices of a series, read again for stage 9 without a parser's expense for each.

Comes in: instances. Goes out: for each a whole header, decoded, as pydicom reads it: no pixels, and nothing of the file
beside it. What can go wrong: a file that is gone or was changed (`Untrusted`). Next: `envelope`, which hands them on.

Slices of a series have most elements in common, byte by byte. Such an element is parsed once and the headers share it;
the parser sees only the elements in which a slice differs from the one before it that was parsed whole. A file that is
not written in the plainest way is parsed whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian

from node.core.dicom import COMPRESSED
from node.core.elements import elements, file_meta
from node.core.frames import header_copy
from node.core.records import Instance
from node.core.spool import Spool

# What tells the parser how to read the other elements; private creators as well.
_CONTEXT = frozenset((0x00080005, 0x00280103))  # Specific Character Set, Pixel Representation
_PIXEL_GROUP, _PIXEL_DATA = 0x7FE00000, b"\xe0\x7f\x10\x00"  # little endian
_EXPLICIT = frozenset(one.encode() for one in (ExplicitVRLittleEndian, *COMPRESSED))

_Encoded = Mapping[int, bytes]  # each element by its tag: tag, value representation, length and value


@dataclass(frozen=True)
class _Known:
    """A header that was parsed whole, and what it was read from."""

    encoded: _Encoded
    header: Dataset
    context: bytes


def read(instances: Sequence[Instance], spool: Spool) -> list[Dataset]:
    """Return the headers of instances; an element may be put into one or taken out, none may be changed.

    Raises
    ------
    Untrusted
        `input-incomplete`, `input-untrusted`: a file is gone, or is not the one that was received.
    """
    found: list[Dataset] = []
    known: _Known | None = None
    for instance in instances:
        content = spool.verified(instance)
        encoded = _walk(content)
        header = _like(encoded, known) if encoded and known else None
        if header is None:
            header = _parsed(content)
            known = _Known(encoded, header, _context(encoded)) if encoded else None
        found.append(header)
    return found


def _parsed(content: bytes) -> Dataset:
    """Return a header as the parser reads it; a copy, since what the parser returns holds the file."""
    ds = dcmread(BytesIO(content), stop_before_pixels=True)
    ds.decode()
    ds.SpecificCharacterSet = "ISO_IR 192"
    return header_copy(ds)


def _like(encoded: _Encoded, known: _Known) -> Dataset | None:
    """Return the header of a slice that is read as the known one is; else None."""
    own = [tag for tag, element in encoded.items() if known.encoded.get(tag) != element]
    absent = known.encoded.keys() - encoded.keys()
    if any(_is_context(tag) for tag in (*own, *absent)):
        return None
    parsed = read_dataset(BytesIO(known.context + b"".join(encoded[tag] for tag in own)), False, True)
    parsed.decode()
    found = {tag: one for tag, one in known.header.items() if tag not in absent}
    found.update((BaseTag(tag), parsed[tag]) for tag in own)
    return Dataset(found)


def _walk(content: bytes) -> _Encoded | None:
    """Return the elements before the pixel data; None where the file is not plain."""
    meta = file_meta(content)
    if meta is None or meta[0] not in _EXPLICIT:
        return None
    found, begin = {}, meta[1]
    for tag, _, at, length in elements(content, begin, len(content)):
        if tag >= _PIXEL_GROUP:
            break
        found[tag], begin = content[begin : at + length], at + length
    return found if content.startswith(_PIXEL_DATA, begin) else None


def _context(encoded: _Encoded) -> bytes:
    return b"".join(element for tag, element in encoded.items() if _is_context(tag))


def _is_context(tag: int) -> bool:
    return tag in _CONTEXT or (tag >> 16 & 1 == 1 and 0x10 <= tag & 0xFFFF <= 0xFF)
