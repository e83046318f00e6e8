"""CT slices that are wrong at the level of elements (PS3.5), in any transfer syntax, each from its own seed.

A slice is a list of elements; what is broken are VRs, lengths, values, order, nesting, pixel data and the ends. UIDs
that a request needs stay right unless it is they that are broken, so that much of it is stored and reaches stages 3 to
6.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
ENCAPSULATED = (RLELossless, JPEGLosslessSV1, JPEG2000Lossless, JPEGLSLossless, JPEGBaseline8Bit)
SYNTAXES = (*NATIVE, *ENCAPSULATED)
BOMB_BYTES = 512 * 2**20
SLICES = 12
ROWS = 16

_LONG = {b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OF"}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS = 0x7FE00010
_UIDS = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
_UID_VALUES = [
    b"",
    b"1..2",
    b".",
    b"..",
    b"../../../../../crlm-fuzz",
    b"/tmp/crlm-fuzz",
    b"1.2\\1.3",
    b"1.2.3/../../4",
    b"1" * 65,
    b"1." * 32_768,
    b"01.002",
    b"1.2.\0\0\0",
    b"\xff\xfe1.2",
]
_NUMBERS = [
    b"NaN",
    b"inf",
    b"-inf",
    b"1e400",
    b"1E-400",
    b"",
    b"x",
    b"0",
    b"-0",
    b"1\\NaN\\3",
    b"\\",
    b"9" * 400,
    b"1,5",
]
_MAGICS = [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x10JFIF\0", b"\xff\x4f\xff\x51", b"\x0f\0\0\0" + b"\xff" * 60]


@dataclass(frozen=True)
class Element:
    """An element: tag, VR, value, and the length that it claims (None: the truth)."""

    tag: int
    vr: bytes
    value: bytes
    length: int | None = None

    def encode(self, syntax: str) -> bytes:
        """Return its bytes."""
        end = ">" if syntax == ExplicitVRBigEndian else "<"
        length = len(self.value) if self.length is None else self.length
        head = struct.pack(end + "HH", self.tag >> 16, self.tag & 0xFFFF)
        if syntax == ImplicitVRLittleEndian or self.tag >> 16 == 0xFFFE:
            return head + struct.pack(end + "L", length) + self.value
        if self.vr in _LONG:
            return head + self.vr + struct.pack(end + "HL", 0, length) + self.value
        return head + self.vr + struct.pack(end + "H", length & 0xFFFF) + self.value


@dataclass(frozen=True)
class Broken:
    """A data set to be offered: what was done to it, and what the request says of it."""

    how: str
    syntax: str
    sop_instance_uid: str
    data_set: bytes


Elements = list[Element]
Change = Callable[[Random, Elements], Elements]


def elements_of(study: str, series: str, uid: str, index: int) -> Elements:
    """Return slice `index` of a good series."""

    def short(value: int) -> bytes:
        return struct.pack("<H", value)

    values = {
        0x00080008: (b"CS", b"ORIGINAL\\PRIMARY\\AXIAL"),
        0x00080016: (b"UI", CTImageStorage.encode()),
        0x00080018: (b"UI", uid.encode()),
        0x00080060: (b"CS", b"CT"),
        0x00100010: (b"PN", b"SECRET^NAME"),
        0x00100020: (b"LO", b"SECRET-ID"),
        0x00180050: (b"DS", b"3"),
        0x0020000D: (b"UI", study.encode()),
        0x0020000E: (b"UI", series.encode()),
        0x00200032: (b"DS", f"0\\0\\{3 * index}".encode()),
        0x00200037: (b"DS", b"1\\0\\0\\0\\1\\0"),
        0x00200052: (b"UI", b"1.2.3.99"),
        0x00280002: (b"US", short(1)),
        0x00280004: (b"CS", b"MONOCHROME2"),
        0x00280010: (b"US", short(ROWS)),
        0x00280011: (b"US", short(ROWS)),
        0x00280030: (b"DS", b"1\\1"),
        0x00280100: (b"US", short(16)),
        0x00280101: (b"US", short(16)),
        0x00280102: (b"US", short(15)),
        0x00280103: (b"US", short(1)),
        0x00281052: (b"DS", b"0"),
        0x00281053: (b"DS", b"1"),
        _PIXELS: (b"OW", bytes(2 * ROWS * ROWS)),
    }
    pad = {b"UI": b"\0"}
    return [
        Element(tag, vr, value + pad.get(vr, b" ") * (len(value) % 2)) for tag, (vr, value) in sorted(values.items())
    ]


def broken(rng: Random, study: str, series: str, index: int) -> Broken:
    """Return slice `index` of a series, wrong in one to three ways."""
    uid = f"2.25.{rng.getrandbits(120)}"
    syntax = rng.choice(SYNTAXES) if rng.random() < 0.5 else ExplicitVRLittleEndian
    elements = elements_of(study, series, uid, index)
    if syntax in ENCAPSULATED:
        elements = with_fragments(rng, elements)
    names = rng.choices(list(CHANGES), k=rng.choice([1, 1, 1, 2, 3]))
    for name in names:
        elements = CHANGES[name](rng, elements)
    data_set = b"".join(element.encode(syntax) for element in elements)
    if rng.random() < 0.1:
        names.append("cut")
        data_set = data_set[: rng.randrange(len(data_set) + 1)]
    if rng.random() < 0.1:
        names.append("flipped")
        data_set = flipped(rng, data_set)
    if syntax == DeflatedExplicitVRLittleEndian:
        data_set = deflated(rng, data_set)
    return Broken("+".join(names), syntax, uid, data_set)


def good(study: str, series: str, index: int, uid: str) -> Broken:
    """Return slice `index` of a series as it should be."""
    content = b"".join(element.encode(ExplicitVRLittleEndian) for element in elements_of(study, series, uid, index))
    return Broken("good", ExplicitVRLittleEndian, uid, content)


def bomb(study: str, series: str, uid: str) -> Broken:
    """Return a deflated slice of half a megabyte that is half a gigabyte when it is inflated."""
    elements = [one for one in elements_of(study, series, uid, 0) if one.tag != _PIXELS]
    packer = zlib.compressobj(9, wbits=-15)
    parts = [packer.compress(b"".join(one.encode(ExplicitVRLittleEndian) for one in elements))]
    parts.append(packer.compress(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, BOMB_BYTES)))
    parts += [packer.compress(bytes(2**20)) for _ in range(BOMB_BYTES // 2**20)]
    return Broken("bomb", DeflatedExplicitVRLittleEndian, uid, b"".join([*parts, packer.flush()]))


def deflated(rng: Random, data_set: bytes) -> bytes:
    """Return the data set deflated, one time in three wrongly."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data_set) + packer.flush()
    packed += bytes(len(packed) % 2)
    return rng.choice(
        [packed, packed, rng.choice([packed[:-9], flipped(rng, packed), data_set, b"", zlib.compress(data_set)])]
    )


