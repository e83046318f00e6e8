"""A long range of dates in parts: archives cap their answers, and none says so.

Comes in: the first and the last date. Goes out: one piece for each month; each piece can be split further, a month into
its days and a day into its hours, where the number of its answers is one that a cap would have.
"""

from dataclasses import dataclass
from datetime import date, timedelta

_LEAST_CAP = 100
_STEP = 50
_HOURS = 24


@dataclass(frozen=True)
class Piece:
    """A part of a range; without dates, all of time.

    Parameters
    ----------
    first, last
        Study Dates, both included.
    hour
        Of the day, where the piece is one hour.
    """

    first: date | None = None
    last: date | None = None
    hour: int | None = None

    @property
    def keys(self) -> dict[str, str]:
        """The matching keys of the piece (range matching, PS3.4 section C.2.2.2.5)."""
        if self.first is None or self.last is None:
            return {}
        day = f"{self.first:%Y%m%d}"
        keys = {"StudyDate": day if self.first == self.last else f"{day}-{self.last:%Y%m%d}"}
        if self.hour is not None:
            keys["StudyTime"] = f"{self.hour:02}0000-{self.hour:02}5959.999999"
        return keys

    def split(self) -> tuple["Piece", ...]:
        """Return the parts of this piece: months, days, hours; none where it cannot be split."""
        if self.first is None or self.last is None or self.hour is not None:
            return ()
        if self.first == self.last:
            return tuple(Piece(self.first, self.last, hour) for hour in range(_HOURS))
        return _months(self.first, self.last) or _days(self.first, self.last)

    def __str__(self) -> str:
        """Say it in the words of DICOM."""
        return " ".join(self.keys.values()) or "all dates"


def pieces_of(first: date | None, last: date | None, *, whole: bool = False) -> tuple[Piece, ...]:
    """Return the pieces that a range is asked in at first: its months, or with `whole` all at once."""
    if first is None or last is None:
        return (Piece(),)
    return (Piece(first, last),) if whole else _months(first, last) or (Piece(first, last),)


def is_suspicious(answers: int) -> bool:
    """Say whether so many answers may be the cap of an archive: from 100 on, whole fifties and powers of two."""
    return answers >= _LEAST_CAP and (answers % _STEP == 0 or answers & (answers - 1) == 0)


def _months(first: date, last: date) -> tuple[Piece, ...]:
    """Return the months of a range; none where it is within one."""
    if (first.year, first.month) == (last.year, last.month):
        return ()
    found, begin = [], first
    while begin <= last:
        following = date(begin.year + begin.month // 12, begin.month % 12 + 1, 1)
        found.append(Piece(begin, min(last, following - timedelta(days=1))))
        begin = following
    return tuple(found)


def _days(first: date, last: date) -> tuple[Piece, ...]:
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return tuple(Piece(day, day) for day in days)
