"""Frames of a multi-frame CT image: where each lies and what its stored values mean, without its pixels.

Comes in: an Enhanced CT image (PS3.3 A.38). Goes out: one `Frame` for each frame, in the order in which they are
stored. What can go wrong: an image that does not say of every frame what it must has none (None). Each attribute is in
a functional group (PS3.3 C.7.6.16): the frame's own, or the one that all frames share; a frame's own comes first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset

from node.core.dicom import PARSER_FAULTS
from node.core.grid import Plane, plane

_PLANE_KEYWORDS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing",),
}


@dataclass(frozen=True)
class Frame:
    """One frame.

    Parameters
    ----------
    number
        From 1, as references count (PS3.3 section 10.3).
    slope, intercept, rescale_type
        Of its Pixel Value Transformation; the type in capitals, empty where it is not said.
    words
        What its Frame Type says behind the first two values, and the calculation that made it from a volume.
    """

    number: int
    plane: Plane
    slope: float
    intercept: float
    rescale_type: str
    words: tuple[str, ...]


def frames(ds: Dataset) -> tuple[Frame, ...] | None:
    """Return the frames of an image, or None where one of them lacks something or the numbers do not agree."""
    try:
        own = list(ds.PerFrameFunctionalGroupsSequence)
        shared = next(iter(ds.get("SharedFunctionalGroupsSequence") or ()), Dataset())
        if not own or len(own) != int(ds.NumberOfFrames):
            return None
        found = [_frame(number, ds, one, shared) for number, one in enumerate(own, start=1)]
    except PARSER_FAULTS:
        return None
    whole = tuple(one for one in found if one is not None)
    return whole if len(whole) == len(found) else None


def singles(ds: Dataset) -> Iterator[Dataset]:
    """Yield, for each frame, a header as if it were an image of its own: its plane stands in the data set.

    Everything else is the multi-frame image's, UIDs and all; its functional groups are left out.
    """
    common = header_copy(ds)
    for keyword in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "NumberOfFrames"):
        if keyword in common:
            del common[keyword]
    shared = next(iter(ds.get("SharedFunctionalGroupsSequence") or ()), Dataset())
    for own in ds.PerFrameFunctionalGroupsSequence:
        yield _single(common, own, shared)


def header_copy(ds: Dataset) -> Dataset:
    """Return another data set with the same elements: one may be taken out or put in, none may be changed."""
    another = Dataset()
    another.update(ds)
    return another


def _single(common: Dataset, own: Dataset, shared: Dataset) -> Dataset:
    alone = header_copy(common)
    for sequence, keywords in _PLANE_KEYWORDS.items():
        group = group_of(own, shared, sequence)
        for keyword in (*keywords, *(("SliceThickness",) if "SliceThickness" in group else ())):
            alone[keyword] = group[keyword]
    return alone


def group_of(own: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """Return a functional group of a frame; an empty one where there is none."""
    for place in (own, shared):
        if found := place.get(keyword):
            group: Dataset = found[0]
            return group
    return Dataset()


def as_one(ds: Dataset) -> Dataset:
    """Return the header with what the functional groups of the first frame say, where it does not say it itself."""
    said = header_copy(ds)
    try:
        for group in _groups(ds):
            for element in group:
                if element.keyword and element.keyword not in said:
                    said.add(element)
    except PARSER_FAULTS:
        return said  # as far as it could be read
    return said


def said_of_all(ds: Dataset, keyword: str) -> Any:
    """Return an attribute wherever a multi-frame image has it: in itself, else in its first frame's groups.

    Raises
    ------
    Exception
        What pydicom raises on a malformed value (`PARSER_FAULTS`).
    """
    if (value := ds.get(keyword)) is not None:
        return value
    return next((group.get(keyword) for group in _groups(ds) if group.get(keyword) is not None), None)


def _groups(ds: Dataset) -> Iterator[Dataset]:
    for name in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for place in list(ds.get(name) or ())[:1]:
            for element in place:
                if element.VR == "SQ" and element.value:
                    yield element.value[0]


def _frame(number: int, ds: Dataset, own: Dataset, shared: Dataset) -> Frame | None:
    lies = Dataset()
    for keyword in ("SOPInstanceUID", "FrameOfReferenceUID", "Rows", "Columns"):
        if keyword in ds:
            lies[keyword] = ds[keyword]
    for sequence, keywords in _PLANE_KEYWORDS.items():
        group = group_of(own, shared, sequence)
        for keyword in keywords:
            lies[keyword] = group[keyword]
    transformation = group_of(own, shared, "PixelValueTransformationSequence")
    slope, intercept = float(transformation.RescaleSlope), float(transformation.RescaleIntercept)
    where = plane(lies)
    if where is None or not np.isfinite([slope, intercept]).all():
        return None
    kind = group_of(own, shared, "CTImageFrameTypeSequence")
    types = kind.get("FrameType") or ()
    words = [*([types] if isinstance(types, str) else types)[2:], kind.get("VolumeBasedCalculationTechnique") or ""]
    return Frame(
        number=number,
        plane=where,
        slope=slope,
        intercept=intercept,
        rescale_type=str(transformation.get("RescaleType") or "").strip().upper(),
        words=tuple(word for one in words if (word := str(one).strip().upper()) and word != "NONE"),
    )
