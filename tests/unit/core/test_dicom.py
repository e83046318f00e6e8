"""Headers: what is read, what is refused and with which code."""

import json
import os
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SegmentationStorage,
)

from node.core.dicom import IMPLEMENTATION_CLASS_UID, UNCOMPRESSED, is_uid, read_header, result_uid
from node.core.errors import Refused
from node.core.reasons import Coded, DoorRefusal

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # values are meant to be impossible

_MEMORY = 3 * 2**30
_NOTHING = bytes(128) + b"DICM"


def _file(
    transfer_syntax: str = ExplicitVRLittleEndian, sop_class: str = CTImageStorage, *, pixels: bool = True
) -> bytes:
    """Return a file of 8 x 8 pixels of 16 bits; in two fragments where the syntax is encapsulated."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, "1.2.3"
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, "1.2.3"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.4", "1.2.5"
    ds.PatientName, ds.Modality = "A^B", "CT"
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 16, 16, 15
    ds.SamplesPerPixel, ds.PixelRepresentation, ds.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    if pixels:
        values = np.arange(64, dtype="<u2").tobytes()
        fragments = encapsulate([values[:64], values[64:]])
        ds.PixelData = fragments if transfer_syntax.is_encapsulated else values
        ds["PixelData"].VR = "OW"
    buffer = BytesIO()
    implicit, little = transfer_syntax == ImplicitVRLittleEndian, transfer_syntax != ExplicitVRBigEndian
    if transfer_syntax.is_encapsulated or transfer_syntax.is_deflated:
        dcmwrite(buffer, ds, enforce_file_format=True)
    else:
        dcmwrite(buffer, ds, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return buffer.getvalue()


def _code(source: bytes | Path) -> Coded | None:
    """Return why a file is refused; None where it is read."""
    try:
        read_header(source)
    except Refused as error:
        return error.code
    return None


def _passes(content: bytes) -> bool:
    """Say whether a file would be taken in: read, and of an instance that has its UIDs."""
    try:
        ds = read_header(content)
    except Refused:
        return False
    return is_uid(str(ds.get("SOPClassUID", ""))) and is_uid(str(ds.get("SOPInstanceUID", "")))


@pytest.mark.parametrize("transfer_syntax", [*UNCOMPRESSED, RLELossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_header_of_a_whole_file_is_read(transfer_syntax: str, tmp_path: Path) -> None:
    """In each encoding, from bytes and from a file, without the pixel data."""
    content = _file(transfer_syntax)
    path = tmp_path / "slice"
    path.write_bytes(content)
    for source in (content, path):
        ds = read_header(source)
        assert (ds.SOPInstanceUID, ds.Rows, ds.PatientName) == ("1.2.3", 8, "A^B")
        assert "PixelData" not in ds


@pytest.mark.parametrize(
    "transfer_syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless],
    ids=lambda uid: uid.name,
)
def test_no_cut_of_a_file_passes(transfer_syntax: str) -> None:
    """Cut anywhere, by its last byte alone too, a slice is not taken in."""
    content = _file(transfer_syntax)
    assert _passes(content)
    assert [end for end in range(len(content)) if _passes(content[:end])] == []


def test_cut_of_a_deflated_file_passes_only_where_nothing_is_missing() -> None:
    """Behind the last block of a deflated data set stands a byte of padding, which says nothing."""
    content = _file(DeflatedExplicitVRLittleEndian)
    whole = dcmread(BytesIO(content))
    passing = [content[:end] for end in range(len(content)) if _passes(content[:end])]
    assert len(passing) <= 1
    assert all(dcmread(BytesIO(cut)) == whole for cut in passing)


def test_image_without_pixel_data_is_truncated() -> None:
    """An image or a segmentation that ends before its pixel data; deflated too."""
    for sop_class in (CTImageStorage, SegmentationStorage):
        assert _code(_file(sop_class=sop_class, pixels=False)) is DoorRefusal.DATASET_TRUNCATED
    assert _code(_file(DeflatedExplicitVRLittleEndian, pixels=False)) is DoorRefusal.DATASET_TRUNCATED


def test_report_needs_no_pixel_data() -> None:
    """What is no image is read without pixels."""
    assert _code(_file(sop_class=ComprehensiveSRStorage, pixels=False)) is None


def test_fewer_pixels_than_the_image_has_are_truncated() -> None:
    """A pixel data element that is whole and shorter than rows x columns x bits."""
    ds = dcmread(BytesIO(_file()))
    ds.Rows = 9
    buffer = BytesIO()
    ds.save_as(buffer)
    assert _code(buffer.getvalue()) is DoorRefusal.DATASET_TRUNCATED


def test_longer_pixel_data_is_no_fault() -> None:
    """Padding behind the pixels, which some senders write, is read."""
    ds = dcmread(BytesIO(_file()))
    ds.PixelData += bytes(64)
    buffer = BytesIO()
    ds.save_as(buffer)
    assert _code(buffer.getvalue()) is None


def test_fragment_that_announces_too_much_is_truncated() -> None:
    """The length of an encapsulated fragment leads beyond the end of the file."""
    content = _file(RLELossless)
    item = content.rindex(b"\xfe\xff\x00\xe0")
    wrong = content[: item + 4] + struct.pack("<L", 2**31 - 2) + content[item + 8 :]
    assert _code(wrong) is DoorRefusal.DATASET_TRUNCATED


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"DICM",
        bytes(132),
        b"GIF89a" + bytes(300),
        bytes(128) + b"DICM" + b"\x02\x00\x10\x00ZZ\x10\x00" + bytes(16),
    ],
    ids=["empty", "prefix-alone", "zeros", "picture", "impossible-vr"],
)
def test_no_dicom_file_is_unreadable(content: bytes) -> None:
    """What is no DICOM file is refused as unreadable."""
    assert _code(content) is DoorRefusal.DATASET_UNREADABLE


def test_missing_file_is_unreadable(tmp_path: Path) -> None:
    """A path that leads nowhere is refused like a file that cannot be parsed."""
    assert _code(tmp_path / "nothing") is DoorRefusal.DATASET_UNREADABLE


def test_corrupt_deflate_is_unreadable() -> None:
    """A deflated data set that begins with a block of no type is refused, not raised as an error of zlib."""
    content = _file(DeflatedExplicitVRLittleEndian)
    begin = 144 + int.from_bytes(content[140:144], "little")
    assert _code(content[:begin] + b"\x07" + content[begin + 1 :]) is DoorRefusal.DATASET_UNREADABLE


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_never_another_error(data: st.DataObject) -> None:
    """Any bytes overwritten anywhere: the header is read, or refused with a code."""
    content = bytearray(_file())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    _code(bytes(content))


_READ_ALL = """
import json, resource, sys, warnings
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
warnings.simplefilter("ignore")
from pathlib import Path
from node.core.dicom import read_header
from node.core.errors import Refused
answers = {{}}
for path in sorted(Path(sys.argv[1]).glob("*.dcm")):
    try:
        read_header(path)
        answers[path.name] = "read"
    except Refused as error:
        answers[path.name] = error.code.value
    except BaseException as error:
        answers[path.name] = "raised " + type(error).__name__
