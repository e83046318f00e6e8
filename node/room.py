"""The free space of the spool's disk (stage 2): warned of below one mark, kept free below another.

In: the settings' marks. Out: an instance is let in or answered A700, which asks the sender to send it later; what is
already there goes its way. What can go wrong: a disk that fills between two looks; writing then fails in the same way.
"""

import os
import threading
import time
from pathlib import Path

from node.core import log
from node.core.errors import Refused, Unavailable
from node.core.reasons import DoorRefusal, Outage
from node.core.settings import Settings

_PERIOD_S = 0.25
_MB = 10**6

_log = log.get("intake")


class Room:
    """Looks at the free space a few times a second, and says each change once.

    Parameters
    ----------
    root
        A folder of the spool's file system.
    settings
        `spool_low_mb`, `spool_full_mb`.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root = root
        self._marks_mb = {"disk-low": settings.spool_low_mb, "disk-full": settings.spool_full_mb}
        self._below: set[str] = set()
        self._free_mb = 0
        self._looked_at = float("-inf")
        self._lock = threading.Lock()

    def require(self) -> None:
        """Let an instance in.

        Raises
        ------
        Refused
            `out-of-resources`: less space is free than has to stay free.
        Unavailable
            `spool-failed`: the spool is not there.
        """
        with self._lock:
            if time.monotonic() - self._looked_at >= _PERIOD_S:
                self._look()
            if "disk-full" in self._below:
                raise Refused(DoorRefusal.OUT_OF_RESOURCES, f"{self._free_mb} MB free")

    def is_ample(self) -> bool:
        """Say whether no mark is reached: what may as well come another day asks for this.

        Raises
        ------
        Unavailable
            `spool-failed`: the spool is not there.
        """
        with self._lock:
            self._look()
            return not self._below

    def _look(self) -> None:
        try:
            found = os.statvfs(self._root)
        except OSError as error:
            raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error
        self._looked_at = time.monotonic()
        self._free_mb = found.f_bavail * found.f_frsize // _MB
        for event, mark_mb in self._marks_mb.items():
            is_below = self._free_mb < mark_mb
            if is_below and event not in self._below:
                self._below.add(event)
                _log.warning(event, free_mb=self._free_mb, mark_mb=mark_mb)
            elif not is_below and event in self._below:
                self._below.discard(event)
                _log.info(f"{event}-ends", free_mb=self._free_mb, mark_mb=mark_mb)
