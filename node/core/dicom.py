"""DICOM headers: reading them without pixels, checking UIDs, deriving the UIDs of results.

Used at both ends: intake reads what a sender claims, workers read what was stored.
"""

import re
import struct
import uuid
import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    JPEG2000,
    UID,
    Comprehensive3DSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    RLELossless,
    SegmentationStorage,
)

from node.core.errors import Refused
from node.core.reasons import DoorRefusal

IMAGE_CLASSES: Final = (CTImageStorage, EnhancedCTImageStorage)
# Projections and renderings, as scanners write them in Image Type: their values are not those of the tissue at the
# place. The words with `_` are terms of PS3.3 C.8.16.2.1.4, the short ones what vendors write for the same.
PROJECTIONS: Final = frozenset({"MIP", "MINIP", "MAX_IP", "MIN_IP", "VRT", "SSD", "VOLUME_RENDER", "SURFACE_RENDER"})
STORAGE_CLASSES: Final = (*IMAGE_CLASSES, SegmentationStorage)
# What we send and do not take in: a PACS that routes whole studies here brings it back, and must not fail over it.
RETURNING_CLASSES: Final = (
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)
UNCOMPRESSED: Final = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
# Every one of these has a decoder in the node's requirements; JPEG Extended (12 bit) has none that is free to ship.
COMPRESSED: Final = (
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    RLELossless,
    JPEGLSNearLossless,
    JPEG2000,
    JPEGBaseline8Bit,
)
TRANSFER_SYNTAXES: Final = (*UNCOMPRESSED, *COMPRESSED)

# Ours (2.25 and a UUID, PS3.5 B.2): who we say we are in associations and in the files that we write (PS3.7 D.3.3.2).
IMPLEMENTATION_CLASS_UID: Final = UID("2.25.306195422218668655731213986969444927716")
IMPLEMENTATION_VERSION_NAME: Final = "CRLM_NODE"

