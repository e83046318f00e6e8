"""`crlm-node signature fit`: what the screen says of a fit, and of words and tables that cannot be followed."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_cohort import EVENT, ID, TIME, made, written
from made_cohort_studies import write
from rich.console import Console

from node import signatures
from workers.measurement.radiomics import parameters
from workers.training.signature import command, figures
from workers.training.signature.procedure import Plan

Run = Callable[..., Any]
SMALL = Plan(folds=3, repeats=2, inner=2, steps=4, methods=("lasso",), bootstraps=0, shuffles=0)
MODELS = Path(__file__).parents[3] / "models" / "signatures"


@pytest.fixture
def words(tmp_path: Path) -> dict[str, Any]:
    """The words of a fit that could be done, by option; 40 patients."""
    features, followup = written(tmp_path, *made(40, 6, {}, 1))
    return {
        "--features": features,
        "--followup": followup,
        "--id": ID,
        "--time": TIME,
        "--event": EVENT,
        "--prefix": "tumor_",
        "--out": tmp_path / "out",
    }


def flat(words: dict[str, Any]) -> list[Any]:
    return [word for pair in words.items() for word in pair if word is not None]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"--time": "month"}, "followup.csv has no column month; there is months"),
        ({"--id": "case"}, "followup.csv has no column case"),
        ({"--prefix": "spleen_"}, "features.csv: no column of numbers begins with spleen_"),
        ({"--event": "number"}, "followup.csv: number of P2 is 2, and an event is 1 and none is 0"),
        ({"--fact": "smoker"}, "followup.csv has no column smoker"),
        ({"--unit": "weeks"}, "--unit is one of days, months, years"),
        ({"--features": None}, "give --features CSV, or --studies DIR and --params YAML"),
        ({"--label": "2"}, "give --features CSV, or --studies DIR and --params YAML"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_wrong_words_of_a_fit(
    change: dict[str, Any], sentence: str, crlm_node: Run, words: dict[str, Any], tmp_path: Path
) -> None:
    """Each is one sentence on stderr and exit code 2, and nothing is written."""
    asked = {name: value for name, value in (words | change).items() if value is not None}
    done = crlm_node("signature", "fit", *flat(asked))
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (",1,", ",0,", "0 events in 40 complete patients: at least 20 are needed"),
        ("P5,", "P4,", "followup.csv, line 7: P4 has a row already"),
        ("P", "Q", "features.csv and followup.csv have no patient in common: P0 is the first of one, Q0 of the other"),
        ("P5,", "P5,unknown", "followup.csv: months of P5 is 'unknown"),
    ],
)
def test_a_follow_up_that_makes_no_cohort(
    old: str, new: str, sentence: str, crlm_node: Run, words: dict[str, Any], tmp_path: Path
) -> None:
    """No events, a patient twice, patients of another table, a cell that is no number."""
    path = words["--followup"]
    header, body = path.read_text().split("\n", 1)
    path.write_text(f"{header}\n{body.replace(old, new)}")
    done = crlm_node("signature", "fit", *flat(words))
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(sentence)


def test_the_screen_says_what_was_found_and_what_it_is_worth() -> None:
    """In 80 columns: the whole procedure beside what needs no fitting, and plainly where it is no better."""
    for id_, coin in (("tcia-crlm-os", True), ("tcia-crlm-os-liver", False)):
        report = json.loads((MODELS / id_ / "report.json").read_text())
        report["data"]["refused"] = {"P7": "mask-empty: nothing"}
        console = Console(width=80)
        with console.capture() as screen:
            signatures.fitted(console, report)
        text = screen.get()
        outer = report["outer"]
        assert f"{outer['c_index']:.3f}  {outer['low']:.3f} to {outer['high']:.3f}       197" in text
        assert text.startswith("197 patients, 107 events, 93 features\nWithout features: P7; report.json says why\n")
        assert ("may be no better than a coin" in text) == coin
        assert ("- tumor_volume_ml" in text) == coin
        assert max(map(len, text.splitlines())) <= 80


def test_studies_with_a_planted_relation_make_a_signature(
    crlm_node: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From images to a manifest: the planted feature is found, its signs are right, the settings and classes of the
    extraction are those of the parameter file, and a patient without features is told with its code.
    """
    monkeypatch.setattr(command, "QUICK", SMALL)
    monkeypatch.setattr(figures, "_DPI", 20)
    home, followup, params = write(tmp_path, 40)
    (home / "P07" / "mask.nrrd").unlink()
    out = tmp_path / "brightness"
    done = crlm_node(
        *("signature", "fit", "--studies", home, "--params", params, "--followup", followup, "--id", ID),
        *("--time", TIME, "--event", EVENT, "--prefix", "liver_", "--out", out, "--quick"),
    )
    why = "image-unreadable: The image or the mask cannot be read. (0 masks, and one is needed)"
    assert done.code == 0, done.err
    assert done.err == f"crlm-node: P07: {why}\n"
    assert f"Features of 39 of 40 patients: {out / 'features.csv'}" in done.out
    with (out / "features.csv").open(newline="") as file:
        assert [row[ID] for row in csv.DictReader(file)] == [f"P{place:02}" for place in range(40) if place != 7]
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
