"""What may be asked for, how it is read, and which answers match it."""

from datetime import date
from pathlib import Path

import pytest
from pydicom import Dataset

from node.backfill.criteria import WrongCriteria, parse, read_list, unmatched

TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("20240115", date(2024, 1, 15), date(2024, 1, 15)),
        ("20240101-20240630", date(2024, 1, 1), date(2024, 6, 30)),
        ("20261101-", date(2026, 11, 1), TODAY),
    ],
)
def test_dates(text: str, first: date, last: date) -> None:
    """A day, a range, and a range until today."""
    criteria = parse([f"StudyDate={text}"], TODAY)
    assert (criteria.since, criteria.until) == (first, last)
    assert "StudyDate" not in criteria.keys


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["StudyDate=2024-01-01"], "StudyDate is YYYYMMDD"),
        (["StudyDate=20240231"], "StudyDate is YYYYMMDD"),
        (["StudyDate=-20240101"], "a range from no date"),
        (["StudyDate=20240201-20240101"], "ends before it begins"),
        (["Studydate=20240101"], "Studydate is no attribute"),
        (["StudyDate"], "KEY=VALUE"),
        (["PatientID="], "KEY=VALUE"),
        (["PixelData=1", "StudyDate=20240101"], "PixelData cannot be matched"),
        (["QueryRetrieveLevel=IMAGE", "StudyDate=20240101"], "no attribute that can be matched"),
        (["StudyInstanceUID=1.2.x"], "StudyInstanceUID has no such values"),
        (["Modality=ct scan of everything", "StudyDate=20240101"], "Modality has no such values"),
        (["PatientID=A\\B"], "matched by one value"),
        (["StudyDescription=*ABDOMEN*"], "nothing bounds the query"),
        (["PatientID=*"], "nothing bounds the query"),
        ([], "nothing bounds the query"),
    ],
)
def test_what_cannot_be_asked(words: list[str], said: str) -> None:
    """Each is refused before anybody is asked: a wrong key would be ignored there, and bring the whole archive."""
    with pytest.raises(WrongCriteria, match=said.replace("(", r"\(")):
        parse(words, TODAY)


def test_queries_carry_keys_and_ask_for_what_is_shown() -> None:
    """CT unless another modality is said; wildcards stay; what is shown or checked is asked to be returned."""
    (query,) = parse(["StudyDate=20240101", "StudyDescription=*ABD?MEN*"], TODAY).queries()
    assert query == {
        "StudyInstanceUID": "",
        "StudyDate": "",
        "StudyTime": "",
        "StudyDescription": "*ABD?MEN*",
        "ModalitiesInStudy": "CT",
    }
    (query,) = parse(["StudyDate=20240101", "ModalitiesInStudy=PT"], TODAY).queries()
    assert query["ModalitiesInStudy"] == "PT"


def test_letters_beyond_ascii_say_their_character_set() -> None:
    """Without it an archive would read other letters."""
    (query,) = parse(["StudyDate=20240101", "StudyDescription=*Oberbäuche*"], TODAY).queries()
    assert query["SpecificCharacterSet"] == "ISO_IR 192"


@pytest.mark.parametrize(
    "content",
    [
        "P1\nP2\n\nP1\n# old\nP3\n",
        "\ufeffP1\r\nP2\r\nP3\r\n",
        "Name;x,PatientID\nDoe,P1\nRoe,P2\n,P3\n",
        'P1,2024\n"P2",2023\nP3\n',
    ],
)
def test_lists(tmp_path: Path, content: str) -> None:
    """One a line, with a mark of byte order, by the name of a column, or of the first one; each once, in order."""
    file = tmp_path / "list.csv"
    file.write_text(content, encoding="utf-8")
    assert read_list(file, "PatientID") == ("P1", "P2", "P3")


@pytest.mark.parametrize("content", ["", "\n# none\n", "P1\nP*\n", "P?\n", "A\\B\n", "x" * 65 + "\n"])
def test_lists_that_cannot_be_asked(tmp_path: Path, content: str) -> None:
    """Nothing, or a value that would match others than itself; the message does not say the value."""
    file = tmp_path / "list.csv"
    file.write_text(content)
    with pytest.raises(WrongCriteria) as caught:
        parse([], TODAY, {"PatientID": file})
    assert not any(value in str(caught.value) for value in ("P*", "P?", "A\\B", "xxx"))


def test_a_list_makes_a_query_for_each_of_its_values(tmp_path: Path) -> None:
    """The other keys go with each; two lists at once have no meaning here."""
    file = tmp_path / "list.csv"
    file.write_text("A1\nA2\n")
    queries = parse(["StudyDescription=CT*"], TODAY, {"PatientID": None, "AccessionNumber": file}).queries()
    assert [(one["AccessionNumber"], one["StudyDescription"]) for one in queries] == [("A1", "CT*"), ("A2", "CT*")]
    with pytest.raises(WrongCriteria, match="one list at a time"):
        parse([], TODAY, {"PatientID": file, "AccessionNumber": file})


def _answer(**attributes: object) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("asked", "answered", "matches"),
    [
        ({"StudyDescription": "*abdomen*"}, {"StudyDescription": "CT ABDOMEN pv"}, True),
        ({"StudyDescription": "*abdomen*"}, {"StudyDescription": "CT Head"}, False),
        ({"StudyDescription": "*abdomen*"}, {}, False),
        ({"StudyDescription": "CT (A.B)"}, {"StudyDescription": "CT (AxB)"}, False),
        ({"StudyDescription": ""}, {}, True),
        ({"PatientID": "P?"}, {"PatientID": "P12"}, False),
        ({"PatientID": "P?"}, {"PatientID": "P1 "}, True),
        ({"ModalitiesInStudy": "CT"}, {"ModalitiesInStudy": ["SR", "CT"]}, True),
        ({"ModalitiesInStudy": "CT"}, {"ModalitiesInStudy": "MR"}, False),
        ({"ModalitiesInStudy": "CT"}, {}, True),
        ({"StudyDate": "20240101-20240131"}, {"StudyDate": "20240131"}, True),
        ({"StudyDate": "20240101-20240131"}, {"StudyDate": "20240201"}, False),
        ({"StudyTime": "130000-135959.999999"}, {"StudyTime": "135959.5"}, True),
        ({"StudyTime": "130000-135959.999999"}, {"StudyTime": "140000"}, False),
        ({"StudyTime": "130000-135959.999999"}, {"StudyTime": "1359"}, True),
        ({"StudyInstanceUID": "1.2\\1.3"}, {"StudyInstanceUID": "1.3"}, True),
        ({"StudyInstanceUID": "1.2\\1.3"}, {"StudyInstanceUID": "1.34"}, False),
        ({"PatientName": "DOE*"}, {"PatientName": "Müller^Ä"}, True),
        ({"NumberOfStudyRelatedInstances": "7"}, {"NumberOfStudyRelatedInstances": 7}, True),
    ],
)
def test_answers_are_judged(asked: dict[str, str], answered: dict[str, object], matches: bool) -> None:
    """As PS3.4 section C.2.2.2 matches; letters of either case; names are the archive's matter."""
    assert (unmatched(asked, _answer(**answered)) is None) is matches
