"""`report show` and `report check`: words in, exit codes and one sentence out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread

if TYPE_CHECKING:
    from studies import Study

    from node.phantom import PhantomFiles


@pytest.mark.parametrize("command", ["show", "check"])
def test_a_file_of_another_kind_ends_with_1(
    command: str, crlm_node: Callable[..., Any], small_phantom: "PhantomFiles", tmp_path: Path
) -> None:
    """A CT slice, and a file that is no DICOM: one sentence that names it."""
    done = crlm_node("report", command, small_phantom.ct[0])
    assert done.code == 1
    assert done.sentence == f"{small_phantom.ct[0]} is no object of a result, but a CT Image"
    path = tmp_path / "notes.txt"
    path.write_text("no DICOM")
    done = crlm_node("report", command, path)
    assert done.code == 1
    assert done.sentence == f"The data set cannot be parsed. ({path}: InvalidDicomError)"


def test_show_prints_a_page(crlm_node: Callable[..., Any], small_phantom: "PhantomFiles") -> None:
    """Without the patient, who is there with `--identity`."""
    ds = dcmread(small_phantom.seg, stop_before_pixels=True)
    done = crlm_node("report", "show", small_phantom.seg)
    assert (done.code, done.err) == (0, "")
    assert str(ds.PatientID) not in done.out
    assert str(ds.PatientID) in crlm_node("report", "show", small_phantom.seg, "--identity").out


def test_check_tells_each_rule_and_ends_with_0(
    crlm_node: Callable[..., Any], coarse_phantom: "Study", coarse_phantom_files: Path
) -> None:
    """All objects of a result at once, with their CT: each rule with its state, nothing broken."""
    files = [coarse_phantom.path(one.file) for one in coarse_phantom.outcome.products]
    done = crlm_node("report", "check", *files, "--with", coarse_phantom_files)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("/")] == [str(path) for path in files]
    assert any(line.startswith("ok     identity-kept ") for line in lines)
    assert any(line.startswith("ok     one-per-series ") for line in lines)
    assert lines[-1].split(", ")[1] == "0 broken"


def test_check_tells_what_is_broken_and_ends_with_1(
    crlm_node: Callable[..., Any], coarse_phantom: "Study", tmp_path: Path
) -> None:
    """The rule, and below it the place; a copy under another name is a second object of the series."""
    ds = coarse_phantom.dataset("sr.dcm")
    ds.VerificationFlag = "VERIFIED"
    ds.save_as(tmp_path / "changed.dcm")
    done = crlm_node("report", "check", tmp_path / "changed.dcm", coarse_phantom.path("sr.dcm"))
    assert (done.code, done.err) == (1, "")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[lines.index("broken sr-flags It is COMPLETE and UNVERIFIED.") + 1] == "VerificationFlag: is VERIFIED"
    assert "SeriesInstanceUID: is also that of sr.dcm" in lines
    assert "SeriesInstanceUID: is also that of changed.dcm" in lines


def test_check_with_nothing_is_wrong_use(
    crlm_node: Callable[..., Any], small_phantom: "PhantomFiles", tmp_path: Path
) -> None:
    """A folder without CT and SEG beside the objects: rules that need them would silently not apply."""
    done = crlm_node("report", "check", small_phantom.seg, "--with", tmp_path)
    assert (done.code, done.sentence) == (2, f"{tmp_path} holds neither CT images nor segmentations")
