"""Which cases a batch has: studies below a folder, rows of a CSV file, and what is wrong with them."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_series import ROOT, write_series
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from node.cohort.plan import Plan, name_of, plan
from node.folder import WrongFolder

ONE, OTHER = f"{ROOT}.101", f"{ROOT}.102"
TAKEN = frozenset({"case", "kvp", "liver.volume", "measurements.csv"})


def slices(folder: Path, study: str, count: int = 2, first: int = 0) -> list[Path]:
    """Write some slices of a study."""

    def edit(ds: Dataset, index: int) -> None:
        ds.StudyInstanceUID = study
        ds.SOPInstanceUID = f"{study}.{first + index + 1}"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID

    made = write_series(folder / "made", np.zeros((count, 4, 4), np.uint16), edit=edit)
    placed = [path.rename(folder / f"{study[-3:]}-{first + index}") for index, path in enumerate(made)]
    made[0].parent.rmdir()
    return placed


def made_seg(path: Path) -> Path:
    """Write a file that says it is a segmentation."""

    def edit(ds: Dataset, index: int) -> None:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SegmentationStorage

    [made] = write_series(path.parent / "seg", np.zeros((1, 4, 4), np.uint16), edit=edit)
    return made.rename(path)


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    """Return a function that plans a batch of a folder, or of the lines of a CSV file."""

    def make(*lines: str, encoding: str = "utf-8") -> Plan:
        source = tmp_path / "data"
        if lines:
            source = tmp_path / "cohort.csv"
            source.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
        return plan(source, tmp_path / "out", TAKEN)

    return make


def test_a_study_is_found_by_its_uid_wherever_its_files_lie(tmp_path: Path, planned: Callable[..., Plan]) -> None:
    """Two studies in one folder, one of them in a second folder too: two cases, each with all of its files."""
    both = tmp_path / "data" / "both"
    one = slices(both, ONE) + slices(tmp_path / "data" / "more", ONE, first=2)
    other = slices(both, OTHER)
    found = planned()
    assert {case.study_instance_uid: set(case.files) for case in found.cases} == {ONE: set(one), OTHER: set(other)}
    assert (found.keys, found.strays) == ((), ())


def test_the_name_of_a_study_is_short_and_always_the_same(tmp_path: Path, planned: Callable[..., Plan]) -> None:
    """It is safe as the name of a folder, and holds no part of the UID."""
    slices(tmp_path / "data", ONE)
    [case] = planned().cases
    assert case.name == name_of(ONE) == "study-ca3b7bc6056f"
    assert name_of(OTHER) != name_of(ONE)


def test_an_unreadable_file_goes_with_the_studies_beside_it(tmp_path: Path, planned: Callable[..., Plan]) -> None:
    """A file that no study can be read from is told of in the results of its folder; elsewhere it is a stray."""
    slices(tmp_path / "data" / "one", ONE)
    slices(tmp_path / "data" / "other", OTHER)
    beside, stray = tmp_path / "data" / "one" / "broken.dcm", tmp_path / "data" / "readme.txt"
    beside.write_bytes(b"broken")
    stray.write_text("of nobody")
    found = planned()
    assert {case.study_instance_uid: beside in case.files for case in found.cases} == {ONE: True, OTHER: False}
    assert found.strays == (stray,)


def test_a_slice_that_is_cut_short_stays_with_its_study(tmp_path: Path, planned: Callable[..., Plan]) -> None:
    """Its UID can be read, so it is no stray: the study's own result tells that it is cut."""
    [first, second] = slices(tmp_path / "data", ONE)
    second.write_bytes(second.read_bytes()[:-20])
    [case] = planned().cases
    assert set(case.files) == {first, second}


def test_a_folder_without_dicom_is_wrong_use(tmp_path: Path, planned: Callable[..., Plan]) -> None:
    """Nothing to measure is said before anything is made."""
    (tmp_path / "data").mkdir()
    with pytest.raises(WrongFolder, match="holds no readable DICOM file"):
        planned()


@pytest.mark.parametrize("out", ["data/out", "data", "."])
def test_results_lie_apart_from_the_studies(tmp_path: Path, out: str) -> None:
    """Results below the studies would be taken for more of them in the next run."""
    slices(tmp_path / "data", ONE)
    with pytest.raises(WrongFolder, match="must not lie in each other"):
        plan(tmp_path / "data", tmp_path / out, TAKEN)


