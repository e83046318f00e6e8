"""The main job on real input: in by C-STORE, measured, found in the PACS; what comes back or again changes nothing."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from node.core.codes import MEASUREMENTS
from node.core.states import DeliveryState, StudyState

from .conftest import ID, NAME, Sent
from .stack import HOST, NODE, PACS, READER, SCANNER, Stack, View

_SOP, _SERIES, _STUDY, _MODALITY = "00080018", "0020000E", "0020000D", "00080060"


@dataclass(frozen=True)
class Done:
    """The real abdomen after its journey."""

    folder: Path
    uid: str
    view: View


@pytest.fixture(scope="module")
def abdomen(stack: Stack, test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The CT sent to PACS and node by the command, its SEG to the node from an AE title whose SEG are imported."""
    folder = test_data / "abdomen3mm"
    segmentation = tmp_path_factory.mktemp("seg")
    shutil.copy(folder / "seg.dcm", segmentation)
    uid = str(dcmread(folder / "seg.dcm", stop_before_pixels=True).StudyInstanceUID)
    node = f"{NODE}@{HOST}:{stack.port}"
    stack.cli("send", folder / "ct", "--to", f"{PACS}@{HOST}:{stack.orthanc.dicom_port}")
    assert "1 stored, 0 not stored" in stack.cli("send", segmentation, "--to", node, "--calling", READER)
    assert "112 stored, 0 not stored" in stack.cli("send", folder / "ct", "--to", node, "--calling", SCANNER)
    return Done(folder, uid, stack.wait(uid))


def value(document: dict[str, dict[str, dict[str, float]]], name: str) -> float:
    return document["measurements"][name]["value"]


def test_numbers_of_the_real_abdomen(stack: Stack, abdomen: Done) -> None:
    """Every number that was counted independently is met to 0.1 %; L1 is the density of the core, not of the label."""
    document = stack.document(abdomen.view)
    expected = json.loads((abdomen.folder / "expected.json").read_text())
    pairs = {
        "liver.volume": expected["volume_ml"]["liver"],
        "liver.mean_hu": expected["mean_hu"]["liver"],
        "psoas.left.volume": expected["volume_ml"]["psoas_left"],
        "psoas.right.volume": expected["volume_ml"]["psoas_right"],
        "psoas.left.mean_hu": expected["mean_hu"]["psoas_left"],
        "psoas.right.mean_hu": expected["mean_hu"]["psoas_right"],
        "psoas.left.area_l3": expected["psoas_area_cm2_at_l3"]["left"],
        "psoas.right.area_l3": expected["psoas_area_cm2_at_l3"]["right"],
        "psoas.pmvi": expected["pmvi_cm3_per_m3"],
        "psoas.pmi": expected["pmi_cm2_per_m2"],
    }
    assert {name: value(document, name) for name in pairs} == pytest.approx(pairs, rel=1e-3)
    assert 100 <= value(document, "l1.mean_hu") <= 130
    assert 90 <= value(document, "l1.median_hu") <= 112
    notes = {name: {note["code"] for note in one["notes"]} for name, one in document["measurements"].items()}
    assert "truncated" in notes["liver.volume"]
    for name in ("psoas.left.volume", "psoas.right.volume", "psoas.pmvi"):
        assert "nearly-complete" in notes[name]
    assert set(document["measurements"]) == set(MEASUREMENTS)


def test_results_lie_in_the_original_study(stack: Stack, abdomen: Done) -> None:
    """C-FIND and QIDO-RS both list SEG and the SR in the one study that also holds the 112 slices."""
    made = {one.sop_instance_uid: kind for kind, one in abdomen.view.kinds().items()}
    assert set(made.values()) == {"seg", "sr", "sr-viewer"}
    assert stack.pacs().instances_of(abdomen.uid) >= set(made)
    listed = stack.archive.qido(f"studies/{abdomen.uid}/instances?includefield={_MODALITY}")
    modalities = {one[_SOP]["Value"][0]: one[_MODALITY]["Value"][0] for one in listed}
    assert {uid: modalities[uid] for uid in made} == {
        uid: "SEG" if kind == "seg" else "SR" for uid, kind in made.items()
    }
    assert list(modalities.values()).count("CT") == 112
    assert len(modalities) == 112 + 3
    patient = dcmread(next((abdomen.folder / "ct").iterdir()), stop_before_pixels=True).PatientID
    assert len(stack.archive.qido(f"studies?PatientID={patient}")) == 1


