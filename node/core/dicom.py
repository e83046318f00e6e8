"""DICOM headers: reading them without pixels, checking UIDs, deriving the UIDs of results.

Used at both ends: intake reads what a sender claims, workers read what was stored.
"""

import re
import struct
import uuid
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    JPEG2000,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SegmentationStorage,
)

from node.core.errors import Refused
from node.core.reasons import DoorRefusal

IMAGE_CLASSES: Final = (CTImageStorage, EnhancedCTImageStorage)
STORAGE_CLASSES: Final = (*IMAGE_CLASSES, SegmentationStorage)
UNCOMPRESSED: Final = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
COMPRESSED: Final = (
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    RLELossless,
    JPEGLSNearLossless,
    JPEG2000,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)
TRANSFER_SYNTAXES: Final = (*UNCOMPRESSED, *COMPRESSED)

_UID_FORM = re.compile(r"[0-9]+(\.[0-9]+)*")
_RESULT_NAMESPACE = uuid.UUID("6f0a4c0e-6d0c-5d5b-9a63-3f1f5f2c7a11")
_LONG_LENGTH_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED_LENGTH = 0xFFFFFFFF
# What pydicom raises on bytes that are no data set, measured on `malformed/` of the test data.
_PARSER_FAULTS = (
    InvalidDicomError,
    BytesLengthException,
    struct.error,
    AttributeError,
    EOFError,
    KeyError,
    IndexError,
    NotImplementedError,
    OSError,
    TypeError,
    UnicodeError,
    ValueError,
    OverflowError,
    RecursionError,
    MemoryError,
)


def is_uid(text: str) -> bool:
    """Say whether the text is a UID by form (PS3.5 section 9.1), and so safe as a file name."""
    return len(text) <= 64 and _UID_FORM.fullmatch(text) is not None


def result_uid(job_key: str, kind: str) -> UID:
    """Return the UID of a result: the same job and kind give the same UID (2.25, PS3.5 B.2)."""
    return UID(f"2.25.{uuid.uuid5(_RESULT_NAMESPACE, f'{job_key}/{kind}').int}")


def read_header(source: Path | bytes) -> FileDataset:
    """Read a DICOM file up to its pixel data.

    Raises
    ------
    Refused
        `dataset-unreadable` where the bytes are no DICOM file, `dataset-truncated` where the pixel data is cut short.
    """
    try:
        with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            ds = dcmread(file, stop_before_pixels=True)
            _touch(ds)
            announced = _pixel_length(file.read(12), ds)
            position = file.tell()
            file.seek(0, 2)
            held = file.tell() - position
    except _PARSER_FAULTS as error:
        raise Refused(DoorRefusal.DATASET_UNREADABLE, type(error).__name__) from error
    if announced is not None and announced > held + 4:
        raise Refused(DoorRefusal.DATASET_TRUNCATED, f"{announced} bytes of pixel data announced, {held} held")
    return ds


def _touch(ds: Dataset) -> None:
    """Convert the attributes that every stage reads, so that a malformed value fails here and not later."""
    for keyword in (
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "PatientID",
        "PatientName",
        "Modality",
        "SeriesDescription",
        "ImageType",
        "Rows",
        "Columns",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
    ):
        ds.get(keyword)


def _pixel_length(head: bytes, ds: FileDataset) -> int | None:
    """Return the length that the pixel data element announces; None where there is none or it is encapsulated."""
    encoding = ds.original_encoding
    order = "little" if encoding[1] else "big"
    if len(head) < 8 or ds.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return None
    if not encoding[0] and head[4:6] not in _LONG_LENGTH_VRS:
        return None
    field = head[4:8] if encoding[0] else head[8:12]
    length = int.from_bytes(field, "little" if order == "little" else "big")
    return None if length == _UNDEFINED_LENGTH else length
