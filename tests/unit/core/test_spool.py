"""The spool: a file is there whole or not at all, and is what it was."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from node.core.errors import Refused, Unavailable, Untrusted
from node.core.reasons import DoorRefusal, Outage, StudyRefusal
from node.core.records import Instance
from node.core.spool import Spool, digest


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    made = Spool(tmp_path / "spool")
    made.prepare()
    return made


def _files(spool: Spool) -> list[Path]:
    return [path for path in spool.root.rglob("*") if path.is_file()]


def _instance(path: str, content: bytes) -> Instance:
    return Instance("1.2.3", "1.2", "1.2.840.10008.1.2", digest(content), path)


def test_folders_are_for_this_user_alone(spool: Spool) -> None:
    """Patient data lies behind folders that nobody else may enter."""
    assert {path.name for path in spool.root.iterdir()} == {"instances", "work", "tmp"}
    assert {path.stat().st_mode & 0o777 for path in spool.root.iterdir()} == {0o700}
    spool.write("instances/1/2/3.dcm", b"x")
    assert (spool.root / "instances/1/2/3.dcm").stat().st_mode & 0o077 == 0


def test_written_file_reads_back(spool: Spool) -> None:
    """What was written is read, and its digest is SHA-256."""
    assert spool.write("work/job/result.json", b"{}") == hashlib.sha256(b"{}").hexdigest()
    assert spool.read("work/job/result.json") == b"{}"
    assert len(_files(spool)) == 1


def test_writing_again_replaces_whole(spool: Spool) -> None:
    """A reader that has the old file open keeps it; who opens it later sees the new one."""
    spool.write("work/a", b"old")
    with (spool.root / "work/a").open("rb") as reader:
        spool.write("work/a", b"new, longer")
        assert reader.read() == b"old"
    assert spool.read("work/a") == b"new, longer"


def test_staged_file_that_is_not_placed_is_gone(spool: Spool) -> None:
    """A refusal, or an error, between the two steps leaves nothing behind."""
    with spool.staged(b"x") as staged:
        assert staged.read_bytes() == b"x"
    with pytest.raises(ValueError, match="no"), spool.staged(b"x"):
        raise ValueError("no")
    assert _files(spool) == []


def test_order_of_making_a_file_durable(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the content is synchronised, then each folder that holds a new folder, then, renamed, the file's own."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        steps.append("sync " + Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    def note_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    spool.write("instances/1.2/3.4/5.dcm", b"x")
    assert steps[0].startswith("sync tmp")
    assert set(steps[1 : steps.index("rename")]) == {"sync instances", "sync 1.2"}
    assert steps[steps.index("rename") + 1 :] == ["sync 3.4"]


@pytest.mark.parametrize("place", ["tmp", "instances"])
def test_missing_folder_is_said(spool: Spool, place: str) -> None:
    """A spool that cannot be written, because a folder is gone or is a file, is an outage and leaves nothing behind."""
    (spool.root / place).rmdir()
    (spool.root / place).write_bytes(b"")
    with pytest.raises(Unavailable) as caught:
        spool.write("instances/1/2.dcm", b"x")
    assert caught.value.code is Outage.SPOOL_FAILED
    assert caught.value.detail
    assert _files(spool) == [spool.root / place]


def test_spool_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """Where the home is a file, the start fails with a code."""
    (tmp_path / "home").write_bytes(b"")
    with pytest.raises(Unavailable) as caught:
        Spool(tmp_path / "home" / "spool").prepare()
    assert caught.value.code is Outage.SPOOL_FAILED


def test_missing_file_is_an_outage(spool: Spool) -> None:
    """Reading what is not there."""
    with pytest.raises(Unavailable):
        spool.read("work/nothing")


@pytest.mark.parametrize("wrong", ["", "..", "1/2", "a", "1.2\x00"])
def test_uid_is_checked_before_it_is_a_path(spool: Spool, wrong: str) -> None:
    """None of the three UIDs of a path may be anything but a UID."""
    for uids in ((wrong, "1", "2"), ("1", wrong, "2"), ("1", "2", wrong)):
        with pytest.raises(Refused) as caught:
            spool.instance_path(*uids)
        assert caught.value.code is DoorRefusal.UID_INVALID


def test_verified_bytes_are_those_received(spool: Spool) -> None:
    """The same bytes are returned; changed ones, and a file that is gone, stop the work with their code."""
    spool.write("instances/1/2/3.dcm", b"received")
    instance = _instance("instances/1/2/3.dcm", b"received")
    assert spool.verified(instance) == b"received"
    assert spool.file(instance).read_bytes() == b"received"
    spool.file(instance).write_bytes(b"changed!")
    with pytest.raises(Untrusted) as changed:
        spool.verified(instance)
    spool.file(instance).unlink()
    with pytest.raises(Untrusted) as gone:
        spool.verified(instance)
    assert (changed.value.code, gone.value.code) == (StudyRefusal.INPUT_UNTRUSTED, StudyRefusal.INPUT_INCOMPLETE)


def test_work_folder_of_a_job(spool: Spool) -> None:
    """A job's files lie in its folder, and can be cleared without touching another's."""
    mine, other = spool.work("a"), spool.work("b")
    mine.write("seg.dcm", b"1")
    other.write("seg.dcm", b"2")
    assert (mine.has("seg.dcm"), mine.has("sr.dcm"), mine.read("seg.dcm")) == (True, False, b"1")
    mine.clear()
    mine.clear()
    assert (mine.has("seg.dcm"), other.read("seg.dcm")) == (False, b"2")


@pytest.fixture(params=["unnamed files", "no unnamed files"])
def depot(spool: Spool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Spool:
    """A spool on a file system that knows files without a name, and on one that does not, as NFS."""
    opened = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "operation not supported")
        return opened(path, flags, mode)

    if request.param == "no unnamed files":
        monkeypatch.setattr(os, "open", refuse)
    return spool


def test_deposit_never_overwrites(depot: Spool) -> None:
    """The first file under a name stays; the second writer is told, and leaves nothing behind."""
    path = "instances/1/2/3.dcm"
    assert depot.deposit(path, b"first")
    assert not depot.deposit(path, b"second")
    assert depot.read(path) == b"first"
    assert len(_files(depot)) == 1
    assert (depot.root / path).stat().st_mode & 0o077 == 0


def test_deposit_under_one_name_at_once_has_one_winner(depot: Spool) -> None:
    """Many writers of one name: one is first, whole, and all others are told."""
    contents = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(len(contents)) as pool:
        won = list(pool.map(lambda content: depot.deposit("instances/1/2/3.dcm", content), contents))
    assert won.count(True) == 1
    assert depot.read("instances/1/2/3.dcm") == contents[won.index(True)]
    assert len(_files(depot)) == 1


def test_deposit_is_durable_when_it_returns(depot: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new folder is synchronised in the one above it, then the file, then its folder: the name comes first."""
    steps: list[str] = []
    fsync, link = os.fsync, os.link

    def note_fsync(handle: int) -> None:
        steps.append("sync " + Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    def note_link(source: str, name: str, **options: Any) -> None:
        link(source, name, **options)
        steps.append("name")

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "link", note_link)
    assert depot.deposit("instances/1.2/3.4/5.dcm", b"x")
    named = steps.index("name")
    assert set(steps[:named]) == {"sync instances", "sync 1.2"}
    assert steps[named + 1].startswith(("sync tmp", "sync #"))
    assert steps[named + 2 :] == ["sync 3.4"]


def test_deposit_that_cannot_be_synchronised_leaves_nothing(depot: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input/output error after the name was given takes the name back."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    (depot.root / "instances/1/2").mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Unavailable):
        depot.deposit("instances/1/2/3.dcm", b"x")
    assert _files(depot) == []


def test_removing_takes_empty_folders_along(spool: Spool) -> None:
    """A folder goes with its last file, and not before."""
    for name in ("1/2/3.dcm", "1/2/4.dcm"):
        spool.deposit(f"instances/{name}", b"x")
    spool.remove("instances/1/2/3.dcm")
    assert (spool.root / "instances/1/2/4.dcm").exists()
    spool.remove("instances/1/2/4.dcm")
    assert list((spool.root / "instances").iterdir()) == []
