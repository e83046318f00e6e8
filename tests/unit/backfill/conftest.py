"""An archive of studies without a network: it answers queries as one would, with the faults that archives have."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydicom import Dataset

from node.backfill.criteria import unmatched
from node.core.dimse import TooMuch
from node.core.reasons import Outage


def answer(study_uid: str, date: str = "20240115", time: str = "101500", **attributes: object) -> Dataset:
    """Return the answer that stands for a study."""
    ds = Dataset()
    ds.StudyInstanceUID, ds.StudyDate, ds.StudyTime = study_uid, date, time
    ds.StudyDescription, ds.ModalitiesInStudy = "CT Abdomen", ["CT", "SR"]
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@dataclass
class Shelf:
    """Studies, and how they are answered.

    `cap`: no more answers than these, without a word. `refuses`: the same, with a word. `ignores`: keys not heeded.
    """

    studies: list[Dataset]
    cap: int | None = None
    refuses: int | None = None
    ignores: Iterable[str] = ()
    asked: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, query: Mapping[str, str]) -> list[Dataset]:
        """Answer a query at STUDY level."""
        self.asked.append(dict(query))
        heeded = {key: value for key, value in query.items() if key not in self.ignores}
        found = [one for one in self.studies if unmatched(heeded, one) is None]
        if self.refuses is not None and len(found) > self.refuses:
            raise TooMuch(Outage.DESTINATION_REFUSED, "C-FIND answered A700, out of resources")
        return found[: self.cap]
