"""The elements of an encoded data set, walked through without a parser's expense.

Comes in: bytes in explicit VR little endian (PS3.5 section 7.1.2). Goes out: where each element stands, its value not
read. What can go wrong: nothing is raised; the walk ends where anything is not plain, and who walks has then not seen
what it looks for, and asks the parser. Next: `node.glance` at the door, `workers.plain` where slices are read,
`workers.report.headers` where results are made of them.
"""

import struct
from collections.abc import Iterator

_SHORT, _LONG_LENGTH = struct.Struct("<HH2sH"), struct.Struct("<L")  # PS3.5 section 7.1.2
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_ITEM = struct.Struct("<4sL")
_ITEM_BEGIN, _ITEM_END, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
_UNDEFINED_LENGTH = 0xFFFFFFFF
_DEEPEST = 6  # sequences within each other
_FIRST_GROUP = 0x0008
_META_BEGIN, _META_LENGTH, _META_LENGTH_END = 132, 140, 144  # PS3.10 section 7.1; the length always comes first
_TRANSFER_SYNTAX, _META_GROUP = 0x00020010, 0x0002
PIXEL_DATA = 0x7FE00010


def file_meta(content: bytes) -> tuple[bytes, int] | None:
    """Return the transfer syntax that a file names, and where its data set begins.

    None where the file meta information is anything else, or does not end where it says.
    """
    begin = _META_LENGTH_END + int.from_bytes(content[_META_LENGTH:_META_LENGTH_END], "little")
    if begin > len(content) or content[128:_META_BEGIN] != b"DICM":
        return None
    syntax, end = b"", _META_BEGIN
    for tag, _, at, length in elements(content, _META_BEGIN, begin, first_group=_META_GROUP):
        if tag >> 16 != _META_GROUP:
            return None
        if tag == _TRANSFER_SYNTAX:
            syntax = content[at : at + length].rstrip(b"\0")
        end = at + length
    return (syntax, begin) if end == begin else None


def elements(
    data: bytes, at: int, end: int, depth: int = 0, first_group: int = _FIRST_GROUP
) -> Iterator[tuple[int, bytes, int, int]]:
    """Yield tag, VR, begin and length of each value, as long as everything is plain; the pixel data comes last."""
    last = 0
    while at + _SHORT.size <= end:
        group, element, vr, length = _SHORT.unpack_from(data, at)
        at += _SHORT.size
        if vr in _LONG_VRS and at + _LONG_LENGTH.size <= end:
            (length,) = _LONG_LENGTH.unpack_from(data, at)
            at += _LONG_LENGTH.size
        elif vr not in _SHORT_VRS:
            return
        tag = group << 16 | element
        if length == _UNDEFINED_LENGTH and vr == b"SQ" and depth < _DEEPEST:
            length = _sequence_length(data, at, end, depth + 1)
        if tag <= last or group < first_group or length % 2:  # an undefined length is odd
            return
        yield tag, vr, at, length
        last, at = tag, at + length
        if tag >= PIXEL_DATA:
            return


def _sequence_length(data: bytes, begin: int, end: int, depth: int) -> int:
    """Return the length of a sequence of undefined length and its delimiter (PS3.5 section 7.5); -1: not plain."""
    at = begin
    while at + _ITEM.size <= end:
        tag, length = _ITEM.unpack_from(data, at)
        at += _ITEM.size
        if tag == _SEQUENCE_END:
            return at - begin if length == 0 else -1
        if tag != _ITEM_BEGIN:
            return -1
        limit = end if length == _UNDEFINED_LENGTH else at + length
        if limit > end:
            return -1
        inside = at
        for _, _, value_at, value_length in elements(data, at, limit, depth):
            inside = value_at + value_length
        if length == _UNDEFINED_LENGTH:
            if inside + _ITEM.size > end or _ITEM.unpack_from(data, inside) != (_ITEM_END, 0):
                return -1
            inside += _ITEM.size
        elif inside != limit:
            return -1
        at = inside
    return -1
