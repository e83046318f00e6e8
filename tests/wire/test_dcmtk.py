"""DCMTK as the other side: an implementation that nobody here wrote."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from foreign import foreign

from node.core.errors import Unavailable
from node.core.peer import Peer

from .conftest import Site
from .sender import CALLER, ct_slice, data_set_of, file_of

_ENV = {**os.environ, "TCP_NODELAY": "1"}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dcmtk() -> Run:
    """Return a function that runs a program of DCMTK."""
    if foreign("storescu") is None:
        (pytest.fail if os.environ.get("CRLM_TEST_REQUIRE_ALL") else pytest.skip)("dcmtk is missing")

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(foreign(program)), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=_ENV)

    return run


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    """Five slices as files."""
    folder = tmp_path / "slices"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.dcm").write_bytes(file_of(ct_slice()))
    return sorted(folder.iterdir())


def _caller(site: Site, calling: str = CALLER) -> list[str]:
    return ["-aet", calling, "-aec", "NODE", "127.0.0.1", str(site.port)]


def test_echoscu_is_answered(site: Site, dcmtk: Run) -> None:
    """A known caller's echo succeeds, a stranger is told why not."""
    assert dcmtk("echoscu", *_caller(site)).returncode == 0
    stranger = dcmtk("echoscu", *_caller(site, "STRANGER"))
    assert stranger.returncode != 0
    assert "Calling AE Title Not Recognized" in stranger.stderr


def test_storescu_stores(site: Site, dcmtk: Run, slices: list[Path]) -> None:
    """All are stored with success, and lie in the spool byte by byte; sending them again succeeds."""
    for _ in range(2):
        done = dcmtk("storescu", "-v", *_caller(site), *map(str, slices))
        assert done.returncode == 0, done.stderr
        assert (done.stdout + done.stderr).count("Received Store Response (Success)") == 5
    assert {data_set_of(path.read_bytes()) for path in site.files()} == {
        data_set_of(path.read_bytes()) for path in slices
    }


def test_storescu_reads_our_refusal(site: Site, dcmtk: Run, slices: list[Path]) -> None:
    """The status and the comment of a refusal arrive."""
    slices[0].write_bytes(file_of(ct_slice(Rows=17)))
    done = dcmtk("storescu", "-d", *_caller(site), str(slices[0]))
    assert "0xc000" in done.stdout + done.stderr
    assert "dataset-truncated" in done.stdout + done.stderr


@pytest.fixture
def storescp(tmp_path: Path, free_port: Callable[[], int], dcmtk: Run) -> Iterator[tuple[Peer, Path]]:
    """A running storescp, and the folder that it writes to."""
    folder, port = tmp_path / "received", free_port()
    folder.mkdir()
    process = subprocess.Popen(
        [str(foreign("storescp")), "-aet", "PACS", "-od", str(folder), "+B", str(port)], env=_ENV
    )
    peer = Peer("PACS", "127.0.0.1", port, "NODE")
    until = time.monotonic() + 20
    while True:
        try:
            peer.echo()
            break
        except Unavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
    yield peer, folder
    process.terminate()
    process.wait()


def test_our_client_stores_to_storescp(storescp: tuple[Peer, Path], slices: list[Path]) -> None:
    """What storescp wrote, bit by bit as it came, holds the data sets that we sent."""
    peer, folder = storescp
    outcomes = peer.store(slices)
    assert [(outcome.status, outcome.error) for outcome in outcomes] == [(0, None)] * 5
    assert {data_set_of(path.read_bytes()) for path in folder.iterdir()} == {
        data_set_of(path.read_bytes()) for path in slices
    }
