import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, BODY_VOXEL_ML, body
from made_seg import Drawn, drawn, write_seg
from made_series import AXIAL, ROOT, Edit, candidate, request, write_series
from made_series import spool as absolute
from pydicom import Dataset, dcmread
from studies import Study, run

from node.core.codes import LIVER, MEASUREMENTS
from node.core.errors import NodeError, NotAnalysable, Untrusted
from node.core.kinds import Kind
from node.core.reasons import StudyRefusal
from node.core.records import EarlyRefusal, Instance, JobRequest
from node.core.settings import MeasurementSettings
from node.core.spool import Spool, digest
from workers import analysis, volume
from workers.stored_labels import parse_labels

HU = (np.random.default_rng(8).normal(100, 12, BODY_SHAPE) + 1024).astype(np.uint16)
MADE = AXIAL.__class__(spacing_mm=BODY_SPACING_MM)


def series(folder: Path, number: int = 1, edit: Edit | None = None) -> list[Path]:
    """Write a series of the study; another number is another series of the same frame of reference."""
    return write_series(folder / f"ct{number}", HU, layout=MADE, series=f"{ROOT}.{number}", edit=edit)


def seg_of(paths: list[Path], name: str = "seg.dcm", edit: Callable[[Dataset], None] | None = None) -> Instance:
    geometry = volume.read(candidate(paths), absolute(), MeasurementSettings()).geometry
    return write_seg(paths[0].parent.parent / name, paths, geometry, drawn(body()), edit=edit)


@pytest.fixture
def home(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "home")
    spool.prepare()
    return spool


def gap(ds: Dataset, index: int) -> None:
    """Move the upper half of the slices by one step: uneven spacing."""
    ds.ImagePositionPatient = MADE.position(index + (index > 14))


def not_a_number(ds: Dataset, index: int) -> None:
    del ds.RescaleSlope


def test_stages_leave_their_files_and_say_which_to_deliver(tmp_path: Path, home: Spool) -> None:
    """After `segment` the label map, nothing to deliver; after `measure` document, SEG, both SR, Summary, as hashed."""
    paths = series(tmp_path)
    asked = request(paths, segmentations=[seg_of(paths)])
    work = home.work(asked.key)
    assert analysis.segment(asked, home, work) == analysis.Outcome(final=False)
    labels = parse_labels(work.read(analysis.LABELS))
    assert {one.structure: one.region.count for one in labels.segments} == {
        structure: int(np.asarray(mask).sum()) for structure, mask in body().items()
    }
    outcome = analysis.measure(asked, home, work, tmp_path)
    assert outcome.final
    assert outcome.refusal is None
    assert [product.kind for product in outcome.products] == ["seg", "sr", "sr-viewer", "summary"]
    for product in outcome.products:
        content = work.read(product.file)
        assert digest(content) == product.digest
        ds = dcmread(home.root / work.path / product.file)
        assert ds.SOPInstanceUID == product.sop_instance_uid
        assert ds.SOPClassUID == Kind(product.kind).sop_class_uid
    document = json.loads(work.read("result.json"))
    assert document["refusal"] is None
    assert document["quality"]["volume_sha1"] == volume.read(candidate(paths), home, MeasurementSettings()).sha1


def result_of(study: Study) -> dict[str, bytes]:
    """Return the files of a result; the run manifest is none of it, for it says how long the run took."""
    return {file.name: file.read_bytes() for file in study.path("").rglob("*.*") if file.name != analysis.RUN}


def test_a_stage_that_runs_again_writes_the_same_bytes(tmp_path: Path, home: Spool) -> None:
    """Segmenting and measuring twice, as after a lost worker, leaves every file as it was."""
    paths = series(tmp_path)
    asked = request(paths, segmentations=[seg_of(paths)])
    first = run(asked, home)
    kept = result_of(first)
    time.sleep(1.1)  # no object may carry the time of its own making
    assert {"labels.npz", "result.json", "seg.dcm", "sr.dcm", "sr-viewer.dcm", "summary.dcm"} <= set(kept)
    assert {"1-cover.png", "2-psoas.png"} <= set(kept)
    again = run(asked, home)
    assert again.outcome == first.outcome
    assert result_of(again) == kept


