"""What of a document is not shown unless it is asked for: who the patient is, and names of persons.

Comes in: a data set. Goes out: texts in which the patient's name and ID are blotted out wherever they stand. What it
cannot know is a name that only a free text says.
"""

import re

from pydicom import Dataset

from node.review.content import Item
from node.review.reading import text

WITHHELD = "(withheld)"
# TID 1007 Subject Context, Patient; accession number (TID 1005): values of codes of DCM.
_OF_THE_PATIENT = frozenset({"121029", "121030", "121031", "121036", "121022"})
_SHORTEST = 3  # letters: blotting out shorter words would leave holes in every sentence


class Curtain:
    """What stands between a document and the terminal.

    Parameters
    ----------
    ds
        The document.
    identity
        Show everything.
    """

    def __init__(self, ds: Dataset, *, identity: bool = False) -> None:
        parts = re.split(r"[\^=\s]+", text(ds, "PatientName"))
        secret = [text(ds, "PatientID"), *parts]
        words = sorted({one for one in secret if len(one) >= _SHORTEST}, key=len, reverse=True)
        self.open = identity
        self._secret = (
            re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE) if words else None
        )

    def of(self, shown: str) -> str:
        """Return a text as it may be shown."""
        return shown if self.open or self._secret is None else self._secret.sub(WITHHELD, shown)

    def hides(self, item: Item) -> bool:
        """Say whether the value of a content item is not shown at all."""
        return not self.open and (item.kind == "PNAME" or item.concept in _OF_THE_PATIENT)
