"""Real CT of known numbers (shared data): issue 2's first two MUSTs, word by word."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accuracy import LOPSIDED, OURS, REPORTED, SPINE, SYMMETRIC, WHOLE_BODY
from scipy import ndimage
from sr_reading import children, groups, image_of, name, number, walk
from studies import Study, analyse

from node.core.codes import Structure
from node.core.errors import NotAnalysable
from workers.measurement.vertebra import body_from_label


@pytest.fixture(scope="module")
def expected(test_data: Path) -> dict[str, Any]:
    """What was counted outside this project."""
    content: dict[str, Any] = json.loads((test_data / "abdomen3mm" / "expected.json").read_text("utf-8"))
    return content


PER_MILLE = 0.001
# The patient of the public collection has a name of one component, of which highdicom warns.
pytestmark = pytest.mark.filterwarnings("ignore:The string .* is unlikely to represent the intended person name")


def test_volumes_means_and_areas_of_the_real_abdomen(abdomen: Study, expected: dict[str, Any]) -> None:
    """Liver and both muscles to 0.1 %: volume, mean HU, area at L3."""
    for ours, theirs in (("liver", "liver"), ("psoas.left", "psoas_left"), ("psoas.right", "psoas_right")):
        assert abdomen.value(f"{ours}.volume") == pytest.approx(expected["volume_ml"][theirs], rel=PER_MILLE)
        assert abdomen.value(f"{ours}.mean_hu") == pytest.approx(expected["mean_hu"][theirs], rel=PER_MILLE)
    for side in ("left", "right"):
        area = expected["psoas_area_cm2_at_l3"][side]
        assert abdomen.value(f"psoas.{side}.area_l3") == pytest.approx(area, rel=PER_MILLE)


def test_vertebrae_of_the_real_abdomen(abdomen: Study, expected: dict[str, Any]) -> None:
    """The whole labels of L1 and L3 to 0.1 %, as the measurements get them."""
    voxel_ml = abdomen.volume.geometry.voxel_volume_ml
    for structure, level in ((Structure.VERTEBRA_L1, "vertebra_l1"), (Structure.VERTEBRA_L3, "vertebra_l3")):
        region = abdomen.labels.find(structure)
        assert region is not None
        assert region.count * voxel_ml == pytest.approx(expected["volume_ml"][f"{level}_with_arch"], rel=PER_MILLE)
        if exact := expected["mean_hu"].get(f"{level}_with_arch"):
            assert region.values(abdomen.volume.hu).mean() == pytest.approx(exact, rel=PER_MILLE)


def test_indices_of_the_real_abdomen(abdomen: Study, expected: dict[str, Any]) -> None:
    """PMVI and PMI to 0.1 % at the height of the header."""
    assert abdomen.document["study"]["patient"]["height_m"] == expected["height_m"]
    assert abdomen.value("psoas.pmvi") == pytest.approx(expected["pmvi_cm3_per_m3"], rel=PER_MILLE)
    assert abdomen.value("psoas.pmi") == pytest.approx(expected["pmi_cm2_per_m2"], rel=PER_MILLE)


def test_the_muscles_are_nearly_complete_and_the_liver_is_truncated(abdomen: Study, expected: dict[str, Any]) -> None:
    """The edge areas stand in the note; the liver's volume is kept; PMVI is marked as a lower bound."""
    for side in ("left", "right"):
        notes = abdomen.document["measurements"][f"psoas.{side}.volume"]["notes"]
        [text] = [note["text"] for note in notes if note["code"] == "nearly-complete"]
        for part in ("psoas_edge_area_cm2", "psoas_largest_area_cm2"):
            assert f"{expected[part][side]:.2f} cm²" in text
    assert {"nearly-complete", "imported"} <= abdomen.notes("psoas.pmvi")
    assert "truncated" in abdomen.notes("liver.volume")
    assert "top slice" in abdomen.document["measurements"]["liver.volume"]["notes"][0]["text"]


def test_the_density_of_l1_is_that_of_the_core(abdomen: Study, expected: dict[str, Any]) -> None:
    """Mean 100 to 130 and median 90 to 112 HU, not the 196 HU of the vertebra with its arch."""
    assert 100 <= abdomen.value("l1.mean_hu") <= 130
    assert 90 <= abdomen.value("l1.median_hu") <= 112
    assert abdomen.value("l1.mean_hu") < expected["mean_hu"]["vertebra_l1_with_arch"] - 60
    assert 1.0 <= abdomen.value("l1.volume") < expected["volume_ml"]["vertebra_l1_with_arch"] / 3
    assert {"body-from-label", "kvp-unknown", "imported"} <= abdomen.notes("l1.mean_hu")