def test_candidates_are_tried_in_their_order(tmp_path: Path, home: Spool) -> None:
    """A series with a gap is refused, the next one is measured, and the result says what was tried and why."""
    uneven, even = series(tmp_path, 1, gap), series(tmp_path, 2)
    study = run(request(uneven, even, segmentations=[seg_of(even)]), home)
    assert study.document["refusal"] is None
    assert study.document["series"]["series_instance_uid"] == f"{ROOT}.2"
    [tried] = study.document["series"]["tried"]
    assert tried["series_instance_uid"] == f"{ROOT}.1"
    assert tried["code"] == "uneven-spacing"
    assert study.dataset("seg.dcm").ReferencedSeriesSequence[0].SeriesInstanceUID == f"{ROOT}.2"


def test_the_series_that_a_segmentation_lies_on_is_chosen(tmp_path: Path, home: Spool) -> None:
    """The first candidate can be read but has no SEG on its grid: the second, which has one, is measured."""

    def elsewhere(ds: Dataset, index: int) -> None:
        x, y, z = MADE.position(index)
        ds.ImagePositionPatient = [x + 0.4, y, z]

    other, wanted = series(tmp_path, 1, elsewhere), series(tmp_path, 2)
    study = run(request(other, wanted, segmentations=[seg_of(wanted)]), home)
    assert study.document["series"]["series_instance_uid"] == f"{ROOT}.2"
    assert [one["code"] for one in study.document["series"]["tried"]] == ["segmentation-unavailable"]


def test_the_first_candidates_reason_is_the_studys(tmp_path: Path, home: Spool) -> None:
    """Where none can be measured, the best one's refusal is told in an SR, and every one that was tried is listed."""
    uneven, unreadable = series(tmp_path, 1, gap), series(tmp_path, 2, not_a_number)
    study = run(request(uneven, unreadable), home)
    assert isinstance(study.outcome.refusal, NotAnalysable)
    assert study.outcome.refusal.code is StudyRefusal.UNEVEN_SPACING
    assert [one["code"] for one in study.document["series"]["tried"]] == ["uneven-spacing", "pixels-unreadable"]
    assert study.document["refusal"]["code"] == "uneven-spacing"
    assert {one["reason"] for one in study.document["measurements"].values()} == {"uneven-spacing"}
    assert list(study.document["measurements"]) == list(MEASUREMENTS)
    assert [product.kind for product in study.outcome.products] == ["sr", "summary"]
    assert study.document["quality"]["volume_sha1"] is None


def test_a_study_without_segmentation_still_tells_what_was_read(tmp_path: Path, home: Spool) -> None:
    """`segmentation-unavailable` comes after stage 6: series and SHA-1 of the volume are in the document."""
    paths = series(tmp_path)
    study = run(request(paths), home)
    assert study.document["refusal"]["code"] == "segmentation-unavailable"
    assert study.document["quality"]["volume_sha1"] == study.volume.sha1
    assert study.document["series"]["series_instance_uid"] == f"{ROOT}.1"


def test_an_early_refusal_is_only_reported(home: Spool) -> None:
    """A study refused before a series was read has a document and no object: there is no image to refer to."""
    asked = replace(request(), refusal=EarlyRefusal(StudyRefusal.PATIENT_CONFLICT, "name: 2 different values"))
    study = run(asked, home)
    assert study.outcome.products == ()
    assert study.document["refusal"]["code"] == "patient-conflict"
    assert "2 different values" in study.document["refusal"]["text"]
    assert [file.name for file in study.path("").iterdir()] == ["result.json"]


def test_no_candidate_at_all_is_no_suitable_series(home: Spool) -> None:
    """Even a request without candidates and without a reason ends with one."""
    assert run(request(), home).document["refusal"]["code"] == "no-suitable-series"


