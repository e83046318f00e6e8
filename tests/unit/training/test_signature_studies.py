import csv
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from made_cohort import ID
from made_cohort_studies import write

from node.core.errors import NotExtractable
from workers.training.signature.studies import Studies, WrongCohort, extract, find, waiting


@pytest.fixture
def three(tmp_path: Path) -> tuple[Studies, Path]:
    """Three patients as NRRD, and their follow-up."""
    home, followup, params = write(tmp_path, 3)
    return Studies(home, params, ID, "liver_"), followup


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row[ID]: row for row in csv.DictReader(file)}


def test_a_run_goes_on_where_it_was_stopped(three: tuple[Studies, Path], tmp_path: Path) -> None:
    """Rows that are there are not measured again; the others are added, and are what one run gives."""
    cohort, _followup = three
    stop, patients, heard = Event(), waiting(*three), []

    def told(patient: str, why: str) -> None:
        heard.append((patient, why))
        stop.set()

    extract(cohort, patients, tmp_path / "out", stop, told)
    assert heard == [("P00", "")]
    assert list(rows(tmp_path / "out" / "features.csv")) == ["P00"]
    (cohort.folder / "P00" / "image.nrrd").write_text("spoilt: it is not read again")
    found = extract(cohort, patients, tmp_path / "out", Event(), lambda *_: None)
    assert list(rows(found.features)) == ["P00", "P01", "P02"]
    assert not found.refused
    assert not list((tmp_path / "out").glob(".*"))
    alone = extract(cohort, ["P02"], tmp_path / "other", Event(), lambda *_: None)
    assert rows(alone.features)["P02"] == rows(found.features)["P02"]


def test_rows_of_other_settings_are_not_mixed(three: tuple[Studies, Path], tmp_path: Path) -> None:
    """Another bin width, another label or another prefix stops before anything is measured."""
    cohort, _followup = three
    found = extract(cohort, ["P00"], tmp_path / "out", Event(), lambda *_: None)
    before = found.features.read_bytes()
    other = tmp_path / "other.yaml"
    other.write_text(cohort.params.read_text().replace("binWidth: 20", "binWidth: 25"))
    for wrong in (replace(cohort, params=other), replace(cohort, label=2), replace(cohort, prefix="tumor_")):
        with pytest.raises(WrongCohort, match="P00 was measured with other settings or another prefix"):
            extract(wrong, ["P00", "P01"], tmp_path / "out", Event(), lambda *_: None)
    assert found.features.read_bytes() == before


def test_a_patient_without_a_region_is_refused_and_stops_nothing(three: tuple[Studies, Path], tmp_path: Path) -> None:
    """The code of the engine, with its words; the others are measured."""
    cohort, _followup = three
    with pytest.raises(WrongCohort, match="no patient has features: mask-empty"):
        extract(replace(cohort, label=5), waiting(*three), tmp_path / "none", Event(), lambda *_: None)
    other = tmp_path / "silent.yaml"
    other.write_text(cohort.params.read_text().replace("additionalInfo: true", "additionalInfo: false"))
    with pytest.raises(WrongCohort, match="a manifest needs the diagnostics"):
        extract(replace(cohort, params=other), ["P00"], tmp_path / "none", Event(), lambda *_: None)
    other.write_text(cohort.params.read_text().replace("binWidth", "binWidht"))
    with pytest.raises(NotExtractable, match="binWidht"):
        extract(replace(cohort, params=other), ["P00"], tmp_path / "none", Event(), lambda *_: None)


def test_folders_that_are_no_patients_are_told(three: tuple[Studies, Path], tmp_path: Path) -> None:
    """A folder that the follow-up does not know is not measured; where it knows none, both names are said."""
    cohort, followup = three
    (cohort.folder / "Z").mkdir()
    assert waiting(*three) == ["P00", "P01", "P02"]
    followup.write_text(followup.read_text().replace("P0", "Q0"))
    with pytest.raises(WrongCohort, match=r"P00 is the first of them, Q00 the first patient of followup.csv"):
        waiting(*three)


def test_a_series_and_its_segmentation_are_found(tmp_path: Path) -> None:
    """The folder of the CT, and the SEG beside it; two SEG are one too many."""
    home, _, _ = write(tmp_path, 1, dicom=1)
    own = home / "P00"
    assert find(own) == (own / "ct", own / "seg.dcm")
    (own / "again.dcm").write_bytes((own / "seg.dcm").read_bytes())
    with pytest.raises(NotExtractable, match="2 masks, and one is needed"):
        find(own)


def test_a_segment_of_a_seg_gives_what_the_same_mask_gives(tmp_path: Path) -> None:
    """A CT series with a SEG, and the same mask as NRRD: as many voxels. A segment that is not there is told."""
    home, _, params = write(tmp_path, 2, dicom=1)
    cohort = Studies(home, params, ID, "liver_", segment="1")
    found = extract(cohort, ["P00", "P01"], tmp_path / "out", Event(), lambda *_: None)
    assert not found.refused
    first, second = rows(found.features).values()
    voxels = "liver_diagnostics_Mask-original_VoxelNum"
    assert first[voxels] == second[voxels]
    assert first.keys() == second.keys()
    wrong = extract(replace(cohort, segment="spleen"), ["P00", "P01"], tmp_path / "wrong", Event(), lambda *_: None)
    assert list(wrong.refused) == ["P00"]
    assert wrong.refused["P00"].startswith("mask-empty: ")
    assert list(rows(wrong.features)) == ["P01"]