def flipped(rng: Random, content: bytes) -> bytes:
    """Return the bytes with up to eight of them changed."""
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 9)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice([0, 1, 0x2F, 0x5C, 0x7F, 0x80, 0xFF])
    return bytes(changed)


def item(tag: int, value: bytes = b"", length: int | None = None) -> bytes:
    """Return an item or a delimiter, little endian."""
    announced = len(value) if length is None else length
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, announced & 0xFFFFFFFF) + value


def with_fragments(rng: Random, elements: Elements) -> Elements:
    """Replace the pixel data by fragments that no decoder should trust."""
    fragment = rng.choice([*_MAGICS, rng.randbytes(300), bytes(64)])
    count = rng.choice([0, 1, 1, 2, 500])
    lies = rng.choice([None, None, None, 0, 1, 0x7FFFFFFF, _UNDEFINED])
    table = rng.choice([b"", bytes(4), struct.pack("<LL", 0, 0xFFFFFFF0), b"\1\2\3"])
    body = item(_ITEM, table) + item(_ITEM, fragment + bytes(len(fragment) % 2), lies) * count
    body += rng.choice([item(_SEQUENCE_END), item(_SEQUENCE_END), item(_SEQUENCE_END), b"", item(_ITEM_END)])
    return [*(one for one in elements if one.tag != _PIXELS), Element(_PIXELS, b"OB", body, _UNDEFINED)]


