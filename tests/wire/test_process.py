"""The listener as the process that a site runs."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from node.core.ledger import Ledger
from node.core.ledger.tables import Association, StoredInstance
from node.core.spool import Spool, digest

from .process import ListenerProcess
from .sender import associate, ct_slice, offer_slice


@pytest.fixture
def process(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[ListenerProcess]:
    """A running listener process."""
    running = ListenerProcess(tmp_path, free_port())
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_signal_ends_it_cleanly(process: ListenerProcess, number: int) -> None:
    """With an association open it stores, aborts that association at the signal, notes it, and ends with 0."""
    ds = ct_slice()
    assoc = associate(process.settings.port)
    assert offer_slice(assoc, ds) == 0
    assert process.end(number) == 0
    ledger = Ledger(process.settings.ledger)
    with ledger.transaction() as session:
        assert [row.outcome for row in session.query(Association)] == ["aborted"]
        assert session.get(StoredInstance, ds.SOPInstanceUID) is not None
    ledger.close()
    log = process.log.read_text()
    assert "Traceback" not in log
    assert "SECRET" not in log


def test_what_was_answered_survives_a_kill(process: ListenerProcess) -> None:
    """Killed right after 0x0000, without a chance to tidy: the file is there, whole, and so is the row."""
    slices = [ct_slice() for _ in range(5)]
    assoc = associate(process.settings.port)
    assert [offer_slice(assoc, ds) for ds in slices] == [0] * 5
    assert process.end(signal.SIGKILL) == -signal.SIGKILL
    ledger, spool = Ledger(process.settings.ledger), Spool(process.settings.spool_dir)
    with ledger.transaction() as session:
        rows = list(session.query(StoredInstance))
    ledger.close()
    assert {row.sop_instance_uid for row in rows} == {ds.SOPInstanceUID for ds in slices}
    for row in rows:
        assert spool.write("work/copy", spool.read(row.path)) == row.digest


def test_two_listeners_serve_one_port(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """Both take associations, also of one study; one is killed, the other serves on; ledger and spool are whole."""
    port = free_port()
    first, second = ListenerProcess(tmp_path, port), ListenerProcess(tmp_path, port, log="log2")
    until = time.monotonic() + 60
    while '"event": "listening"' not in second.log.read_text() and time.monotonic() < until:
        time.sleep(0.05)  # the first has answered for both
    try:
        study = generate_uid()
        slices = [ct_slice(StudyInstanceUID=study) for _ in range(40)]

        def send(ds: FileDataset) -> int:
            assoc = associate(port)
            status = offer_slice(assoc, ds)
            assoc.release()
            return status

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(send, slices)) == {0}
        for one in (first, second):
            assert '"event": "association-accepted"' in one.log.read_text()
        first.process.kill()
        first.process.wait()
        assert send(late := ct_slice(StudyInstanceUID=study)) == 0
    finally:
        first.process.kill()
        second.end()
    ledger, spool = Ledger(first.settings.ledger), Spool(first.settings.spool_dir)
    with ledger.transaction() as session:
        rows = list(session.query(StoredInstance))
    ledger.close()
    assert {row.sop_instance_uid for row in rows} == {ds.SOPInstanceUID for ds in (*slices, late)}
    assert {row.digest for row in rows} == {digest(spool.read(row.path)) for row in rows}


def test_ledger_of_another_version_stops_the_start(tmp_path: Path) -> None:
    """Without a schema of this version it does not listen, and says what to do."""
    config = tmp_path / "config.toml"
    config.write_text(f'home = "{tmp_path}"\nport = 1\n')
    done = subprocess.run(
        [sys.executable, "-m", "node.listen"],
        env={"CRLM_NODE_CONFIG": str(config), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "the ledger has schema None" in done.stderr
    assert "start the steward" in done.stderr
