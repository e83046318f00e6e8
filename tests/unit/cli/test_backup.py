"""The commands that save a home and bring it back: what they print, and their exit codes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.core.ledger import SCHEMA, Ledger
from node.core.settings import Settings
from node.core.spool import Spool


@pytest.fixture
def home(tmp_path: Path, crlm_node: Callable[..., Any]) -> Settings:
    """The home that `crlm_node` runs in, with a ledger and a spool."""
    settings = Settings(home=tmp_path / "home")
    Spool(settings.spool_dir).prepare()
    assert crlm_node("ledger", "upgrade").code == 0
    return settings


def test_saved_and_brought_back(home: Settings, crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """One line for a backup; a restore compares ledger and spool, and both are in the audit trail."""
    done = crlm_node("backup", tmp_path / "saved")
    assert (done.code, done.out.partition(",")[0]) == (0, f"Saved to {tmp_path / 'saved'}: the ledger and 0 files")
    assert crlm_node("backup", tmp_path / "saved").sentence.endswith("is not empty: name a new folder for each backup")
    assert "the ledger is there already" in crlm_node("restore", tmp_path / "saved").sentence
    home.home.rename(tmp_path / "destroyed")
    done = crlm_node("restore", tmp_path / "saved")
    assert done.code == 0
    assert done.out.startswith(f"Restored to {home.home}: the ledger and 0 files of 20")
    assert "0 studies, 0 instances, 0 jobs, 0 files" in done.out
    trail = crlm_node("audit").out
    assert ": backup\n" in trail
    assert ": restore of 20" in trail


def test_a_restore_that_does_not_fit_together_says_so(
    home: Settings, crlm_node: Callable[..., Any], tmp_path: Path
) -> None:
    """A file without a row is found by the comparison at the end: exit code 1."""
    (home.spool_dir / "instances" / "1.dcm").write_bytes(b"nobody knows it")
    assert crlm_node("backup", tmp_path / "saved").code == 0
    home.home.rename(tmp_path / "destroyed")
    done = crlm_node("restore", tmp_path / "saved")
    assert done.code == 1
    assert "1  unknown-file" in done.out


def test_without_a_ledger_there_is_nothing_to_save(crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """And none is made."""
    assert "there is no ledger" in crlm_node("backup", tmp_path / "saved").sentence
    assert not (tmp_path / "home" / "ledger.sqlite").exists()


def test_what_comes_while_a_backup_is_made_waits(home: Settings, crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """An order that removes files is told that a backup is being made."""
    with Spool(home.spool_dir).removing():
        done = crlm_node("replay", "1.2.3")
    assert (done.code, done.sentence.partition(" (")[0]) == (
        1,
        "Files of the spool are being removed, or a backup made of them",
    )


def test_an_older_backup_is_restored_as_it_is(
    home: Settings, crlm_node: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its schema is that of its version, and the next command is named; a newer one is refused."""
    from node.backup import saving

    for schema in ("0001", "9999"):
        monkeypatch.setattr(saving, "SCHEMA", schema)
        assert crlm_node("backup", tmp_path / schema).code == 0
    home.home.rename(tmp_path / "destroyed")
    assert "which is newer than this one" in crlm_node("restore", tmp_path / "9999").sentence
    done = crlm_node("restore", tmp_path / "0001")
    assert (done.code, done.out.splitlines()[-1]) == (
        0,
        "Its schema is 0001: crlm-node ledger upgrade, then crlm-node ledger check --digests.",
    )
    assert Ledger(home.ledger).schema() == SCHEMA
