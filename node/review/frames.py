"""What a SEG holds: its segments, its frames, and where pixels are drawn.

Comes in: a Segmentation of any form (PS3.3 A.51). Goes out: segments as they are described, frames with their place and
their source images, and, from the pixels, which frames and segments are empty. Pixels are read one frame at a time.
What can go wrong: pixels that cannot be read (`Refused`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.pixels.utils import iter_pixels
from pydicom.sr.coding import Code

from node.core.dicom import PARSER_FAULTS
from node.core.errors import Refused
from node.core.kinds import LABEL_MAP_SEGMENTATION_STORAGE
from node.core.reasons import DoorRefusal
from node.review.reading import as_code, codes, first, items, numbers, text

_BACKGROUND = "125040"  # DCM; of a label map, where no segment is drawn


@dataclass(frozen=True)
class Segment:
    """A segment as the Segment Sequence describes it; the background of a label map is none."""

    ds: Dataset

    @property
    def number(self) -> int:
        """Segment Number; 0 where it has none."""
        return next((int(one) for one in numbers(self.ds, "SegmentNumber")), 0)

    @property
    def label(self) -> str:
        """Segment Label."""
        return text(self.ds, "SegmentLabel")

    @property
    def category(self) -> Code:
        """Segmented Property Category."""
        return as_code(first(self.ds, "SegmentedPropertyCategoryCodeSequence"))

    @property
    def type(self) -> Code:
        """Segmented Property Type."""
        return as_code(first(self.ds, "SegmentedPropertyTypeCodeSequence"))

    @property
    def modifiers(self) -> list[Code]:
        """What modifies the type, a side for instance."""
        kind = first(self.ds, "SegmentedPropertyTypeCodeSequence")
        return codes(kind, "SegmentedPropertyTypeModifierCodeSequence")

    @property
    def where(self) -> str:
        """How findings name it."""
        return f"segment {self.number} ({self.label})"


class Plane(NamedTuple):
    """Where pixels lie: position and spacing in mm, orientation cosines; empty where they are not said."""

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]


@dataclass(frozen=True)
class Frame:
    """A frame by its functional groups (PS3.3 C.7.6.16): the frame's own, or those that all frames share.

    Parameters
    ----------
    number
        From 1.
    segment
        Number of the segment that it is of; 0 in a label map, whose frames are of all segments.
    sources
        SOP Instance UID and frame number (0: the whole image) of each source image.
    plane
        Where it lies.
    """

    number: int
    segment: int
    sources: tuple[tuple[str, int], ...]
    plane: Plane


def segments(ds: Dataset) -> list[Segment]:
    """Return the segments in their order."""
    found = [Segment(one) for one in items(ds, "SegmentSequence")]
    return [one for one in found if one.type.value != _BACKGROUND]


def frames(ds: Dataset) -> list[Frame]:
    """Return the frames in their order."""
    shared = first(ds, "SharedFunctionalGroupsSequence")
    return [
        _frame(number, own, shared) for number, own in enumerate(items(ds, "PerFrameFunctionalGroupsSequence"), start=1)
    ]


def _frame(number: int, own: Dataset, shared: Dataset) -> Frame:
    def of(group: str, keyword: str) -> tuple[float, ...]:
        return tuple(numbers(first(own, group), keyword) or numbers(first(shared, group), keyword))

    identified = first(own, "SegmentIdentificationSequence") or first(shared, "SegmentIdentificationSequence")
    return Frame(
        number=number,
        segment=next((int(one) for one in numbers(identified, "ReferencedSegmentNumber")), 0),
        sources=tuple(_sources(own)) or tuple(_sources(shared)),
        plane=Plane(
            of("PlanePositionSequence", "ImagePositionPatient"),
            of("PlaneOrientationSequence", "ImageOrientationPatient"),
            of("PixelMeasuresSequence", "PixelSpacing"),
        ),
    )


def planes(image: Dataset) -> dict[int, Plane]:
    """Return where the frames of a CT image lie, by number; an image of one slice has number 0."""
    if found := frames(image):
        return {one.number: one.plane for one in found}
    keywords = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    return {0: Plane(*(tuple(numbers(image, one)) for one in keywords))}


def _sources(group: Dataset) -> Iterator[tuple[str, int]]:
    for derivation in items(group, "DerivationImageSequence"):
        for image in items(derivation, "SourceImageSequence"):
            uid = text(image, "ReferencedSOPInstanceUID")
            for frame in numbers(image, "ReferencedFrameNumber") or [0.0]:
                yield uid, int(frame)


@dataclass(frozen=True)
class Drawn:
    """Where pixels are drawn: numbers of the empty frames, and in how many frames each segment is."""

    empty: tuple[int, ...]
    frames_of: Mapping[int, int]


def drawn(path: Path, ds: FileDataset) -> Drawn:
    """Read the pixels of a SEG.

    Raises
    ------
    Refused
        `dataset-unreadable`: they cannot be decoded.
    """
    labelled = text(ds, "SOPClassUID") == LABEL_MAP_SEGMENTATION_STORAGE or text(ds, "SegmentationType") == "LABELMAP"
    of_frame = [one.segment for one in frames(ds)]
    empty: list[int] = []
    counted: Counter[int] = Counter()
    try:
        for number, pixels in enumerate(_pixels(path, ds), start=1):
            if not pixels.any():
                empty.append(number)
            elif labelled:
                counted.update(int(label) for label in np.unique(pixels) if label)
            elif number <= len(of_frame):
                counted[of_frame[number - 1]] += 1
    except PARSER_FAULTS as error:
        detail = f"{path}: pixels: {type(error).__name__}"
        raise Refused(DoorRefusal.DATASET_UNREADABLE, detail) from error
    return Drawn(tuple(empty), counted)


def _pixels(path: Path, ds: FileDataset) -> Iterator[NDArray[Any]]:
    """Yield the pixels of each frame.

    Bits that are not compressed are unpacked here: frames of them begin within a byte where they are not a multiple of
    eight, which pydicom 3.0 does not follow from frame to frame.
    """
    if numbers(ds, "BitsAllocated") != [1.0] or ds.file_meta.TransferSyntaxUID.is_compressed:
        yield from iter_pixels(path, raw=True)
        return
    packed = np.frombuffer(dcmread(path).PixelData, dtype=np.uint8)
    length = int(numbers(ds, "Rows")[0] * numbers(ds, "Columns")[0])
    for frame in range(int(numbers(ds, "NumberOfFrames")[0])):
        byte, bit = divmod(frame * length, 8)
        bits = np.unpackbits(packed[byte : (bit + length + 7) // 8 + byte], bitorder="little")
        yield bits[bit : bit + length]
