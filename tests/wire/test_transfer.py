"""C-STORE requests in every form that PS3.8 allows, and in some that it does not."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage

from node import transfer

from .conftest import Site
from .pdu import (
    C_ECHO_RQ,
    NO_DATA_SET,
    VERIFICATION,
    Kind,
    Wire,
    associate_rq,
    command,
    message,
    number,
    p_data,
    pdv,
    release_rq,
    store_rq,
    text,
)
from .sender import ct_slice, data_set_of, file_of

OpenSite = Callable[..., Site]
_CT, _ECHO = 1, 3  # presentation contexts
_COMMAND, _LAST = 1, 2


@pytest.fixture
def wire(site: Site) -> Wire:
    """A connection to the site, not open yet."""
    return Wire(site.port)


def _associate(wire: Wire) -> None:
    wire.say(associate_rq().encode())
    answer = wire.hear()
    assert answer is not None
    assert answer.kind == Kind.ASSOCIATE_AC


def _status(wire: Wire) -> int | None:
    answer = wire.hear()
    return answer.status if answer is not None and answer.kind == Kind.DATA else None


def _parts(ds: FileDataset) -> tuple[bytes, bytes]:
    return command(store_rq(ds.SOPInstanceUID)), data_set_of(file_of(ds))


def _usual(asked: bytes, data: bytes) -> Sequence[bytes]:
    return p_data(pdv(_CT, _COMMAND | _LAST, asked)), p_data(pdv(_CT, _LAST, data))


def _all_in_one(asked: bytes, data: bytes) -> Sequence[bytes]:
    return (p_data(pdv(_CT, _COMMAND | _LAST, asked), pdv(_CT, 0, data[:100]), pdv(_CT, _LAST, data[100:])),)


def _command_in_pieces(asked: bytes, data: bytes) -> Sequence[bytes]:
    return (
        p_data(pdv(_CT, _COMMAND, asked[:9])),
        p_data(pdv(_CT, _COMMAND, b""), pdv(_CT, _COMMAND, asked[9:30])),
        p_data(pdv(_CT, _COMMAND | _LAST, asked[30:]), pdv(_CT, 0, data[:50])),
        p_data(pdv(_CT, _LAST, data[50:])),
    )


def _data_in_crumbs(asked: bytes, data: bytes) -> Sequence[bytes]:
    crumbs = [pdv(_CT, 0, data[at : at + 3]) for at in range(0, len(data), 3)]
    return p_data(pdv(_CT, _COMMAND | _LAST, asked)), p_data(*crumbs), p_data(), p_data(pdv(_CT, _LAST, b""))


@pytest.mark.parametrize("form", [_usual, _all_in_one, _command_in_pieces, _data_in_crumbs])
def test_request_is_understood_however_it_is_cut(
    site: Site, wire: Wire, form: Callable[[bytes, bytes], Sequence[bytes]]
) -> None:
    """Fragments of any size, several in a PDU, command and data together: the bytes arrive as they were sent."""
    slices = [ct_slice() for _ in range(2)]
    with wire:
        _associate(wire)
        for ds in slices:
            for pdu in form(*_parts(ds)):
                wire.say(pdu)
            assert _status(wire) == 0
        wire.say(release_rq())
        assert wire.hear() is not None
    assert {data_set_of(path.read_bytes()) for path in site.files()} == {_parts(ds)[1] for ds in slices}


def test_answer_names_what_it_answers(wire: Wire) -> None:
    """Message ID, SOP class and instance come back, and no data set (PS3.7 table 9.3-2)."""
    ds = ct_slice()
    with wire:
        _associate(wire)
        wire.say(message(_CT, store_rq(ds.SOPInstanceUID, message=4711), _parts(ds)[1]))
        answer = wire.hear()
    assert answer is not None
    assert answer.command[0x0100] == number(0x8001)
    assert answer.command[0x0120] == number(4711)
    assert answer.command[0x0800] == number(NO_DATA_SET)
    assert (answer.command[0x0002], answer.command[0x1000]) == (text(CTImageStorage), text(ds.SOPInstanceUID))
    assert int.from_bytes(answer.command[0x0000], "little") == len(answer.body) - 6 - 12


def test_echoes_and_instances_take_turns(wire: Wire) -> None:
    """What is read here and what pynetdicom reads come over one association, in any order, without a pause."""
    echo = message(_ECHO, [(0x0002, text(VERIFICATION)), (0x0100, number(C_ECHO_RQ)), *_LONELY])
    with wire:
        _associate(wire)
        for _ in range(3):
            ds = ct_slice()
            wire.say(echo)
            assert _status(wire) == 0
            wire.say(message(_CT, store_rq(ds.SOPInstanceUID), _parts(ds)[1]))
            assert _status(wire) == 0


_LONELY = ((0x0110, number(1)), (0x0800, number(NO_DATA_SET)))


def test_requests_that_do_not_wait_are_all_answered(site: Site, wire: Wire) -> None:
    """Ten requests at once get ten answers."""
    with wire:
        _associate(wire)
        wire.say(
            b"".join(message(_CT, store_rq(ds.SOPInstanceUID), _parts(ds)[1]) for ds in (ct_slice() for _ in range(10)))
        )
        assert [_status(wire) for _ in range(10)] == [0] * 10
    assert len(site.files()) == 10


def _other_context(asked: bytes, data: bytes) -> bytes:
    return p_data(pdv(_CT, _COMMAND | _LAST, asked)) + p_data(pdv(_ECHO, _LAST, data))


def _command_within(asked: bytes, data: bytes) -> bytes:
    begun = p_data(pdv(_CT, _COMMAND | _LAST, asked)) + p_data(pdv(_CT, 0, data[:99]))
    return begun + p_data(pdv(_CT, _COMMAND | _LAST, asked))


def _more_after_the_last(asked: bytes, data: bytes) -> bytes:
    return p_data(pdv(_CT, _COMMAND | _LAST, asked)) + p_data(pdv(_CT, _LAST, data), pdv(_CT, _LAST, b"more"))


def _value_longer_than_its_pdu(asked: bytes, data: bytes) -> bytes:
    return p_data(pdv(_CT, _COMMAND | _LAST, asked)) + p_data(pdv(_CT, _LAST, data, length=len(data) + 99))


def _value_without_header(asked: bytes, data: bytes) -> bytes:
    return p_data(pdv(_CT, _COMMAND | _LAST, asked)) + p_data(b"\0\0\0")


@pytest.mark.parametrize(
    "wrong",
    [_other_context, _command_within, _more_after_the_last, _value_longer_than_its_pdu, _value_without_header],
)
def test_request_that_is_broken_off_ends_the_association(
    site: Site, wire: Wire, wrong: Callable[[bytes, bytes], bytes]
) -> None:
    """An invalid PDU within a request is answered by A-ABORT (PS3.8 table 9-10); nothing is kept; others are served."""
    with wire:
        _associate(wire)
        wire.say(wrong(*_parts(ct_slice())))
        answer = wire.hear()
    assert answer is not None
    assert answer.kind == Kind.ABORT
    assert site.files() == []
    site.peer.echo()


def test_instance_longer_than_is_held_ends_the_association(
    site: Site, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory has a limit: a data set beyond it is not read to its end."""
    monkeypatch.setattr(transfer, "MAXIMUM_INSTANCE_BYTES", 300)
    ds = ct_slice()
    with wire:
        _associate(wire)
        wire.say(message(_CT, store_rq(ds.SOPInstanceUID), _parts(ds)[1]))
        answer = wire.hear()
    assert answer is not None
    assert answer.kind == Kind.ABORT
    assert site.files() == []


