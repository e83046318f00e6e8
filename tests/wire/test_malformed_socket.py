"""Generated malformed files, thrown at a listener process by raw socket, where no library puts them right first."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .fuzz_pdus import associated
from .pdu import Item, Kind, Wire, p_data, pdv, store_rq
from .pdu import command as command_set
from .process import ListenerProcess
from .watch import Watch

_MEMORY = 3 * 2**30
_LONGEST = 200_000  # of a PDU that is agreed


def as_first_bytes(wire: Wire, content: bytes) -> None:
    """The file, to a listener that waits for an association request."""
    wire.say(content)


def as_association(wire: Wire, content: bytes) -> None:
    """The file, in an association request."""
    wire.say(Item(Kind.ASSOCIATE_RQ, content[:_LONGEST], wide=True).encode())


def as_pdus(wire: Wire, content: bytes) -> None:
    """The file, where PDUs are awaited."""
    associated(wire)
    wire.say(content)


def as_command(wire: Wire, content: bytes) -> None:
    """The file, as a command set."""
    associated(wire)
    wire.say(p_data(pdv(1, 3, content[:_LONGEST])))


def as_data_set(wire: Wire, content: bytes) -> None:
    """The file with its preamble and all, as the data set of a C-STORE request."""
    associated(wire)
    wire.say(p_data(pdv(1, 3, command_set(store_rq("2.25.4711")))))
    pieces = [content[begin : begin + _LONGEST] for begin in range(0, len(content), _LONGEST)]
    for index, piece in enumerate(pieces):
        wire.say(p_data(pdv(1, 2 if index == len(pieces) - 1 else 0, piece)))
    wire.hear(5)


_WAYS = (as_first_bytes, as_association, as_pdus, as_command, as_data_set)


@pytest.fixture
def watch(
    tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Watch]:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    home = tmp_path / "site" / "home"
    home.mkdir(parents=True)
    one = Watch(ListenerProcess(home, free_port(), memory=_MEMORY))
    yield one
    with capsys.disabled():
        sys.stdout.write(f"\n{one.table()}\n")
    assert one.process.end() == 0


def test_malformed_files_by_raw_socket(watch: Watch, test_data: Path) -> None:
    """Each file in each place of the protocol: the connection ends, the listener serves on and stored nothing of it."""
    folder = test_data / "malformed"
    if not folder.is_dir():
        pytest.skip(f"no malformed files in {folder}")
    files = sorted(folder.glob("*.dcm"))
    assert files

    def throw(path: Path, way: Callable[[Wire, bytes], None]) -> None:
        with watch.wire() as wire:
            way(wire, path.read_bytes())
            wire.hear_out()
        watch.note(way.__name__, wire)

    with ThreadPoolExecutor(8) as pool:
        for way in _WAYS:
            for done in [pool.submit(throw, path, way) for path in files]:
                done.result()
            watch.serves()
            watch.returns()
    watch.keeps_its_word()
    assert watch.counts["sent"] == len(_WAYS) * len(files)
    assert "stored" not in watch.counts
