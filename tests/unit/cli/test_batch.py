"""`analyse --batch`: many studies in processes of their own, one table, and again where it was stopped."""

import csv
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import batches
import pytest
from pyarrow import parquet
from pydicom import dcmread

from node.cli import cohort
from node.cohort.plan import name_of
from node.folder import request_for_case
from node.phantom import PhantomFiles
from workers.batch import runner

Row = dict[str, str]


def table(out: Path) -> dict[str, Row]:
    """Return the rows of the table by case; the Parquet file has the same cases and numbers."""
    with (out / "measurements.csv").open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    for row in parquet.read_table(out / "measurements.parquet").to_pylist():
        own = rows[row["case"]]
        assert (row["status"], row["liver.volume"]) == (
            own["status"], float(own["liver.volume"]) if own["liver.volume"] else None,
        )  # fmt: skip
    return rows


def standing(out: Path) -> dict[str, tuple[str, str, str]]:
    return {name: (row["status"], row["exit"], row["reason"]) for name, row in table(out).items()}


def results(out: Path) -> dict[str, int]:
    """Return when the result of each case was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/result.json")}


@pytest.fixture
def study(small_phantom: PhantomFiles, tmp_path: Path) -> Path:
    """A folder with a study of its own."""
    return Path(shutil.copytree(small_phantom.ct[0].parent, tmp_path / "data" / "study"))


def test_a_cohort(
    crlm_node: Callable[..., Any],
    study: Path,
    small_phantom: PhantomFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Measured, refused, killed and faulty cases of one CSV file; then again, with what failed and what changed."""
    out, cohort_csv = tmp_path / "out", tmp_path / "cohort.csv"
    (tmp_path / "data" / "short").mkdir()
    shutil.copy(study / small_phantom.ct[3].name, tmp_path / "data" / "short")
    cohort_csv.write_text(
        f"study,seg,id,arm\ndata/short,,killed,A\ndata/study,{small_phantom.seg},whole,B\n"
        "data/short,,short,B\ndata/short,,faulty,007\n"
    )
    monkeypatch.setattr(cohort, "request_for_case", batches.troubled)
    words = ("analyse", "--batch", cohort_csv, "--out", out, "--jobs", 1)
    done = crlm_node(*words)
    assert done.code == 1
    assert standing(out) == {
        "killed": ("failed", "137", "worker-lost"),
        "whole": ("measured", "0", ""),
        "short": ("refused", "1", "too-few-slices"),
        "faulty": ("failed", "1", "worker-failed"),
    }
    assert [row["arm"] for row in table(out).values()] == ["A", "B", "B", "007"]
    lines = done.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["killed failed", "faulty failed"]
    assert "killed by SIGKILL" in lines[0]
    assert "ZeroDivisionError" in lines[1]
    assert "4 cases, 1 at once" in done.out
    assert "whole measured" in done.out
    assert "short refused too-few-slices" in done.out
    log = (out / "batch.log").read_text()
    assert "case-failed" in log
    assert "Doe" not in done.out + done.err + log, "the message of a fault may hold a patient's name"
    assert {path.name for path in (out / "whole").iterdir()} >= {"result.json", "seg.dcm", "sr.dcm"}
    assert not list(out.glob("*/.work-*")), "what the killed process has left is gone"
    document = json.loads((out / "whole" / "result.json").read_text())
    assert float(table(out)["whole"]["psoas.pmvi"]) == document["measurements"]["psoas.pmvi"]["value"]

    monkeypatch.setattr(cohort, "request_for_case", request_for_case)
    monkeypatch.setattr(runner, "run", batches.one_by_one)  # to start processes anew shows nothing more
    before = results(out)
    for path in (tmp_path / "data" / "short").iterdir():
        ds = dcmread(path)
        ds.PatientSize = "1.5"
        ds.save_as(path)
    again = crlm_node(*words)
    assert (again.code, again.err) == (0, "")
    assert standing(out) == {
        "killed": ("refused", "1", "too-few-slices"),
        "whole": ("measured", "0", ""),
        "short": ("refused", "1", "too-few-slices"),
        "faulty": ("refused", "1", "too-few-slices"),
    }
    after = results(out)
    assert after["whole"] == before["whole"], "its input is the same, so its result is kept"
    assert after["short"] != before["short"], "its input changed, so it is measured again"
    assert "whole measured (kept)" in again.out
    assert "refused 3 too-few-slices 3" in " ".join(again.out.split())
    assert "measured 1 1 of them kept" in " ".join(again.out.split())


