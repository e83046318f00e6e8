"""PDUs, items and command sets by hand, right or wrong (PS3.8 section 9.3, PS3.7 section 6.3), and a socket for them.

No library is asked: none would send what the tests of malformed input have to send.
"""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from .sender import CALLER

VERIFICATION, IMPLICIT = "1.2.840.10008.1.1", "1.2.840.10008.1.2"
C_STORE_RQ, C_STORE_RSP, C_ECHO_RQ = 0x0001, 0x8001, 0x0030
NO_DATA_SET = 0x0101
_CHUNK = 65_536


class Kind(IntEnum):
    """PDU types."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


@dataclass
class Item:
    """A PDU, an item or a sub-item: type, reserved byte, length, fixed fields, then bytes or further items.

    `length` is what it says of its length; None: the truth. A PDU has four bytes for it, an item two.
    """

    kind: int
    content: "bytes | list[Item]" = b""
    fields: bytes = b""
    length: int | None = None
    wide: bool = False

    def encode(self) -> bytes:
        """Return its bytes."""
        inner = self.content if isinstance(self.content, bytes) else b"".join(item.encode() for item in self.content)
        body = self.fields + inner
        announced = len(body) if self.length is None else self.length
        if self.wide:
            return struct.pack(">BBL", self.kind & 0xFF, 0, announced & 0xFFFFFFFF) + body
        return struct.pack(">BBH", self.kind & 0xFF, 0, announced & 0xFFFF) + body

    def walk(self) -> "Iterator[Item]":
        """Return it and all that lies in it."""
        yield self
        if not isinstance(self.content, bytes):
            for item in self.content:
                yield from item.walk()


def context(number: int, abstract: str, syntaxes: Sequence[str]) -> Item:
    """Return a proposed presentation context."""
    inner = [Item(0x30, abstract.encode()), *(Item(0x40, uid.encode()) for uid in syntaxes)]
    return Item(0x20, inner, bytes((number & 0xFF, 0, 0, 0)))


def associate_rq(
    contexts: Sequence[Item] | None = None, extras: Sequence[Item] = (), calling: str = CALLER, called: str = "NODE"
) -> Item:
    """Return an A-ASSOCIATE-RQ; contexts 1 (CT, explicit little endian) and 3 (verification) unless told otherwise."""
    if contexts is None:
        contexts = [context(1, CTImageStorage, [ExplicitVRLittleEndian]), context(3, VERIFICATION, [IMPLICIT])]
    user = [Item(0x51, struct.pack(">L", 16_384)), Item(0x52, b"1.2.3.4"), Item(0x55, b"FUZZ"), *extras]
    fields = struct.pack(">HH16s16s32s", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode(), bytes(32))
    return Item(1, [Item(0x10, b"1.2.840.10008.3.1.1.1"), *contexts, Item(0x50, user)], fields, wide=True)


def pdv(number: int, header: int, fragment: bytes, length: int | None = None) -> bytes:
    """Return a presentation data value; `header` has bit 0 for a command and bit 1 for the last fragment."""
    announced = len(fragment) + 2 if length is None else length
    return struct.pack(">LBB", announced & 0xFFFFFFFF, number & 0xFF, header & 0xFF) + fragment


def p_data(*values: bytes, length: int | None = None) -> bytes:
    """Return a P-DATA-TF of presentation data values."""
    return Item(Kind.DATA, b"".join(values), length=length, wide=True).encode()


def command(elements: Sequence[tuple[int, bytes]], group_length: int | None = None) -> bytes:
    """Return a command set: elements of group 0000, implicit little endian, behind their group length."""
    body = b"".join(struct.pack("<HHL", 0, element, len(value)) + value for element, value in elements)
    return struct.pack("<HHLL", 0, 0, 4, (len(body) if group_length is None else group_length) & 0xFFFFFFFF) + body


def text(value: str) -> bytes:
    """Return a UID as a value of even length."""
    raw = value.encode("latin-1")
    return raw + bytes(len(raw) % 2)


def number(value: int) -> bytes:
    """Return a value of VR US."""
    return struct.pack("<H", value & 0xFFFF)


def store_rq(sop_instance_uid: str, sop_class_uid: str = CTImageStorage, message: int = 1) -> list[tuple[int, bytes]]:
    """Return the elements of a C-STORE request."""
    return [
        (0x0002, text(sop_class_uid)),
        (0x0100, number(C_STORE_RQ)),
        (0x0110, number(message)),
        (0x0700, number(2)),
        (0x0800, number(1)),
        (0x1000, text(sop_instance_uid)),
    ]


def message(number: int, elements: Sequence[tuple[int, bytes]], data_set: bytes | None = None) -> bytes:
    """Return the P-DATA-TF PDUs of a DIMSE message."""
    pdus = [p_data(pdv(number, 3, command(elements)))]
    if data_set is not None:
        pieces = [data_set[begin : begin + _CHUNK] for begin in range(0, len(data_set), _CHUNK)] or [b""]
        pdus += [p_data(pdv(number, 2 if index == len(pieces) - 1 else 0, one)) for index, one in enumerate(pieces)]
    return b"".join(pdus)


def release_rq() -> bytes:
    """Return an A-RELEASE-RQ."""
    return Item(Kind.RELEASE_RQ, bytes(4), wide=True).encode()


@dataclass(frozen=True)
class Answer:
    """A PDU that came back."""

    kind: int
    body: bytes

    @property
    def command(self) -> dict[int, bytes]:
        """The elements of the command set in it, by element number."""
        found, rest = {}, self.body[6:]
        while len(rest) >= 8:
            _, element, length = struct.unpack("<HHL", rest[:8])
            found[element], rest = rest[8 : 8 + length], rest[8 + length :]
        return found

    @property
    def status(self) -> int | None:
        """The status of the response in it."""
        raw = self.command.get(0x0900)
        return int.from_bytes(raw, "little") if raw else None

    @property
    def accepted(self) -> list[int]:
        """The presentation contexts that an A-ASSOCIATE-AC accepts."""
        found, rest = [], self.body[68:]
        while len(rest) >= 4:
            kind, _, length = struct.unpack(">BBH", rest[:4])
            if kind == 0x21 and rest[6] == 0:
                found.append(rest[4])
            rest = rest[4 + length :]
        return found


@dataclass
class Wire:
    """A connection that says what it is told to say; `hung` is set where the other side neither answers nor ends."""

    port: int
    limit_s: float = 60.0
    heard: list[Answer] = field(default_factory=list)
    hung: bool = False

    def __enter__(self) -> Self:
        """Connect."""
        self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=self.limit_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def __exit__(self, *_: object) -> None:
        """Close it for good."""
        self._socket.close()

    def say(self, content: bytes) -> None:
        """Send bytes; that the other side has hung up shows in what is heard."""
        with suppress(OSError):
            self._socket.sendall(content)

    def hear(self, limit_s: float | None = None) -> Answer | None:
        """Return the next PDU; None at the end of the connection, or when the time is over, which is noted."""
        self._socket.settimeout(limit_s or self.limit_s)
        try:
            head = self._exactly(6)
            answer = Answer(head[0], self._exactly(int.from_bytes(head[2:6])))
        except TimeoutError:
            self.hung = self.hung or limit_s is None
            return None
        except (OSError, EOFError):
            return None
        self.heard.append(answer)
        return answer

    def hear_out(self) -> None:
        """Say that nothing more will come, and listen to the end."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        while self.hear() is not None:
            pass

    def _exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            if not (piece := self._socket.recv(count - len(content))):
                raise EOFError
            content += piece
        return content
