"""`facts check` and `facts template`, the form in `analyse`, `status` and `config check`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.core.settings import CONFIG_VARIABLE
from node.form import COLUMNS
from node.phantom import PhantomFiles

PATIENT = "PAT-4711"
WRONG = f"patient_id,height_m,cea_ng_ml\n{PATIENT},1.72,12\nB,172,\nC,,twelve\n"


def test_check_counts_what_a_form_holds(crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """How many patients, of how many each fact is known, and that it can be used."""
    form = tmp_path / "form.csv"
    form.write_text(f"patient_id,height_m,cea_ng_ml\n{PATIENT},1.72,12\nB,,3\n")
    done = crlm_node("facts", "check", form)
    assert (done.code, done.err) == (0, "")
    lines = done.out.split("\n")
    assert [line.split() for line in lines[:4]] == [
        ["2", "patients"],
        ["1", "height_m"],
        ["0", "node_positive_primary"],
        ["0", "disease_free_interval_months"],
    ]
    assert lines[-2] == f"The form can be used ({form})."


def test_check_tells_each_fault_and_no_patient(crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """By line and column, heights that are none too; exit 1."""
    form = tmp_path / "form.csv"
    form.write_text(WRONG)
    done = crlm_node("facts", "check", form)
    assert (done.code, done.err) == (1, "")
    assert "line 4, cea_ng_ml: is no number" in done.out
    assert "line 3, height_m: is no plausible height" in done.out
    assert PATIENT not in done.out
    assert "can be used" not in done.out


@pytest.mark.parametrize("form", ["csv", "toml"])
def test_template_prints_a_form_that_can_be_used(form: str, crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """Empty, with every column and its meaning."""
    done = crlm_node("facts", "template", "--format", form)
    assert (done.code, done.err) == (0, "")
    assert all(f"{name}: {meaning}" in done.out or f"{name} =  # {meaning}" in done.out
               for name, (_, meaning) in COLUMNS.items())  # fmt: skip
    path = tmp_path / f"form.{form}"
    path.write_text(done.out)
    assert crlm_node("facts", "check", path).code == 0


def test_a_form_narrows_the_scores(crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path) -> None:
    """`analyse --facts`: the facts reach the scores of result.json and the table, and make another job."""
    from pydicom import dcmread

    patient_id = dcmread(small_phantom.ct[0], stop_before_pixels=True).PatientID
    form = tmp_path / "form.csv"
    form.write_text(f"patient_id,node_positive_primary,disease_free_interval_months\n{patient_id},yes,24\n")
    documents = {}
    for name, words in (("without", ()), ("with", ("--facts", form))):
        out = tmp_path / name
        done = crlm_node("analyse", small_phantom.ct[0].parent, "--seg", small_phantom.seg, "--out", out, *words)
        assert (done.code, done.err) == (0, "")
        documents[name] = json.loads((out / "result.json").read_text())
        [fong] = [one for one in documents[name]["scores"] if one["id"] == "fong-crs"]
        assert f"{fong['low']} to {fong['high']} of 5" in done.out
        unknown = [item["name"] for item in fong["items"] if item["state"] == "unknown"]
        assert f"unknown: {', '.join(unknown)}" in " ".join(done.out.split())
    fongs = [documents[name]["scores"][0] for name in ("without", "with")]
    assert fongs[1]["low"] == fongs[0]["low"] + 1
    assert fongs[1]["high"] == fongs[0]["high"] - 1
    assert documents["with"]["job"] != documents["without"]["job"]
    assert documents["with"]["measurements"] == documents["without"]["measurements"]


def test_a_form_that_is_wrong_stops_analyse_and_is_told_by_check_and_status(
    crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`analyse` and `config check` end as wrong use; `status` says it and goes on; no patient is named."""
    form, config = tmp_path / "form.csv", tmp_path / "own.toml"
    form.write_text(WRONG)
    words = ("analyse", small_phantom.ct[0].parent, "--out", tmp_path / "out")
    done = crlm_node(*words, "--facts", form)
    assert (done.code, done.sentence.startswith(f"{form}: line 4, cea_ng_ml: is no number")) == (2, True)
    assert not (tmp_path / "out").exists()
    config.write_text(f'home = "{tmp_path / "home"}"\nnetworks = false\npatient_facts = "{form}"\n')
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))
    assert crlm_node(*words).sentence == done.sentence
    assert crlm_node("config", "check").sentence == done.sentence
    (tmp_path / "home").mkdir()
    assert crlm_node("ledger", "upgrade").code == 0
    shown = crlm_node("status")
    assert shown.code == 0
    assert "the form of patient facts cannot be used" in shown.out
    assert PATIENT not in shown.out
