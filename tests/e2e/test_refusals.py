"""Studies that cannot be measured: each ends with its coded reason where a person sees it, and no number is made up."""

from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset, dcmread

from node.core.states import DeliveryState, JobState, StudyState

from .conftest import Sent, send_all
from .stack import READER, SCANNER, Stack, View


def flat(text: str) -> str:
    """Return printed text without the breaks of its lines."""
    return " ".join(text.split())


def codes(ds: Dataset) -> Iterator[str]:
    """Yield the code values that the content of an SR carries."""
    for item in ds.get("ContentSequence", []):
        if item.ValueType == "CODE":
            code = item.ConceptCodeSequence[0]
            yield str(code.get("CodeValue") or code.get("LongCodeValue"))
        yield from codes(item)


def copy_with(source: Path, target: Path, **changes: str) -> Path:
    ds = dcmread(source)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    target.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(target)
    return target


def assert_refused_by_report(stack: Stack, view: View, code: str) -> None:
    """The job reported the refusal: one SR that carries the code, found in the PACS; nothing else was made."""
    assert view.study is not None
    assert (view.study.state, view.study.reason) == (StudyState.NOT_ANALYSABLE, code)
    assert (view.job.state, view.job.reason) == (JobState.REPORTED, code)
    document = stack.document(view)
    assert document["refusal"]["code"] == code
    assert {one["value"] for one in document["measurements"].values()} == {None}
    assert {one["reason"] for one in document["measurements"].values()} == {code}
    made = view.kinds()
    assert set(made) == {"sr"}
    assert stack.pacs().instances_of(view.study.uid) >= {made["sr"].sop_instance_uid}
    assert code in set(codes(dcmread(stack.work(view) / "sr.dcm")))
    shown = flat(stack.cli("status", view.study.uid))
    assert f"study not-analysable job reported: {code}" in shown
    assert "to pacs: SR proven" in shown


def test_the_patient_of_the_population(stack: Stack, test_data: Path) -> None:
    """CRLM-CT-1004 comes without a segmentation, and no weights are there: refused, with its volume's known SHA-1."""
    slices = sorted((test_data / "crlm-ct-1004").glob("*.dcm"))
    uid = str(dcmread(slices[0], stop_before_pixels=True).StudyInstanceUID)
    stack.give(slices, SCANNER)
    view = stack.wait(uid)
    assert_refused_by_report(stack, view, "weights-missing")
    assert stack.document(view)["quality"]["volume_sha1"] == "298929ede663ed0ac496d5fa9febc63d550ffd1f"


def test_a_segmentation_from_a_stranger_is_not_imported(stack: Stack, study: Sent) -> None:
    """The scanner may send, but not segmentations that are measured; from the reader the same SEG is imported."""
    stack.give([study.seg, *study.slices], SCANNER)
    view = stack.wait(study.uid)
    assert_refused_by_report(stack, view, "weights-missing")
    imported = copy_with(study.seg, study.seg.with_name("again.dcm"), SOPInstanceUID="2.25.77001")
    ds = dcmread(imported)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(imported)
    stack.give([imported], READER)
    again = stack.wait(study.uid, lambda now: len(now.jobs) == 2 and now.proven)
    assert again.jobs[0].state is JobState.SUPERSEDED
    assert again.study is not None
    assert again.study.state is StudyState.COMPLETE
    assert set(again.kinds()) == {"seg", "sr", "sr-viewer"}
    assert {one.state for one in again.deliveries} == {DeliveryState.PROVEN}


def test_one_slice(stack: Stack, study: Sent) -> None:
    """A localizer by mistake: too few slices, said with the count; no job."""
    stack.give([study.seg], READER)
    stack.give(study.slices[30:31], SCANNER)
    view = stack.wait(study.uid, lambda now: now.refused and now.study.reason == "too-few-slices")  # type: ignore[union-attr]
    assert view.jobs == []
    shown = flat(stack.cli("status", study.uid))
    assert "study not-analysable: too-few-slices: The series has too few slices to be a volume." in shown


def test_two_patients_under_one_series_uid(stack: Stack, study: Sent, tmp_path: Path) -> None:
    """The worst mistake of a sender: quarantined with its reason, nothing measured, nothing delivered."""
    others = [
        copy_with(path, tmp_path / "other" / path.name, PatientID="ANOTHER-1", PatientName="Another^Person")
        for path in study.slices[40:]
    ]
    stack.give([*study.slices[:40], *others], SCANNER)
    view = stack.wait(study.uid, lambda now: now.refused)
    assert view.study is not None
    assert (view.study.state, view.study.reason) == (StudyState.QUARANTINED, "patient-conflict")
    assert view.jobs == []
    shown = stack.cli("status", study.uid)
    assert "quarantined: patient-conflict" in flat(shown)
    assert "ANOTHER" not in shown
    assert stack.pacs().instances_of(study.uid) == set()


def test_late_slices_make_a_new_result(stack: Stack, study: Sent) -> None:
    """A gap while sending: the part is refused, since the SEG is not of its grid; with the rest it is measured."""
    stack.give([study.seg], READER)
    stack.give(study.slices[15:], SCANNER)
    first = stack.wait(study.uid)
    assert_refused_by_report(stack, first, "weights-missing")
    send_all(stack, study)
    second = stack.wait(study.uid, lambda now: len(now.jobs) == 2 and now.proven)
    assert [job.state for job in second.jobs] == [JobState.SUPERSEDED, JobState.REPORTED]
    assert second.study is not None
    assert (second.study.state, second.study.reason) == (StudyState.COMPLETE, None)
    both = {one.sop_instance_uid for view in (first, second) for one in view.kinds().values()}
    assert len(both) == 4
    assert stack.pacs().instances_of(study.uid) == both
