"""What comes late, comes again, or is corrected: one current result in the PACS, which names what it supersedes."""

import shutil
import subprocess
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from node.core.states import JobState, StudyState

from .conftest import ID, Sent, send_all
from .stack import READER, SCANNER, Stack, View

CORRECTED = {"PatientName": "Secretother^Joan", "PatientID": "SECRET-4712"}


def changed(paths: Iterable[Path], folder: Path, **attributes: Any) -> list[Path]:
    """Write copies with other attributes."""
    folder.mkdir(parents=True)
    made = []
    for path in paths:
        ds = dcmread(path)
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        made.append(folder / path.name)
        ds.save_as(made[-1])
    return made


def in_the_pacs(stack: Stack, view: View, kind: str) -> Dataset:
    """Return an object of the latest job as the PACS has it."""
    stored = dcmread(stack.work(view) / f"{kind}.dcm", stop_before_pixels=True)
    path = stack.home / "returned.dcm"
    path.write_bytes(stack.archive.wado(str(stored.StudyInstanceUID), stored.SeriesInstanceUID, stored.SOPInstanceUID))
    return dcmread(path)


def predecessors(ds: Dataset) -> set[tuple[str, str, str, str]]:
    """Return study, series, class and instance of each document that an SR supersedes."""
    return {
        (study.StudyInstanceUID, series.SeriesInstanceUID, one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID)
        for study in ds.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }


def references(stack: Stack, view: View) -> set[tuple[str, str, str, str]]:
    """Return how the SR of a view's job are to be referred to."""
    made = [in_the_pacs(stack, view, kind) for kind in view.kinds() if kind != "seg"]
    return {(ds.StudyInstanceUID, ds.SeriesInstanceUID, Comprehensive3DSRStorage, ds.SOPInstanceUID) for ds in made}


def assert_supersedes(stack: Stack, new: View, old: set[tuple[str, str, str, str]], revision: int) -> None:
    """Every SR in the PACS names the old ones, and every series says which revision it is."""
    for kind in new.kinds():
        ds = in_the_pacs(stack, new, kind)
        assert predecessors(ds) == (set() if kind == "seg" else old), kind
        assert str(ds.SeriesDescription).startswith(f"rev {revision}: "), kind
    document = stack.document(new)
    assert document["revision"] == revision
    assert set(document["supersedes"]["sr"]) == {reference[3] for reference in old}


def test_late_slices_name_the_result_that_they_supersede(
    stack: Stack, study: Sent, lacking: Callable[[str], None]
) -> None:
    """A part is refused, by an SR; the whole is measured, and both its SR in the PACS name that one."""
    stack.give([study.seg], READER)
    stack.give(study.slices[15:], SCANNER)
    first = stack.wait(study.uid)
    assert set(first.kinds()) == {"sr"}
    old = references(stack, first)
    stack.give(study.slices[:15], SCANNER)
    second = stack.wait(study.uid, lambda now: len(now.jobs) == 2 and now.proven)
    assert set(second.kinds()) == {"seg", "sr", "sr-viewer"}
    assert_supersedes(stack, second, old, revision=2)
    assert stack.pacs().instances_of(study.uid) == {
        one.sop_instance_uid for view in (first, second) for one in view.kinds().values()
    }
    judge = shutil.which("dciodvfy")
    if judge is None:
        lacking("dciodvfy")
    for kind in second.kinds():
        in_the_pacs(stack, second, kind)
        command = [judge or "", str(stack.home / "returned.dcm")]
        said = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120, check=False)
        assert not [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]


def test_a_corrected_segmentation_supersedes(stack: Stack, study: Sent, tmp_path: Path) -> None:
    """A later SEG reopens the study and is the one that is measured; the same again makes nothing new."""
    send_all(stack, study)
    first = stack.wait(study.uid)
    old = references(stack, first)
    assert len(old) == 2
    now = datetime.now().astimezone()
    later = {"ContentDate": f"{now:%Y%m%d}", "ContentTime": f"{now:%H%M%S}", "SOPInstanceUID": "2.25.77101"}
    [seg] = changed([study.seg], tmp_path / "later", **later)
    stack.give([seg], READER)
    second = stack.wait(study.uid, lambda now: len(now.jobs) == 2 and now.proven)
    assert_supersedes(stack, second, old, revision=2)
    [source] = {one["imported_from"] for one in stack.document(second)["quality"]["segmentation"]["segments"]}
    assert source == "2.25.77101"
    before = stack.archive.counts()
    stack.give([seg], READER)
    send_all(stack, study)
    stack.rounds()
    assert [job.key for job in stack.view(study.uid).jobs] == [job.key for job in second.jobs]
    assert stack.archive.counts() == before


@pytest.fixture
def corrected(study: Sent, tmp_path: Path) -> Sent:
    """The test's study as it comes again with another patient, everything else as it was."""
    slices = changed(study.slices, tmp_path / "corrected", **CORRECTED)
    [seg] = changed([study.seg], tmp_path / "corrected-seg", **CORRECTED)
    return Sent(study.uid, tuple(slices), seg)


def test_a_correction_before_delivery_is_taken_over(stack: Stack, study: Sent, corrected: Sent) -> None:
    """What was made for the wrong patient waits, and is never sent; one result of the right one is in the PACS."""
    stack.cli("pause", "deliver")
    try:
        send_all(stack, study)
        first = stack.wait(study.uid, lambda now: bool(now.jobs) and now.job.state is JobState.REPORTED)
        send_all(stack, corrected)
        second = stack.wait(study.uid, lambda now: len(now.jobs) == 2 and now.job.state is JobState.REPORTED)
    finally:
        stack.cli("resume", "deliver")
    proven = stack.wait(study.uid)
    assert proven.job.key == second.job.key
    assert stack.pacs().instances_of(study.uid) == {one.sop_instance_uid for one in proven.kinds().values()}
    for kind in proven.kinds():
        ds = in_the_pacs(stack, proven, kind)
        assert (str(ds.PatientName), ds.PatientID) == tuple(CORRECTED.values())
        assert not predecessors(ds)
    assert first.job.key != proven.job.key
    shown = " ".join(stack.cli("status", study.uid).split())
    assert "patient-corrected" in shown
    assert "variant-kept" not in shown
    assert len(stack.instances(study.uid)) == len(study.slices) + 1


def test_a_correction_after_delivery_waits_for_a_person(stack: Stack, study: Sent, corrected: Sent) -> None:
    """It is flagged, and nothing is sent; `crlm-node replay` measures the corrected study and names the old result."""
    send_all(stack, study)
    first = stack.wait(study.uid)
    old, before = references(stack, first), stack.archive.counts()
    send_all(stack, corrected)
    stack.await_(lambda: "patient-changed" in stack.cli("status", study.uid), "the change is shown")
    stack.rounds()
    view = stack.view(study.uid)
    assert view.study is not None
    assert (view.study.state, [job.key for job in view.jobs]) == (StudyState.COMPLETE, [first.job.key])
    assert stack.archive.counts() == before
    assert in_the_pacs(stack, first, "sr").PatientID == ID
    stack.cli("replay", study.uid, "--cause", "corrected in the PACS")
    second = stack.wait(study.uid, lambda now: len(now.jobs) == 2 and now.proven)
    assert_supersedes(stack, second, old, revision=2)
    assert in_the_pacs(stack, second, "sr").PatientID == CORRECTED["PatientID"]
    assert "patient-changed" not in stack.cli("status", study.uid)
