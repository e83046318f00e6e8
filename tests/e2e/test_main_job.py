"""The main job on real input: in by C-STORE, measured, found in the PACS; what comes back or again changes nothing."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from sr_reading import children, number, walk
from sr_reading import name as concept

from node.core.codes import MEASUREMENTS
from node.core.states import DeliveryState, StudyState
from node.phantom import covering_grid, standard_anatomy, write_phantom

from .conftest import ID, NAME, Sent, renamed, send_all
from .stack import HOST, NODE, PACS, READER, SCANNER, Stack, View

_SOP, _SERIES, _STUDY, _MODALITY = "00080018", "0020000E", "0020000D", "00080060"


@dataclass(frozen=True)
class Journey:
    """A study after its journey."""

    sent: Sent
    view: View

    @property
    def uid(self) -> str:
        """Study Instance UID."""
        return self.sent.uid


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> Path | None:
    """Folder of the real abdomen, None where there is no shared data."""
    try:
        data: Path = request.getfixturevalue("test_data")
    except pytest.skip.Exception:
        return None
    return data / "abdomen3mm"


@pytest.fixture(scope="module")
def journey(stack: Stack, real: Path | None, phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """The real abdomen, else the synthetic one: CT sent to PACS and node, SEG to the node, all by the command."""
    folder = tmp_path_factory.mktemp("journey")
    if real is None:
        sent = renamed(phantom, folder, "journey")
    else:
        uid = str(dcmread(real / "seg.dcm", stop_before_pixels=True).StudyInstanceUID)
        (folder / "seg").mkdir()
        seg = Path(shutil.copy(real / "seg.dcm", folder / "seg"))
        sent = Sent(uid, tuple(sorted((real / "ct").iterdir())), seg)
    node, count = f"{NODE}@{HOST}:{stack.port}", len(sent.slices)
    stack.cli("send", sent.folder, "--to", f"{PACS}@{HOST}:{stack.orthanc.dicom_port}")
    assert "1 stored, 0 not stored" in stack.cli("send", sent.seg.parent, "--to", node, "--calling", READER)
    assert f"{count} stored, 0 not stored" in stack.cli("send", sent.folder, "--to", node, "--calling", SCANNER)
    return Journey(sent, stack.wait(sent.uid))


def value(document: dict[str, dict[str, dict[str, float]]], name: str) -> float:
    return document["measurements"][name]["value"]


def test_numbers_of_the_real_abdomen(stack: Stack, real: Path | None, test_data: Path, journey: Journey) -> None:
    """Every number that was counted independently is met to 0.1 %; L1 is the density of the core, not of the label."""
    assert real is not None
    document = stack.document(journey.view)
    expected = json.loads((real / "expected.json").read_text())
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
    assert set(document["measurements"]) >= set(MEASUREMENTS)
    kha = document["measurements"]["rad_score.kha-2026.score"]
    assert (kha["value"], kha["reason"]) == (None, "signature-incomplete")


def test_results_lie_in_the_original_study(stack: Stack, journey: Journey) -> None:
    """C-FIND and QIDO-RS both list SEG and the SR in the one study that also holds all slices."""
    made = {one.sop_instance_uid: kind for kind, one in journey.view.kinds().items()}
    assert set(made.values()) == {"seg", "sr", "sr-viewer"}
    assert stack.pacs().instances_of(journey.uid) >= set(made)
    listed = stack.archive.qido(f"studies/{journey.uid}/instances?includefield={_MODALITY}")
    modalities = {one[_SOP]["Value"][0]: one[_MODALITY]["Value"][0] for one in listed}
    assert {uid: modalities[uid] for uid in made} == {
        uid: "SEG" if kind == "seg" else "SR" for uid, kind in made.items()
    }
    assert list(modalities.values()).count("CT") == len(journey.sent.slices)
    assert len(modalities) == len(journey.sent.slices) + 3
    patient = dcmread(journey.sent.slices[0], stop_before_pixels=True).PatientID
    assert len(stack.archive.qido(f"studies?PatientID={patient}")) == 1


def test_what_the_pacs_returns_is_what_was_stored(stack: Stack, journey: Journey) -> None:
    """WADO-RS returns, element by element and pixel by pixel, the objects that lie in the spool; so does the folder."""
    for kind, one in journey.view.kinds().items():
        stored = dcmread(stack.work(journey.view) / f"{kind}.dcm")
        returned = stack.archive.wado(journey.uid, stored.SeriesInstanceUID, stored.SOPInstanceUID)
        path = stack.home / "returned.dcm"
        path.write_bytes(returned)
        assert dcmread(path) == stored
        assert one.file == f"{kind}.dcm"
        copied = stack.results / journey.uid / f"{one.sop_instance_uid}.dcm"
        assert copied.read_bytes() == (stack.work(journey.view) / one.file).read_bytes()


def test_every_delivery_is_proven(journey: Journey) -> None:
    """Three objects at two destinations, each with the proof that its kind of destination gives."""
    proofs = {(one.kind, one.destination): one.proof for one in journey.view.deliveries}
    assert proofs == {
        (kind, destination): proof
        for kind in ("seg", "sr", "sr-viewer")
        for destination, proof in (("pacs", f"found by C-FIND at {PACS}"), ("folder", "read back from the folder"))
    }
    assert {one.state for one in journey.view.deliveries} == {DeliveryState.PROVEN}


def test_status_tells_the_whole_story(stack: Stack, journey: Journey) -> None:
    """The list names study, job and deliveries; with a UID, or how it begins, every move with its cause is told."""
    listed = stack.cli("status")
    assert journey.uid in listed
    story = " ".join(stack.cli("status", journey.uid[:-6]).split())
    for words in (
        "study complete",
        "job reported",
        "to pacs: SEG proven, SR proven, SR-VIEWER proven",
        "to folder: SEG proven",
        f"receiving -> complete quiet, {len(journey.sent.slices) + 1} instances",
        "queued -> running segment by ",
        "queued -> running measure by ",
        f"sr@pacs sent -> proven found by C-FIND at {PACS}",
    ):
        assert words in story, story


def test_a_whole_study_that_comes_back_changes_nothing(stack: Stack, journey: Journey) -> None:
    """The PACS routes the whole study to us, our results among it: all accepted, ours dropped, no job, no object."""
    before = stack.archive.counts()
    answer = stack.archive.rest(f"/modalities/{NODE}/store", method="POST", body=stack.archive.study_id(journey.uid))
    assert (answer["InstancesCount"], answer["FailedInstancesCount"]) == (len(journey.sent.slices) + 3, 0)
    stack.rounds()
    after = stack.view(journey.uid)
    assert [job.key for job in after.jobs] == [journey.view.job.key]
    assert after.study is not None
    assert after.study.state is StudyState.COMPLETE
    assert len(stack.instances(journey.uid)) == len(journey.sent.slices) + 1
    assert stack.log("listen").count("own-result-dropped") >= 3
    assert stack.archive.counts() == before


def test_an_identical_study_again_changes_nothing(stack: Stack, journey: Journey) -> None:
    """A modality that sends everything twice is told success; there is no new job and no new object."""
    before = stack.archive.counts()
    send_all(stack, journey.sent)
    stack.rounds()
    after = stack.view(journey.uid)
    assert [(job.key, job.attempts) for job in after.jobs] == [(job.key, job.attempts) for job in journey.view.jobs]
    assert len(after.deliveries) == len(journey.view.deliveries)
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


def test_a_score_comes_back_from_the_pacs(stack: Stack, tmp_path: Path) -> None:
    """Where headers let a signature score a study: the number that was computed is in the SR that the PACS holds."""
    grid = covering_grid(standard_anatomy(), spacing_mm=(6.0, 5.0, 5.0))
    files = write_phantom(tmp_path, grid=grid, planned=True)
    ct = dcmread(files.ct[0], stop_before_pixels=True)
    send_all(stack, Sent(str(ct.StudyInstanceUID), files.ct, files.seg))
    view = stack.wait(str(ct.StudyInstanceUID))
    [one] = [one for one in stack.document(view)["rad_scores"] if one["signature"] == "tcia-crlm-os"]
    report = dcmread(stack.work(view) / "sr.dcm", stop_before_pixels=True)
    returned = stack.archive.wado(report.StudyInstanceUID, report.SeriesInstanceUID, report.SOPInstanceUID)
    [box] = [item for item in walk(dcmread(BytesIO(returned))) if concept(item) == "rad-score-by"]
    assert [number(item) for item in children(box, "NUM", "rad-score")] == [(round(one["score"], 4), "1")]


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
