import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from made_cohort import EVENT, ID, TIME
from made_cohort_studies import write

from node.core.errors import NotExtractable
from workers.measurement.radiomics import parameters
from workers.training.signature import command
from workers.training.signature.procedure import Plan
from workers.training.signature.studies import Studies, WrongCohort, extract, find, waiting

Run = Callable[..., Any]
SMALL = Plan(folds=3, repeats=2, inner=2, steps=4, methods=("lasso",), bootstraps=1, shuffles=1)
MEAN = "liver_original_firstorder_Mean"


@pytest.fixture
def three(tmp_path: Path) -> tuple[Studies, Path]:
    """Three patients as NRRD, and their follow-up."""
    home, followup, params = write(tmp_path, 3)
    return Studies(home, params, ID, "liver_"), followup


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row[ID]: row for row in csv.DictReader(file)}


def test_studies_with_a_planted_relation_make_a_signature(
    crlm_node: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From images to a manifest: the planted feature is found, its signs are right, the settings and classes of the
    extraction are those of the parameter file, and a patient without features is told with its code.
    """
    monkeypatch.setattr(command, "QUICK", SMALL)
    home, followup, params = write(tmp_path, 45)
    (home / "P07" / "mask.nrrd").unlink()
    out = tmp_path / "brightness"
    done = crlm_node(
        *("signature", "fit", "--studies", home, "--params", params, "--followup", followup, "--id", ID),
        *("--time", TIME, "--event", EVENT, "--prefix", "liver_", "--out", out, "--quick"),
    )
    why = "image-unreadable: 0 masks (files with `mask` or `seg` in their names), and one is needed"
    assert done.code == 0, done.err
    assert done.err == f"crlm-node: P07: {why}\n"
    assert f"Features of 44 of 45 patients: {out / 'features.csv'}" in done.out
    assert len(rows(out / "features.csv")) == 44
    manifest, report = (json.loads((out / name).read_text()) for name in ("manifest.json", "report.json"))
    wanted = parameters.load(params)
    assert manifest["extraction"]["settings"] == {
        **parameters.DEFAULTS, "binWidth": 20, "label": 1, "resegmentRange": [-200, 300], "additionalInfo": True,
    }  # fmt: skip
    assert manifest["extraction"]["settings"] == wanted.given
    assert manifest["extraction"]["image_types"] == {"Original": {}}
    assert manifest["extraction"]["feature_classes"] == {
        "firstorder": ["Mean", "Entropy", "Kurtosis", "Skewness"],
        "shape": ["MeshVolume"],
    }
    first = manifest["features"][0]
    assert (first["name"], first["coefficient"] > 0.3) == ("original_firstorder_Mean", True)
    assert report["data"]["refused"] == {"P07": why}
    assert report["data"]["left_out"]["follow-up without features"] == 1
    assert report["outer"]["c_index"] > 0.6


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
    with pytest.raises(NotExtractable, match="2 SEG, and one is needed"):
        find(own)
