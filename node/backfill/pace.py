"""When the next study of a backfill may come: off-peak, not too many at once or in an hour, and with room on the disk.

Comes in: the limits of the command line, the ledger, the free space of the spool. Goes out: what there is to wait for,
as a sentence; nothing where a study may come. Today's patients are first: whatever is received or measured counts,
whoever sent it. Who is next: `node.backfill.campaign`, which asks before each study and never in the midst of one.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from node.core.ledger import Ledger, jobs, studies
from node.room import Room

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Window:
    """Hours of the day in which studies are fetched, by the clock on the wall; it may cross midnight."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read `HH:MM-HH:MM`.

        Raises
        ------
        ValueError
            It is of another form, or of no length.
        """
        found = _WINDOW.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"a window is HH:MM-HH:MM, unlike {text}")
        hours = [int(one) for one in found.groups()]
        begin, end = time(hours[0], hours[1]), time(hours[2], hours[3])
        if begin == end:
            raise ValueError(f"the window {text} has no length")
        return cls(begin, end)

    def is_open(self, at: time) -> bool:
        """Say whether a time lies in it; the end does not."""
        if self.begin < self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end

    def __str__(self) -> str:
        """Say it as it is written."""
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"


@dataclass(frozen=True)
class Wait:
    """What there is to wait for: the limit that says so, and a sentence with the figures of this moment."""

    limit: str
    sentence: str


@dataclass(frozen=True)
class Pace:
    """The limits of a backfill.

    Parameters
    ----------
    ledger
        Says how many studies are received or measured now.
    room
        Of the spool's disk.
    at_once
        So many of them at most.
    per_hour
        So many studies fetched in any hour; None for any number.
    window
        When; None for always.
    clock
        The time on the wall.
    """

    ledger: Ledger
    room: Room
    at_once: int
    per_hour: int | None = None
    window: Window | None = None
    clock: Callable[[], datetime] = datetime.now

    def obstacle(self, fetched_at: Sequence[datetime]) -> Wait | None:
        """Return what the next study waits for; None where it may come.

        Parameters
        ----------
        fetched_at
            When the studies before it were begun to be fetched, the latest last.

        Raises
        ------
        Unavailable
            The ledger or the spool is away.
        """
        now = self.clock()
        if self.window is not None and not self.window.is_open(now.time()):
            return Wait("between", f"waits for {self.window.begin:%H:%M} (--between {self.window})")
        if self.per_hour is not None and len(fetched_at) >= self.per_hour:
            due = fetched_at[-self.per_hour] + _HOUR
            if now < due:
                return Wait("per-hour", f"waits until {due:%H:%M:%S} (--per-hour {self.per_hour})")
        if not self.room.is_ample():
            return Wait("disk", "waits for free space in the spool (spool_low_mb)")
        if (busy := self._busy()) >= self.at_once:
            return Wait("at-once", f"waits: {busy} studies are being received or measured (--at-once {self.at_once})")
        return None

    def _busy(self) -> int:
        with self.ledger.transaction() as session:
            return studies.count_receiving(session) + jobs.count_open(session)
