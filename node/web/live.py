"""Changes as they happen: server-sent events that say that something has changed, and not what.

Comes in: the number of the latest event of the ledger, looked at once a second for all who listen. Goes out: a stream
for each page that is open, which then asks for its own part anew. What can go wrong: the ledger is away, and the
stream says nothing until it is back; too many listen, and the page is told to come again later.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from time import monotonic

from starlette.concurrency import run_in_threadpool

from node.core.errors import Unavailable
from node.core.ledger import Ledger, bookmarks

_PERIOD_S, _ALIVE_EVERY_S = 1.0, 15.0
_MOST_LISTENERS = 200


class Pulse:
    """The latest event, which all who listen share."""

    def __init__(self, ledger: Ledger, period_s: float = _PERIOD_S) -> None:
        self._ledger = ledger
        self._period_s = period_s
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._last = 0
        self._listeners = 0
        self.ended = False

    @property
    def crowded(self) -> bool:
        """Whether nobody else may listen."""
        return self._listeners >= _MOST_LISTENERS

    def last(self) -> int:
        """Return the number of the latest event, not older than the period."""
        with self._lock:
            if monotonic() - self._looked_at >= self._period_s:
                with self._ledger.reading() as session:
                    self._last = bookmarks.last_event(session)
                self._looked_at = monotonic()
            return self._last

    async def beats(self) -> AsyncIterator[str]:
        """Yield a server-sent event at each change, and a comment now and then, so that nobody hangs up."""
        self._listeners += 1
        try:
            seen, silent_since = await self._now(0), monotonic()
            yield "retry: 2000\n\n"
            while not self.ended:
                await asyncio.sleep(self._period_s)
                last = await self._now(seen)
                if last != seen:
                    seen, silent_since = last, monotonic()
                    yield f"id: {last}\nevent: change\ndata: {last}\n\n"
                elif monotonic() - silent_since > _ALIVE_EVERY_S:
                    silent_since = monotonic()
                    yield ": still here\n\n"
        finally:
            self._listeners -= 1

    async def _now(self, otherwise: int) -> int:
        try:
            return await run_in_threadpool(self.last)
        except Unavailable:
            return otherwise
