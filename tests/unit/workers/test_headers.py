"""The headers of a series are those that the parser reads of each file, whoever has parsed what."""

import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_series import NATIVE, ROOT, Edit, instance, write_series
from made_series import spool as absolute
from pydicom import DataElement, Dataset, dcmread
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless

from node.core.dicom import PARSER_FAULTS
from node.core.errors import Untrusted
from node.core.reasons import StudyRefusal
from node.core.records import Instance
from node.core.spool import digest
from workers.report import headers

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # impossible values are meant

STORED = np.random.default_rng(7).integers(0, 4096, (3, 6, 8)).astype(np.uint16)


def files(folder: Path, edit: Edit | None = None, **options: Any) -> list[Path]:
    """Write slices with names in Latin 1, sequences of both kinds of length, and private elements."""

    def rich(ds: Dataset, index: int) -> None:
        inner, item = Dataset(), Dataset()
        inner.CodeValue, inner.CodeMeaning, item.PurposeOfReferenceCodeSequence = "1", "Füllung", [inner]
        item.ReferencedSOPInstanceUID = f"{ROOT}.7.{index}"
        ds.PatientName, ds.ImageComments = "Müller^Jürgen", f"größer {index}"
        ds.ReferencedImageSequence, ds.SourceImageSequence = [item, Dataset()], [Dataset()]
        ds["ReferencedImageSequence"].is_undefined_length = True
        block = ds.private_block(0x0019, "MAKER", create=True)
        block.add_new(1, "LO", f"privat: ü {index}")
        block.add_new(2, "UN", b"the same")
        if edit is not None:
            edit(ds, index)

    return write_series(folder, STORED, edit=rich, **options)


def said(ds: Dataset) -> dict[int, tuple[DataElement, bool, str | None]]:
    """Return all that elements are, by their tags."""
    return {one.tag: (one, one.is_undefined_length, one.private_creator) for one in ds}


def by_the_parser(content: bytes) -> Dataset:
    """Return a header as pydicom reads it alone."""
    ds = dcmread(BytesIO(content), stop_before_pixels=True)
    ds.decode()
    ds.SpecificCharacterSet = "ISO_IR 192"
    return ds


def require_same(paths: list[Path]) -> None:
    """Hold the headers of a series to the parser's, one by one."""
    found = headers.read([instance(path) for path in paths], absolute())
    for path, header in zip(paths, found, strict=True):
        assert said(header) == said(by_the_parser(path.read_bytes()))