def test_the_density_beside_the_spine_report_is_as_the_page_says(abdomen: Study) -> None:
    """docs/accuracy.md's figures of L1: ours, of the body, and of the body eroded lopsidedly and symmetrically."""
    grid, hu = abdomen.volume.geometry, abdomen.volume.hu
    assert min(grid.slice_step_mm[2], grid.row_step_mm[1], grid.column_step_mm[0]) > 0  # up, to the back, to the left
    whole = abdomen.labels.find(Structure.VERTEBRA_L1)
    assert whole is not None
    region = body_from_label(whole, grid)
    assert region is not None
    body = region.full(grid.shape)
    lopsided = body.copy()  # a voxel stays where those below, behind and to the left are inside too
    lopsided[1:] &= body[:-1]
    for axis in (1, 2):
        lopsided &= np.roll(lopsided, -1, axis=axis)
    masks = {WHOLE_BODY: body, LOPSIDED: lopsided, SYMMETRIC: ndimage.binary_erosion(body, np.ones((3, 3, 3)))}
    found = {what: (float(hu[mask].mean()), float(np.median(hu[mask]))) for what, mask in masks.items()}
    found[OURS] = (abdomen.value("l1.mean_hu"), abdomen.value("l1.median_hu"))
    assert set(found) == set(SPINE) - {REPORTED}
    for what, values in found.items():
        assert values == pytest.approx(SPINE[what], abs=0.051), what


def test_the_area_is_outlined_on_the_slice_at_mid_l3(abdomen: Study, expected: dict[str, Any]) -> None:
    """Both planar groups of the archival SR lie on slice 72, counted from the lowest."""
    slice_ = str(abdomen.sources[expected["l3_mid_slice"]].SOPInstanceUID)
    planar = [group for group in groups(abdomen.dataset("sr.dcm")) if children(group, "NUM", "42798000")]
    assert len(planar) == 2
    for group in planar:
        [scoord] = children(group, "SCOORD")
        assert image_of(scoord) == slice_
    areas = sorted(number(item)[0] for group in planar for item in children(group, "NUM"))
    assert areas == pytest.approx(sorted(expected["psoas_area_cm2_at_l3"].values()), rel=PER_MILLE)


def test_what_was_not_searched_for_is_no_zero(abdomen: Study) -> None:
    """The SEG holds no lesion segment: count, diameter and score are missing, in document and SR."""
    for part in ("count", "max_diameter", "tbs"):
        one = abdomen.document["measurements"][f"burden.{part}"]
        assert (one["value"], one["reason"]) == (None, "structure-not-found")
    assert not [item for item in walk(abdomen.dataset("sr.dcm")) if name(item) == "lesion-count"]


@pytest.fixture(scope="module")
def patient(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """CRLM-CT-1004: a real patient of the population, without a segmentation."""
    return analyse(test_data / "crlm-ct-1004", None, tmp_path_factory.mktemp("patient"))


def test_the_volume_of_a_real_patient_is_the_published_one(patient: Study) -> None:
    """SHA-1 as PyRadiomics published it, shape, spacing, minimum, maximum and mean: padding kept, nothing resampled."""
    quality = patient.document["quality"]
    assert quality["volume_sha1"] == "298929ede663ed0ac496d5fa9febc63d550ffd1f"
    assert (quality["slices"], quality["rows"], quality["columns"]) == (41, 512, 512)
    assert quality["spacing_mm"] == pytest.approx([5, 0.796875, 0.796875], abs=1e-6)
    hu = patient.volume.hu
    assert hu.dtype == np.int16
    assert (hu.min(), hu.max()) == (-3024, 1377)
    assert hu.mean(dtype=float) == pytest.approx(-1111.7855968, abs=1e-7)


def test_a_real_patient_without_segmentation_is_refused_visibly(patient: Study) -> None:
    """`segmentation-unavailable` in document and SR; no number is made up."""
    assert isinstance(patient.outcome.refusal, NotAnalysable)
    assert patient.document["refusal"]["code"] == "segmentation-unavailable"
    assert {one["status"] for one in patient.document["measurements"].values()} == {"not-computed"}
    assert [product.kind for product in patient.outcome.products] == ["sr", "summary"]
    assert patient.dataset("sr.dcm").StudyInstanceUID == patient.request.study_instance_uid