def _some(rng: Random, elements: Elements, *, uids: bool = False) -> int:
    """Choose an element; one of the UIDs that a request needs only where they are meant."""
    fit = [index for index, one in enumerate(elements) if (one.tag in _UIDS) == uids]
    return rng.choice(fit or [0])


def _with(elements: Elements, index: int, element: Element) -> Elements:
    return [*elements[:index], element, *elements[index + 1 :]]


def _of(elements: Elements, *tags: int) -> list[int]:
    return [index for index, one in enumerate(elements) if one.tag in tags] or [0]


def vr(rng: Random, elements: Elements) -> Elements:
    """Another VR, or none that exists."""
    index = _some(rng, elements)
    return _with(
        elements, index, replace(elements[index], vr=rng.choice([b"SQ", b"UN", b"US", b"ZZ", b"\0\0", b"PN", b"OB"]))
    )


def length(rng: Random, elements: Elements) -> Elements:
    """A length that is not the value's."""
    index = _some(rng, elements)
    true = len(elements[index].value)
    wrong = rng.choice([0, 1, true + 1, true + 2, max(true - 1, 0), 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, _UNDEFINED])
    return _with(elements, index, replace(elements[index], length=wrong))


def value(rng: Random, elements: Elements) -> Elements:
    """Any value: empty, huge, noise, of many parts."""
    index = _some(rng, elements)
    wrong = rng.choice(
        [b"", bytes(64), rng.randbytes(30), b"\\" * 200, b"A" * 65_000, b"%n%s%p", b"'; DROP TABLE study;--"]
    )
    return _with(elements, index, replace(elements[index], value=wrong))


def uid(rng: Random, elements: Elements) -> Elements:
    """A UID that is none, that is a path, that is 64 KB long."""
    index = _some(rng, elements, uids=True)
    return _with(elements, index, replace(elements[index], value=rng.choice(_UID_VALUES), vr=b"UI"))


def number(rng: Random, elements: Elements) -> Elements:
    """What is no number where geometry and rescale are read."""
    index = rng.choice(_of(elements, 0x00180050, 0x00200032, 0x00200037, 0x00280030, 0x00281052, 0x00281053))
    return _with(elements, index, replace(elements[index], value=rng.choice(_NUMBERS)))


def pixels(rng: Random, elements: Elements) -> Elements:
    """A description of the pixels that they do not meet."""
    tags = (0x00280002, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103)
    index = rng.choice(_of(elements, *tags))
    wrong = struct.pack("<H", rng.choice([0, 1, 3, 7, 8, 15, 24, 32, 64, 128, 0x7FFF, 0xFFFF]))
    return _with(elements, index, replace(elements[index], value=wrong))


def frames(rng: Random, elements: Elements) -> Elements:
    """Frames in an image that has one, and colour without a palette."""
    count = rng.choice([b"0 ", b"-1", b"2 ", b"2147483648", b"x ", b""])
    colour = Element(0x00280004, b"CS", rng.choice([b"PALETTE COLOR ", b"RGB ", b"YBR_FULL", b"", b"x" * 300]))
    return sorted(
        [*(one for one in elements if one.tag != 0x00280004), colour, Element(0x00280008, b"IS", count)], key=_tag
    )


