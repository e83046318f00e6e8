"""Conversations that break the rules of PS3.8 and PS3.7, each from its own seed.

Each starts from what is right and is changed where the standard has structure: items and sub-items of an association
request, PDU and PDV framing, command sets, kinds of messages, fragments, states.
"""

import struct
from collections.abc import Callable
from random import Random

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from .pdu import (
    C_ECHO_RQ,
    IMPLICIT,
    NO_DATA_SET,
    VERIFICATION,
    Answer,
    Item,
    Kind,
    Wire,
    associate_rq,
    command,
    context,
    message,
    number,
    p_data,
    pdv,
    release_rq,
    store_rq,
    text,
)
from .sender import ct_slice, data_set_of, file_of

_BRIEF_S = 0.15  # where nothing has to be answered
_MESSAGES = (0x01, 0x10, 0x20, 0x21, 0x30, 0x100, 0x110, 0x120, 0x130, 0x140, 0x150, 0xFFF, 0x4242)
_ECHO = [(0x0002, text(VERIFICATION)), (0x0100, number(C_ECHO_RQ)), (0x0110, number(1)), (0x0800, number(NO_DATA_SET))]

Talk = Callable[[Random, Wire], None]


def a_slice() -> tuple[str, bytes]:
    """Return a good slice of a study of its own: SOP Instance UID and data set."""
    ds = ct_slice()
    return str(ds.SOPInstanceUID), data_set_of(file_of(ds))


def associated(wire: Wire, request: Item | None = None) -> Answer | None:
    """Ask for an association as one should; return what was answered."""
    wire.say((request or associate_rq()).encode())
    return wire.hear()


def noise(rng: Random, most: int = 200) -> bytes:
    """Return random bytes."""
    return rng.randbytes(rng.choice([0, 1, 3, rng.randrange(most), most]))


def change(rng: Random, item: Item) -> None:  # noqa: C901 - one case for each way
    """Break one item below or at `item`, in one way."""
    chosen = rng.choice(list(item.walk()))
    children = None if isinstance(chosen.content, bytes) else chosen.content
    true = len(chosen.encode()) - (6 if chosen.wide else 4)
    match rng.randrange(9):
        case 0:
            chosen.length = rng.choice([0, 1, true - 1, true + 1, 2 * true, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])
        case 1:
            chosen.kind = rng.choice([0, 0x10, 0x20, 0x21, 0x30, 0x40, 0x50, 0x51, 0x54, 0x58, 0x60, 0xFF])
        case 2:
            chosen.content = noise(rng, 70_000)
        case 3:
            chosen.content = b""
        case 4:
            chosen.fields = noise(rng, len(chosen.fields) + 8)
        case 5 if children:
            children.extend([rng.choice(children)] * rng.choice([1, 2, 50]))
        case 6 if children:
            children.pop(rng.randrange(len(children)))
        case 7 if children:
            rng.shuffle(children)
        case 8 if children:
            children.insert(rng.randrange(len(children)), Item(rng.randrange(256), noise(rng)))
        case _:
            inner = bytearray(chosen.content if isinstance(chosen.content, bytes) else chosen.encode())
            for _ in range(rng.randrange(1, 4)):
                if inner:
                    inner[rng.randrange(len(inner))] = rng.choice([0, 0x2F, 0x80, 0xFF])
            chosen.content = bytes(inner)


def user_items(rng: Random) -> list[Item]:
    """Return what a peer may negotiate besides (PS3.7 annex D.3.3), and what nobody has heard of."""
    uid = text(rng.choice([CTImageStorage, VERIFICATION, "1.2", "", "9" * 65]))
    name, word = noise(rng, 300), noise(rng, 300)
    identity = struct.pack(">BBH", rng.randrange(7), rng.randrange(3), len(name)) + name + struct.pack(">H", len(word))
    choices = [
        Item(0x53, struct.pack(">HH", rng.choice([0, 1, 0xFFFF]), rng.choice([0, 1, 0xFFFF]))),
        Item(0x54, struct.pack(">H", len(uid)) + uid + rng.randbytes(2)),
        Item(0x54, struct.pack(">H", 0xFFFF) + uid),
        Item(0x56, struct.pack(">H", len(uid)) + uid + noise(rng)),
        Item(0x57, struct.pack(">H", len(uid)) + uid + struct.pack(">H", 4) + noise(rng)),
        Item(0x58, identity + word),
        Item(rng.randrange(0x59, 0x100), noise(rng)),
    ]
    return rng.choices(choices, k=rng.choice([1, 2, 100]))


