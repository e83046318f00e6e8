from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from node.content import Header, gather
from node.core.reasons import NotComputed
from node.core.records import HeightSource, PatientFacts
from node.facts import patient_facts

Read = Callable[..., PatientFacts]


@pytest.fixture(scope="session")
def read(series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]) -> Read:
    """Return a function that reads the facts: sizes of the chosen series, of another one, and further attributes."""

    def facts(size: Any = None, other: Any = None, *, in_cm: bool = False, **attributes: Any) -> PatientFacts:
        datasets = [
            *series("1.2.3.1", 4, PatientSize=size, **attributes),
            *series("1.2.3.2", 4, PatientSize=other),
        ]
        return patient_facts(gather("1.2.3", headers_of(datasets)), "1.2.3.1", height_in_cm=in_cm)

    return facts


def height(facts: PatientFacts) -> tuple[float | None, HeightSource | None, NotComputed | None]:
    return facts.height_m, facts.height_source, facts.height_reason


IMPLAUSIBLE = NotComputed.HEIGHT_IMPLAUSIBLE


def test_the_chosen_series_says_the_height(read: Read) -> None:
    """Patient's Size of the series that is measured wins over every other, and is named as the source."""
    assert height(read("1.75", "1.60")) == (1.75, HeightSource.SERIES, None)


def test_another_series_says_it_where_the_chosen_one_does_not(read: Read) -> None:
    """The source is then the study, and is named so."""
    assert height(read(None, "1.60")) == (1.60, HeightSource.STUDY, None)


def test_nobody_says_it(read: Read) -> None:
    """No height is a reason, not a default."""
    assert height(read()) == (None, None, NotComputed.HEIGHT_MISSING)


@pytest.mark.parametrize("size", ["170", "175.0", "0.99", "2.31", "0", "-1.75", "17.5", "69"])
def test_an_implausible_height_is_refused(read: Read, size: str) -> None:
    """Centimetres, inches and slips are not corrected by guessing, and no other series is asked instead."""
    assert height(read(size)) == (None, HeightSource.SERIES, IMPLAUSIBLE)
    assert height(read(size, "1.75")) == (None, HeightSource.SERIES, IMPLAUSIBLE)
    assert height(read(None, size)) == (None, HeightSource.STUDY, IMPLAUSIBLE)


@pytest.mark.parametrize("size", ["1.0", "2.3", "1.00"])
def test_the_ends_of_the_plausible_range_belong_to_it(read: Read, size: str) -> None:
    """1.0 m and 2.3 m are heights."""
    assert height(read(size)) == (float(size), HeightSource.SERIES, None)


def test_centimetres_are_read_where_the_site_writes_them(read: Read) -> None:
    """170 is 1.70 m only if the site says so, and then 1.70 is no height."""
    assert height(read("170", in_cm=True)) == (1.7, HeightSource.SERIES, None)
    assert height(read("1.70", in_cm=True)) == (None, HeightSource.SERIES, IMPLAUSIBLE)


def test_slices_that_disagree_make_the_height_implausible(read: Read) -> None:
    """One slice with another height: nobody knows which one is right."""
    assert height(read(lambda index: "1.80" if index == 2 else "1.75")) == (None, HeightSource.SERIES, IMPLAUSIBLE)


def test_slices_without_height_do_not_disagree(read: Read) -> None:
    """A height that only some slices carry is the height; trailing zeros are no difference."""
    assert height(read(lambda index: [None, "1.75", "1.750", ""][index])) == (1.75, HeightSource.SERIES, None)


@pytest.mark.parametrize("written", [float("nan"), float("inf")])
def test_a_height_that_is_no_number_is_implausible(
    series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]], written: float
) -> None:
    """Something unreadable was written, beside a good value too: it is not taken for absent."""
    headers = headers_of(series("1.2.3.1", 2, PatientSize="1.75"))
    content = gather("1.2.3", [headers[0], replace(headers[1], patient_size=written)])
    assert height(patient_facts(content, "1.2.3.1", height_in_cm=False)) == (None, HeightSource.SERIES, IMPLAUSIBLE)


@given(size=st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_no_height_outside_the_range_ever_passes(read: Read, size: float) -> None:
    """Whatever is written, the height is plausible or there is none, with a reason."""
    facts = read(f"{size:.6g}")
    if facts.height_m is None:
        assert facts.height_reason is IMPLAUSIBLE
        assert not 1.0 <= float(f"{size:.6g}") <= 2.3
    else:
        assert 1.0 <= facts.height_m <= 2.3
        assert facts.height_reason is None


@pytest.mark.parametrize(
    ("written", "weight"),
    [("80", 80.0), (None, None), ("0", None), ("-3", None), (lambda index: str(80 + index), None)],
)
def test_a_weight_is_one_positive_number_or_absent(read: Read, written: Any, weight: float | None) -> None:
    """A weight of zero, or several, is no weight."""
    assert read("1.75", PatientWeight=written).weight_kg == weight


@pytest.mark.parametrize(("written", "sex"), [("F", "F"), ("M", ""), ("O", ""), ("X", "F"), (None, "F")], ids=str)
def test_the_sex_is_a_coded_word_or_absent(read: Read, written: str | None, sex: str) -> None:
    """Only F, M and O are words of the standard; series that disagree (the other one says F) give none."""
    assert read("1.75", PatientSex=written).sex == sex
