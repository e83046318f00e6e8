"""Who was turned away at the door (stage 1), for the audit trail: no more than a scanner leaves room for.

Comes in: a host, a reason, the AE title that it gave. Goes out: a row at once for the first of its kind, and one row a
minute later that counts the others. Hosts beyond a number are counted together, so that a flood from many addresses
cannot fill the disk either. What can go wrong: the ledger is away; the row then goes to the log.
"""

import threading
from dataclasses import dataclass
from time import monotonic

from node.core.ledger import Ledger, audit
from node.core.reasons import Coded

PERIOD_S = 60.0
MOST_HOSTS = 100
ELSEWHERE = "elsewhere"


@dataclass
class _Tally:
    """How often one host met one reason since its last row."""

    since: float
    count: int = 0
    calling_ae_title: str = ""


class Rejections:
    """The rejections of one listener; used by many associations at once.

    Parameters
    ----------
    ledger
        Where the trail is kept.
    period_s
        No more than one row in so long a time for a host and reason, beside the first.
    """

    def __init__(self, ledger: Ledger, period_s: float = PERIOD_S) -> None:
        self._ledger = ledger
        self._period_s = period_s
        self._tallies: dict[tuple[str, Coded], _Tally] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="rejections", daemon=True)

    def start(self) -> None:
        """Write the counts as their time comes, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is counted and not written."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._write_due(at=float("inf"))

    def note(self, reason: Coded, *, host: str, calling_ae_title: str = "", detail: str = "") -> None:
        """Count a rejection; the first of its kind is written before this returns."""
        with self._lock:
            hosts = {known for known, _ in self._tallies}
            key = (host if host in hosts or len(hosts) < MOST_HOSTS else ELSEWHERE, reason)
            tally = self._tallies.get(key)
            if tally is not None:
                tally.count += 1
                tally.calling_ae_title = calling_ae_title
                return
            self._tallies[key] = _Tally(monotonic())
        said = f"{reason.sentence} {detail}".rstrip()
        audit.note(self._ledger, audit.rejected(reason, calling_ae_title=calling_ae_title, host=host, detail=said))

    def _keep(self) -> None:
        while not self._over.wait(self._period_s / 4):
            self._write_due(at=monotonic())

    def _write_due(self, at: float) -> None:
        """Write a row for each count whose time is over, and forget whoever has not come again."""
        with self._lock:
            due = {key: tally for key, tally in self._tallies.items() if at - tally.since >= self._period_s}
            for key, tally in due.items():
                if tally.count:
                    self._tallies[key] = _Tally(monotonic())
                else:
                    del self._tallies[key]
        counted = [(host, reason, tally) for (host, reason), tally in due.items() if tally.count]
        audit.note(self._ledger, *(_counted(*one) for one in counted))


def _counted(host: str, reason: Coded, tally: _Tally) -> audit.Entry:
    """Return the entry of the rejections that came after the first; of the AE titles given, the last is named."""
    detail = f"{tally.count} more in {monotonic() - tally.since:.0f} s"
    return audit.rejected(reason, calling_ae_title=tally.calling_ae_title, host=host, detail=detail)
