"""A glance at an encoded data set (stage 2): what a plain CT slice is, without a parser's expense.

In: a data set in explicit VR little endian. Out: the values that intake reads, or None where anything is not plain:
encapsulated pixels, an unusual character set, a value that is not as it should be. Then the parser looks, and says
what is wrong: a glance accepts, it never refuses, and it accepts nothing that the parser would refuse.
"""

from collections.abc import Callable, Mapping

from node.core.dicom import is_uid
from node.core.elements import PIXEL_DATA, elements

_CHARACTER_SET = 0x00080005
_CHARACTER_SETS = {b"": "ascii", b"ISO_IR 6": "ascii", b"ISO_IR 100": "latin-1", b"ISO_IR 192": "utf-8"}

_UIDS = {
    0x00080016: "SOPClassUID",
    0x00080018: "SOPInstanceUID",
    0x0020000D: "StudyInstanceUID",
    0x0020000E: "SeriesInstanceUID",
}
_TEXTS = (0x00080008, 0x00080060, 0x0008103E, 0x00100010, 0x00100020)
_DECIMALS = (0x00180050, 0x00200032, 0x00200037, 0x00280030)
_ROWS, _COLUMNS, _ALLOCATED, _SAMPLES, _FRAMES = 0x00280010, 0x00280011, 0x00280100, 0x00280002, 0x00280008
_SIZES = (_ROWS, _COLUMNS, _ALLOCATED)


def glance(content: bytes, begin: int = 0) -> Mapping[str, str] | None:
    """Return the four UIDs by keyword, where the data set that begins there is plain and whole; else None."""
    wanted = {_CHARACTER_SET, *_UIDS, *_TEXTS, *_DECIMALS, *_SIZES, _SAMPLES, _FRAMES}
    values: dict[int, bytes] = {}
    vrs: dict[int, bytes] = {}
    for tag, vr, at, length in elements(content, begin, len(content)):
        if tag == PIXEL_DATA:
            whole = vr in (b"OW", b"OB") and at + length <= len(content)
            return _checked(values, vrs, length) if whole else None
        if tag in wanted:
            values[tag], vrs[tag] = content[at : at + length], vr
    return None


def _checked(values: Mapping[int, bytes], vrs: Mapping[int, bytes], held: int) -> Mapping[str, str] | None:
    """Return the UIDs, where each value that is read later can be read."""
    encoding = _CHARACTER_SETS.get(values.get(_CHARACTER_SET, b"").rstrip(b" \0"))
    wanted = {_SAMPLES: b"US", _FRAMES: b"IS", **dict.fromkeys(_DECIMALS, b"DS"), **dict.fromkeys(_UIDS, b"UI")}
    if encoding is None or any(vrs.get(tag, vr) != vr for tag, vr in wanted.items()):
        return None
    if any(vrs.get(tag) != b"US" or len(values[tag]) != 2 for tag in _SIZES) or any(tag not in vrs for tag in _UIDS):
        return None
    try:
        for tag in _TEXTS:
            values.get(tag, b"").decode(encoding)
        for tag in _DECIMALS:
            _numbers(values.get(tag, b""), float)
        frames = _numbers(values.get(_FRAMES, b""), int) or [1]
        uids = {keyword: values[tag].rstrip(b"\0 ").decode("ascii") for tag, keyword in _UIDS.items()}
    except ValueError:
        return None
    rows, columns, allocated = (int.from_bytes(values[tag], "little") for tag in _SIZES)
    samples = int.from_bytes(values.get(_SAMPLES, b"")[:2], "little") or 1
    needed = rows * columns * allocated * samples * frames[0]
    plain = all(map(is_uid, uids.values()))  # of another value the parser may read something else
    return uids if plain and len(frames) == 1 and 0 <= needed <= held * 8 else None


def _numbers(value: bytes, kind: Callable[[str], float]) -> list[float]:
    text = value.decode("ascii").strip(" \0")
    return [kind(number.strip()) for number in text.split("\\")] if text else []
