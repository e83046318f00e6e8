"""`series`: the ranking of a folder with every reason, and the rules of a site."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.core.settings import CONFIG_VARIABLE
from node.phantom import PhantomFiles


@pytest.fixture
def study(small_phantom: PhantomFiles, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that adds the phantom to a folder as one more series, with changes."""

    def add(number: int, **changes: Any) -> Path:
        folder = tmp_path / "study"
        folder.mkdir(exist_ok=True)
        for path in small_phantom.ct:
            ds = dcmread(path)
            ds.SeriesNumber, ds.SeriesInstanceUID = number, f"{ds.SeriesInstanceUID}.{number}"
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ds.SOPInstanceUID[:56]}.{number}"
            for keyword, value in changes.items():
                setattr(ds, keyword, value)
            ds.save_as(folder / f"{number}-{path.name}")
        return folder

    return add


def test_the_ranking_is_shown_and_nothing_is_measured(
    crlm_node: Callable[..., Any], study: Callable[..., Path], tmp_path: Path
) -> None:
    """Candidates by rank with facts and points, then what was left out; the folder is as it was."""
    study(2, SeriesDescription="Abdomen nativ", ConvolutionKernel="B70f")
    study(3, SeriesDescription="Abdomen portalvenös", ConvolutionKernel="B30f")
    folder = study(4, SeriesDescription="Schädel [1/2]")
    (folder / "notes.txt").write_text("no DICOM")
    before = sorted(folder.iterdir())
    done = crlm_node("series", folder)
    assert (done.code, done.err) == (0, "")
    assert sorted(folder.iterdir()) == before
    assert not (tmp_path / "home").exists()
    lines = [line.strip() for line in done.out.splitlines()]
    first = next(index for index, line in enumerate(lines) if line.startswith("1  "))
    assert lines[first].startswith("1  Abdomen portalvenös (series 3)  ")
    assert lines[first + 1].startswith("portal venous, ")
    assert "soft kernel B30f" in lines[first + 1]
    second = next(index for index, line in enumerate(lines) if line.startswith("2  "))
    assert lines[second].startswith("2  Abdomen nativ (series 2)")
    assert "sharp kernel B70f" in lines[second + 1]
    points = [line.split() for line in lines if line.endswith("100.0")][-1]
    assert points == ["of", "40.0", "20.0", "20.0", "10.0", "5.0", "5.0", "100.0"]
    assert "a scan of the head or neck (rule head-or-neck)" in lines
    assert any(line.startswith("Schädel [1/2]") for line in lines)
    assert any(line.startswith("notes.txt") for line in lines)
    assert lines[-1] == "Abdomen portalvenös (series 3) would be measured, and the other only where it cannot be."


def test_a_study_without_a_candidate_ends_with_1(crlm_node: Callable[..., Any], study: Callable[..., Path]) -> None:
    """All reasons, and the code that the study would be refused with."""
    done = crlm_node("series", study(2, SeriesDescription="Head"))
    assert (done.code, done.err) == (1, "")
    assert "a scan of the head or neck" in done.out
    assert done.out.splitlines()[-1].startswith("No candidate: no-suitable-series.")
    assert "Points" not in done.out


def test_two_patients_end_with_1(crlm_node: Callable[..., Any], study: Callable[..., Path]) -> None:
    """What `analyse` would refuse is refused here in the same words."""
    study(2)
    done = crlm_node("series", study(3, PatientID="ANOTHER"))
    assert done.code == 1
    assert "patient id: 2 different values" in done.sentence
    assert "ANOTHER" not in done.err


@pytest.mark.parametrize("words", [("series", "STUDY"), ("config", "check"), ("status",)])
def test_a_wrong_rule_stops_every_start(
    words: tuple[str, ...],
    crlm_node: Callable[..., Any],
    study: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the file and the key, before anything is done; `config check` tells it too."""
    rules, config = tmp_path / "rules.toml", tmp_path / "own.toml"
    rules.write_text("[weigths]\nphase = 1\n")
    config.write_text(f'home = "{tmp_path / "home"}"\nseries_rules = "{rules}"\n')
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    folder = study(2)
    done = crlm_node(*(folder if word == "STUDY" else word for word in words))
    assert done.code == 2
    assert done.sentence == f"settings: series_rules: {rules}: weigths: unknown key"


def test_the_rules_of_the_site_rank(
    crlm_node: Callable[..., Any], study: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the dry run shows is by the file that the settings name, and so is what is measured."""
    study(2, SeriesDescription="Abdomen portal")
    folder = study(3, SeriesDescription="Abdomen nativ")
    assert "Abdomen portal (series 2) would be measured" in crlm_node("series", folder).out
    rules, config = tmp_path / "rules.toml", tmp_path / "own.toml"
    rules.write_text("[shares.phase]\nnative = 1.0\nportal-venous = 0.0\n")
    config.write_text(f'home = "{tmp_path / "home"}"\nseries_rules = "{rules}"\nnetworks = false\n')
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    assert "Abdomen nativ (series 3) would be measured" in crlm_node("series", folder).out