def association_items(rng: Random, wire: Wire) -> None:
    """An association request with one to three broken places."""
    request = associate_rq(extras=user_items(rng) if rng.random() < 0.5 else ())
    for _ in range(rng.randrange(1, 4)):
        change(rng, request)
    wire.say(request.encode())
    answer = wire.hear(_BRIEF_S)
    if answer is not None and answer.kind == Kind.ASSOCIATE_AC:
        _echo(wire)
    wire.hear_out()


def association_contexts(rng: Random, wire: Wire) -> None:
    """No context, 300 of them, even or repeated numbers, no abstract syntax, many transfer syntaxes."""
    many = [
        context(rng.choice([2 * index + 1, index, 1]), rng.choice([CTImageStorage, "", "x" * 64, "1.2.3"]), syntaxes)
        for index in range(rng.choice([0, 1, 127, 128, 129, 300]))
        if (syntaxes := rng.choice([[], [ExplicitVRLittleEndian], [IMPLICIT] * 60, ["/etc/passwd"]])) is not None
    ]
    answer = associated(wire, associate_rq(many, user_items(rng)))
    if answer is not None and answer.kind == Kind.ASSOCIATE_AC:
        wire.say(message(rng.randrange(256), _ECHO))
        wire.hear(_BRIEF_S)
    wire.hear_out()


def titles(rng: Random, wire: Wire) -> None:
    """AE titles of impossible bytes, of others, of nobody."""
    request = associate_rq()
    title = rng.choice(
        [bytes(16), b" " * 16, b"\xff" * 16, b"TESTER\\NODE\n\r\0\0 ", b"'; DROP TABLE--;", rng.randbytes(16)]
    )
    fields = bytearray(request.fields)
    begin = rng.choice([4, 20])
    fields[begin : begin + 16] = title.ljust(16)
    fields[0:2] = rng.choice([b"\0\1", b"\0\0", b"\xff\xff"])
    request.fields = bytes(fields)
    associated(wire, request)
    wire.hear_out()


def framing(rng: Random, wire: Wire) -> None:
    """PDUs of unknown type, of wrong length, empty, or of noise, before and after an association is made."""
    if rng.random() < 0.6:
        associated(wire)
    length = rng.choice([None, 0, 1, 5, 70_000, 0x7FFFFFFF, 0xFFFFFFFF])
    wire.say(Item(rng.choice([*range(9), 0x80, 0xFF]), noise(rng, 5_000), length=length, wide=True).encode())
    wire.hear(_BRIEF_S)
    wire.say(noise(rng, 5_000))
    wire.hear_out()


def states(rng: Random, wire: Wire) -> None:
    """Right PDUs in an order that no state allows: PS3.8 table 9-10 from its other side."""
    uid, data_set = a_slice()
    pdus: list[bytes] = [
        associate_rq().encode(),
        Item(Kind.ASSOCIATE_AC, associate_rq().encode()[6:], wide=True).encode(),
        Item(Kind.ASSOCIATE_RJ, bytes((0, 1, 1, 1)), wide=True).encode(),
        message(1, store_rq(uid), data_set),
        p_data(pdv(1, 1, command(store_rq(uid))[:20])),
        message(3, _ECHO),
        release_rq(),
        Item(Kind.RELEASE_RP, bytes(4), wide=True).encode(),
        Item(Kind.ABORT, bytes((0, 0, rng.randrange(256), rng.randrange(256))), wide=True).encode(),
    ]
    if rng.random() < 0.8:
        associated(wire)
    for _ in range(rng.randrange(1, 5)):
        wire.say(rng.choice(pdus))
        if rng.random() < 0.5:
            wire.hear(_BRIEF_S)
    wire.hear_out()