print(json.dumps(answers))
"""


def test_malformed_files_are_read_or_refused(test_data: Path) -> None:
    """Each generated malformed file, in a process with limits: never an error without a code."""
    folder = test_data / "malformed"
    if not folder.is_dir():
        pytest.skip(f"no malformed files in {folder}")
    done = subprocess.run(
        [sys.executable, "-c", _READ_ALL.format(memory=_MEMORY), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == len(list(folder.glob("*.dcm"))) > 0
    allowed = {"read", *(code.value for code in DoorRefusal)}
    assert {name: answer for name, answer in answers.items() if answer not in allowed} == {}
    assert "dataset-truncated" in answers.values()


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("1.2.840.10008.1.1", True),
        ("0", True),
        ("1" * 64, True),
        ("1" * 65, False),
        ("", False),
        ("1.", False),
        (".1", False),
        ("1..2", False),
        ("1.2\n", False),
        ("1.2.A", False),
        ("../1", False),
        ("1.٢", False),
    ],
)
def test_uid_by_form(text: str, *, good: bool) -> None:
    """Digits and single dots, 64 characters at most; nothing else may become part of a path."""
    assert is_uid(text) is good


def test_result_uids_depend_on_job_and_kind_alone() -> None:
    """The same job and kind give the same UID, any other another; all are valid."""
    uids = {result_uid(job, kind) for job in ("a", "b") for kind in ("seg", "sr", "seg")}
    assert len(uids) == 4
    assert all(is_uid(uid) and uid.is_valid and uid.startswith("2.25.") for uid in uids)
    assert result_uid("a", "seg") == result_uid("a", "seg")
