"""The clock of this machine beside those of others: the ledger's database and Redis here, PACS with HTTP elsewhere.

Half of the time that a question took is taken as the way of its answer. DICOM itself has no way to ask for a time.
"""

import time
from collections.abc import Callable, Iterator

import redis
from sqlalchemy.engine import make_url

from node.core.ailments import Ailment
from node.core.errors import Unavailable
from node.core.findings import Finding, fault, fine, note, warning
from node.core.ledger import Ledger
from node.core.ledger.clock import host_time, now
from node.core.settings import SettingsError
from node.doctor import broker
from node.doctor.visit import Visit

WARN_S, WRONG_S = 5.0, 60.0


def look(visit: Visit) -> Iterator[Finding]:
    """Compare with those that can be asked; who does not answer is told of elsewhere."""
    compared = [finding for finding in (_ledger(visit), _broker(visit)) if finding is not None]
    yield from compared or [note("clock.compared", "Nobody could be asked for the time.")]


def ahead_s(ask: Callable[[], float]) -> float:
    """Return by how much another clock is ahead of ours; `ask` returns its time, in seconds since 1970."""
    before = time.time()
    told = ask()
    return told - (before + time.time()) / 2


def compared(whose: str, by_s: float) -> Finding:
    """Return what a difference means; `by_s` is how far the other clock is ahead."""
    if abs(by_s) < WARN_S:
        return fine("clock.compared", f"The clock of {whose} is ours, within {WARN_S:g} s.", whose)
    order = "ahead of" if by_s > 0 else "behind"
    words = f"The clock of {whose} is {_words(abs(by_s))} {order} the clock of this machine."
    make = warning if abs(by_s) < WRONG_S else fault
    return make("clock.compared", Ailment.CLOCK_WRONG, words, whose, whose=whose)


def _words(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _broker(visit: Visit) -> Finding | None:
    try:
        with broker.client(visit.settings) as asked:
            by_s = ahead_s(lambda: float(asked.time()[0]) + asked.time()[1] / 1e6)
    except (redis.RedisError, ValueError):
        return None
    return compared(f"Redis at {broker.place(visit.settings.broker_url)}", by_s)


def _ledger(visit: Visit) -> Finding | None:
    """Compare with the database, whose time every process takes; SQLite has none of its own."""
    url = make_url(visit.settings.ledger)
    if url.get_backend_name() == "sqlite":
        return None
    try:
        ledger = Ledger.of(visit.settings)
        ledger.schema()  # a connection sets the ledger's clock
    except (SettingsError, Unavailable):
        return None
    ledger.close()
    where = url.host or url.query.get("host", "this machine")
    return compared(f"the database at {where}", (now() - host_time()).total_seconds())
