"""A slice read by its likeness to another is what the parser reads, or is left to the parser."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_series import ROOT, Edit, instance, write_series
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from node.core.errors import NotAnalysable
from workers import plain
from workers.acquisition import acquisition, joined
from workers.pixels import Slice, slices

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # impossible values are meant

SHAPE = (2, 6, 8)
STORED = np.random.default_rng(5).integers(0, 4096, SHAPE).astype(np.uint16)


def files(folder: Path, stored: Any = STORED, edit: Edit | None = None, **options: Any) -> list[bytes]:
    """Write two slices, with a private block and nested sequences of both kinds of length; return their bytes."""

    def rich(ds: Dataset, index: int) -> None:
        inner, item = Dataset(), Dataset()
        inner.CodeValue, item.PurposeOfReferenceCodeSequence = "1", [inner]
        ds.ReferencedImageSequence = [item, Dataset()]
        ds["ReferencedImageSequence"].is_undefined_length = True
        ds.private_block(0x0019, "MAKER", create=True).add_new(1, "LO", f"private {index}")
        if edit is not None:
            edit(ds, index)

    return [path.read_bytes() for path in write_series(folder, stored, edit=rich, **options)]


def parsed(content: bytes, folder: Path) -> Slice:
    """Return a slice as the parser reads it."""
    path = folder / "parsed.dcm"
    path.write_bytes(content)
    [one] = slices(instance(path), content)
    return one


def require_same(found: Slice, expected: Slice) -> None:
    """Hold what a slice says, and all that is read of its header, to what the parser says."""
    assert replace(found, header=Dataset(), decode=found.decode).plane == expected.plane
    assert (found.slope, found.intercept, found.frame) == (expected.slope, expected.intercept, expected.frame)
    assert found.padding_hu == expected.padding_hu
    start = acquisition(found.header)
    assert joined(start, found.header) == joined(start, expected.header)
    assert np.array_equal(found.hounsfield(), expected.hounsfield())


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [12, 16])
def test_the_second_slice_is_read_by_the_first(bits: int, signed: bool, tmp_path: Path) -> None:
    """Pixels, position and UID are its own; bits that are not stored say nothing."""
    stored = STORED.astype(np.int16) if signed else STORED

    def edit(ds: Dataset, _: int) -> None:
        ds.BitsStored, ds.HighBit = bits, bits - 1

    first, second = files(tmp_path, stored | stored.dtype.type(0x7000) if bits == 12 else stored, edit)
    known = plain.pattern(first, parsed(first, tmp_path))
    assert known is not None
    found = plain.like(second, known)
    assert found is not None
    assert found.plane.position_mm[2] == 103.0
    require_same(found, parsed(second, tmp_path))


DIFFERENT: dict[str, dict[str, Any]] = {
    "rescale": {"RescaleSlope": "2"},
    "rescale written otherwise": {"RescaleSlope": "1.0"},
    "loss": {"LossyImageCompression": "01"},
    "padding": {"PixelPaddingValue": 0},
    "orientation": {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]},
    "spacing": {"PixelSpacing": ["1", "1"]},
    "frame of reference": {"FrameOfReferenceUID": f"{ROOT}.8"},
    "patient": {"PatientID": "MADE-2"},
    "character set": {"SpecificCharacterSet": "ISO_IR 192"},
    "frames": {"NumberOfFrames": "1"},
    "size": {"Rows": 8, "Columns": 6},
    "no position": {"ImagePositionPatient": None},
    "a position with an exponent": {"ImagePositionPatient": ["1e1", "2", "3"]},
    "a position of four numbers": {"ImagePositionPatient": ["1", "2", "3", "4"]},
    "more pixels": {"PixelData": bytes(2 * 6 * 8 + 2)},
    "fewer pixels": {"PixelData": bytes(2 * 6 * 8 - 2)},
    "floats too": {"FloatPixelData": bytes(4 * 6 * 8)},
    "something behind the pixels": {"DataSetTrailingPadding": bytes(8)},
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_differs_is_left_to_the_parser(what: str, tmp_path: Path) -> None:
    """Whatever is read of a slice and is not as in the first; also what only may not be the same."""

    def edit(ds: Dataset, index: int) -> None:
        for keyword, value in DIFFERENT[what].items() if index else ():
            setattr(ds, keyword, value)

    first, second = files(tmp_path, edit=edit)
    known = plain.pattern(first, parsed(first, tmp_path))
    assert known is not None
    assert plain.like(second, known) is None


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless], ids=lambda uid: uid.name)
def test_other_encodings_are_left_to_the_parser(syntax: Any, tmp_path: Path) -> None:
    """They make no pattern, and none is found in them."""
    first, second = files(tmp_path / "other", syntax=syntax)
    assert plain.pattern(first, parsed(first, tmp_path)) is None
    sound, _ = files(tmp_path / "plain")
    known = plain.pattern(sound, parsed(sound, tmp_path))
    assert known is not None
    assert plain.like(second, known) is None


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, plain.Pattern, Path]:
    """A second slice, the pattern of the first, and a folder to write into."""
    folder = tmp_path_factory.mktemp("pair")
    first, second = files(folder)
    known = plain.pattern(first, parsed(first, folder))
    assert known is not None
    return second, known, folder


@settings(max_examples=1500, deadline=None)
@given(data=st.data())
def test_a_damaged_slice_is_never_read_otherwise_than_by_the_parser(
    data: st.DataObject, pair: tuple[bytes, plain.Pattern, Path]
) -> None:
    """Bytes changed, put in, taken out anywhere before the pixels: what likeness accepts, the parser reads the same."""
    second, known, folder = pair
    content, front = bytearray(second), len(second) - STORED[0].nbytes
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(128, front - 1))
        match data.draw(st.sampled_from(("change", "put in", "take out", "copy"))):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "put in":
                content[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            case "take out":
                del content[at : at + data.draw(st.integers(1, 8))]
            case _:
                begin = data.draw(st.integers(128, front - 1))
                content[at : at + 16] = content[begin : begin + 16]
    found = plain.like(bytes(content), known)
    if found is None:
        return
    try:
        expected = parsed(bytes(content), folder)
    except NotAnalysable as error:
        pytest.fail(f"the parser refuses what likeness accepts: {error}")
    require_same(found, expected)


def test_the_damage_is_sometimes_accepted(pair: tuple[bytes, plain.Pattern, Path]) -> None:
    """The test above compares something: a change where nothing is read of lets the likeness stand."""
    second, known, folder = pair
    changed = second.replace(b"Abdomen ", b"Addomen ")
    assert changed != second
    found = plain.like(changed, known)
    assert found is not None
    require_same(found, parsed(changed, folder))
    assert dcmread(folder / "parsed.dcm").SeriesDescription == "Addomen"