def test_a_folder_of_studies_and_ctrl_c(
    crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three studies in one folder; Ctrl-C in the second: the first is kept and in the table, two wait; exit 130."""
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "sub").mkdir(parents=True)
    for number, study in enumerate(("1.2.3.4", batches.SLOW, "1.2.3.6")):
        ds = dcmread(small_phantom.ct[number])
        ds.StudyInstanceUID = study
        ds.save_as(data / f"{number}.dcm")
    (data / "sub" / "readme.txt").write_text("of no study")
    monkeypatch.setattr(cohort, "request_for_case", batches.troubled)

    def press() -> None:
        while not list(out.glob("*/result.json")):
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    begun = time.monotonic()
    done = crlm_node("analyse", "--batch", data, "--out", out, "--jobs", 1)
    assert time.monotonic() - begun < 50, "the second would take a minute"
    assert (done.code, done.err) == (130, "")
    assert "3 cases, 1 at once" in done.out
    assert f"1 files belong to no study: {data / 'sub' / 'readme.txt'}" in done.out
    first, second, third = (name_of(study) for study in ("1.2.3.4", batches.SLOW, "1.2.3.6"))
    waiting = ("waiting", "", "")
    assert standing(out) == {first: ("refused", "1", "too-few-slices"), second: waiting, third: waiting}
    assert {row["study_instance_uid"] for row in table(out).values()} == {"1.2.3.4", batches.SLOW, "1.2.3.6"}
    assert not list(out.glob("*/.work-*"))


def test_words_that_do_not_go_together(
    crlm_node: Callable[..., Any], study: Path, small_phantom: PhantomFiles, tmp_path: Path
) -> None:
    """A folder beside `--batch`, a segmentation for all, `--jobs` without it, and nothing at all: wrong use."""
    out = tmp_path / "out"
    assert crlm_node("analyse", study, "--batch", study, "--out", out).code == 2
    assert crlm_node("analyse", "--batch", study, "--seg", small_phantom.seg, "--out", out).code == 2
    assert crlm_node("analyse", study, "--jobs", 2, "--out", out).code == 2
    assert "or --batch" in crlm_node("analyse", "--out", out).sentence
    assert not out.exists()


def test_faults_of_the_csv_file_are_wrong_use(crlm_node: Callable[..., Any], study: Path, tmp_path: Path) -> None:
    """Exit 2 with the line; a column with a name of the table's own is one of them, and nothing is measured."""
    (tmp_path / "cohort.csv").write_text("study,liver.volume\ndata/study,1500\nnowhere,0\n")
    done = crlm_node("analyse", "--batch", tmp_path / "cohort.csv", "--out", tmp_path / "out")
    assert done.code == 2
    assert "line 1: the column liver.volume is one of the table's own" in done.err
    assert "line 3: " in done.err
    assert not (tmp_path / "out").exists()


def test_files_of_others_are_not_overwritten_by_a_batch(
    crlm_node: Callable[..., Any], study: Path, tmp_path: Path
) -> None:
    """A folder of a case that holds the user's own seg.dcm is wrong use, before anything is measured."""
    (tmp_path / "out" / "mine").mkdir(parents=True)
    (tmp_path / "out" / "mine" / "seg.dcm").write_bytes(b"mine")
    (tmp_path / "cohort.csv").write_text("study,id\ndata/study,mine\n")
    done = crlm_node("analyse", "--batch", tmp_path / "cohort.csv", "--out", tmp_path / "out")
    assert done.code == 2
    assert "holds seg.dcm, which would be overwritten" in done.sentence
    assert (tmp_path / "out" / "mine" / "seg.dcm").read_bytes() == b"mine"