def data(rng: Random, elements: Elements) -> Elements:
    """Pixel data that is short, odd, empty, doubled or gone."""
    index = _of(elements, _PIXELS)[0]
    held = elements[index].value
    other = rng.choice([b"", held[: len(held) // 2], held + b"\0", held * 3, None])
    return (
        elements[:index] + elements[index + 1 :]
        if other is None
        else _with(elements, index, replace(elements[index], value=other))
    )


def nested(rng: Random, elements: Elements) -> Elements:
    """Sequences in sequences, up to a thousand, of defined and undefined lengths, with ends that are missing."""
    depth = rng.choice([1, 10, 100, 1000])
    defined, complete = rng.random() < 0.5, rng.random() < 0.7
    inner = Element(0x00081150, b"UI", b"1.2 ").encode(ExplicitVRLittleEndian)
    for _ in range(depth):
        if defined:
            inner = Element(0x00081140, b"SQ", item(_ITEM, inner)).encode(ExplicitVRLittleEndian)
        else:
            ends = item(_ITEM_END) + item(_SEQUENCE_END) if complete else b""
            body = item(_ITEM, inner, _UNDEFINED) + ends
            inner = Element(0x00081140, b"SQ", body, _UNDEFINED).encode(ExplicitVRLittleEndian)
    return sorted([*elements, Element(0x00081115, b"SQ", item(_ITEM, inner))], key=_tag)


def stray(rng: Random, elements: Elements) -> Elements:
    """Items and delimiters without a sequence, command and file meta elements, group lengths, private blocks."""
    strange = [
        Element(_ITEM, b"", b""),
        Element(_ITEM_END, b"", b""),
        Element(_SEQUENCE_END, b"", b"", 8),
        Element(0x00000100, b"US", b"\1\0"),
        Element(0x00020010, b"UI", ImplicitVRLittleEndian.encode() + b"\0"),
        Element(0x00080000, b"UL", b"\xff\xff\xff\xff"),
        Element(0x00090010, b"LO", b"BLOCK "),
        Element(0x00091001, b"UN", rng.randbytes(200)),
        Element(0x00091002, b"SQ", item(_ITEM, b"", 0x7FFFFFFF)),
        Element(0x60003000, b"OW", b""),
        Element(0xFFFFFFFF, b"UN", b""),
    ]
    index = rng.randrange(len(elements) + 1)
    return [*elements[:index], *rng.choices(strange, k=rng.choice([1, 2, 30])), *elements[index:]]


def order(rng: Random, elements: Elements) -> Elements:
    """Elements doubled, dropped or out of order."""
    index = _some(rng, elements)
    match rng.randrange(3):
        case 0:
            return [*elements[:index], elements[index], *elements[index:]]
        case 1:
            return elements[:index] + elements[index + 1 :]
        case _:
            return rng.sample(elements, len(elements))


def text(rng: Random, elements: Elements) -> Elements:
    """A character set that does not exist, or that the text does not keep to."""
    charset = rng.choice([b"ISO 2022 IR 87\\", b"ISO_IR 192", b"NONE", b"\\\\\\", b"ISO 2022 IR 149", b"\xff\xff"])
    name = rng.choice([b"\x1b$B\xff\xff", b"\xed\xa0\x80", b"\xc0\xaf../", b"=" * 256, b"a\0b", "Ж".encode() * 5_000])
    index = rng.choice(_of(elements, 0x00100010, 0x00100020))
    changed = _with(elements, index, replace(elements[index], value=name + b" " * (len(name) % 2)))
    return sorted([*changed, Element(0x00080005, b"CS", charset + b" " * (len(charset) % 2))], key=_tag)


def large(rng: Random, elements: Elements) -> Elements:
    """A text of megabytes."""
    return sorted([*elements, Element(0x00204000, b"UT", b"x" * rng.choice([70_000, 4_000_000]))], key=_tag)


def _tag(element: Element) -> int:
    return element.tag


CHANGES: dict[str, Change] = {
    change.__name__: change
    for change in (vr, length, value, uid, number, pixels, frames, data, nested, stray, order, text, large)
}
