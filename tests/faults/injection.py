"""The faults, each a short function that breaks one part of the site and gives it back.

A fault that waits for its moment (a worker at its work, a byte on the wire) strikes there; where the moment does not
come, a process is struck all the same, and a cut that found no byte is taken back and not counted.
"""

import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

import redis

from .outside import Books
from .proxy import Manner, Proxy, Trap, Way
from .site import LEASE_S, Site

_MOMENT_S = 15.0
_AGAIN_S = 120.0
_BYTE_S = 30.0
_TRIES = 50


class Fault(StrEnum):
    """What is done to the site."""

    LISTENER_KILLED = "listener killed"
    STEWARD_KILLED = "steward killed"
    SEGMENT_KILLED = "worker killed, segment"
    MEASURE_KILLED = "worker killed, measure"
    DELIVER_KILLED = "worker killed, deliver"
    FROZEN = "process frozen, then thawed"
    REDIS_KILLED = "Redis killed, started empty"
    REDIS_FLUSHED = "Redis flushed"
    ORTHANC_KILLED = "Orthanc killed, kept down"
    DISK_FULL = "disk filled, then freed"
    INBOUND_RESET = "sender to listener: reset"
    INBOUND_HALF_CLOSED = "sender to listener: half-closed"
    INBOUND_SILENT = "sender to listener: silent"
    OUTBOUND_RESET = "worker to Orthanc: reset"
    OUTBOUND_HALF_CLOSED = "worker to Orthanc: half-closed"
    OUTBOUND_SILENT = "worker to Orthanc: silent"


_PART = {
    Fault.LISTENER_KILLED: "listen",
    Fault.STEWARD_KILLED: "steward",
    Fault.SEGMENT_KILLED: "worker-segment",
    Fault.MEASURE_KILLED: "worker-measure",
    Fault.DELIVER_KILLED: "worker-deliver",
    Fault.REDIS_KILLED: "redis",
    Fault.REDIS_FLUSHED: "redis",
    Fault.ORTHANC_KILLED: "orthanc",
    Fault.DISK_FULL: "disk",
    Fault.INBOUND_RESET: "inbound",
    Fault.INBOUND_HALF_CLOSED: "inbound",
    Fault.INBOUND_SILENT: "inbound",
    Fault.OUTBOUND_RESET: "outbound",
    Fault.OUTBOUND_HALF_CLOSED: "outbound",
    Fault.OUTBOUND_SILENT: "outbound",
}
_MANNER = {
    Fault.INBOUND_RESET: Manner.RESET,
    Fault.INBOUND_HALF_CLOSED: Manner.HALF_CLOSED,
    Fault.INBOUND_SILENT: Manner.SILENT,
    Fault.OUTBOUND_RESET: Manner.RESET,
    Fault.OUTBOUND_HALF_CLOSED: Manner.HALF_CLOSED,
    Fault.OUTBOUND_SILENT: Manner.SILENT,
}
_AT_ONCE = {"inbound": 2, "outbound": 2}  # cuts that wait for their byte; of every other part, one fault
_LONGEST_REST_S = 30.0
_REST_S = (0.5, 5.0)  # that a part has to work between two faults, beside the time that the last one took
_REACH = {Way.THERE: 40_000, Way.BACK: 1_500}  # bytes of a study or its results, and of the answers
_LEFT_FREE = (0, 0, 16_384, 200_000, 900_000, 1_300_000)  # below and above the watermark of 1 MB


class NotInjected(RuntimeError):
    """The fault found nothing to strike, or cannot be made here; the message says why."""


@dataclass(frozen=True)
class Injected:
    """A fault that was made: when (seconds from the start), how long until all was back, and what exactly."""

    fault: Fault
    at_s: float
    took_s: float
    detail: str


