"""Sending a folder: what goes, what is named, and how it ends."""

from pathlib import Path

import pytest

from node.core.errors import Unavailable
from node.core.peer import Stored
from node.core.reasons import DoorRefusal, Outage
from node.send import files_below, send_folder

from .conftest import Site
from .sender import ct_slice, file_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a medium would hold it: slices in two levels, and what is none."""
    root = tmp_path / "medium"
    (root / "series" / ".hidden").mkdir(parents=True)
    for name in ("a.dcm", "series/b", "series/c.DCM"):
        (root / name).write_bytes(file_of(ct_slice()))
    (root / "LICENSE").write_text("words " * 100)
    (root / "DICOMDIR").write_bytes(file_of(ct_slice()))
    (root / "series" / ".hidden" / "d.dcm").write_bytes(file_of(ct_slice()))
    return root


def test_every_slice_of_a_folder_is_stored(site: Site, folder: Path) -> None:
    """All DICOM files at any depth, by name or by their first bytes; other files are named and no failure."""
    heard: list[Stored] = []
    report = send_folder(folder, site.peer, heard.append)
    assert [outcome.path.name for outcome in report.stored] == ["a.dcm", "b", "c.DCM"]
    assert (report.warned, report.failed, report.exit_code) == ((), (), 0)
    assert report.skipped == (folder / "LICENSE",)
    assert len(heard) == len(files_below(folder)) == len(site.files()) == 3


def test_files_that_are_not_stored_are_named_with_their_code(site: Site, folder: Path) -> None:
    """A truncated slice, one that is no DICOM file, and one that the node refuses: exit 1, and the rest is stored."""
    whole = (folder / "a.dcm").read_bytes()
    (folder / "a.dcm").write_bytes(whole[:-100])
    (folder / "no.dcm").write_text("no")
    (folder / "refused.dcm").write_bytes(file_of(ct_slice(StudyInstanceUID="1.2.A")))
    report = send_folder(folder, site.peer)
    codes = {outcome.path.name: outcome.error.code for outcome in report.failed if outcome.error}
    assert codes == {
        "a.dcm": DoorRefusal.DATASET_TRUNCATED,
        "no.dcm": DoorRefusal.DATASET_UNREADABLE,
        "refused.dcm": Outage.DESTINATION_REFUSED,
    }
    (refused,) = [outcome for outcome in report.failed if outcome.status is not None]
    assert refused.comment.startswith("uid-invalid")
    assert (len(report.stored), report.exit_code) == (2, 1)


def test_folder_without_dicom_files_ends_with_1(site: Site, tmp_path: Path) -> None:
    """Nothing was sent where something was asked for."""
    report = send_folder(tmp_path, site.peer)
    assert (report.stored, report.failed) == ((), ())
    assert report.exit_code == 1


def test_destination_that_is_away_is_said(site: Site, folder: Path) -> None:
    """Without an association there is no report: the error says why."""
    site.listener.stop()
    with pytest.raises(Unavailable, match="connection refused"):
        send_folder(folder, site.peer)


def test_real_series_arrives_byte_by_byte(site: Site, test_data: Path) -> None:
    """A real CT of 41 slices, sent twice: stored once, with its licence beside it left where it is."""
    ct = test_data / "crlm-ct-1004"
    if not ct.is_dir():
        pytest.skip(f"no {ct}")
    first, second = send_folder(ct, site.peer), send_folder(ct, site.peer)
    assert (len(first.stored), first.exit_code, second.exit_code) == (41, 0, 0)
    assert len(site.files()) == 41
    sent = {path.read_bytes()[-400_000:] for path in files_below(ct)}
    assert {path.read_bytes()[-400_000:] for path in site.files()} == sent
