"""What kind of object a data set is, and whether this product made it."""

from enum import StrEnum

from pydicom import Dataset
from pydicom.uid import (
    UID,
    KeyObjectSelectionDocumentStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from node.core.codes import PRIVATE_SCHEME
from node.core.kinds import LABEL_MAP_SEGMENTATION_STORAGE
from node.review.reading import code, items, text, values

SEGMENTATIONS = (SegmentationStorage, LABEL_MAP_SEGMENTATION_STORAGE)
PRODUCT = "crlm-node"
DRAWN, PAGE = "126000", "126001"  # root titles of the forms of our SR (docs/viewers.md)
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."  # every SOP class of SR documents begins so
_CAPTURES = (
    SecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)


class Kind(StrEnum):
    """Kinds of objects that a result can hold."""

    REPORT = "SR"
    KEY_OBJECTS = "KO"
    SEGMENTATION = "SEG"
    CAPTURE = "Secondary Capture"
    OTHER = "other"


def kind_of(ds: Dataset) -> Kind:
    """Return the kind of an object, by its SOP class, or by its content tree where the class is a private one."""
    sop_class = text(ds, "SOPClassUID")
    if sop_class == KeyObjectSelectionDocumentStorage:
        return Kind.KEY_OBJECTS
    if sop_class.startswith(_REPORTS) or (text(ds, "ValueType") == "CONTAINER" and items(ds, "ContentSequence")):
        return Kind.REPORT
    if sop_class in SEGMENTATIONS:
        return Kind.SEGMENTATION
    return Kind.CAPTURE if sop_class in _CAPTURES else Kind.OTHER


def class_name(sop_class: str) -> str:
    """Return a SOP class as a person says it, without the `Storage` that all have."""
    if sop_class == LABEL_MAP_SEGMENTATION_STORAGE:
        return "Label Map Segmentation"
    return UID(sop_class).name.removesuffix(" Storage") or "object without a SOP class"


def short_class(sop_class: str) -> str:
    """Return a SOP class in a word or two, for the middle of a line."""
    if sop_class in SEGMENTATIONS:
        return "SEG"
    if sop_class == KeyObjectSelectionDocumentStorage:
        return "KO"
    if sop_class.startswith(_REPORTS):
        return "SR"
    return class_name(sop_class).replace("Image", "image") if sop_class else "object"


def several(count: int, sop_class: str) -> str:
    """Return a number of objects of a class in words."""
    one = short_class(sop_class)
    return f"{count} {one}" if count == 1 or one.isupper() else f"{count} {one}s"


def is_ours(ds: Dataset) -> bool:
    """Say whether this product made an object: by any one of the places that say so."""
    return (
        PRODUCT in (text(ds, "Manufacturer"), text(ds, "ManufacturerModelName"))
        or any(PRODUCT in values(one, "ManufacturerModelName") for one in items(ds, "ContributingEquipmentSequence"))
        or any(
            text(one, "CodingSchemeDesignator") == PRIVATE_SCHEME
            for one in items(ds, "CodingSchemeIdentificationSequence")
        )
    )


def root_title(ds: Dataset) -> str:
    """Return the code of a document's title."""
    title = code(ds, "ConceptNameCodeSequence")
    return title.value if title else ""
