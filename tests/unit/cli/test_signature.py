"""`crlm-node signature`: what is listed and shown, and scores of a table, put in words and on paper."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_signature import CONTRAST, MEAN, SCORE, deep_signature, incomplete, signature

from workers.signature import folder
from workers.signature.command import Tables
from workers.signature.command import scored as score_table

Run = Callable[..., Any]
SETTINGS = {"binCount": 24, "resampledPixelSpacing": [1, 1, 1], "additionalInfo": True}
KNOWN = {
    "contrast_phase": "portal-venous",
    "slice_thickness_mm": "5",
    "lossless": "true",
    "untreated_tumour": "true",
    "mask_provenance": "imported-manual",
    "mask_labels": "liver,tumor",
    "indication": "liver-resection",
}
STATED = [word for item, value in KNOWN.items() for word in ("--known", f"{item}={value}")]
CASE = {
    "": "A1",
    "tumor_diagnostics_Configuration_Settings": str(SETTINGS),
    "tumor_diagnostics_Configuration_EnabledImageTypes": "{'Original': {}}",
    f"tumor_{MEAN}": "70",
    f"tumor_{CONTRAST}": "12",
    "age": "70",
}


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of models with the made signature, which the settings name."""
    monkeypatch.setenv("CRLM_NODE_MODELS_DIR", str(tmp_path / "models"))
    folder.write(tmp_path / "models", signature())
    return tmp_path / "models"


def table(path: Path, *cases: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(cases[0]))
        writer.writeheader()
        writer.writerows(cases)
    return path


def test_list_says_how_each_stands(crlm_node: Run, models: Path) -> None:
    """Sound, incomplete and changed manifests; a changed one makes exit code 1."""
    folder.write(models, incomplete().model_copy(update={"id": "lacking"}))
    done = crlm_node("signature", "list")
    assert done.code == 0
    rows = {line.split()[0]: line for line in done.out.splitlines() if line}
    assert " ready " in rows["made"]
    assert signature().digest[:12] in rows["made"]
    assert " incomplete " in rows["lacking"]
    path = models / "signatures" / "made" / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace("Made for tests", "Made"), encoding="utf-8")
    done = crlm_node("signature", "list")
    assert done.code == 1
    assert "made       NOT TRUSTED" in done.out
    assert "made: manifest of the signature made: it is not what its digest says" in done.out


def test_show_says_all_that_a_manifest_does(crlm_node: Run, models: Path) -> None:
    """What it requires, its numbers, its groups and how good it was."""
    done = crlm_node("signature", "show", "made")
    assert (done.code, done.err) == (0, "")
    for text in (
        signature().digest,
        "contrast_phase       portal-venous",
        "mask_provenance      tumour: imported-manual, with the labels liver, tumor and no others",
        "Groups: low, above -0.2000 high (made up)",
        "C-index: 0.500 (0.400 to 0.600), 5 patients. made up",
        "Training: 5 patients, 3 events, scores from -2.000 to 2.000",
    ):
        assert text in done.out, text
    [row] = [line for line in done.out.splitlines() if line.startswith(f"tumour:{MEAN}")]
    assert row.split()[1:] == ["+0.5000", "60", "20", "20", "to", "100"]


def test_kha_2026_is_shown_and_refuses(crlm_node: Run, tmp_path: Path) -> None:
    """The manifest that is shipped says what is missing, and no case of a table gets a score."""
    done = crlm_node("signature", "show", "kha-2026")
    assert "Missing: there is no score" in done.out
    assert "- their coefficients" in done.out
    done = crlm_node("signature", "score", "kha-2026", "--features", table(tmp_path / "f.csv", CASE), *STATED)
    assert done.code == 1
    assert "1 without a score: signature-incomplete" in done.out


def test_one_case_is_scored_with_its_contributions(crlm_node: Run, models: Path, tmp_path: Path) -> None:
    """Score, group, place, and what each feature gives, on the screen and in the table that is written."""
    features, scores = table(tmp_path / "f.csv", CASE), tmp_path / "scores.csv"
    done = crlm_node(
        *("signature", "score", "made", "--features", features, "--prefix", "tumor_", "--out", scores, *STATED)
    )
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["A1", "-0.150", "high", "46%"] in lines
    assert [line[2] for line in lines if line and line[0] in (MEAN, CONTRAST, "age")] == ["+0.250", "-0.500", "+0.100"]
    assert max(len(line) for line in done.out.splitlines() if not line.startswith("Written")) <= 80
    [row] = csv.DictReader(scores.open(encoding="utf-8"))
    assert float(row["score"]) == pytest.approx(SCORE, abs=1e-12)
    assert (row["group"], row["reason"], row["digest"]) == ("high", "", signature().digest)
    assert float(row[f"tumour:{CONTRAST}"]) == pytest.approx(-0.5)


