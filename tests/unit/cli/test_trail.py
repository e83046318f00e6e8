"""The audit trail on the command line, and that what the processes write is readable by nobody else."""

import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from certificates import Authority

from node.core.ledger import Ledger, audit
from node.core.ledger.audit import Rejection

STUDY = "1.2.3.4"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """The ledger of the home of this test, with two entries."""
    one = Ledger(f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}")
    one.upgrade()
    said = Rejection.CALLER_UNKNOWN.sentence
    audit.note(one, audit.rejected(Rejection.CALLER_UNKNOWN, calling_ae_title="X", host="192.0.2.1", detail=said))
    audit.note(one, audit.commanded("replay", study_uid=STUDY))
    one.close()
    return one


def test_the_trail_is_printed_a_line_for_each_entry(ledger: Ledger, crlm_node: Callable[..., Any]) -> None:
    """Time, codes, outcome, who, where, study and what; a second look sees that there was a first."""
    rejected, commanded = crlm_node("audit").out.splitlines()
    assert rejected.split(" ", 1)[1] == (
        "110113/110126 E 8 X 192.0.2.1 - Node Authentication: caller-unknown: The calling AE title is not in the "
        "settings."
    )
    assert f" {STUDY} Use of Restricted Function: replay" in commanded
    assert crlm_node("audit").out.splitlines()[-1].endswith("Audit Log Used: 2 rows")


def test_the_trail_is_printed_from_a_time_and_of_a_study(ledger: Ledger, crlm_node: Callable[..., Any]) -> None:
    """What is asked for comes; a word that is no UID or no time is wrong use."""
    assert len(crlm_node("audit", "--study", STUDY).out.splitlines()) == 1
    assert crlm_node("audit", "--since", "2999-01-01").out == ""
    assert len(crlm_node("audit", "--since", "2026-01-01T00:00").out.splitlines()) == 4
    assert crlm_node("audit", "--study", "x").code == 2
    assert crlm_node("audit", "--since", "yesterday").code == 2


def test_the_trail_is_printed_as_messages_of_dicom(ledger: Ledger, crlm_node: Callable[..., Any]) -> None:
    """`--xml` prints one document with a message for each entry."""
    printed = fromstring(crlm_node("audit", "--xml").out)  # noqa: S314 - our own words
    assert [one.find("EventIdentification/EventID").get("csd-code") for one in printed] == ["110113"] * 2  # type: ignore[union-attr]


def test_a_process_writes_for_nobody_else(tmp_path: Path, crlm_node: Callable[..., Any]) -> None:
    """Whatever the umask it was started with: folders 0700, files 0600; start and stop stand in the trail."""
    home, log = tmp_path / "home", tmp_path / "log"
    command = [sys.executable, "-P", "-m", "node", "--config", str(tmp_path / "config.toml"), "steward"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, umask=0o022)
    try:
        until = time.monotonic() + 120
        while "110100/110120" not in crlm_node("audit").out and time.monotonic() < until:
            time.sleep(0.2)
        written = [home, *home.rglob("*")]
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    assert {path.name for path in written} >= {"ledger.sqlite", "spool", "instances", "steward.lock"}
    loose = {path: oct(path.lstat().st_mode) for path in written if path.exists() and _others(path)}
    assert loose == {}
    codes = [line.split()[1] for line in crlm_node("audit").out.splitlines()]
    assert [code for code in codes if code != "110101"] == ["110100/110120", "110100/110121"]


def _others(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode) & 0o077


@pytest.mark.parametrize("command", [("listen",), ("config", "check")])
def test_a_key_that_others_may_read_stops_the_start(
    ledger: Ledger, tmp_path: Path, crlm_node: Callable[..., Any], command: tuple[str, ...]
) -> None:
    """One sentence that names the setting, the file and the cure."""
    authority = Authority(tmp_path / "authority")
    own = authority.issue("node")
    own.key.chmod(0o640)
    config = tmp_path / "config.toml"
    section = f'[tls]\ncertificate = "{own.certificate}"\nkey = "{own.key}"\nauthorities = "{authority.file}"\n'
    config.write_text(config.read_text() + section)
    done = crlm_node(*command)
    assert (done.code, done.sentence) == (1, f"tls.key: {own.key} is readable by others: chmod 600 {own.key}")
