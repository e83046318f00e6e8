from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_cohort import EVENT, ID, TIME, made, written

from workers.training.signature.cohort import Sources, WrongCohort, read


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """A cohort of 60 patients in two files."""
    return Sources(*written(tmp_path, *made(60, 6, {}, 1)), ID, TIME, EVENT, "tumor_")


@pytest.fixture
def edited(sources: Sources) -> Callable[[str, str], Sources]:
    """Return a function that replaces the first occurrence of a text in the table of features."""

    def edit(old: str, new: str) -> Sources:
        text = sources.features.read_text()
        assert old in text
        sources.features.write_text(text.replace(old, new, 1))
        return sources

    return edit


def test_a_cohort_holds_what_the_tables_say(sources: Sources) -> None:
    """Values, times and events come back as they were made; the prefix is gone from the names, diagnostics are no
    features, and the first column without a name is the identifier.
    """
    values, time, event = made(60, 6, {}, 1)
    cohort = read(sources)
    assert cohort.names == tuple(f"original_made_F{place}" for place in range(6))
    assert np.array_equal(cohort.values, values)
    assert np.array_equal(cohort.time, time)
    assert np.array_equal(cohort.event, event)
    assert cohort.extraction == {"settings": {"binCount": 24}}
    assert cohort.baselines["tumor_volume_ml"][3] == pytest.approx(0.206)
    assert not any(cohort.left_out.values())


def test_facts_join_the_features_and_a_missing_one_leaves_the_patient_out(sources: Sources) -> None:
    """-999 is missing: the patient is left out and counted, and no value stands in."""
    cohort = read(replace(sources, facts=("age",), baselines=("number",)))
    assert cohort.names[-1] == "age"
    assert "P0" not in cohort.ids
    assert cohort.left_out["a feature missing"] == 1
    assert cohort.values[:, -1].min() > 0
    assert cohort.baselines["number"].tolist()[:3] == [1.0, 2.0, 0.0]


def test_patients_of_one_table_alone_are_counted(sources: Sources) -> None:
    """A patient without follow-up is told of, and so is one without features."""
    lines = sources.followup.read_text().splitlines()
    sources.followup.write_text("\n".join([*lines[:-1], "X9,10,1,1,50"]) + "\n")
    cohort = read(sources)
    assert cohort.left_out["features without follow-up"] == 1
    assert cohort.left_out["follow-up without features"] == 1
    assert len(cohort.ids) == 59


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("P7,", "P6,", "P6 has a row already"),
        ("'binCount': 24", "'binCount': 32", "not extracted in one way"),
        ("tumor_original", "liver_original", None),
    ],
)
def test_tables_that_contradict_themselves_are_refused(
    edited: Callable[[str, str], Sources], old: str, new: str, words: str | None
) -> None:
    """A repeated identifier and another extraction stop the reading; a column of another region is not read."""
    sources = edited(old, new)
    if words is None:
        assert len(read(sources).names) == 5
        return
    with pytest.raises(WrongCohort, match=words):
        read(sources)


def test_facts_enter_as_they_are_or_as_logarithms_and_volumes_are_facts(sources: Sources) -> None:
    """ln(1 + value) of a column of the follow-up and of a volume in the features; `measured` has both as they were."""
    cohort = read(replace(sources, facts=("number",), log_facts=("age", "tumor_volume_ml")))
    assert cohort.names[-3:] == ("number", "age", "tumor_volume_ml")
    assert cohort.logarithms == {"age", "tumor_volume_ml"}
    assert cohort.measured[0, -3:] == pytest.approx([1, 51, 0.202])
    assert cohort.values[0, -3:] == pytest.approx([1, np.log(52), np.log(1.202)])
    assert np.array_equal(cohort.measured[:, :-2], cohort.values[:, :-2])
    text = sources.followup.read_text()
    sources.followup.write_text(text.replace(",51\n", ",-3\n", 1))
    with pytest.raises(WrongCohort, match="age has values below 0"):
        read(replace(sources, log_facts=("age",)))


@pytest.mark.parametrize(
    ("table", "old", "new", "sentence"),
    [
        ("followup", "months", "month", "followup.csv has no column months; there is month"),
        ("followup", "P3,", "P3,about ", "followup.csv: months of P3 is 'about "),
        ("followup", "P4,", ",", "followup.csv, line 6: no patient"),
        ("followup", "P4,", "P3,", "followup.csv, line 6: P3 has a row already"),
        ("followup", "\nP4,", ",1,2\nP4,", "followup.csv, line 5: more cells than columns"),
        ("followup", "P", "Q", "features.csv and followup.csv have no patient in common: P0 is the first of one, Q0"),
        ("features", '(1.0, 1.0, 2.0)",', '(1.0, 1.0, 2.0)",x', "features.csv: tumor_original_made_F0 of P0 is 'x"),
    ],
)
def test_a_table_that_cannot_be_followed_is_told_by_file_and_patient(
    sources: Sources, table: str, old: str, new: str, sentence: str
) -> None:
    """One sentence says where to look; nothing that is no number counts as missing."""
    path = getattr(sources, table)
    text = path.read_text()
    path.write_text(text.replace(old, new) if old == "P" else text.replace(old, new, 1))
    with pytest.raises(WrongCohort) as raised:
        read(sources)
    assert str(raised.value).startswith(sentence)


def test_a_table_that_is_no_text_is_told(sources: Sources) -> None:
    """A spreadsheet's own format is a frequent mistake."""
    sources.followup.write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(WrongCohort, match=r"followup.csv is no CSV file in UTF-8"):
        read(sources)
    sources.followup.write_text("patient,months,dead\n")
    with pytest.raises(WrongCohort, match=r"followup.csv has no rows"):
        read(sources)


def test_wrong_columns_and_too_few_events_are_told(sources: Sources) -> None:
    """Each wrong word of the command has its sentence."""
    with pytest.raises(WrongCohort, match="no column of numbers begins with spleen_"):
        read(replace(sources, prefix="spleen_"))
    with pytest.raises(WrongCohort, match="has no column days"):
        read(replace(sources, time="days"))
    with pytest.raises(WrongCohort, match="number of P2 is 2"):
        read(replace(sources, event="number"))
    header, *lines = sources.followup.read_text().splitlines()
    sources.followup.write_text("\n".join([header, *lines[:15]]) + "\n")
    with pytest.raises(WrongCohort, match="at least 20"):
        read(sources)


def test_the_public_cohort_has_its_known_size(test_data: Path) -> None:
    """197 patients, 107 deaths, 93 features of the tumour, extracted as the collection says."""
    folder = test_data / "tcia-crlm"
    features, followup = folder / "features_L3.csv", folder / "clin.csv"
    cohort = read(Sources(features, followup, "Patient-ID", "overall_survival_months", "vital_status", "tumor_"))
    assert cohort.values.shape == (197, 93)
    assert cohort.event.sum() == 107
    assert cohort.extraction["settings"]["resegmentRange"] == [-50, 350]
    assert cohort.extraction["settings"]["binCount"] == 24
