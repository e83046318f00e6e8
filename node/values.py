"""Values of a data set as they can be trusted: what is missing or malformed is absent, and nothing is raised.

Comes in: a data set without pixels, and a keyword. Goes out: text, words, numbers, moments. Read by `node.content` and
by those who read answers to queries.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydicom import Dataset

from node.core.dicom import PARSER_FAULTS


def read(ds: Dataset, keyword: str) -> Any:
    """Return a value as pydicom has it; None where it is absent or cannot be parsed."""
    try:
        return ds.get(keyword)
    except PARSER_FAULTS:
        return None


def text(ds: Dataset, keyword: str) -> str:
    """Return a value as text; empty where it is absent, empty or malformed."""
    value = read(ds, keyword)
    return "" if value is None else str(value).strip(" \0")


def words(ds: Dataset, keyword: str, *, upper: bool = True) -> tuple[str, ...]:
    """Return the values of a text, in capitals unless told otherwise."""
    value = read(ds, keyword)
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value] if value else []
    stripped = tuple(str(one).strip(" \0") for one in values)
    return tuple(one.upper() for one in stripped) if upper else stripped


def whole(ds: Dataset, keyword: str, otherwise: int | None) -> int | None:
    """Return a whole number, or `otherwise`."""
    try:
        return int(read(ds, keyword))
    except (OverflowError, TypeError, ValueError):
        return otherwise


def number(ds: Dataset, keyword: str) -> float | None:
    """Return a decimal; None where the element is absent or empty, NaN where it holds something else."""
    try:
        value = ds.get(keyword)
        return None if value is None or value == "" else float(value)
    except PARSER_FAULTS:
        return math.nan


def finite(ds: Dataset, keyword: str) -> float | None:
    """Return a decimal that is finite."""
    value = number(ds, keyword)
    return value if value is not None and math.isfinite(value) else None


def positive(ds: Dataset, keyword: str) -> float | None:
    """Return a decimal above zero."""
    value = finite(ds, keyword)
    return value if value is not None and value > 0 else None


def items(ds: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return the items of a sequence; none where it is absent or is no sequence."""
    value = read(ds, keyword)
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def moment_s(ds: Dataset, what: str) -> float | None:
    """Return date and time of an event as seconds from one origin; None where they are missing or malformed."""
    together = text(ds, f"{what}DateTime")
    date = text(ds, f"{what}Date") or together[:8]
    second_s = day_s(text(ds, f"{what}Time") or together[8:].split("+")[0].split("-")[0])
    try:
        day = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return None if second_s is None else day.timestamp() + second_s


def day_s(time: str) -> float | None:
    """Return a value of TM (PS3.5 section 6.2), minutes and seconds optional, as seconds of the day."""
    parts = re.fullmatch(r"(\d\d):?(?:(\d\d):?(?:(\d\d(?:\.\d*)?))?)?", time)
    if parts is None:
        return None
    hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return hours * 3600 + minutes * 60 + seconds
