"""The lists of objects that stand beside a content tree: evidence, predecessors (PS3.3 Table C.17-3), used series."""

from collections.abc import Iterator
from typing import NamedTuple

from pydicom import Dataset

from node.review.reading import items, text

EVIDENCE = "CurrentRequestedProcedureEvidenceSequence"
OTHER_EVIDENCE = "PertinentOtherEvidenceSequence"
PREDECESSORS = "PredecessorDocumentsSequence"


class Listed(NamedTuple):
    """An object of a list; what is not said of it is empty."""

    uid: str
    sop_class: str
    series: str
    study: str


def listed(ds: Dataset, *keywords: str) -> Iterator[Listed]:
    """Yield the objects of hierarchical lists: by study, then by series."""
    for keyword in keywords:
        for study in items(ds, keyword):
            for series in items(study, "ReferencedSeriesSequence"):
                for one in items(series, "ReferencedSOPSequence"):
                    yield Listed(
                        text(one, "ReferencedSOPInstanceUID"),
                        text(one, "ReferencedSOPClassUID"),
                        text(series, "SeriesInstanceUID"),
                        text(study, "StudyInstanceUID"),
                    )


def used(ds: Dataset) -> Iterator[Listed]:
    """Yield the objects that a SEG or an image says that it was made from, by series of its study."""
    for series in items(ds, "ReferencedSeriesSequence"):
        for one in items(series, "ReferencedInstanceSequence"):
            yield Listed(
                text(one, "ReferencedSOPInstanceUID"),
                text(one, "ReferencedSOPClassUID"),
                text(series, "SeriesInstanceUID"),
                text(ds, "StudyInstanceUID"),
            )
