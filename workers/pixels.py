"""From the bytes of an instance to its slices in Hounsfield units: verified, decoded, rescaled (stage 6).

Comes in: an `Instance`. Goes out: `Slice` by `Slice`, one for an image of one frame, one for each frame of an Enhanced
CT image, which is read in pieces where it is not compressed, so that never more than a frame of it is held. What can
go wrong: pixels that cannot be decoded, or whose rescale makes no sense (`NotAnalysable`, `pixels-unreadable`); a file
that is not the one that was received (`Untrusted`), which of a file in pieces is known only behind its last slice.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.core.dicom import PARSER_FAULTS
from node.core.errors import NotAnalysable, Unavailable, Untrusted
from node.core.frames import Frame, frames
from node.core.grid import Plane, plane
from node.core.reasons import Outage, StudyRefusal
from node.core.records import Instance
from node.core.spool import Spool

Values = NDArray[Any]
Range = tuple[float, float]

# What pydicom and its decoders raise on damaged or missing pixel data.
_DECODER_FAULTS = (*PARSER_FAULTS, RuntimeError)
_IN_PIECES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_LONGEST_HEADER, _PIECE = 2**25, 2**20
_PIXELS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
# What scanners write outside the field of view without a word in the header, and what no tissue has: as Pixel Padding
# Value (0028,0120) counts only what lies at or below air, since a value that tissue has cannot be told from tissue.
_CONVENTIONAL_PADDING_HU: tuple[Range, ...] = ((-3024.0, -3024.0), (-2000.0, -2000.0))
_AIR_HU = -1000.0


@dataclass(frozen=True)
class Slice:
    """One slice.

    Parameters
    ----------
    header
        Of its instance; shared by the frames of a multi-frame image.
    frame
        Its number in a multi-frame image, from 1; None in an image of one frame.
    slope, intercept
        Of its own rescale.
    decode
        Returns the stored values `(rows, columns)`.
    """

    plane: Plane
    header: Dataset
    frame: int | None
    slope: float
    intercept: float
    decode: Callable[[], Values]

    def hounsfield(self) -> Values:
        """Return the slice in Hounsfield units, in the smallest of int16, int32 and float32 that holds it.

        Raises
        ------
        NotAnalysable
            `pixels-unreadable`.
        """
        uid = self.plane.sop_instance_uid
        try:
            stored = self.decode()
        except _DECODER_FAULTS as error:
            raise _unreadable(uid, type(error).__name__) from error
        if stored.shape != (self.plane.rows, self.plane.columns):
            raise _unreadable(uid, f"shape {stored.shape}")
        return _rescaled(stored, self.slope, self.intercept, uid)

    @property
    def padding_hu(self) -> tuple[Range, ...]:
        """Ranges of values that stand for no measurement, lowest and highest: by the header and by custom."""
        said = _said_padding(self.header)
        own = sorted(float(value) * self.slope + self.intercept for value in said)
        ranges = _CONVENTIONAL_PADDING_HU
        if own and math.isfinite(own[0]) and own[-1] <= _AIR_HU and (own[0], own[-1]) not in ranges:
            ranges = (*ranges, (own[0], own[-1]))
        return ranges


def in_pieces(instance: Instance) -> bool:
    """Say whether an instance is read frame by frame from its file, and never held whole."""
    return instance.sop_class_uid == EnhancedCTImageStorage and instance.transfer_syntax_uid in _IN_PIECES


def slices(instance: Instance, content: bytes) -> Iterator[Slice]:
    """Yield the slices of an instance whose verified bytes are at hand.

    Raises
    ------
    NotAnalysable
        `pixels-unreadable`; `mixed-orientation` where a slice does not say where it lies.
    """
    try:
        ds = dcmread(BytesIO(content))
    except PARSER_FAULTS as error:  # behind the pixel data, where nobody has looked before
        raise _unreadable(instance.sop_instance_uid, type(error).__name__) from error
    if instance.sop_class_uid != EnhancedCTImageStorage:
        yield _single(ds, instance)
        return
    del content
    decoded = iter_pixels(ds, raw=True)
    for frame in _frames(ds, instance):
        yield _of_frame(ds, frame, lambda: _next(decoded))


def slices_in_pieces(instance: Instance, spool: Spool) -> Iterator[Slice]:
    """Yield the slices of an uncompressed Enhanced CT image as its file is read; its digest is known at the end.

    Raises
    ------
    NotAnalysable
        See `slices`.
    Untrusted
        `input-incomplete` where the file is gone, `input-untrusted` where its digest differs.
    """
    try:
        with spool.file(instance).open("rb") as file:
            yield from _read_through(instance, file)
    except FileNotFoundError as error:
        raise Untrusted(StudyRefusal.INPUT_INCOMPLETE, instance.sop_instance_uid) from error
    except OSError as error:
        raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error


def _read_through(instance: Instance, file: BinaryIO) -> Iterator[Slice]:
    """Read a file once from its begin to its end, every byte into the digest before it is used."""
    head = file.read(_LONGEST_HEADER)
    read = hashlib.sha256(head)
    front = BytesIO(head)
    try:
        ds = dcmread(front, stop_before_pixels=True)
        front.seek(8 if ds.original_encoding[0] else 12, 1)  # tag and length of the pixel data, PS3.5 section 7.1
        size = int(ds.Rows) * int(ds.Columns) * int(ds.BitsAllocated) // 8
    except PARSER_FAULTS as error:
        raise _unreadable(instance.sop_instance_uid, type(error).__name__) from error
    for frame in _frames(ds, instance):
        raw = front.read(size)
        if len(raw) < size:
            rest = file.read(size - len(raw))
            read.update(rest)
            raw += rest
        yield _of_frame(ds, frame, lambda raw=raw: _native(ds, raw))  # type: ignore[misc]
    while piece := file.read(_PIECE):
        read.update(piece)
    if read.hexdigest() != instance.digest:
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"{instance.sop_instance_uid} was changed after receipt")


def _single(ds: FileDataset, instance: Instance) -> Slice:
    where = plane(ds)
    if where is None:
        raise _nowhere()
    try:
        slope, intercept = float(ds.RescaleSlope), float(ds.RescaleIntercept)
    except PARSER_FAULTS as error:
        raise _unreadable(instance.sop_instance_uid, type(error).__name__) from error
    return Slice(where, ds, None, slope, intercept, lambda: ds.pixel_array)


def _of_frame(ds: Dataset, frame: Frame, decode: Callable[[], Values]) -> Slice:
    return Slice(frame.plane, ds, frame.number, frame.slope, frame.intercept, decode)


def _frames(ds: Dataset, instance: Instance) -> tuple[Frame, ...]:
    found = frames(ds)
    if found is None:
        raise _nowhere()
    if len({one.plane.sop_instance_uid for one in found} | {instance.sop_instance_uid}) > 1:
        raise _unreadable(instance.sop_instance_uid, "it names itself otherwise")
    return found


def _next(decoded: Iterator[Values]) -> Values:
    """Return the next frame; an image that has fewer than it says has no such frame."""
    try:
        return next(decoded)
    except StopIteration:
        raise EOFError("fewer frames than the header says") from None


def _native(ds: Dataset, raw: bytes) -> Values:
    """Decode one frame of an uncompressed image as an image of its own."""
    alone = FileDataset("", {}, file_meta=ds.file_meta, is_little_endian=True, is_implicit_VR=False)
    for keyword in _PIXELS:
        alone[keyword] = ds[keyword]
    alone.PixelData = raw
    alone["PixelData"].VR = "OW"
    return alone.pixel_array


def _rescaled(stored: Values, slope: float, intercept: float, uid: str) -> Values:
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise _unreadable(uid, "rescale is no number")
    if not (slope.is_integer() and intercept.is_integer()):
        return (stored * slope + intercept).astype(np.float32)
    least, most = sorted(int(slope) * int(value) + int(intercept) for value in (stored.min(), stored.max()))
    if least < -(2**31) or most >= 2**31 or abs(slope) >= 2**31 or abs(intercept) >= 2**31:
        raise _unreadable(uid, "rescale leads out of all range")
    if least >= -(2**15) and most < 2**15 and abs(slope) < 2**15 and abs(intercept) < 2**15:
        # In 16 bits, where a sum that runs over comes back: only the result has to fit.
        hu = stored.astype(np.int16)
        if slope != 1:
            hu *= np.int16(slope)
        hu += np.int16(intercept)
        return hu
    return stored.astype(np.int32) * int(slope) + int(intercept)


def _said_padding(ds: Dataset) -> list[int]:
    """Return Pixel Padding Value and Range Limit, where they are there, as stored values (PS3.3 C.7.5.1.1.2).

    Their sign is that of the pixels, whatever value representation a writer gave them.
    """
    found: list[int] = []
    try:
        bits, signed = int(ds.BitsAllocated), int(ds.PixelRepresentation) == 1
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
            if (value := ds.get(keyword)) is not None and (found or keyword == "PixelPaddingValue"):
                word = int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)
                word &= (1 << bits) - 1
                found.append(word - (1 << bits) if signed and word >> (bits - 1) else word)
    except PARSER_FAULTS:
        return []
    return found


def _nowhere() -> NotAnalysable:
    return NotAnalysable(StudyRefusal.MIXED_ORIENTATION, "a slice has no position, orientation or pixel spacing")


def _unreadable(uid: str, why: str) -> NotAnalysable:
    return NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{uid}: {why}")