def kinds(rng: Random, wire: Wire) -> None:
    """Messages of every kind, requests and responses that nobody asked for, with and without a data set."""
    associated(wire)
    for _ in range(rng.randrange(1, 4)):
        kind = rng.choice(_MESSAGES) | rng.choice([0, 0x8000])
        bears = rng.random() < 0.5
        elements = [
            (0x0002, text(rng.choice([CTImageStorage, VERIFICATION, ""]))),
            (0x0100, number(kind)),
            (0x0110 if kind < 0x8000 else 0x0120, number(rng.choice([0, 1, 0xFFFF]))),
            (0x0800, number(rng.choice([1, 0]) if bears else NO_DATA_SET)),
            (0x0900, number(rng.choice([0, 0xFF00, 0xC000]))),
            (0x1000, text("1.2.3")),
            (0x1008, number(rng.randrange(4))),
        ]
        wire.say(message(rng.choice([1, 3]), elements, noise(rng) if bears else None))
        wire.hear(_BRIEF_S)
    wire.hear_out()


def command_sets(rng: Random, wire: Wire) -> None:
    """Command sets with missing, doubled, odd and huge elements, and group lengths that lie."""
    associated(wire)
    uid, data_set = a_slice()
    elements = store_rq(uid)
    for _ in range(rng.randrange(1, 3)):
        index = rng.randrange(len(elements))
        element, value = elements[index]
        match rng.randrange(6):
            case 0:
                elements.pop(index)
            case 1:
                elements.insert(index, (element, noise(rng)))
            case 2:
                elements[index] = (element, value[:-1])
            case 3:
                elements[index] = (element, rng.choice([b"", b"\xff" * 65_536, b"../" * 20, b"\\" * 64, noise(rng)]))
            case 4:
                elements.append((rng.randrange(0x10000), noise(rng)))
            case _:
                rng.shuffle(elements)
    raw = bytearray(command(elements, rng.choice([None, None, 0, 1, 0xFFFFFFFF])))
    if rng.random() < 0.3:
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    wire.say(p_data(pdv(1, 3, bytes(raw))) + p_data(pdv(1, 2, data_set)))
    wire.hear(4 * _BRIEF_S)
    wire.hear_out()


def fragments(rng: Random, wire: Wire) -> None:
    """A C-STORE in fragments that are doubled, dropped, swapped, of another context or of another length."""
    associated(wire)
    uid, data_set = a_slice()
    size = rng.choice([1, 7, 100, len(data_set)])
    asked = command(store_rq(uid))
    parts: list[tuple[int, int, bytes, int | None]] = [(1, 1, asked[:30], None), (1, 3, asked[30:], None)]
    cuts = range(0, len(data_set), size)
    parts += [(1, 2 if begin + size >= len(data_set) else 0, data_set[begin : begin + size], None) for begin in cuts]
    for _ in range(rng.randrange(1, 4)):
        index = rng.choice([0, 1, 2, rng.randrange(len(parts)), len(parts) - 1]) % len(parts)
        place, header, fragment, _ = parts[index]
        match rng.randrange(7):
            case 0:
                wrong = rng.choice([0, 1, 2, len(fragment) + 1, len(fragment) + 3, 0x7FFFFFFF, 0xFFFFFFFF])
                parts[index] = (place, header, fragment, wrong)
            case 1:
                parts[index] = (rng.choice([0, 2, 3, 5, 255]), header, fragment, None)
            case 2:
                parts[index] = (place, rng.choice([0, 1, 2, 3, 4, 0x80, 0xFF]), fragment, None)
            case 3:
                parts.insert(index, parts[index])
            case 4 if len(parts) > 1:
                parts.pop(index)
            case 5:
                parts.insert(index, (3, 3, command(_ECHO), None))
            case _:
                other = rng.randrange(len(parts))
                parts[index], parts[other] = parts[other], parts[index]
    wire.say(b"".join(p_data(pdv(*part)) for part in parts))
    wire.hear(4 * _BRIEF_S)
    wire.hear_out()


def cuts(rng: Random, wire: Wire) -> None:
    """A conversation that is right, and ends in the middle of a byte stream."""
    uid, data_set = a_slice()
    whole = message(1, store_rq(uid), data_set) + release_rq()
    if rng.random() < 0.2:
        request = associate_rq().encode()
        wire.say(request[: rng.randrange(len(request))])
    else:
        associated(wire)
        wire.say(whole[: rng.randrange(len(whole))])
    if rng.random() < 0.5:
        wire.hear_out()


def _echo(wire: Wire) -> None:
    wire.say(message(3, _ECHO))
    wire.hear(_BRIEF_S)


TALKS: dict[str, Talk] = {
    talk.__name__: talk
    for talk in (
        association_items,
        association_contexts,
        titles,
        framing,
        states,
        kinds,
        command_sets,
        fragments,
        cuts,
    )
}
