import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from structlog.testing import capture_logs

from node.content import Header, StudyContent, gather
from node.core.reasons import NotComputed
from node.core.records import ClinicalFacts, HeightSource, PatientFacts
from node.entered import Entered
from node.facts import patient_facts

MISSING, IMPLAUSIBLE = NotComputed.HEIGHT_MISSING, NotComputed.HEIGHT_IMPLAUSIBLE
PATIENT = "PAT-4711"
HEADER = "patient_id,height_m,cea_ng_ml\n"
Study = Callable[..., StudyContent]


@pytest.fixture
def study(series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]) -> Study:
    """Return a function that makes the content of a study; without words it says nothing of the height."""

    def make(**attributes: Any) -> StudyContent:
        given = {"PatientID": PATIENT, "PatientSize": None} | attributes
        return gather("1.2.3", headers_of(series("1.2.3.1", 2, **given)))

    return make


def completed(entered: Entered, content: StudyContent, before: PatientFacts | None = None) -> PatientFacts:
    return entered.complete(patient_facts(content, "1.2.3.1", height_in_cm=False), content, before)


def height(facts: PatientFacts) -> tuple[float | None, HeightSource | None, NotComputed | None]:
    return facts.height_m, facts.height_source, facts.height_reason


def test_without_a_form_nothing_is_added(study: Study) -> None:
    """A site that has none keeps the facts of the headers."""
    assert completed(Entered(None), study()) == PatientFacts(None, None, MISSING, None, "F")


def test_the_operator_is_asked_last(study: Study, tmp_path: Path) -> None:
    """The height where nobody says one; not where the header does, and not where the header's is no height."""
    form = tmp_path / "form.csv"
    form.write_text(f"{HEADER}{PATIENT},1.72,12\n")
    entered = Entered(form)
    clinical = ClinicalFacts(cea_ng_ml=12.0)
    for size, found in (
        (None, (1.72, HeightSource.OPERATOR, None)),
        ("1.60", (1.6, HeightSource.SERIES, None)),
        ("160", (None, HeightSource.SERIES, IMPLAUSIBLE)),
    ):
        facts = completed(entered, study(PatientSize=size))
        assert (height(facts), facts.clinical) == (found, clinical)
    other = completed(entered, study(PatientID="PAT-4712"))
    assert (height(other), other.clinical) == ((None, None, MISSING), None)


@pytest.mark.parametrize("written", ["0.99", "2.31", "172", "0"])
def test_an_implausible_height_is_none_from_the_operator_too(written: str, study: Study, tmp_path: Path) -> None:
    """The column says metres: centimetres are no height, whatever the site writes elsewhere."""
    form = tmp_path / "form.csv"
    form.write_text(f"{HEADER}{PATIENT},{written},\n")
    facts = completed(Entered(form), study())
    assert (height(facts), facts.clinical) == ((None, HeightSource.OPERATOR, IMPLAUSIBLE), None)


def test_a_form_that_changes_is_read_afresh(study: Study, tmp_path: Path) -> None:
    """Also where it is written anew in the same length; one that has not changed is not opened."""
    form, content = tmp_path / "form.csv", study()
    entered = Entered(form)
    for number, written in enumerate(("1.72", "1.73")):
        form.write_text(f"{HEADER}{PATIENT},{written},\n")
        os.utime(form, ns=(number, number))
        assert completed(entered, content).height_m == float(written)
    form.chmod(0)
    with capture_logs() as logs:
        assert completed(entered, content).height_m == 1.73
    assert logs == []


def test_a_form_that_cannot_be_used_holds_nothing_up(study: Study, tmp_path: Path) -> None:
    """It is logged once, by line; what was known before stands, who has nothing goes on without; no ID is told."""
    form, content = tmp_path / "form.csv", study()
    entered = Entered(form)
    with capture_logs() as logs:
        assert height(completed(entered, content)) == (None, None, MISSING)
        form.write_text(f"{HEADER}{PATIENT},1.72,12\n")
        known = completed(entered, content)
        form.write_text(f"{HEADER}{PATIENT},1.72,twelve\n")
        for _ in range(3):
            assert completed(entered, content, known) == known
            assert height(completed(entered, content)) == (None, None, MISSING)
        spoken = completed(entered, study(PatientSize="1.60"), known)
        assert (height(spoken), spoken.clinical) == ((1.6, HeightSource.SERIES, None), known.clinical)
        archived = PatientFacts(1.8, HeightSource.ARCHIVE, None, None, "F")
        assert height(completed(entered, content, archived)) == (None, None, MISSING)
        form.unlink()
        for _ in range(2):
            completed(entered, content)
        form.write_text(f"{HEADER}{PATIENT},1.74,12\n")
        assert completed(entered, content, known).height_m == 1.74
    events = [one["event"] for one in logs]
    assert events == ["patient-facts-unusable", "patient-facts-read"] + 2 * ["patient-facts-unusable"] + [
        "patient-facts-read"
    ]
    assert "line 2, cea_ng_ml" in logs[2]["why"]
    assert PATIENT not in repr(logs)
    assert PATIENT.lower() not in repr(logs)
