"""The kinds of object that a result is made of: the SOP class of each, and what goes where a destination takes none.

Not every PACS takes every SOP class. Where one refuses a kind, the next in `INSTEAD` goes there in its place: the
binary SEG for the label map, and in the end the Summary, which every viewer of images shows.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Self

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SegmentationStorage,
)

LABEL_MAP_SEGMENTATION_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")  # not yet in pydicom's dictionary


class Kind(StrEnum):
    """A kind of object, as the ledger and the settings name it."""

    sop_class_uid: UID

    def __new__(cls, name: str, sop_class_uid: UID) -> Self:
        """Make the member from its name and its SOP class."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.sop_class_uid = sop_class_uid
        return member

    SEG = "seg", SegmentationStorage
    SEG_LABELMAP = "seg-labelmap", LABEL_MAP_SEGMENTATION_STORAGE
    SR = "sr", Comprehensive3DSRStorage
    SR_VIEWER = "sr-viewer", Comprehensive3DSRStorage
    SUMMARY = "summary", MultiFrameTrueColorSecondaryCaptureImageStorage


INSTEAD: Mapping[str, Kind] = {
    Kind.SEG_LABELMAP: Kind.SEG,
    Kind.SEG: Kind.SUMMARY,
    Kind.SR: Kind.SUMMARY,
    Kind.SR_VIEWER: Kind.SUMMARY,
}


def in_place_of(kind: str) -> Iterator[Kind]:
    """Yield what may go in place of a kind, the best first."""
    while kind in INSTEAD:
        kind = INSTEAD[kind]
        yield kind
