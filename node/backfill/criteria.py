"""What a backfill asks for: matching keys, a range of dates, lists of patients or accession numbers.

Comes in: `KEY=VALUE` words and files. Goes out: `Criteria`, which also judges the answers, because an archive that does
not know an optional key ignores it (PS3.4 section C.2.2.1.3) and answers with all that it has. What can go wrong: a
word that is no key, or a query without a bound, which would ask for the whole archive (`WrongCriteria`). Who is next:
`node.backfill.search`.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from pydicom import Dataset, config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.valuerep import validate_value

_MATCHED_VRS = ("AE", "AS", "CS", "DA", "IS", "LO", "PN", "SH", "ST", "TM", "UI")  # single attributes, as text
_RESERVED = ("QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle")
_BOUNDS = ("StudyDate", "PatientID", "AccessionNumber", "StudyInstanceUID")
_WILD = re.compile(r"[*?]")
_DATE = re.compile(r"\d{8}")
_RETURNED = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyDescription", "ModalitiesInStudy")
_LONGEST = {"PatientID": 64, "AccessionNumber": 16}


class WrongCriteria(ValueError):
    """What is asked for cannot be asked; the message says why."""


@dataclass(frozen=True)
class Criteria:
    """What studies have to match.

    Parameters
    ----------
    keys
        Attribute keywords with the value to match, wildcards included; no Study Date.
    since, until
        First and last Study Date; both None where any will do.
    listed
        A keyword with the values of a list, of which a study has to match one; empty where there is no list.
    """

    keys: Mapping[str, str]
    since: date | None = None
    until: date | None = None
    listed: tuple[tuple[str, str], ...] = ()

    def queries(self) -> tuple[dict[str, str], ...]:
        """Return the matching and return keys of each query that is needed, without the dates."""
        base = dict.fromkeys(_RETURNED, "") | dict(self.keys)
        if not all(value.isascii() for value in (*self.keys.values(), *(value for _, value in self.listed))):
            base["SpecificCharacterSet"] = "ISO_IR 192"
        return tuple(base | {keyword: value} for keyword, value in self.listed) or (base,)

    def canonical(self) -> str:
        """Return a text that is the same for the same criteria."""
        dates = [f"{one:%Y%m%d}" if one else "" for one in (self.since, self.until)]
        return repr((sorted(self.keys.items()), dates, sorted(self.listed)))


def parse(words: Iterable[str], today: date, lists: Mapping[str, Path | None] | None = None) -> Criteria:
    """Return the criteria that the words of the command line say.

    Parameters
    ----------
    words
        `KEY=VALUE`, where KEY is an attribute keyword of the data dictionary.
    today
        The last date of a range without an end.
    lists
        Keyword -> file with its values.

    Raises
    ------
    WrongCriteria
        A word is no key with a value that may be matched, a file cannot be read, or nothing bounds the query.
    """
    keys: dict[str, str] = {"ModalitiesInStudy": "CT"}
    for word in words:
        keyword, value = _pair(word)
        keys[keyword] = value
    files = [(keyword, path) for keyword, path in (lists or {}).items() if path is not None]
    if len(files) > 1:
        raise WrongCriteria("one list at a time: patients or accession numbers")
    listed = tuple((keyword, value) for keyword, path in files for value in read_list(path, keyword))
    since, until = _dates(keys.pop("StudyDate", ""), today)
    bounded = since or listed or any(keys.get(one, "").strip("*?") for one in _BOUNDS)
    if not bounded:
        raise WrongCriteria(f"nothing bounds the query: give a list, or one of {', '.join(_BOUNDS)}")
    return Criteria(keys, since, until, listed)


def read_list(path: Path, keyword: str) -> tuple[str, ...]:
    """Return the values of a file, one a line, or of a CSV file's column with the keyword's name, else of its first.

    Raises
    ------
    WrongCriteria
        It cannot be read, holds nothing, or a value that cannot be matched as it stands.
    """
    try:
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WrongCriteria(f"{path} cannot be read: {type(error).__name__}") from error
    head = [cell.strip() for cell in rows[0]] if rows else []
    column = head.index(keyword) if keyword in head else 0
    body = rows[1:] if keyword in head else rows
    cells = [row[column].strip() for row in body if len(row) > column]
    values = dict.fromkeys(cell for cell in cells if cell and not cell.startswith("#"))
    for number, value in enumerate(values, 1):
        if _WILD.search(value) or "\\" in value or len(value) > _LONGEST[keyword] or not value.isprintable():
            raise WrongCriteria(f"{path}: value {number} is no {keyword}")  # not the value: it names a patient
    if not values:
        raise WrongCriteria(f"{path} holds no {keyword}")
    return tuple(values)


def unmatched(asked: Mapping[str, str], answer: Dataset) -> str | None:
    """Return the keyword of the first key that an answer does not match; None where it matches all.

    Names are left to the archive, which may match them by sound. Where it does not say the modalities, the series will.
    """
    for keyword, pattern in asked.items():
        if not pattern or keyword in _RESERVED or dictionary_VR(keyword) == "PN":
            continue
        value = answer.get(keyword)
        texts = [value] if isinstance(value, str) or not isinstance(value, Sequence) else list(value)
        held = [str(text).strip() for text in texts if text is not None and str(text).strip()]
        if not held and keyword == "ModalitiesInStudy":
            continue
        if not any(_match(pattern, text, dictionary_VR(keyword)) for text in held):
            return keyword
    return None


def _match(pattern: str, text: str, vr: str) -> bool:
    """Match as PS3.4 section C.2.2.2 does, but for the case of letters, in which archives differ."""
    if vr == "UI":
        return text in pattern.split("\\")
    if vr in ("DA", "TM") and "-" in pattern:
        first, _, last = pattern.partition("-")
        return (not first or text >= first) and (not last or text[: len(last)] <= last)
    wild = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern.strip())
    return re.fullmatch(wild, text, re.IGNORECASE | re.DOTALL) is not None


def _pair(word: str) -> tuple[str, str]:
    """Read `KEY=VALUE`."""
    keyword, found, value = word.partition("=")
    keyword, value = keyword.strip(), value.strip()
    if not found or not value:
        raise WrongCriteria(f"a query is KEY=VALUE, unlike {keyword}")
    tag = tag_for_keyword(keyword)
    if tag is None or keyword in _RESERVED:
        raise WrongCriteria(f"{keyword} is no attribute that can be matched (a keyword such as StudyDate)")
    vr = dictionary_VR(tag)
    if vr not in _MATCHED_VRS:
        raise WrongCriteria(f"{keyword} cannot be matched: its value representation is {vr}")
    plain = _WILD.sub("", value) if vr not in ("DA", "TM") else None
    try:
        if plain:
            for one in plain.split("\\") if vr == "UI" else [plain]:
                validate_value(vr, one, config.RAISE)
    except ValueError as error:
        raise WrongCriteria(f"{keyword} has no such values") from error
    if vr != "UI" and "\\" in value:
        raise WrongCriteria(f"{keyword} is matched by one value; patients and accession numbers may come in a list")
    return keyword, value


def _dates(text: str, today: date) -> tuple[date | None, date | None]:
    """Read a date, or a range of dates, of which the end may be left out."""
    if not text:
        return None, None
    first, dash, last = text.partition("-")
    since = _date(first)
    until = _date(last) if last else (today if dash else since)
    if until < since:
        raise WrongCriteria(f"StudyDate={text}: the range ends before it begins")
    return since, until


def _date(text: str) -> date:
    if _DATE.fullmatch(text):
        try:
            return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
        except ValueError:
            pass
    raise WrongCriteria(
        f"StudyDate is YYYYMMDD, YYYYMMDD-YYYYMMDD or YYYYMMDD-, unlike {text or 'a range from no date'}"
    )
