"""Free texts of a header, kept off the pages where they name the patient.

A series description, a kernel or a contrast agent may hold anything that somebody has typed. Such a text is drawn only
if it has no word in common with a name, an ID or a birth date of the header. A letter alone, and a number of less than
four digits, are no such word: they name nobody, and stand in most texts.
"""

import re
from collections.abc import Iterable, Iterator

from pydicom import Dataset
from pydicom.multival import MultiValue

_IDS = ("PatientID", "AccessionNumber", "PatientBirthDate", "PatientAddress", "MedicalRecordLocator", "AdmissionID")
_NESTED = ("OtherPatientIDsSequence",)
_LEAST_LENGTH = 4  # of a number, and of a value that is also looked for within words


class Identity:
    """What of a header says who the patient is, and who else is named in it."""

    def __init__(self, headers: Iterable[Dataset]) -> None:
        values = [value for ds in headers for value in _values(ds)]
        self._words = {word for value in values for word in _words(value)}
        self._whole = {_plain(value) for value in values if len(_plain(value)) >= _LEAST_LENGTH}

    def names(self, text: str) -> bool:
        """Say whether a text has something of it."""
        plain = _plain(text)
        return not self._words.isdisjoint(_words(text)) or any(one in plain for one in self._whole)


def _values(ds: Dataset) -> Iterator[str]:
    """Yield every name of a person, and the values that identify one; a date in each order of its parts."""
    for keyword in _NESTED:
        for item in ds.get(keyword) or ():
            yield from _values(item)
    for element in ds:
        if element.VR != "PN" and element.keyword not in _IDS:
            continue
        values = element.value if isinstance(element.value, MultiValue) else [element.value]
        for value in (str(one) for one in values if one):
            yield value
            if element.VR == "DA":
                year, month, day = value[:4], value[4:6], value[6:8]
                yield from (f"{day}{month}{year}", f"{month}{day}{year}")


def _words(text: str) -> set[str]:
    words = re.split(r"[\W_]+", text.casefold())
    return {word for word in words if len(word) >= (_LEAST_LENGTH if word.isdigit() else 2)}


def _plain(text: str) -> str:
    """Return letters and digits alone."""
    return re.sub(r"[\W_]+", "", text.casefold())
