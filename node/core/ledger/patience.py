"""How often and after which pauses work is tried again: exponential back-off with jitter, capped."""

import random
from dataclasses import dataclass
from datetime import timedelta

from node.core.settings import Settings

_JITTER = 0.3  # the largest share by which a pause is shortened, so that what failed together is not tried together
_MOST_DOUBLINGS = 30


@dataclass(frozen=True)
class Patience:
    """So many attempts, a pause that doubles from `base` on and is never longer than `longest`."""

    attempts: int
    base: timedelta
    longest: timedelta

    @classmethod
    def of(cls, settings: Settings) -> "Patience":
        """Return the site's patience with jobs."""
        return cls(
            settings.attempts,
            timedelta(seconds=settings.retry_base_s),
            timedelta(seconds=settings.retry_longest_s),
        )

    def pause(self, attempt: int) -> timedelta:
        """Return the wait after this attempt failed, the first being 1."""
        doubled = self.base * float(2 ** min(attempt - 1, _MOST_DOUBLINGS))
        share: float = random.uniform(1 - _JITTER, 1)  # noqa: S311 - jitter
        return min(doubled, self.longest) * share