def test_what_is_not_known_is_not_met(crlm_node: Run, models: Path, tmp_path: Path) -> None:
    """Without a statement no case has a score; a column says it for its own case, whatever is stated of all."""
    features = table(tmp_path / "f.csv", CASE, {**CASE, "": "A2"})
    words = ("signature", "score", "made", "--features", features, "--prefix", "tumor_")
    done = crlm_node(*words)
    assert done.code == 1
    assert "2 without a score: out-of-scope" in done.out
    assert "- indication: needs liver-resection, not known" in done.out
    native = {**CASE, "contrast_phase": "native"}
    features = table(tmp_path / "f.csv", {**CASE, "contrast_phase": ""}, {**native, "": "A2"})
    done = crlm_node(*words, *STATED)
    assert done.code == 0
    assert "1 without a score: out-of-scope" in done.out
    assert "- contrast_phase: needs portal-venous, is native" in done.out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({f"tumor_{MEAN}": ""}, f"tumour:{MEAN}: no value"),
        ({f"tumor_{MEAN}": "nan"}, f"tumour:{MEAN}: nan"),
        ({"age": "-999"}, "age: no value"),
        (
            {"tumor_diagnostics_Configuration_Settings": str({**SETTINGS, "binCount": 32})},
            "binCount is 24, and 32 in tumor_diagnostics_Configuration_Settings",
        ),
        (
            {"tumor_diagnostics_Configuration_Settings": "unreadable"},
            "binCount is 24, and not stated in tumor_diagnostics_Configuration_Settings",
        ),
        (
            {"tumor_diagnostics_Configuration_EnabledImageTypes": "{'LoG': {}}"},
            "Original is {}, and not stated in tumor_diagnostics_Configuration_EnabledImageTypes",
        ),
    ],
)
def test_a_case_whose_features_are_not_those_of_the_signature_has_no_score(
    change: dict[str, str], sentence: str, crlm_node: Run, models: Path, tmp_path: Path
) -> None:
    """A value that is absent, and features that were extracted in another way, are `feature-failed`."""
    features = table(tmp_path / "f.csv", {**CASE, **change})
    words = ("signature", "score", "made", "--features", features, "--prefix", "tumor_", "--absent=-999")
    done = crlm_node(*words, *STATED)
    assert done.code == 1
    assert "1 without a score: feature-failed" in done.out
    assert f"- {sentence}" in done.out


@pytest.mark.parametrize(("digest", "code"), [("0" * 64, 0), ("1" * 64, 1), (None, 0)])
def test_deep_features_of_another_network_are_not_scored(
    digest: str | None, code: int, crlm_node: Run, models: Path, tmp_path: Path
) -> None:
    """A table that says so is not scored; one without the column is taken at its word."""
    folder.write(models, deep_signature("0" * 64))
    case = {"": "A1", "tumor_deep_000": "2", "tumor_deep_255": "0", "age": "70"}
    if digest:
        case["tumor_diagnostics_Deep_Digest"] = digest
    features = table(tmp_path / "f.csv", case)
    done = crlm_node("signature", "score", "made", "--features", features, "--prefix", "tumor_", *STATED)
    assert done.code == code
    assert ("of another network in the table" in done.out) == bool(code)
    assert f"by the network made, digest {'0' * 64}" in crlm_node("signature", "show", "made").out


def test_facts_come_from_a_table_of_their_own(models: Path, tmp_path: Path) -> None:
    """They are joined by the case; a case without facts has no score."""
    bare = {name: value for name, value in CASE.items() if name != "age"}
    features = table(tmp_path / "f.csv", bare, {**bare, "": "A2"})
    facts = table(tmp_path / "facts.csv", {"Patient": "A1", "age": "70"})
    tables = Tables(features, ("tumor_",), facts=facts)
    first, second = score_table(signature(), tables, [f"{item}={value}" for item, value in KNOWN.items()])
    assert first.answer.score == pytest.approx(SCORE)  # type: ignore[union-attr]
    assert second.answer.why == ("age: no value",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("show", "nosuch"), "no signature nosuch; there are: made"),
        (("score", "made", "--features", "F"), "the table has no column original_firstorder_Mean"),
        (("score", "made", "--features", "F", "--id", "x"), "f.csv has no column x"),
        (("score", "made", "--features", "F", "--id", "age"), "f.csv has 70 twice"),
        (("score", "made", "--features", "F", "--known", "phase=x"), "phase=x: what is known is stated as ITEM=VALUE"),
        (("score", "made", "--features", "F", "--known", "lossless=yes"), "lossless is true or false, not yes"),
        (("score", "made", "--features", "F", "--known", "slice_thickness_mm=x"), "slice_thickness_mm is a number"),
        (("score", "made", "--features", "F", "--known", "indication=x"), "indication is one of liver-resection"),
        (("score", "made", "--features", "F", "--prefix", "liver=x"), "--prefix is given as ROI=PREFIX for each of"),
        (("score", "made", "--features", "F", "--prefix", "a", "--prefix", "b"), "--prefix is given as ROI=PREFIX"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_words_of_signature(
    words: tuple[str, ...], sentence: str, crlm_node: Run, models: Path, tmp_path: Path
) -> None:
    """Each is one sentence on stderr and exit code 2; what is stated for all cases comes before the words."""
    features = table(tmp_path / "f.csv", CASE, {**CASE, "": "A2"})
    done = crlm_node(
        *("signature", words[0], words[1]),
        *(STATED if words[0] == "score" else ()),
        *(features if word == "F" else word for word in words[2:]),
    )
    assert done.sentence.startswith(sentence)
    assert done.code == 2


def test_a_changed_manifest_scores_nothing(crlm_node: Run, models: Path, tmp_path: Path) -> None:
    """One number that was changed by hand: the job fails, and says why."""
    path = models / "signatures" / "made" / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["features"][0]["coefficient"] = 5.0
    path.write_text(json.dumps(content), encoding="utf-8")
    done = crlm_node("signature", "score", "made", "--features", table(tmp_path / "f.csv", CASE), *STATED)
    assert done.code == 1
    assert "it is not what its digest says" in done.sentence