def test_a_csv_file_names_cases_and_keeps_its_own_columns(tmp_path: Path, planned: Callable[..., Plan]) -> None:
    """Paths are relative to the file; `seg` and `id` may be empty; other columns are carried as they are written."""
    slices(tmp_path / "a", ONE)
    slices(tmp_path / "b", OTHER)
    seg = made_seg(tmp_path / "seg.dcm")
    found = planned("arm,study,seg,id,note", "A,a,seg.dcm,pat-1,  kept as it is ", f'"B, late",{tmp_path / "b"},,,')
    assert found.keys == ("arm", "note")
    [first, second] = found.cases
    assert (first.name, first.study_instance_uid, first.seg) == ("pat-1", ONE, seg)
    assert first.keys == ("A", "  kept as it is ")
    assert (second.name, second.study_instance_uid, second.seg) == (name_of(OTHER), OTHER, None)
    assert second.keys == ("B, late", "")


def test_one_folder_may_be_two_cases(tmp_path: Path, planned: Callable[..., Plan]) -> None:
    """The segmentations of two readers on one study are two cases, told apart by their ids."""
    slices(tmp_path / "a", ONE)
    assert [case.name for case in planned("study,id", "a,reader-1", "a,reader-2").cases] == ["reader-1", "reader-2"]


def test_what_spreadsheets_write_is_read(tmp_path: Path, planned: Callable[..., Plan]) -> None:
    """A byte order mark, semicolons, empty lines: as a spreadsheet of a German office saves them."""
    slices(tmp_path / "a", ONE)
    found = planned("study;age", "a;61,5", ";", encoding="utf-8-sig")
    assert [(case.study_instance_uid, case.keys) for case in found.cases] == [(ONE, ("61,5",))]


def test_faults_are_told_by_line(tmp_path: Path, planned: Callable[..., Plan]) -> None:
    """All at once, in their order, before anything is measured."""
    slices(tmp_path / "a", ONE)
    slices(tmp_path / "both", ONE)
    slices(tmp_path / "both", OTHER)
    slices(tmp_path / "out" / "in", ONE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongFolder) as told:
        planned(
            "study,seg,id,kvp,x,x,",
            "a,,good,,,,",
            "nowhere,,,,,,",
            "a,,good,,,,",
            "a,a/101-0,s,,,,",
            "a,gone.dcm,t,,,,",
            "both,,u,,,,",
            "empty,,v,,,,",
            "a,,../v,,,,",
            ",,w,,,,",
            "a,b",
            "out/in,,y,,,,",
            "a,,measurements.csv,,,,",
        )
    lines = str(told.value).splitlines()
    assert lines[0] == f"{tmp_path / 'cohort.csv'} has 14 faults:"
    wanted = [
        (1, "the column x is there twice"),
        (1, "a column has no name"),
        (1, "the column kvp is one of the table's own"),
        (3, "nowhere is not a folder"),
        (4, "the case good is there already, on line 2: give each an id"),
        (5, "a/101-0 is not a DICOM Segmentation"),
        (6, "gone.dcm is not a file"),
        (7, "both holds 2 studies"),
        (8, "empty holds no readable DICOM file"),
        (9, "an id is a letter or digit"),
        (10, "it names no study"),
        (11, "2 cells where the first line has 7"),
        (12, "out/in and --out must not lie in each other"),
        (13, "no case can have the name measurements.csv"),
    ]
    for line, (number, words) in zip(lines[1:], wanted, strict=True):
        assert re.fullmatch(rf"  line {number}: .*{re.escape(words)}.*", line)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"folder\na\n", "names no column `study`"),
        (b"study\n", "names no case"),
        ("study\nM\xfcller\n".encode("latin-1"), "is no CSV file in UTF-8"),
        (b'study\n"a\n', "is no CSV file: line 2"),
    ],
)
def test_what_is_no_list_of_cases_is_wrong_use(tmp_path: Path, content: bytes, words: str) -> None:
    """The file is named, with what is wrong with it."""
    (tmp_path / "cohort.csv").write_bytes(content)
    with pytest.raises(WrongFolder, match=re.escape(words)):
        plan(tmp_path / "cohort.csv", tmp_path / "out", TAKEN)
