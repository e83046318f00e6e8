"""Reading an SR with pydicom alone, as a stranger's program would: no class of the product, none of highdicom."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from pydicom import Dataset
from pydicom.filereader import read_dataset

GROUP, MEASUREMENTS, REGION, SEGMENT, TRACKING = "125007", "126010", "111030", "121191", "112040"


def decoded(item: bytes) -> Dataset:
    """Return an encoded item of a sequence, behind its tag and its length."""
    return read_dataset(BytesIO(item[8:]), is_implicit_VR=False, is_little_endian=True, parent_encoding="utf8")


def code(item: Dataset) -> str:
    """Return the value of a coded concept, wherever PS3.3 Table 8.8-1 puts it."""
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
    return str(value)


def name(item: Dataset) -> str:
    """Return the code of a content item's concept name; empty where it has none."""
    sequence = item.get("ConceptNameCodeSequence")
    return code(sequence[0]) if sequence else ""


def meaning(item: Dataset) -> str:
    """Return the meaning of a content item's concept name."""
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)


def children(item: Dataset, kind: str = "", concept: str = "") -> list[Dataset]:
    """Return the direct children of a content item, of one value type and one concept name if they are given."""
    found = item.get("ContentSequence") or []
    return [one for one in found if kind in ("", one.ValueType) and concept in ("", name(one))]


def walk(item: Dataset) -> Iterator[Dataset]:
    """Yield a content item and all below it."""
    yield item
    for child in children(item):
        yield from walk(child)


def every_dataset(ds: Dataset) -> Iterator[Dataset]:
    """Yield a data set and every item of every sequence in it."""
    yield ds
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from every_dataset(item)


def groups(ds: Dataset) -> list[Dataset]:
    """Return the measurement groups of a TID 1500 report."""
    return [group for box in children(ds, "CONTAINER", MEASUREMENTS) for group in children(box, "CONTAINER", GROUP)]


def number(item: Dataset) -> tuple[float, str]:
    """Return value and unit of a NUM."""
    [measured] = item.MeasuredValueSequence
    return float(measured.NumericValue), code(measured.MeasurementUnitsCodeSequence[0])


def coded(item: Dataset) -> str:
    """Return the value of a CODE item."""
    return code(item.ConceptCodeSequence[0])


def tracking_uid(group: Dataset) -> str:
    """Return the Tracking Unique Identifier of a group."""
    [item] = children(group, "UIDREF", TRACKING)
    return str(item.UID)


def evidence(ds: Dataset) -> set[str]:
    """Return the SOP Instance UIDs of the Current Requested Procedure Evidence Sequence."""
    return {
        str(one.ReferencedSOPInstanceUID)
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }


def image_of(scoord: Dataset) -> str:
    """Return the SOP Instance UID of the image that an SCOORD is selected from."""
    [image] = children(scoord, "IMAGE")
    return str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def texts(ds: Dataset) -> list[str]:
    """Return every text of a report."""
    return [str(one.TextValue) for one in walk(ds) if one.ValueType == "TEXT"]


def words(ds: Dataset) -> Iterator[Any]:
    """Yield every string that a reader might see: texts, meanings, labels, descriptions."""
    for one in every_dataset(ds):
        for element in one:
            if element.VR in ("LO", "SH", "LT", "UT", "ST", "UC") and element.value:
                yield from element.value if not isinstance(element.value, str) else [element.value]