_UID_FORM = re.compile(r"[0-9]+(\.[0-9]+)*")
_RESULT_NAMESPACE = uuid.UUID("6f0a4c0e-6d0c-5d5b-9a63-3f1f5f2c7a11")
_LONG_LENGTH_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM, _SEQUENCE_DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"  # little endian, as encapsulation always is
_META_HEAD, _META_END = b"DICM\x02\x00\x00\x00UL\x04\x00", 144  # which says its length, PS3.10 section 7.1
_DEFLATED = b"\x02\x00\x10\x00UI\x16\x00" + DeflatedExplicitVRLittleEndian.encode()
_LONGEST_META, _LONGEST_HEADER, _PIECE = 2**16, 2**24, 2**18
# What pydicom raises on bytes that are no data set, measured on `malformed/` of the test data.
PARSER_FAULTS = (
    InvalidDicomError,
    BytesLengthException,
    struct.error,
    zlib.error,
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


def result_series_uid(job_key: str, kind: str) -> UID:
    """Return the UID of the series that holds the one object of a kind."""
    return result_uid(job_key, f"{kind}-series")


def read_header(source: Path | bytes) -> FileDataset:
    """Read a DICOM file up to its pixel data.

    Raises
    ------
    Refused
        `dataset-unreadable` where the bytes are no DICOM file, `dataset-truncated` where an image has no pixel data
        or they are cut short.
    """
    try:
        with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            begin = _deflated_from(file)
            plain, length = _inflated(file, begin) if begin else (file, _size(file))
            ds = dcmread(plain, stop_before_pixels=True)
            if begin:
                ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
            _touch(ds)
            _check_pixels(ds, plain, length)
    except PARSER_FAULTS as error:
        raise Refused(DoorRefusal.DATASET_UNREADABLE, type(error).__name__) from error
    return ds


def _deflated_from(file: BinaryIO) -> int:
    """Return where the deflated data set of a file begins, by its file meta information; 0 where it is not deflated."""
    head = file.read(_META_END)
    begin = len(head) + int.from_bytes(head[_META_END - 4 :], "little")
    meta = file.read(min(begin - len(head), _LONGEST_META)) if head.startswith(_META_HEAD, 128) else b""
    file.seek(0)
    return begin if _DEFLATED in meta else 0


def _inflated(file: BinaryIO, begin: int) -> tuple[BinaryIO, int]:
    """Return a file as it were without deflation, its first part alone, and the length of the whole.

    It is inflated in pieces, for half a megabyte may be half a gigabyte.
    """
    meta = file.read(begin).replace(_DEFLATED, _DEFLATED.replace(b".99", b"\0\0\0"))
    inflater, head, length = zlib.decompressobj(-zlib.MAX_WBITS), bytearray(meta), begin
    while not inflater.eof:
        packed = inflater.unconsumed_tail or file.read(_PIECE)
        piece = inflater.decompress(packed, _PIECE)
        if not (packed or piece or inflater.eof):
            raise zlib.error("it is cut short")
        length += len(piece)
        head += piece[: max(0, _LONGEST_HEADER - len(head))]
    return BytesIO(head), length


def _size(file: BinaryIO) -> int:
    """Return the length of a file that stands at its beginning, and stays there."""
    size = file.seek(0, 2)
    file.seek(0)
    return size


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


def _check_pixels(ds: FileDataset, file: BinaryIO, length: int) -> None:
    """Refuse an image whose pixel data is missing or ends early.

    Parameters
    ----------
    ds, file
        The header, and its file, which stands where the header was left.
    length
        Of the file, in bytes, were it whole.
    """
    implicit, little = ds.original_encoding
    head = file.read(8)
    if len(head) < 8:
        _refuse_missing_pixels(ds, held=False)
        return
    length_field = head[4:8]
    if not implicit:
        if head[4:6] not in _LONG_LENGTH_VRS:
            raise Refused(DoorRefusal.DATASET_UNREADABLE, "pixel data of an impossible value representation")
        length_field = file.read(4)
    announced = int.from_bytes(length_field, "little" if little else "big")
    if len(length_field) < 4 or (announced == _UNDEFINED_LENGTH and not _fragments_end(file)):
        raise Refused(DoorRefusal.DATASET_TRUNCATED, "its pixel data has no end")
    if announced == _UNDEFINED_LENGTH:
        return
    held = length - file.tell()
    if announced > held:
        raise Refused(DoorRefusal.DATASET_TRUNCATED, f"{announced} bytes of pixel data announced, {held} held")
    if ds.get("SOPClassUID") in STORAGE_CLASSES and announced < (needed := _native_length(ds)):
        raise Refused(DoorRefusal.DATASET_TRUNCATED, f"{needed} bytes of pixel data needed, {announced} held")


def _native_length(ds: FileDataset) -> int:
    """Return the bytes that uncompressed pixel data take (PS3.5 section 8.1.1); 0 where the header does not say."""
    factors = [ds.get(keyword) for keyword in ("Rows", "Columns", "BitsAllocated")]
    if None in factors:
        return 0
    bits = int(ds.get("SamplesPerPixel") or 1) * int(ds.get("NumberOfFrames") or 1)
    for factor in factors:
        bits *= int(factor)
    return (bits + 7) // 8


def _refuse_missing_pixels(ds: FileDataset, *, held: bool) -> None:
    if ds.get("SOPClassUID") in STORAGE_CLASSES and not held:
        raise Refused(DoorRefusal.DATASET_TRUNCATED, "it ends before its pixel data")


def _fragments_end(file: BinaryIO) -> bool:
    """Say whether the fragments of encapsulated pixel data end as they must (PS3.5 section A.4)."""
    position = file.tell()
    end = file.seek(0, 2)
    while position + 8 <= end:
        file.seek(position)
        item = file.read(8)
        if item[:4] != _ITEM:
            return item[:4] == _SEQUENCE_DELIMITER
        position += 8 + int.from_bytes(item[4:], "little")
    return False
