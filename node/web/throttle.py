"""How often somebody may try a password: failures are counted, and forgotten with time.

An account is closed to the address that failed, so that nobody shuts a colleague out by knowing a name; to all only
after as many failures as NIST SP 800-63B allows at most, which takes several addresses, each of which has a limit too.

Comes in: failures. Goes out: how long to wait. It is of this process alone; one that is started anew has forgotten.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import monotonic

TRIES, HOST_TRIES, ACCOUNT_TRIES = 5, 30, 100
WINDOW_S = 900.0
_MOST_KEYS = 10_000

_Key = tuple[str, str]
"""Account and address; one of them is empty where all are meant."""


class Throttle:
    """Counts failures.

    Parameters
    ----------
    clock
        Time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[_Key, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, account: str, host: str) -> int:
        """Return how long this address may not try this account; 0 where it may."""
        with self._lock:
            return math.ceil(max(self._wait_s(key, tries) for key, tries in _limits(account, host).items()))

    def failed(self, account: str, host: str) -> None:
        """Count a failure."""
        with self._lock:
            for key in _limits(account, host):
                self._failures[key] = [*self._recent(key), self._clock()]
                self._failures.move_to_end(key)
            while len(self._failures) > _MOST_KEYS:
                self._failures.popitem(last=False)

    def succeeded(self, account: str, host: str) -> None:
        """Forget the failures of this address at this account; what it and others failed at elsewhere stays."""
        with self._lock:
            self._failures.pop((account, host), None)

    def _recent(self, key: _Key) -> list[float]:
        return [one for one in self._failures.get(key, []) if one > self._clock() - WINDOW_S]

    def _wait_s(self, key: _Key, tries: int) -> float:
        recent = self._recent(key)
        return recent[-tries] + WINDOW_S - self._clock() if len(recent) >= tries else 0.0


def _limits(account: str, host: str) -> Mapping[_Key, int]:
    return {(account, host): TRIES, ("", host): HOST_TRIES, (account, ""): ACCOUNT_TRIES}
