"""`report show`: what a person reads of an object of ours or of a stranger, and what is withheld."""

import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.uid import BasicTextSRStorage, CTImageStorage, ExplicitVRLittleEndian
from rich.console import Console

from node.core.codes import STRUCTURES
from node.review import colour, pages
from node.review.frames import segments
from node.review.reading import DEEPEST, numbers

if TYPE_CHECKING:
    from studies import Study

GOLDEN = Path(__file__).with_name("viewer_sr.txt")


def shown(path: Path, width: int = 80, *, identity: bool = False) -> str:
    """Return what is printed of a file, as a pipe gets it."""
    console = Console(file=StringIO(), width=width)
    assert pages.show(console, path, identity=identity)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def item(kind: str, relation: str = "CONTAINS", name: tuple[str, str, str] | None = None, **more: object) -> Dataset:
    """Return a content item."""
    ds = Dataset()
    ds.ValueType, ds.RelationshipType = kind, relation
    if name:
        ds.ConceptNameCodeSequence = [coded(*name)]
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence."""
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def pointing(sop_class: str, uid: str) -> Dataset:
    """Return an item of a reference."""
    ds = Dataset()
    ds.ReferencedSOPClassUID, ds.ReferencedSOPInstanceUID = sop_class, uid
    return ds


def written(path: Path, *content: Dataset) -> Path:
    """Write a Basic Text SR of a patient."""
    ds = item("CONTAINER", name=("18748-4", "LN", "Diagnostic imaging report"), ContentSequence=list(content))
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = BasicTextSRStorage, "1.2.3.4", "SR"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Müller^Anna Maria", "P-0815", "19700101"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = BasicTextSRStorage, "1.2.3.4"
    ds.save_as(path, enforce_file_format=True)
    return path


COMMENT = ("121106", "DCM", "Comment")


def test_the_viewer_sr_reads_as_it_should(coarse_phantom: "Study", tmp_path: Path) -> None:
    """The whole page in 80 columns; of UIDs only that they are there, of times and the version nothing.

    Where the page was changed on purpose, the file that the message names is the new golden one.
    """
    page = shown(coarse_phantom.path("sr-viewer.dcm"))
    page = re.sub(r"2\.25\.\d+|1\.\d[\d.]{20,}", "<UID>", page)
    page = re.sub(r"…\d{6}", "…<UID>", page)
    page = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<TIME>", page)
    page = page.replace(coarse_phantom.request.version, "<VERSION>")
    page = "\n".join(line.rstrip() for line in page.splitlines()) + "\n"
    new = tmp_path / GOLDEN.name
    new.write_text(page, encoding="utf-8")
    assert page == GOLDEN.read_text(encoding="utf-8"), new


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("file", ["seg.dcm", "sr.dcm", "sr-viewer.dcm"])
def test_it_fits_the_terminal_and_is_plain_in_a_pipe(coarse_phantom: "Study", file: str, width: int) -> None:
    """No line is wider, none carries what steers a terminal, and every UID that is named by its end is told whole."""
    page = shown(coarse_phantom.path(file), width)
    assert max(map(len, page.splitlines())) <= width
    assert "\x1b" not in page
    for end in set(re.findall(r"…(\d{6})", page)) if "Objects named above" in page else ():
        assert re.search(rf"\d{{10,}}{end}\b", page) or f"tracking …{end}" in page


def test_every_number_of_the_archival_sr_is_shown(coarse_phantom: "Study") -> None:
    """Name, value as it is written, unit as a person writes it; a derivation beside the name."""
    page = " ".join(shown(coarse_phantom.path("sr.dcm"), 120).split())
    for name, derivation, what, unit in (
        ("liver.volume", "", "Volume", "mL"),
        ("liver.mean_hu", " (Mean)", "Attenuation Coefficient", "HU"),
        ("psoas.left.area_l3", "", "Area", "cm²"),
    ):
        assert f"{what}{derivation}: {round(coarse_phantom.value(name), 4)} {unit}" in page
    assert "segment 1 of SEG …" in page
    assert re.search(r"polyline of \d+ points, closed, on CT image …\d{6}", page)
    assert f"PMVI [pmvi, 99CRLM]: {round(coarse_phantom.value('psoas.pmvi'), 4)} cm³/m³" in page


def test_the_patient_is_shown_only_on_request(tmp_path: Path) -> None:
    """Name, ID and birth date: not in the heading, not as content items, not within a text; `--identity` shows them."""
    path = written(
        tmp_path / "sr.dcm",
        item("PNAME", "HAS OBS CONTEXT", ("121008", "DCM", "Person Observer Name"), PersonName="Doe^John"),
        item("PNAME", "HAS OBS CONTEXT", ("121029", "DCM", "Subject Name"), PersonName="Müller^Anna Maria"),
        item("TEXT", "HAS OBS CONTEXT", ("121030", "DCM", "Subject ID"), TextValue="P-0815"),
        item("DATE", "HAS OBS CONTEXT", ("121031", "DCM", "Subject Birth Date"), Date="19700101"),
        item("TEXT", name=COMMENT, TextValue="Frau MÜLLER, Anna (p-0815), Müllerova, Annahme"),
    )
    page = shown(path)
    for secret in ("Müller^", "MÜLLER", "Maria", "0815", "1970", "Doe", "John"):
        assert secret not in page
    assert "Frau (withheld), (withheld) ((withheld)), Müllerova, Annahme" in " ".join(page.split())
    page = shown(path, identity=True)
    for told in ("Müller^Anna Maria", "P-0815", "1970-01-01", "Doe^John", "Frau MÜLLER"):
        assert told in page


def test_a_text_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Escape sequences, bells and marks that turn the direction of reading are left out; markup is text."""
    path = written(tmp_path / "sr.dcm", item("TEXT", name=COMMENT, TextValue="a\x1b[31mb\x07c\u202ed [bold]e[/]\r\nf"))
    page = shown(path)
    assert "a[31mbcd [bold]e[/]" in page
    assert not set(page) & {"\x1b", "\x07", "\u202e", "\r"}


