"""How often somebody may try a password: failures are counted by account and by address, and forgotten with time.

Comes in: failures. Goes out: how long to wait. It is of this process alone; one that is started anew has forgotten.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

ACCOUNT_TRIES, HOST_TRIES = 5, 30
WINDOW_S = 900.0
_MOST_KEYS = 10_000


class Throttle:
    """Counts failures.

    Parameters
    ----------
    clock
        Time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, account: str, host: str) -> int:
        """Return how long nobody may try this account, or anything from this address; 0 where it may be tried."""
        with self._lock:
            waits = (self._wait_s(("account", account), ACCOUNT_TRIES), self._wait_s(("host", host), HOST_TRIES))
        return math.ceil(max(waits))

    def failed(self, account: str, host: str) -> None:
        """Count a failure."""
        with self._lock:
            for key in (("account", account), ("host", host)):
                self._failures[key] = [*self._recent(key), self._clock()]
                self._failures.move_to_end(key)
            while len(self._failures) > _MOST_KEYS:
                self._failures.popitem(last=False)

    def succeeded(self, account: str) -> None:
        """Forget the failures of an account; those of an address stay."""
        with self._lock:
            self._failures.pop(("account", account), None)

    def _recent(self, key: tuple[str, str]) -> list[float]:
        return [one for one in self._failures.get(key, []) if one > self._clock() - WINDOW_S]

    def _wait_s(self, key: tuple[str, str], tries: int) -> float:
        recent = self._recent(key)
        return recent[-tries] + WINDOW_S - self._clock() if len(recent) >= tries else 0.0
