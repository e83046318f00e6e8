"""A slice that is like another one, read without a parser's expense (stage 6).

Comes in: the bytes of a single-frame image, and a slice of the same series that was parsed. Goes out: the `Slice`, or
None where the image is not plain, or differs from the other in anything that is read of a slice beside its UID, its
position and its pixels: then the parser looks. A glance refuses nothing, and gives what the parser would have given:
what is not compared byte by byte, position and UID, is read only where it is written in the plainest way.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from node.core.dicom import is_uid
from node.core.elements import PIXEL_DATA, elements, file_meta
from workers.pixels import Slice, Values

_SOP_INSTANCE_UID, _POSITION = 0x00080018, 0x00200032
_ALLOCATED, _STORED, _HIGH, _SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_SAMPLES, _PHOTOMETRIC, _ROWS, _COLUMNS = 0x00280002, 0x00280004, 0x00280010, 0x00280011
# Everything else that is read of a slice, by `workers.pixels` and by `workers.acquisition`, and how it is read.
_THE_SAME: Final = frozenset(
    (
        0x00080005,  # Specific Character Set
        0x00080016,  # SOP Class UID
        0x00080070,  # Manufacturer
        0x00100020,  # Patient ID
        0x00120062,  # Patient Identity Removed
        0x00181000,  # Device Serial Number
        0x00200037,  # Image Orientation (Patient)
        0x00200052,  # Frame of Reference UID
        _SAMPLES,
        _PHOTOMETRIC,
        0x00280008,  # Number of Frames
        _ROWS,
        _COLUMNS,
        0x00280030,  # Pixel Spacing
        _ALLOCATED,
        _STORED,
        _HIGH,
        _SIGNED,
        0x00280120,  # Pixel Padding Value
        0x00280121,  # Pixel Padding Range Limit
        0x00281052,  # Rescale Intercept
        0x00281053,  # Rescale Slope
        0x00282110,  # Lossy Image Compression
    )
)
_PIXEL_GROUP = 0x7FE00000
_PLAIN_POSITION = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:\\-?[0-9]+(?:\.[0-9]+)?){2} ?")
_PLAIN_DECIMAL_LENGTH = 16  # PS3.5 section 6.2

_Raw = tuple[bytes, bytes]  # value representation and value


@dataclass(frozen=True)
class Pattern:
    """What the slices that follow are compared with: a slice as the parser reads it, and what it was read from."""

    slice: Slice
    values: Mapping[int, _Raw]
    bits_stored: int
    dtype: str


@dataclass(frozen=True)
class _Walked:
    values: dict[int, _Raw]
    pixels_at: int
    pixels_length: int


def pattern(content: bytes, parsed: Slice) -> Pattern | None:
    """Return a parsed slice as the pattern for those that follow; None where it is itself not plain enough."""
    walked = _walk(content)
    if walked is None:
        return None
    values = walked.values
    numbers = {tag: _unsigned(values.get(tag)) for tag in (_SAMPLES, _ALLOCATED, _STORED, _HIGH, _SIGNED)}
    stored, signed = numbers[_STORED], numbers[_SIGNED]
    plain = (
        numbers[_SAMPLES] == 1
        and numbers[_ALLOCATED] == 16
        and stored is not None
        and 1 <= stored <= 16
        and numbers[_HIGH] == stored - 1
        and signed in (0, 1)
        and values.get(_PHOTOMETRIC, (b"", b""))[1].rstrip(b" ") in (b"MONOCHROME1", b"MONOCHROME2")
        and 0x00280008 not in values
        and _unsigned(values.get(_ROWS)) == parsed.plane.rows
        and _unsigned(values.get(_COLUMNS)) == parsed.plane.columns
        and walked.pixels_length == parsed.plane.rows * parsed.plane.columns * 2
    )
    if not plain or stored is None:
        return None
    return Pattern(parsed, _compared(values), stored, "<i2" if signed else "<u2")


def like(content: bytes, one: Pattern) -> Slice | None:
    """Return a slice that differs from the pattern in nothing but UID, position and pixels; else None."""
    walked = _walk(content)
    if walked is None or _compared(walked.values) != one.values:
        return None
    where, begin = one.slice.plane, walked.pixels_at
    uid, position = walked.values.get(_SOP_INSTANCE_UID), walked.values.get(_POSITION)
    if uid is None or position is None or (uid[0], position[0]) != (b"UI", b"DS"):
        return None
    name = uid[1].rstrip(b"\0").decode("ascii", "replace")
    numbers = position[1].strip(b" ").split(b"\\")
    plain = _PLAIN_POSITION.fullmatch(position[1]) and max(map(len, numbers)) <= _PLAIN_DECIMAL_LENGTH
    if not is_uid(name) or not plain or walked.pixels_length != where.rows * where.columns * 2:
        return None
    x, y, z = map(float, numbers)
    return replace(
        one.slice,
        plane=replace(where, sop_instance_uid=name, position_mm=(x, y, z)),
        decode=lambda: _decoded(content, begin, one),
    )


def _decoded(content: bytes, begin: int, one: Pattern) -> Values:
    """Return the stored values; bits that are not stored say nothing (PS3.5 section 8.1.1)."""
    rows, columns = one.slice.plane.rows, one.slice.plane.columns
    stored: Values = np.frombuffer(content, one.dtype, rows * columns, begin).reshape(rows, columns)
    unused = 16 - one.bits_stored
    if unused:
        stored = np.left_shift(stored, unused)
        np.right_shift(stored, unused, out=stored)
    return stored


def _compared(values: Mapping[int, _Raw]) -> dict[int, _Raw]:
    return {tag: raw for tag, raw in values.items() if tag in _THE_SAME}


def _walk(content: bytes) -> _Walked | None:
    """Return the values that are read, and where the pixels lie; None where the file is not plain and whole."""
    meta = file_meta(content)
    if meta is None or meta[0] != ExplicitVRLittleEndian.encode():
        return None
    values: dict[int, _Raw] = {}
    for tag, vr, at, length in elements(content, meta[1], len(content)):
        if tag == PIXEL_DATA:
            whole = vr == b"OW" and at + length == len(content)
            return _Walked(values, at, length) if whole else None
        if tag >= _PIXEL_GROUP:  # pixels of another kind
            return None
        if tag in _THE_SAME or tag in (_SOP_INSTANCE_UID, _POSITION):
            values[tag] = vr, content[at : at + length]
    return None


def _unsigned(raw: _Raw | None) -> int | None:
    return int.from_bytes(raw[1], "little") if raw is not None and raw[0] == b"US" and len(raw[1]) == 2 else None
