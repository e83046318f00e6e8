"""A glance accepts nothing that the parser would refuse, and reads what the parser reads."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node import instance_file
from node.core.dicom import read_header
from node.glance import glance

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # impossible values are meant


def _slice(**changes: object) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = CTImageStorage, "1.2.3", "1.4", "1.5"
    ds.ImageType, ds.Modality, ds.SeriesDescription = ["ORIGINAL", "AXIAL"], "CT", "Abdomen"
    ds.PatientName, ds.PatientID = "A^B", "1"
    inner = Dataset()
    inner.CodeValue, inner.PurposeOfReferenceCodeSequence = "1", Sequence([Dataset()])
    ds.ReferencedImageSequence = Sequence([inner, Dataset()])
    ds["ReferencedImageSequence"].is_undefined_length = True
    inner["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    inner.is_undefined_length_sequence_item = True
    ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing = [0, 0, 1.5], [1, 0, 0, 0, 1, 0], [1, 1]
    ds.SamplesPerPixel, ds.Rows, ds.Columns, ds.BitsAllocated = 1, 4, 4, 16
    ds.PixelData = np.arange(16, dtype="<u2").tobytes()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def _file(ds: FileDataset) -> bytes:
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


_FILE = _file(_slice())
_DATA_SET = instance_file._data_set(_FILE)
_META = _FILE[: -len(_DATA_SET)]


def _assert_no_more_than_the_parser(data_set: bytes) -> bool:
    """Say whether the glance accepted; it must then have read what the parser reads."""
    found = glance(data_set)
    if found is None:
        return False
    header = read_header(_META + data_set)
    assert found == {keyword: str(header.get(keyword)) for keyword in found}
    return True


def test_plain_slice_is_accepted() -> None:
    """All four UIDs are read; the file needs no parser."""
    assert _assert_no_more_than_the_parser(_DATA_SET)


def test_an_item_longer_than_the_data_set_is_left_to_the_parser() -> None:
    """The length of an item leads far behind the end: nothing is raised, and nothing is accepted."""
    at = _DATA_SET.index(b"\xfe\xff\x00\xe0")
    longer = _DATA_SET[: at + 4] + (2**20).to_bytes(4, "little") + _DATA_SET[at + 8 :]
    inner = longer.index(b"SH", at)
    assert glance(longer[:inner] + b"SH\xf0\xff" + longer[inner + 4 :]) is None
    assert glance(longer) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"SpecificCharacterSet": "ISO_IR 999"},
        {"SpecificCharacterSet": ["ISO 2022 IR 6", "ISO 2022 IR 87"]},
        {"NumberOfFrames": 7},
        {"Rows": 5},
        {"BitsAllocated": 32},
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(changes: dict[str, object]) -> None:
    """A character set that is not common, and more pixels announced than held."""
    assert glance(instance_file._data_set(_file(_slice(**changes)))) is None


@pytest.mark.parametrize("uid", [b"\t.2.3", b"1.2\\3", b"1..23", b"1.2.a", b"\0\0\0\0\0"])
def test_uid_of_another_form_is_left_to_the_parser(uid: bytes) -> None:
    """The parser strips, splits and refuses such values in ways of its own."""
    assert glance(_DATA_SET.replace(b"1.2.3", uid)) is None


@pytest.mark.parametrize("end", [-1, -8, -40, 100, 12, 3, 0])
def test_cut_slice_is_left_to_the_parser(end: int) -> None:
    """Wherever a data set is cut, the glance does not accept it."""
    assert glance(_DATA_SET[:end]) is None


@settings(max_examples=400, deadline=None)
@given(at=st.integers(0, len(_DATA_SET) - 1), byte=st.integers(0, 255), more=st.binary(max_size=4))
def test_changed_bytes_are_never_accepted_where_the_parser_refuses(at: int, byte: int, more: bytes) -> None:
    """One byte changed and some put in, anywhere: what is accepted is what the parser reads."""
    _assert_no_more_than_the_parser(_DATA_SET[:at] + bytes([byte]) + more + _DATA_SET[at + 1 :])


def test_malformed_files_are_never_accepted_where_the_parser_refuses(test_data: Path) -> None:
    """Each of the malformed files that claims explicit VR little endian."""
    files = sorted((test_data / "malformed").glob("*.dcm"))
    if not files:
        pytest.skip("no malformed files")
    contents = [path.read_bytes() for path in files]
    begins = [content.find(b"\x08\x00", 132) for content in contents]
    accepted = [_assert_no_more_than_the_parser(one[begin:]) for one, begin in zip(contents, begins, strict=True)]
    assert 0 < sum(accepted) < len(files)


def test_real_slices_are_plain(test_data: Path) -> None:
    """The glance is worth its lines where real scanners' slices are plain."""
    files = sorted((test_data / "crlm-ct-1004").rglob("*.dcm"))
    if not files:
        pytest.skip("no real CT")
    assert all(_assert_no_more_than_the_parser(instance_file._data_set(path.read_bytes())) for path in files[:5])
