"""Whose image it is, in a form that can be compared: what says that a study is of one patient.

Comes in: data sets, a stored image's or an answer to a query. Goes out: `Identity`. What can go wrong: two patients
where one was expected (`Untrusted`, patient-conflict). Read by `node.content`, `node.correction` and `node.heights`.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, fields

from pydicom import Dataset

from node.core.errors import Untrusted
from node.core.reasons import StudyRefusal
from node.values import text

_IDEOGRAMS = (("\u3400", "\u4dbf"), ("\u4e00", "\u9fff"))  # of Chinese, Japanese and Korean
_SPOKEN = (("\u3041", "\u30ff"), ("\uac00", "\ud7a3"))  # hiragana and katakana, hangul
_HIRAGANA = {katakana: katakana - 0x60 for katakana in range(0x30A1, 0x30F7)}  # two ways to write one sound


@dataclass(frozen=True)
class Identity:
    """Whose image it is, normalised for comparison; empty where the header does not say.

    A name has up to three groups (PS3.5 section 6.2.1): in letters, in ideograms, and as it is spoken. Each is compared
    with its like, for one sender writes all of them and another only the second.
    """

    patient_id: str
    issuer: str
    name: str
    birth_date: str
    ideographic_name: str = ""
    phonetic_name: str = ""


def identity(ds: Dataset) -> Identity:
    """Return whose data set it is: a stored image's, or an answer to a query."""
    letters, ideograms, spoken = _folded_names(text(ds, "PatientName"))
    return Identity(
        patient_id=folded(text(ds, "PatientID")),
        issuer=folded(text(ds, "IssuerOfPatientID")),
        name=letters,
        birth_date=text(ds, "PatientBirthDate").replace(".", ""),  # 1960.01.01 is how it was written before 1993
        ideographic_name=ideograms,
        phonetic_name=spoken,
    )


def require_one_patient(identities: Sequence[Identity]) -> None:
    """Compare identities attribute by attribute; an attribute that one of them does not give is no contradiction.

    Raises
    ------
    Untrusted
        `patient-conflict`: an attribute has two values. The values are not told: they are patient data.
    """
    for attribute in fields(Identity):
        values = {getattr(identity, attribute.name) for identity in identities} - {""}
        if len(values) > 1:
            what = attribute.name.replace("_", " ")
            raise Untrusted(StudyRefusal.PATIENT_CONFLICT, f"{what}: {len(values)} different values")


def folded(text: str) -> str:
    """Return a text as it is compared: without regard to case, width, composition of letters and repeated spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _folded_names(text: str) -> tuple[str, str, str]:
    """Return the three groups of a person name, without its empty last components.

    What a sender writes in the place of letters counts as what it is: ideograms, or a name as it is spoken.
    """
    groups = [*text.split("="), "", ""][:3]
    letters, ideograms, spoken = ("^".join(folded(part) for part in one.split("^")).rstrip("^") for one in groups)
    if _in(letters, _IDEOGRAMS):
        letters, ideograms = "", ideograms or letters
    if _in(letters, _SPOKEN):
        letters, spoken = "", spoken or letters
    return letters, ideograms, spoken.translate(_HIRAGANA)


def _in(text: str, ranges: Sequence[tuple[str, str]]) -> bool:
    return any(first <= sign <= last for sign in text for first, last in ranges)
