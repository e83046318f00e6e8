"""A search in pieces: everything is found once, caps are seen, and keys that are ignored do no harm."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.backfill.criteria import parse
from node.backfill.pieces import Piece, is_suspicious, pieces_of
from node.backfill.search import search
from node.core.dimse import TooMuch

from .conftest import Shelf, answer

TODAY = date(2026, 11, 21)
DATES = st.dates(date(1995, 1, 1), date(2030, 12, 31))


@given(DATES, st.integers(0, 2000))
def test_pieces_cover_a_range_without_gap_or_overlap(first: date, days: int) -> None:
    """Months at first, then days: each day of the range is in exactly one piece, at each depth."""
    last = first + timedelta(days=days)
    whole = [first + timedelta(days=number) for number in range(days + 1)]

    def days_of(piece: Piece) -> list[date]:
        assert piece.first is not None
        assert piece.last is not None
        return [piece.first + timedelta(days=number) for number in range((piece.last - piece.first).days + 1)]

    months = pieces_of(first, last)
    assert [day for one in months for day in days_of(one)] == whole
    assert all(one.first and one.last and one.first.month == one.last.month for one in months)
    split = [part for one in months if one.first != one.last for part in one.split()]
    assert all(part.first == part.last for part in split)


def test_a_day_is_split_into_hours_and_an_hour_not() -> None:
    """Every time of the day is in exactly one of 24 ranges; what has no dates cannot be split."""
    day = Piece(TODAY, TODAY)
    hours = day.split()
    assert len(hours) == 24
    assert hours[9].keys == {"StudyDate": "20261121", "StudyTime": "090000-095959.999999"}
    assert hours[9].split() == Piece().split() == ()


@pytest.mark.parametrize(("answers", "suspicious"), [(0, False), (50, False), (99, False), (101, False), (1023, False)])
def test_numbers_that_are_no_cap(answers: int, suspicious: bool) -> None:
    """Small ones and crooked ones are believed."""
    assert is_suspicious(answers) is suspicious


@pytest.mark.parametrize("answers", [100, 128, 200, 250, 256, 500, 512, 1000, 1024, 2000, 4096, 5000, 10_000])
def test_numbers_that_look_like_a_cap(answers: int) -> None:
    """Whole fifties and powers of two from 100 on."""
    assert is_suspicious(answers)


def _month_of_studies(per_day: int) -> list[object]:
    return [
        answer(f"1.{day}.{number}", f"202401{day:02}", f"{number % 24:02}1500")
        for day in range(1, 32)
        for number in range(per_day)
    ]


@pytest.mark.parametrize("limit", ["cap", "refuses"])
def test_an_archive_that_answers_no_more_than_a_hundred(limit: str) -> None:
    """Whether it says so or not: 7 a day make 217 a month, which is asked for by days, and all are found once."""
    shelf = Shelf(_month_of_studies(7), **{limit: 100})
    findings = search(shelf, parse(["StudyDate=20240101-20240131"], TODAY))
    assert len(findings.studies) == 217
    assert findings.queries == len(shelf.asked) == 1 + 31
    assert findings.doubtful == []


def test_a_busy_day_is_asked_for_by_hours() -> None:
    """240 in one day, ten an hour: month, day and hours, and nothing is doubtful."""
    shelf = Shelf([answer(f"1.{n}", "20240115", f"{n % 24:02}3000") for n in range(240)], cap=100)
    findings = search(shelf, parse(["StudyDate=20240101-20240131"], TODAY))
    assert len(findings.studies) == 240
    assert findings.queries == 1 + 31 + 24
    assert findings.doubtful == []


def test_what_cannot_be_split_further_is_doubtful() -> None:
    """150 studies of one hour in an archive that answers 100: the hour is named, for a person to look at."""
    shelf = Shelf([answer(f"1.{n}", "20240115", "093000") for n in range(150)], cap=100)
    findings = search(shelf, parse(["StudyDate=20240115"], TODAY))
    assert [str(one) for one in findings.doubtful] == ["20240115 090000-095959.999999"]


def test_a_refusal_that_asking_for_less_does_not_mend_is_an_error() -> None:
    """Nothing found must not be read from it."""
    shelf = Shelf([answer(f"1.{n}", "20240115", "093000") for n in range(150)], refuses=100)
    with pytest.raises(TooMuch):
        search(shelf, parse(["StudyDate=20240115"], TODAY))


def test_an_archive_that_ignores_a_key() -> None:
    """It answers with all it has; what does not match is dropped and counted by key, and never fetched."""
    shelf = Shelf(
        [answer("1.1"), answer("1.2", StudyDescription="CT Head"), answer("1.3", StudyDescription="MR Head")],
        ignores=("StudyDescription",),
    )
    findings = search(shelf, parse(["StudyDate=20240101-20240131", "StudyDescription=*ABDOMEN*"], TODAY))
    assert list(findings.studies) == ["1.1"]
    assert findings.ignored == {"StudyDescription": 2}


def test_a_list_is_asked_value_by_value_over_the_whole_range(tmp_path: object) -> None:
    """Two patients and a range of years are two queries; studies come oldest first, whoever asked for them."""
    file = tmp_path / "patients"  # type: ignore[operator]
    file.write_text("P1\nP2\n")
    shelf = Shelf([answer("1.1", "20240301", PatientID="P1"), answer("1.2", "20200301", PatientID="P2"), answer("1.3")])
    findings = search(shelf, parse(["StudyDate=20150101-20241231"], TODAY, {"PatientID": file}))
    assert [one.study_uid for one in findings.in_order()] == ["1.2", "1.1"]
    assert findings.queries == 2


def test_an_answer_without_a_uid_is_no_study() -> None:
    """What could not be asked for again is left out; a study that is answered twice is one."""
    shelf = Shelf([answer(""), answer("1.2"), answer("1.2")])
    assert list(search(shelf, parse(["StudyDate=20240115"], TODAY)).studies) == ["1.2"]