def test_images_that_are_only_listed_are_counted(tmp_path: Path) -> None:
    """Four images in a row are one line; three are three, and named in full below."""

    def images(count: int, name: tuple[str, str, str]) -> list[Dataset]:
        return [
            item("IMAGE", name=name, ReferencedSOPSequence=[pointing(CTImageStorage, f"1.2.3.{name[0]}.{one}")])
            for one in range(count)
        ]

    page = shown(written(tmp_path / "sr.dcm", *images(4, ("1", "99X", "Many")), *images(3, ("2", "99X", "Few"))))
    assert "Many [1, 99X]: 4 CT images" in page
    assert page.count("Few [2, 99X]: CT image …") == 3
    assert [f"1.2.3.2.{one}" in page for one in range(3)] == [True] * 3
    assert "1.2.3.1.0" not in page


def test_what_is_missing_in_an_item_is_missing_on_the_page(tmp_path: Path) -> None:
    """Items without name, value, reference or type, a number without a value, a reference to another item."""
    unavailable = coded("114000", "DCM", "Not a number")
    path = written(
        tmp_path / "sr.dcm",
        *(item(kind) for kind in ("NUM", "TEXT", "CODE", "IMAGE", "SCOORD", "SCOORD3D", "TCOORD", "TABLE", "NEWKIND")),
        item("NUM", name=COMMENT, MeasuredValueSequence=[], NumericValueQualifierCodeSequence=[unavailable]),
        item("SCOORD", name=COMMENT, GraphicType="POLYLINE", GraphicData=[1.0, 2.0, 3.0]),
        item("DATETIME", name=COMMENT, DateTime="20260102030405.5"),
        item("TIME", name=COMMENT, Time="0304"),
        Dataset(),
    )
    page = shown(path)
    assert "Comment: no value (Not a number)" in page
    assert "Comment: polyline of 1 points" in page
    assert "Comment: 2026-01-02 03:04:05" in page
    assert "Comment: 03:04" in page


def test_a_tree_without_end_ends(tmp_path: Path) -> None:
    """Deeper than any template goes, it says that it reads no further."""
    below = item("TEXT", name=COMMENT, TextValue="the deepest")
    for _ in range(DEEPEST + 5):
        below = item("CONTAINER", name=("1", "99X", "Box"), ContentSequence=[below])
    page = shown(written(tmp_path / "sr.dcm", below), 400)
    assert "deeper items are not read" in page
    assert "the deepest" not in page


@pytest.mark.parametrize("name", ["test-SR.dcm", "reportsi.dcm", "reportsi_with_empty_number_tags.dcm"])
def test_old_reports_of_others_are_shown(name: str) -> None:
    """The SR among pydicom's own test files, which keep to no rule of today."""
    page = shown(Path(str(get_testdata_file(name))))
    assert len(page.splitlines()) > 5


def test_a_measurement_report_of_dcmqi_is_shown(strangers: dict[str, Path]) -> None:
    """Its groups by tracking identifier, its numbers with units and methods, its image library in one line."""
    page = shown(strangers["sr"], 120)
    ds = dcmread(strangers["sr"])
    assert str(ds.PatientID) not in page
    assert "Imaging Measurement Report" in page
    assert re.search(r"segment \d+ of SEG …\d{6}", page)
    assert re.search(r"\d+ Positron Emission Tomography images", page)


@pytest.mark.parametrize("name", ["seg", "liver", "partial_overlaps"])
def test_segmentations_of_dcmqi_are_shown(name: str, strangers: dict[str, Path]) -> None:
    """A line for each segment, with its code."""
    page = shown(strangers[name], 120)
    for one in segments(dcmread(strangers[name], stop_before_pixels=True)):
        assert one.type.value in page


def test_a_seg_is_a_table_of_its_segments(coarse_phantom: "Study") -> None:
    """Label, code, author, frames and colour of each; the colour is the one that it was given."""
    page = shown(coarse_phantom.path("seg.dcm"), 100)
    ds = coarse_phantom.dataset("seg.dcm")
    flat = " ".join(page.split())
    by_label = {coding.label: coding for coding in STRUCTURES.values()}
    for one in segments(ds):
        assert f"{one.number} {one.label}" in flat
        coding = by_label.get(one.label) or by_label["Liver lesion"]
        found = colour.rgb(numbers(one.ds, "RecommendedDisplayCIELabValue"))
        assert found is not None
        assert max(abs(a - b) for a, b in zip(found, coding.rgb, strict=True)) <= 2
        assert "#{:02x}{:02x}{:02x}".format(*found) in page
    assert f"{ds.NumberOfFrames} of {ds.Columns} x {ds.Rows}" in page


def test_a_summary_is_described(summary: Path) -> None:
    """What it is, how many frames, and that it tells no patient."""
    page = shown(summary)
    assert "Multi-frame True Color Secondary Capture Image" in page
    assert "2 of 4 x 4, RGB" in page
    assert "nothing that tells the patient" in page


def test_an_image_is_nothing_to_show(coarse_phantom_files: Path) -> None:
    """A CT slice is no object of a result, and nothing is printed of it."""
    console = Console(file=StringIO())
    assert not pages.show(console, next((coarse_phantom_files / "ct").iterdir()), identity=False)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == ""