def test_a_seg_without_anything_to_write_gives_a_report_of_reasons(tmp_path: Path, home: Spool) -> None:
    """Only L3 was segmented: no SEG of ours, no refusal, an SR in which every number has its reason."""
    paths = series(tmp_path)
    geometry = volume.read(candidate(paths), absolute(), MeasurementSettings()).geometry
    l3 = [one for one in drawn(body()) if one.label == "vertebra_L3"]
    study = run(request(paths, segmentations=[write_seg(tmp_path / "l3.dcm", paths, geometry, l3)]), home)
    assert study.document["refusal"] is None
    assert [product.kind for product in study.outcome.products] == ["sr", "summary"]
    assert all(one["status"] == "not-computed" for one in study.document["measurements"].values())


PARTS = ["liver", "iliopsoas_left", "vertebra_L1", "liver_lesion", "vertebral_body"]


@pytest.mark.parametrize("part", PARTS)
def test_any_single_structure_is_reported(part: str, tmp_path: Path, home: Spool) -> None:
    """A SEG of one structure gives a result of whatever can be measured on it, and never a failure."""
    paths = series(tmp_path)
    geometry = volume.read(candidate(paths), absolute(), MeasurementSettings()).geometry
    segments = [one for one in drawn(body()) if one.label == part]
    study = run(request(paths, segmentations=[write_seg(tmp_path / "one.dcm", paths, geometry, segments)]), home)
    assert study.outcome.refusal is None
    assert "sr" in [product.kind for product in study.outcome.products]


def test_contradicting_segmentations_stop_the_job_and_leave_nothing(tmp_path: Path, home: Spool) -> None:
    """Untrusted is no refusal: no document and no object is written that someone could take for a result."""
    paths = series(tmp_path)
    asked = request(paths, segmentations=[seg_of(paths), seg_of(paths, "other.dcm")])
    work = home.work(asked.key)
    with pytest.raises(Untrusted):
        analysis.segment(asked, home, work)
    assert not (home.root / work.path).exists()


def changed_labels(study: Study, paths: list[Path]) -> None:
    content = bytearray(study.path(analysis.LABELS).read_bytes())
    content[len(content) // 2] ^= 1
    study.path(analysis.LABELS).write_bytes(content)


def changed_slice(_: Study, paths: list[Path]) -> None:
    paths[3].write_bytes(paths[3].read_bytes() + b"\0")


def gone_slice(_: Study, paths: list[Path]) -> None:
    paths[3].unlink()


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (changed_labels, StudyRefusal.INPUT_UNTRUSTED),
        (changed_slice, StudyRefusal.INPUT_UNTRUSTED),
        (gone_slice, StudyRefusal.INPUT_INCOMPLETE),
    ],
)
def test_what_changed_between_the_stages_is_untrusted(
    harm: Callable[[Study, list[Path]], None], code: StudyRefusal, tmp_path: Path, home: Spool
) -> None:
    """A label map or a slice that changed after `segment` stops `measure`."""
    paths = series(tmp_path)
    asked: JobRequest = request(paths, segmentations=[seg_of(paths)])
    work = home.work(asked.key)
    analysis.segment(asked, home, work)
    harm(Study(asked, home, analysis.Outcome(final=False)), paths)
    with pytest.raises(NodeError) as caught:
        analysis.measure(asked, home, work, tmp_path)
    assert isinstance(caught.value, Untrusted)
    assert caught.value.code is code
    assert not work.has("result.json")


def test_a_liver_alone_by_label_of_the_site(tmp_path: Path, home: Spool) -> None:
    """The site's label table of the request reaches the import."""
    paths = series(tmp_path)
    geometry = volume.read(candidate(paths), absolute(), MeasurementSettings()).geometry
    masks = body()
    leber = Drawn(np.asarray(next(iter(masks.values()))), label="Leber")
    written = write_seg(tmp_path / "leber.dcm", paths, geometry, [leber])
    structure = next(iter(masks))
    study = run(request(paths, segmentations=[written], labels={"leber": structure}), home)
    assert study.value("liver.volume") == pytest.approx(leber.mask.sum() * BODY_VOXEL_ML)
    assert (
        dcmread(study.path("seg.dcm")).SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == LIVER.value
    )