def require_as_parsed(first: Path, content: bytes) -> None:
    """Hold the header of a slice behind the first to the parser's; what the parser refuses is refused."""
    path = first.with_name("other.dcm")
    path.write_bytes(content)
    known = instance(first)
    other = Instance("1.2", known.sop_class_uid, known.transfer_syntax_uid, digest(content), str(path))
    try:
        expected = said(by_the_parser(content))
    except PARSER_FAULTS:
        with pytest.raises(PARSER_FAULTS):
            headers.read([known, other], absolute())
        return
    assert said(headers.read([known, other], absolute())[1]) == expected


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was parsed whole."""
    whole: list[bytes] = []
    parsed = headers._parsed

    def note(content: bytes) -> Dataset:
        whole.append(content)
        return parsed(content)

    monkeypatch.setattr(headers, "_parsed", note)
    return whole


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless], ids=lambda uid: uid.name)
def test_headers_are_the_parsers(syntax: UID, tmp_path: Path, parses: list[bytes]) -> None:
    """In every transfer syntax; where it has explicit value representations, one file is parsed for all."""
    require_same(files(tmp_path, syntax=syntax))
    assert len(parses) == (1 if syntax in (ExplicitVRLittleEndian, RLELossless) else 3)


DIFFERENT: dict[str, dict[str, Any]] = {
    "a text": {"SeriesDescription": "Becken, spät", "PatientName": "Möller^Jörg"},
    "more": {"ContrastBolusAgent": "Jod", "OtherPatientIDsSequence": [Dataset()]},
    "less": {"ConvolutionKernel": None, "ReferencedImageSequence": None, "SliceThickness": None},
    "empty": {"ConvolutionKernel": "", "SliceThickness": "", "PatientName": ""},
}
OTHERWISE: dict[str, dict[str, Any]] = {
    "character set": {"SpecificCharacterSet": "ISO_IR 192"},
    "no character set": {"SpecificCharacterSet": None, "PatientName": "A", "ImageComments": "A"},
    "sign of the pixels": {"PixelRepresentation": 1},
    "floats before the pixels": {"FloatPixelData": bytes(4 * 6 * 8)},
}


def setting(values: dict[str, Any]) -> Edit:
    """Return what gives the second slice other values; None takes an element out."""

    def edit(ds: Dataset, index: int) -> None:
        for keyword, value in values.items() if index == 1 else ():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)

    return edit


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_slice_keeps_what_is_its_own(what: str, tmp_path: Path, parses: list[bytes]) -> None:
    """Other values, more elements, fewer ones, without a parse of the whole; the next slice has none of them."""
    require_same(files(tmp_path, setting(DIFFERENT[what])))
    assert len(parses) == 1


@pytest.mark.parametrize("what", OTHERWISE)
def test_a_slice_that_is_to_be_read_otherwise_is_parsed(what: str, tmp_path: Path, parses: list[bytes]) -> None:
    """What tells how texts and numbers are read is not taken from another slice."""
    require_same(files(tmp_path, setting(OTHERWISE[what])))
    assert len(parses) >= 2


def test_private_elements_of_another_maker_are_parsed(tmp_path: Path, parses: list[bytes]) -> None:
    """The same bytes are not the same element where another maker has reserved the block."""

    def edit(ds: Dataset, index: int) -> None:
        if index == 1:
            ds[0x0019, 0x0010].value = "GEMS_ACQU_01"
            ds[0x0019, 0x1002].value = b"1.5 "

    require_same(files(tmp_path, edit))
    assert len(parses) == 3


def test_headers_do_not_hold_the_files(tmp_path: Path) -> None:
    """The pixels of a series would be in memory a second time."""
    paths = write_series(tmp_path, np.zeros((8, 512, 512), dtype=np.uint16))
    instances = [instance(path) for path in paths]
    headers.read(instances, absolute())  # tables of the parser
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        found = headers.read(instances, absolute())
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 8
    assert after - before < paths[0].stat().st_size / 2


def test_every_file_is_held_against_its_digest(tmp_path: Path) -> None:
    """Where the header is the same to the last byte, and a pixel is not; and where the file is gone."""
    paths = files(tmp_path)
    instances = [instance(path) for path in paths]
    content = bytearray(paths[2].read_bytes())
    content[-1] ^= 1
    paths[2].write_bytes(content)
    with pytest.raises(Untrusted) as changed:
        headers.read(instances, absolute())
    paths[2].unlink()
    with pytest.raises(Untrusted) as gone:
        headers.read(instances, absolute())
    assert (changed.value.code, gone.value.code) == (StudyRefusal.INPUT_UNTRUSTED, StudyRefusal.INPUT_INCOMPLETE)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """The first slice, and what the second holds."""
    first, second, _ = files(tmp_path_factory.mktemp("pair"))
    return first, second.read_bytes()


def test_a_file_that_names_another_encoding_is_read_by_its_name(pair: tuple[Path, bytes]) -> None:
    """Big endian by its name, little endian by its bytes: the parser cannot read it, and nothing is read of it."""
    first, second = pair
    named = second.replace(f"{ExplicitVRLittleEndian}\0".encode(), f"{ExplicitVRBigEndian}\0".encode())
    assert named != second
    require_as_parsed(first, named)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_slice_is_never_read_otherwise_than_by_the_parser(
    data: st.DataObject, pair: tuple[Path, bytes]
) -> None:
    """Bytes changed, put in, taken out anywhere before the pixels; what the parser refuses is refused."""
    first, second = pair
    content = bytearray(second)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(128, len(content) - STORED[0].nbytes))
        match data.draw(st.sampled_from(("change", "put in", "take out"))):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "put in":
                content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            case _:
                del content[at : at + data.draw(st.integers(1, 8))]
    require_as_parsed(first, bytes(content))
