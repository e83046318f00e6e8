"""Reading data sets as they come: what is missing, or cannot be read, is None or empty, and raises nothing.

Comes in: a file, or a data set of any writer. Goes out: values, codes, items of sequences. What can go wrong: the file
as a whole cannot be read (`Refused`). Next: every other room of `node.review`.
"""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom import Dataset, Sequence
from pydicom.dataset import FileDataset
from pydicom.multival import MultiValue
from pydicom.sr.coding import Code

from node.core.dicom import PARSER_FAULTS, read_header
from node.core.errors import Refused

DEEPEST = 60  # levels of nesting: an SR of the standard's templates has ten
_CODE_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")  # PS3.3 Table 8.8-1
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # make text read otherwise than it is


def read(path: Path) -> FileDataset:
    """Return a file's data set up to its pixel data.

    Raises
    ------
    Refused
        `dataset-unreadable`, `dataset-truncated`, with the file's name.
    """
    try:
        return read_header(path)
    except Refused as error:
        raise Refused(error.code, f"{path}: {error.detail}") from error


def said(ds: Dataset, keyword: str) -> Any:
    """Return the value of an attribute; None where it is absent, empty or cannot be read."""
    try:
        value = ds.get(keyword)
        return None if value is None or (isinstance(value, str | MultiValue | Sequence) and not len(value)) else value
    except PARSER_FAULTS:
        return None


def text(ds: Dataset, keyword: str) -> str:
    """Return an attribute as text for a person; several values are parted by backslashes."""
    return "\\".join(values(ds, keyword))


def values(ds: Dataset, keyword: str) -> list[str]:
    """Return each value of an attribute as text."""
    value = said(ds, keyword)
    several = value if isinstance(value, MultiValue | list | tuple) else [] if value is None else [value]
    return [printable(str(one)) for one in several]


def numbers(ds: Dataset, keyword: str) -> list[float]:
    """Return each value of an attribute as a number; none where one of them is no number."""
    try:
        return [float(one) for one in values(ds, keyword)]
    except ValueError:
        return []


def printable(raw: str) -> str:
    """Return a text without what steers a terminal; line ends stay."""
    if raw.isprintable():
        return raw.strip()
    lines = raw.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return "".join(
        one for one in lines if one == "\n" or (unicodedata.category(one) not in ("Cc", "Cs") and one not in _TURNS)
    ).strip()


def items(ds: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence."""
    value = said(ds, keyword)
    return list(value) if isinstance(value, Sequence) else []


def first(ds: Dataset, *keywords: str) -> Dataset:
    """Return the first item of a sequence in the first item of another, and so on; an empty one where one lacks."""
    for keyword in keywords:
        ds = next(iter(items(ds, keyword)), Dataset())
    return ds


def code(ds: Dataset, keyword: str) -> Code | None:
    """Return the first coded concept of a sequence."""
    return next(iter(codes(ds, keyword)), None)


def codes(ds: Dataset, keyword: str) -> list[Code]:
    """Return the coded concepts of a sequence."""
    return [as_code(one) for one in items(ds, keyword)]


def as_code(item: Dataset) -> Code:
    """Return an item of a code sequence as a concept; what it lacks is empty."""
    value = next((found for keyword in _CODE_VALUES if (found := text(item, keyword))), "")
    return Code(value, text(item, "CodingSchemeDesignator"), text(item, "CodeMeaning"))


def every_item(ds: Dataset, place: str = "", depth: int = 0) -> Iterator[tuple[str, Dataset]]:
    """Yield a data set and each item of each sequence in it, with the keywords and numbers that lead there."""
    yield place, ds
    if depth == DEEPEST:
        return
    for tag in list(ds.keys()):
        try:
            element = ds[tag]
        except PARSER_FAULTS:
            continue
        if element.VR == "SQ" and element.keyword:
            for number, item in enumerate(items(ds, element.keyword), start=1):
                yield from every_item(item, f"{place} {element.keyword}[{number}]".strip(), depth + 1)