def test_other_message_has_a_limit_too(site: Site, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pynetdicom gathers in memory, for a context that is not one, is broken off."""
    monkeypatch.setattr(transfer, "_MAXIMUM_OTHER_BYTES", 10_000)
    ds = ct_slice()
    with wire:
        _associate(wire)
        wire.say(p_data(pdv(77, _COMMAND | _LAST, _parts(ds)[0])))
        for _ in range(20):
            wire.say(p_data(pdv(77, 0, bytes(1_000))))
        answer = wire.hear()
    assert answer is not None
    assert answer.kind == Kind.ABORT
    site.peer.echo()


def test_trickling_pdu_is_given_up(open_site: OpenSite) -> None:
    """Bytes that come one by one keep an association no longer than the idle time, however many come."""
    site = open_site(association_idle_s=1.0)
    with Wire(site.port) as wire:
        _associate(wire)
        whole = b"".join(_usual(*_parts(ct_slice())))
        wire.say(whole[:200])
        begun = time.monotonic()
        while site.listener.door._server.open_conversations and time.monotonic() - begun < 60:  # type: ignore[union-attr]
            wire.say(whole[200:201])
            time.sleep(0.2)
    assert not site.listener.door._server.open_conversations  # type: ignore[union-attr]
    assert site.files() == []


def test_end_does_not_wait_for_the_rest_of_a_pdu(open_site: OpenSite) -> None:
    """A peer that stops in the middle of a PDU does not hold up the end of the listener."""
    before = set(threading.enumerate())
    site = open_site()
    with Wire(site.port) as wire:
        _associate(wire)
        wire.say(b"".join(_usual(*_parts(ct_slice())))[:300])
        time.sleep(0.3)
        site.listener.stop()
        assert wire.hear(20) is None or wire.heard[-1].kind == Kind.ABORT
    until = time.monotonic() + 20
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.05)
    assert set(threading.enumerate()) <= before
