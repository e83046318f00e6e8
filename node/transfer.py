"""The short way of a C-STORE request (stage 1): from the connection to its answer in one thread.

In: the connection of an association that pynetdicom has negotiated. Out: a `StoreRequest` to the conversation, whose
answer goes back at once. pynetdicom looks for data a thousand times a second, in two threads, and copies each byte
several times; so C-STORE requests are read here (PS3.7 section 9.3.1, PS3.8 section 9.3.5), and everything else
(echoes, reports, release, abort, what is malformed) is put back for pynetdicom to read.

What can go wrong: a PDU that does not belong into the request that it interrupts, or an instance longer than we hold
(the association is aborted); a connection that ends or falls silent. Who is next: `association`, which answers.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from node.connection import BoundedSocket

MAXIMUM_PDU_BYTES = 262_144
MAXIMUM_INSTANCE_BYTES = 2**30  # 2,000 slices of 512 x 512 in one
_LONGEST_COMMAND_BYTES = 2**16
_KEPT_BUFFERS = 8
_MAXIMUM_OTHER_BYTES = 4 * 2**20  # of any other message: a report of thousands of instances has less
_TICK_S = 0.05  # so often a thread that waits for data looks whether the association is to end

_P_DATA, _PDU = 0x04, struct.Struct(">BxL")  # PS3.8 table 9-22
_PDV, _COMMAND, _LAST = struct.Struct(">LBB"), 0x01, 0x02  # PS3.8 table 9-23 and annex E.2
_ELEMENT = struct.Struct("<HHL")
_C_STORE_RQ, _C_STORE_RSP, _NO_DATA_SET = 0x0001, 0x8001, 0x0101
_LONGEST_UID = 64
# Elements of a command set, all of group 0000 (PS3.7 section E.1).
_LENGTH, _SOP_CLASS, _FIELD, _MESSAGE_ID, _REPLIED_TO = 0x0000, 0x0002, 0x0100, 0x0110, 0x0120
_DATA_SET_TYPE, _STATUS, _COMMENT, _SOP_INSTANCE = 0x0800, 0x0900, 0x0902, 0x1000

_TRANSFER_READY = "Sta6"  # PS3.8 table 9-10
_CLOSED, _INVALID_PDU = "Evt17", "Evt19"


@dataclass(frozen=True)
class StoreRequest:
    """A C-STORE request, nothing of it checked but that its presentation context was accepted.

    `data_set` is in pieces, which are valid until the request is answered.
    """

    context: PresentationContext
    sop_class_uid: str
    sop_instance_uid: str
    data_set: tuple[memoryview, ...]


@dataclass(frozen=True)
class StoreAnswer:
    """A status (PS3.4 table B.2-1) and its Error Comment (0000,0902)."""

    status: int
    comment: str = ""


class _NotHere(Exception):
    """The message is not ours to read; what was read of it has been put back."""


class _Invalid(Exception):
    """What came cannot come here: the association is aborted."""


class StoreTransfer:
    """Reads an association's C-STORE requests in pynetdicom's upper layer thread, in place of its own reading.

    Parameters
    ----------
    assoc
        The association, not started yet.
    connection
        Its connection.
    answer
        What answers a request.
    """

    def __init__(
        self, assoc: Association, connection: BoundedSocket, answer: Callable[[StoreRequest], StoreAnswer]
    ) -> None:
        self._assoc, self._dul, self._connection, self._answer = assoc, assoc.dul, connection, answer
        self._pass_on = assoc.dul._is_transport_event  # noqa: SLF001 - there is no public way
        self._passed_bytes = 0
        self._buffers: list[bytearray] = []
        self._used_buffers = 0
        assoc.dul._is_transport_event = self._look  # type: ignore[method-assign]  # noqa: SLF001

    def close(self) -> None:
        """Let go of the association, which knows us and holds our buffers with it until Python looks for such rings."""
        self._assoc.dul._is_transport_event = self._pass_on  # type: ignore[method-assign]  # noqa: SLF001
        self._buffers.clear()

    def _look(self) -> bool:
        """Serve C-STORE requests as long as they come; say whether anything has been read just now."""
        if self._dul.state_machine.current_state != _TRANSFER_READY:
            return self._pass_on()
        if self._assoc.dimse.message is not None:
            return self._pass_on_within()
        try:
            return self._serve_all()
        except _NotHere:
            self._passed_bytes = 0
            return self._pass_on()
        except _Invalid:
            self._dul.event_queue.put(_INVALID_PDU)
        except OSError:
            self._dul.event_queue.put(_CLOSED)
        finally:
            self._assoc._reactor_checkpoint.set()  # noqa: SLF001
        return True

    def _serve_all(self) -> bool:
        served = False
        while self._comes(patient=served):
            # The association's own thread would look for messages all the while.
            self._assoc._reactor_checkpoint.clear()  # noqa: SLF001
            context_id, command, begun = self._command()
            data_set = self._data_set(context_id, begun)
            self._send(context_id, command, self._answer(self._request(context_id, command, data_set)))
            self._dul._idle_timer.restart()  # noqa: SLF001
            served = True
        return served and not self._dul.idle_timer_expired()

    def _comes(self, *, patient: bool) -> bool:
        """Say whether a message comes; with patience, wait for it while pynetdicom does not need this thread."""
        while patient and not self._wanted():
            if self._connection.readable(_TICK_S):
                return True
        return not patient and self._connection.readable(0.0)

    def _wanted(self) -> bool:
        """Say whether pynetdicom has something to send, or to end."""
        ends = self._dul._kill_thread or self._assoc._kill or self._dul.idle_timer_expired()  # noqa: SLF001
        return ends or not self._dul.to_provider_queue.empty()

    def _pass_on_within(self) -> bool:
        """Let pynetdicom read on in a message that it has begun, which has a limit too."""
        before = self._connection.received
        passed = self._pass_on()
        self._passed_bytes += self._connection.received - before
        if self._passed_bytes > _MAXIMUM_OTHER_BYTES:
            self._dul.event_queue.put(_INVALID_PDU)
        return passed

    def _command(self) -> tuple[int, Mapping[int, bytes], list["_Value"]]:
        """Read the command set of a C-STORE request, and what came with it of the data set; put anything else back."""
        read, encoded, complete = bytearray(), bytearray(), False
        self._used_buffers = 0
        while not complete and len(read) < _LONGEST_COMMAND_BYTES:
            kind, length = _PDU.unpack(head := self._exactly(_PDU.size))
            read += head
            if kind != _P_DATA:
                break
            read += (content := self._content(length))
            values = _values(content)
            while values and values[0].is_command and not complete:
                value = values.pop(0)
                encoded += value.content
                complete = value.is_last
            if complete and self._is_store(value.context_id, command := _elements(encoded)):
                return value.context_id, command, values
            if values:
                break
        self._connection.put_back(read)
        raise _NotHere

    def _is_store(self, context_id: int, command: Mapping[int, bytes]) -> bool:
        accepted = context_id in self._assoc._accepted_cx  # noqa: SLF001
        return accepted and _number(command, _FIELD) == _C_STORE_RQ and _number(command, _DATA_SET_TYPE) != _NO_DATA_SET

    def _data_set(self, context_id: int, values: list["_Value"]) -> tuple[memoryview, ...]:
        """Read the rest of the data set."""
        data_set: list[memoryview] = []
        held = 0
        while True:
            for number, value in enumerate(values, 1):
                if value.is_command or value.context_id != context_id:
                    raise _Invalid
                data_set.append(value.content)
                held += len(value.content)
                if held > MAXIMUM_INSTANCE_BYTES or (value.is_last and number < len(values)):
                    raise _Invalid
                if value.is_last:
                    return tuple(data_set)
            kind, length = _PDU.unpack(head := self._exactly(_PDU.size))
            if kind != _P_DATA:
                self._connection.put_back(head)
                raise _NotHere
            values = _values(self._content(length))

    def _content(self, length: int) -> memoryview:
        """Read the content of a PDU, into memory that the next request uses again."""
        if length > MAXIMUM_PDU_BYTES or self._used_buffers == _KEPT_BUFFERS:
            return memoryview(self._exactly(length))
        if self._used_buffers == len(self._buffers):
            self._buffers.append(bytearray(MAXIMUM_PDU_BYTES))
        view = memoryview(self._buffers[self._used_buffers])[:length]
        self._used_buffers += 1
        if self._connection.fill(view) < length:
            raise ConnectionResetError
        return view

    def _exactly(self, count: int) -> bytearray:
        content = self._connection.recv(count)
        if len(content) < count:
            raise ConnectionResetError
        return content

    def _request(self, context_id: int, command: Mapping[int, bytes], data_set: tuple[memoryview, ...]) -> StoreRequest:
        sop_class, sop_instance = (
            command.get(name, b"").rstrip(b"\0 ").decode("ascii", "replace") for name in (_SOP_CLASS, _SOP_INSTANCE)
        )
        return StoreRequest(self._assoc._accepted_cx[context_id], sop_class, sop_instance, data_set)  # noqa: SLF001

    def _send(self, context_id: int, command: Mapping[int, bytes], answer: StoreAnswer) -> None:
        """Answer (PS3.7 table 9.3-2)."""
        elements = {
            _SOP_CLASS: command.get(_SOP_CLASS, b"")[:_LONGEST_UID],
            _FIELD: _short(_C_STORE_RSP),
            _REPLIED_TO: _short(_number(command, _MESSAGE_ID)),
            _DATA_SET_TYPE: _short(_NO_DATA_SET),
            _STATUS: _short(answer.status),
            _COMMENT: _padded(answer.comment.encode("ascii", "replace")),
            _SOP_INSTANCE: command.get(_SOP_INSTANCE, b"")[:_LONGEST_UID],
        }
        encoded = b"".join(_encoded(name, value) for name, value in elements.items() if value)
        content = _encoded(_LENGTH, len(encoded).to_bytes(4, "little")) + encoded
        value = _PDV.pack(len(content) + 2, context_id, _COMMAND | _LAST) + content
        self._connection.send(_PDU.pack(_P_DATA, len(value)) + value)


@dataclass(frozen=True, slots=True)
class _Value:
    """A presentation data value."""

    context_id: int
    is_command: bool
    is_last: bool
    content: memoryview


def _values(content: memoryview) -> list[_Value]:
    """Take the content of a P-DATA-TF apart (PS3.8 section 9.3.5)."""
    values: list[_Value] = []
    at = 0
    while at < len(content):
        if len(content) - at < _PDV.size:
            raise _Invalid
        length, context_id, flags = _PDV.unpack_from(content, at)
        end = at + 4 + length
        if length < 2 or end > len(content):
            raise _Invalid
        held = content[at + _PDV.size : end]
        values.append(_Value(context_id, bool(flags & _COMMAND), bool(flags & _LAST), held))
        at = end
    return values


def _elements(content: bytearray) -> dict[int, bytes]:
    """Decode a command set: implicit VR little endian, group 0000 alone (PS3.7 section 6.3.1); none of a faulty one."""
    elements: dict[int, bytes] = {}
    at = 0
    while len(content) - at >= _ELEMENT.size:
        group, name, length = _ELEMENT.unpack_from(content, at)
        at += _ELEMENT.size
        if group != 0 or length > len(content) - at:
            return {}
        elements[name] = bytes(content[at : at + length])
        at += length
    return elements if at == len(content) else {}


def _number(command: Mapping[int, bytes], name: int) -> int:
    return int.from_bytes(command.get(name, b"")[:2], "little")


def _short(number: int) -> bytes:
    return number.to_bytes(2, "little")


def _padded(text: bytes) -> bytes:
    return text + b" " * (len(text) % 2)


def _encoded(name: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0, name, len(value)) + value
