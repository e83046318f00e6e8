"""The processes of a batch: as many as are wanted, each with one case at a time, a new one in place of one that died.

Comes in: cases, and how many are measured at once. Goes out: the `Outcome` of each case that ended. What can go wrong:
a process is killed or dies (`worker-lost`): its case has failed, and nothing of the others is lost. A process whose
parent is gone ends after the case that it has.
"""

import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import wait
from threading import Event
from time import monotonic

from node.core.cases import Case, Outcome
from node.core.reasons import Outage
from node.core.signals import answered
from workers.batch.process import BY_SIGNAL, FAILED, LOG, Task, clear, failed, serve

_LOOK_S = 0.5  # how long a wish to stop may go unseen
_GRACE_S = 10.0
_context = get_context("spawn")


def run(
    cases: Sequence[Case], task: Task, at_once: int, stop: Event, on_end: Callable[[Case, Outcome], None]
) -> dict[str, Outcome]:
    """Measure cases until all have ended or `stop` is set; return the outcomes by the names of their cases."""
    waiting = deque(cases)
    ended: dict[str, Outcome] = {}
    free: list[_Process] = []
    busy: list[_Process] = []
    try:
        while not stop.is_set() and (waiting or busy):
            while waiting and len(busy) < at_once:
                busy.append(free.pop() if free else _Process(task))
                busy[-1].give(waiting.popleft())
            ready = wait([one.connection for one in busy], _LOOK_S)
            for one in [one for one in busy if one.connection in ready]:
                busy.remove(one)
                case, outcome = one.take()
                if one.lives:
                    free.append(one)
                ended[case.name] = outcome
                on_end(case, outcome)
    finally:
        for one in busy:
            one.give_up()
        for one in (*busy, *free):
            one.close()
    return ended


class _Process:
    """A process that measures, and the case that it has."""

    def __init__(self, task: Task) -> None:
        self._out = task.out
        self._case: Case | None = None
        self._since = 0.0
        self.lives = True
        self.connection, theirs = _context.Pipe()
        self._process = _context.Process(target=serve, args=(theirs, task))
        with answered(signal.SIG_IGN, signal.SIGINT):  # Ctrl-C is sent to all processes of a terminal: we end ours
            self._process.start()
        theirs.close()  # so that its end is seen here

    def give(self, case: Case) -> None:
        """Have it measure a case."""
        self._case, self._since = case, monotonic()
        with suppress(OSError):  # it has ended: `take` tells
            self.connection.send(case)

    def take(self) -> tuple[Case, Outcome]:
        """Return its case and how that ended; where the process has ended instead, `lives` is then false."""
        case, self._case = self._case, None
        if case is None:
            raise ValueError("it has no case")
        try:
            return case, self.connection.recv()
        except (EOFError, OSError):
            self.lives = False
            self.close()
            clear(self._out / case.name)
            return case, self._lost(monotonic() - self._since)

    def give_up(self) -> None:
        """Have it end now, and leave its case as it was."""
        self._process.terminate()

    def close(self) -> None:
        """Have it end, and wait until it has."""
        self.connection.close()
        self._process.join(_GRACE_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        if self._case is not None:
            clear(self._out / self._case.name)

    def _lost(self, seconds: float) -> Outcome:
        code = self._process.exitcode or 0
        what, exit_code = f"exit code {code}, see {LOG}", FAILED
        if code < 0:
            what, exit_code = f"killed by {signal.Signals(-code).name}", BY_SIGNAL - code
        if code == -signal.SIGKILL:
            what += ": was there too little memory? --jobs 1 needs the least"
        return failed(Outage.WORKER_LOST, f"{Outage.WORKER_LOST.sentence} ({what})", exit_code, seconds)