class Injector:
    """Makes faults; used by several threads at once, each part of the site by one of them at a time."""

    def __init__(self, site: Site, books: Books, seed: int) -> None:
        self._site = site
        self._books = books
        self._random = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()
        self._rests_until: dict[str, float] = {}
        self.most_at_once = 0

    def claim(self, fault: Fault) -> str | None:
        """Take the part that a fault strikes; None where another is at it, or it had no time to work since the last."""
        with self._lock:
            now = time.monotonic()
            free = [
                part
                for part in self._parts(fault)
                if self._taken[part] < _AT_ONCE.get(part, 1) and now >= self._rests_until.get(part, 0)
            ]
            if not free:
                return None
            part = self._random.choice(free)
            self._taken[part] += 1
            self.most_at_once = max(self.most_at_once, self._taken.total())
            return part

    def inject(self, fault: Fault, part: str) -> Injected:
        """Make a fault at a part that was claimed for it, and return when the part serves again.

        Raises
        ------
        NotInjected
            It could not be made.
        """
        begun = time.monotonic()
        try:
            detail = self._act(fault, part)
        finally:
            with self._lock:
                self._taken[part] -= 1
                if part not in _AT_ONCE:  # as long as it took, and a little: on a slow machine it works slowly, too
                    ended = time.monotonic()
                    self._rests_until[part] = (
                        ended + min(ended - begun, _LONGEST_REST_S) + self._random.uniform(*_REST_S)
                    )
        return Injected(fault, begun - self._begun, time.monotonic() - begun, detail)

    def _parts(self, fault: Fault) -> list[str]:
        """Return the parts of the site that a fault may strike."""
        if fault is Fault.FROZEN:
            return sorted(self._site.kept)
        return [_PART[fault]]

    def _act(self, fault: Fault, part: str) -> str:
        """Do it, and say what was done."""
        if fault in _MANNER:
            return self._cut(self._site.inbound if part == "inbound" else self._site.outbound, _MANNER[fault])
        if fault is Fault.FROZEN:
            return self._freeze(part)
        if part in self._site.kept:
            return self._kill(part)
        acts = {
            Fault.REDIS_KILLED: self._kill_redis,
            Fault.REDIS_FLUSHED: self._flush,
            Fault.ORTHANC_KILLED: self._kill_orthanc,
            Fault.DISK_FULL: self._fill,
        }
        return acts[fault]()

    def _kill(self, name: str) -> str:
        """Kill -9 a process while it is busy; it is back when it has said so."""
        kept, random_ = self._site.kept[name], self._random
        busy = self._wait(lambda: self._busy(name), _MOMENT_S)
        time.sleep(random_.uniform(0, 0.15))
        with self._back(name, wait=random_.random() < 0.85):
            if not kept.signal(signal.SIGKILL):
                raise NotInjected(f"{name} does not run")
        return "busy" if busy else "idle"

    def _freeze(self, name: str) -> str:
        """Stop a process in the midst of its work, often for longer than its lease, and let it go on."""
        self._wait(lambda: self._busy(name), _MOMENT_S)
        for_s = self._random.uniform(0.2, 1.6) * LEASE_S
        if not self._site.kept[name].signal(signal.SIGSTOP):
            raise NotInjected(f"{name} does not run")
        time.sleep(for_s)
        self._site.kept[name].signal(signal.SIGCONT)
        return f"{name} for {for_s:.1f} s"

    def _kill_redis(self) -> str:
        down_s = self._random.uniform(0.1, 4)
        self._site.kill(self._site.broker)
        time.sleep(down_s)
        self._site.broker.start()
        return f"down for {down_s:.1f} s"

    def _flush(self) -> str:
        with redis.Redis(port=self._site.broker.port) as client:
            keys = client.dbsize()
            client.flushall()
        time.sleep(0.2)
        return f"{keys} keys"

    def _kill_orthanc(self) -> str:
        down_s = self._random.uniform(0.1, 6)
        busy = self._wait(lambda: self._site.outbound.busy, _MOMENT_S / 2)
        self._site.kill(self._site.orthanc)
        time.sleep(down_s)
        self._site.orthanc.start()
        return f"{'busy' if busy else 'idle'}, down for {down_s:.1f} s"

    def _fill(self) -> str:
        """Fill the small file system of spool and ledger by a ballast file, all but a few bytes."""
        if self._site.why_not_mounted:
            raise NotInjected(self._site.why_not_mounted)
        leave, for_s = self._random.choice(_LEFT_FREE), self._random.uniform(1, 4)
        ballast = self._site.home / "ballast"
        with ballast.open("wb") as file:
            for _ in range(_TRIES):  # others write meanwhile, and what was free is not
                state = os.statvfs(file.fileno())
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, max(1, state.f_bavail * state.f_frsize - leave))
                    break
            else:
                ballast.unlink()
                raise NotInjected("others filled it meanwhile")
        time.sleep(for_s)
        ballast.unlink()
        return f"{leave} bytes left, for {for_s:.1f} s"

    def _cut(self, proxy: Proxy, manner: Manner) -> str:
        way = self._random.choice((Way.THERE, Way.BACK))
        trap = Trap(manner, way, self._random.randrange(_REACH[way]))
        told = f"{way} at byte {trap.after}"
        proxy.arm(trap)
        if not trap.sprung.wait(_BYTE_S):
            proxy.disarm(trap)
            if not trap.sprung.is_set():
                raise NotInjected("no byte came")
        return told

    def _busy(self, name: str) -> bool:
        """Whether a process is at its work, as it looks from outside."""
        if name == "listen":
            return self._site.inbound.busy
        if name == "worker-deliver":
            return self._site.outbound.busy
        try:
            if name == "steward":
                return bool(self._books.rows("SELECT 1 FROM study WHERE state = 'receiving' LIMIT 1"))
            return self._books.runs(name.removeprefix("worker-"))
        except sqlite3.OperationalError:  # its disk is full
            return False

    @contextmanager
    def _back(self, name: str, *, wait: bool) -> Iterator[None]:
        """Wait until a process that is killed in the block serves again."""
        before = self._site.kept[name].output.stat().st_size
        yield
        if wait:
            self._wait(lambda: self._site.serves(name, since=before), _AGAIN_S)

    @staticmethod
    def _wait(condition: Callable[[], bool], limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.02)
        return False
