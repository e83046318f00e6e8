"""C-MOVE to a real listener: what comes, what every answer means, and how a move ends that does not go well."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from pacs import Pacs, serving
from pydicom.uid import MRImageStorage

from node.core import query as module
from node.core.errors import Unavailable
from node.core.peer import Peer
from node.core.query import Moved
from node.core.reasons import Outage
from node.core.settings import CallingPeer

from .conftest import Site
from .sender import ct_slice

STUDY, SERIES = "1.2.3", "1.2.3.4"
KEYS = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}


@pytest.fixture
def receiver(open_site: Callable[..., Site]) -> Site:
    """A listener that the archive may call."""
    return open_site(calling=(CallingPeer(ae_title="PACS", hosts=("127.0.0.1",)),))


@pytest.fixture
def pacs(free_port: Callable[[], int], receiver: Site) -> Iterator[Pacs]:
    """An archive that holds a series of four slices and knows the listener."""
    held = [ct_slice(StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, SOPInstanceUID=f"1.9.{n}") for n in range(4)]
    with serving(Pacs(free_port(), held=held, knows={"NODE": receiver.port}), []) as running:
        yield running


def move(pacs: Pacs, destination: str = "NODE", **how: object) -> Moved:
    """Move the series."""
    with Peer("PACS", "127.0.0.1", pacs.port, "NODE").inquiring(moving=True) as inquiry:
        return inquiry.move("SERIES", KEYS, destination, **how)  # type: ignore[arg-type]


def test_a_series_is_sent_to_us(pacs: Pacs, receiver: Site) -> None:
    """Every slice is stored once the move is answered; pending answers count the sub-operations down."""
    heard: list[Moved] = []
    moved = move(pacs, on_progress=heard.append)
    assert (moved.status, moved.completed, moved.failed, moved.fault) == (0, 4, 0, "")
    assert [(one.completed, one.remaining, one.total) for one in heard] == [(1, 3, 4), (2, 2, 4), (3, 1, 4), (4, 0, 4)]
    assert all(receiver.row(f"1.9.{n}") for n in range(4))
    (asked,) = pacs.moves
    assert (asked.QueryRetrieveLevel, asked.StudyInstanceUID, asked.SeriesInstanceUID) == ("SERIES", STUDY, SERIES)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xA701, "A701, out of resources: it cannot say how many objects there are (4 of 4 failed)"),
        (0xA702, "A702, out of resources: it could not send the objects to us (4 of 4 failed)"),
        (0xA900, "A900, the request does not match its model (4 of 4 failed)"),
        (0xC001, "C001, unable to process (4 of 4 failed)"),
        (0x0122, "0122, SOP class not supported: a matter of its configuration (4 of 4 failed)"),
        (0x0124, "0124, not authorised: a matter of its configuration (4 of 4 failed)"),
    ],
)
def test_a_failure_is_said_in_words(pacs: Pacs, status: int, words: str) -> None:
    """What the status means decides what a person does; nothing is taken for sent."""
    pacs.move_statuses = [status]
    moved = move(pacs)
    assert (moved.status, moved.fault) == (status, f"C-MOVE answered {words}")


def test_a_destination_that_is_not_known(pacs: Pacs) -> None:
    """A801 has words of its own: it is a matter of the archive's configuration."""
    moved = move(pacs, "ELSEWHERE")
    assert (moved.status, moved.fault) == (0xA801, "C-MOVE answered A801, it does not know the destination")


def test_objects_that_failed_are_counted_and_named(pacs: Pacs, receiver: Site) -> None:
    """B000: one object is of a class that we do not take; the others are stored, and this one is named."""
    pacs.held[2].SOPClassUID = pacs.held[2].file_meta.MediaStorageSOPClassUID = MRImageStorage
    moved = move(pacs)
    assert (moved.status, moved.completed, moved.failed, moved.failed_uids) == (0xB000, 3, 1, ("1.9.2",))
    assert moved.fault == "C-MOVE answered B000, some objects were not sent (1 of 4 failed)"
    assert receiver.row("1.9.3") is not None


def test_a_move_is_cancelled_when_told_to_stop(pacs: Pacs) -> None:
    """One C-CANCEL is sent; the archive's own last answer ends the move, with what was sent until then."""
    pacs.move_pause_s = 0.5
    stop = threading.Event()
    begun = time.monotonic()
    moved = move(pacs, on_progress=lambda _: stop.set(), stop=stop)
    assert (moved.status, moved.completed, moved.remaining) == (0xFE00, 1, 3)
    assert moved.fault == "C-MOVE answered FE00, cancelled"
    assert time.monotonic() - begun < 5
    assert pacs.cancels == 1
    assert pacs.ended[-1:] != ["aborted"]


def test_a_move_that_goes_on_is_cancelled_once(pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive may send all that it had begun with: its answers are heard to the end, and it is not asked again."""
    monkeypatch.setattr("pynetdicom.service_class.ServiceClass.is_cancelled", lambda *_: False)
    pacs.move_pause_s = 0.2
    stop = threading.Event()
    stop.set()
    assert move(pacs, stop=stop).completed == 4
    assert pacs.cancels == 1


def test_an_archive_that_does_not_heed_the_cancel(pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its grace the association is aborted: a stop is not held up."""
    monkeypatch.setattr(module, "CANCEL_PATIENCE_S", 0.3)
    monkeypatch.setattr("pynetdicom.service_class.ServiceClass.is_cancelled", lambda *_: False)
    pacs.move_pause_s = 2.0
    stop = threading.Event()
    stop.set()
    begun = time.monotonic()
    assert move(pacs, stop=stop).status is None
    assert time.monotonic() - begun < 2


def test_pending_answers_keep_a_slow_move_alive(pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is of each answer, not of the whole: four slices, each within it, take longer than it."""
    monkeypatch.setattr(module, "MOVE_SILENCE_S", 4.0)
    pacs.move_pause_s = 1.2
    begun = time.monotonic()
    assert move(pacs).fault == ""
    assert time.monotonic() - begun > 4.0


def test_an_archive_that_falls_silent(pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for longer than the limit; the association is aborted, so that a late word cannot confuse."""
    monkeypatch.setattr(module, "MOVE_SILENCE_S", 0.3)
    pacs.move_pause_s = 3.0
    begun = time.monotonic()
    moved = move(pacs)
    assert (moved.status, moved.completed) == (None, 0)
    assert moved.fault == "the archive fell silent before C-MOVE was answered"
    assert time.monotonic() - begun < 2.5


def test_an_association_that_is_lost(pacs: Pacs) -> None:
    """What had been counted is told, and that no end was answered."""
    pacs.move_abort_after = 2
    moved = move(pacs)
    assert (moved.status, moved.completed, moved.remaining) == (None, 2, 2)
    assert moved.fault == "the archive ended the association before C-MOVE was answered"


def test_an_archive_without_move(free_port: Callable[[], int]) -> None:
    """Queries are accepted and moves are not: said by name, before anything is asked."""
    with serving(Pacs(free_port()), [], moving=False) as pacs, pytest.raises(Unavailable) as caught:
        move(pacs)
    assert caught.value.code is Outage.DESTINATION_REFUSED
    assert caught.value.detail == "it does not offer C-MOVE of the Study Root model"