def test_what_the_pacs_returns_is_what_was_stored(stack: Stack, abdomen: Done) -> None:
    """WADO-RS returns, element by element and pixel by pixel, the objects that lie in the spool; so does the folder."""
    for kind, one in abdomen.view.kinds().items():
        stored = dcmread(stack.work(abdomen.view) / f"{kind}.dcm")
        returned = stack.archive.wado(abdomen.uid, stored.SeriesInstanceUID, stored.SOPInstanceUID)
        path = stack.home / "returned.dcm"
        path.write_bytes(returned)
        assert dcmread(path) == stored
        assert one.file == f"{kind}.dcm"
        copied = stack.results / abdomen.uid / f"{one.sop_instance_uid}.dcm"
        assert copied.read_bytes() == (stack.work(abdomen.view) / one.file).read_bytes()


def test_every_delivery_is_proven(abdomen: Done) -> None:
    """Three objects at two destinations, each with the proof that its kind of destination gives."""
    proofs = {(one.kind, one.destination): one.proof for one in abdomen.view.deliveries}
    assert proofs == {
        (kind, destination): proof
        for kind in ("seg", "sr", "sr-viewer")
        for destination, proof in (("pacs", f"found by C-FIND at {PACS}"), ("folder", "read back from the folder"))
    }
    assert {one.state for one in abdomen.view.deliveries} == {DeliveryState.PROVEN}


def test_status_tells_the_whole_story(stack: Stack, abdomen: Done) -> None:
    """The list names study, job and deliveries; with a UID, or how it begins, every move with its cause is told."""
    listed = stack.cli("status")
    assert abdomen.uid in listed
    story = " ".join(stack.cli("status", abdomen.uid[:-6]).split())
    for words in (
        "study complete",
        "job reported",
        "to pacs: SEG proven, SR proven, SR-VIEWER proven",
        "to folder: SEG proven",
        "receiving -> complete quiet, 113 instances",
        "queued -> running segment by ",
        "queued -> running measure by ",
        f"sr@pacs sent -> proven found by C-FIND at {PACS}",
    ):
        assert words in story, story


def test_a_whole_study_that_comes_back_changes_nothing(stack: Stack, abdomen: Done) -> None:
    """The PACS routes the whole study to us, our results among it: all accepted, ours dropped, no job, no object."""
    before = stack.archive.counts()
    answer = stack.archive.rest(f"/modalities/{NODE}/store", method="POST", body=stack.archive.study_id(abdomen.uid))
    assert (answer["InstancesCount"], answer["FailedInstancesCount"]) == (115, 0)
    stack.rounds()
    after = stack.view(abdomen.uid)
    assert [job.key for job in after.jobs] == [abdomen.view.job.key]
    assert after.study is not None
    assert after.study.state is StudyState.COMPLETE
    assert len(stack.instances(abdomen.uid)) == 113
    assert stack.log("listen").count("own-result-dropped") >= 3
    assert stack.archive.counts() == before


def test_an_identical_study_again_changes_nothing(stack: Stack, abdomen: Done) -> None:
    """A modality that sends everything twice is told success; there is no new job and no new object."""
    before = stack.archive.counts()
    stack.give([abdomen.folder / "seg.dcm"], READER)
    stack.give((abdomen.folder / "ct").iterdir(), SCANNER)
    stack.rounds()
    after = stack.view(abdomen.uid)
    assert [(job.key, job.attempts) for job in after.jobs] == [(job.key, job.attempts) for job in abdomen.view.jobs]
    assert len(after.deliveries) == len(abdomen.view.deliveries)
    assert stack.archive.counts() == before


def test_numbers_of_the_synthetic_abdomen(
    stack: Stack, study: Sent, phantom: Path, measured: Callable[[], View]
) -> None:
    """On a coarse grid, through the whole node: volumes, PMVI and the density near their exact values, height known."""
    document = stack.document(measured())
    truth = json.loads((phantom / "truth.json").read_text())["measurements"]
    for name, tolerance in (
        ("liver.volume", 0.01),
        ("psoas.left.volume", 0.02),
        ("psoas.right.volume", 0.02),
        ("psoas.pmvi", 0.02),
        ("l1.mean_hu", 0.05),
        ("burden.max_diameter", 0.10),
    ):
        assert value(document, name) == pytest.approx(truth[name]["value"], rel=tolerance), name
    assert value(document, "burden.count") == truth["burden.count"]["value"]
    assert document["study"]["study_instance_uid"] == study.uid


def test_the_patient_is_in_the_results_and_in_no_log(stack: Stack, study: Sent, measured: Callable[[], View]) -> None:
    """Results carry the patient of the study; no process has written name or ID, from the header or the SEG."""
    view = measured()
    for kind in view.kinds():
        ds: Dataset = dcmread(stack.work(view) / f"{kind}.dcm", stop_before_pixels=True)
        assert (ds.PatientName, ds.PatientID, ds.StudyInstanceUID) == (NAME, ID, study.uid)
    for path in stack.logs.iterdir():
        text = path.read_text(errors="replace")
        assert text, path.name
        assert "Secretname" not in text
        assert ID not in text
