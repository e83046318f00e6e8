"""Faults while studies travel; then everything is given back, and the site has time to come to rest.

Several senders keep a few studies on their way all the time. Several lanes draw from one list of faults, so that
faults of different parts strike at once. Both are told to end by the end of the list, or by the clock.
"""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle

from archive import Archive

from .injection import Fault, Injected, Injector, NotInjected
from .invariants import Aftermath, Violation, violations
from .material import Form, Material, Press
from .outside import Books, holdings
from .sender import Log, Sender, forms
from .site import Site

_AHEAD = 20


@dataclass(frozen=True)
class Plan:
    """What a campaign does.

    Parameters
    ----------
    faults
        In the order in which they are drawn.
    faults_s, calm_s
        No fault is begun later than this; so long may the site take afterwards to come to rest.
    lanes, senders
        Faults at once, associations at once.
    backlog
        No further study is sent while so many have not come to their end.
    pause_s
        Longest pause of a lane between two faults.
    """

    seed: int
    faults: Sequence[Fault]
    faults_s: float
    calm_s: float
    lanes: int = 3
    senders: int = 3
    backlog: int = 10
    pause_s: float = 1.0


@dataclass
class Outcome:
    """What happened."""

    plan: Plan
    began: datetime
    injected: list[Injected] = field(default_factory=list)
    not_injected: Counter[tuple[Fault, str]] = field(default_factory=Counter)
    studies: dict[str, Form] = field(default_factory=dict)
    unsent: list[str] = field(default_factory=list)
    resent: int = 0
    acknowledged: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    associations: int = 0
    broken: int = 0
    ends: dict[str, Counter[int]] = field(default_factory=dict)
    most_at_once: int = 0
    faults_took_s: float = 0.0
    rest_took_s: float = 0.0
    superseded: int = 0
    held: int = 0
    violations: list[Violation] = field(default_factory=list)

    @property
    def complaints(self) -> list[str]:
        """Every violation, and everything else that a run without fault has none of."""
        told = [str(one) for one in self.violations]
        told += [f"study {uid} could not be sent to its end" for uid in self.unsent]
        told += [
            f"{count} instances were answered {code:04X}, on which a modality gives up"
            for code, count in sorted(self.statuses.items())
            if code != 0 and not 0xA700 <= code < 0xA800
        ]
        return told


class Campaign:
    """Runs a plan on a site that was started."""

    def __init__(self, site: Site, plan: Plan, on_fault: Callable[[Injected], None] = lambda _: None) -> None:
        self._site = site
        self._plan = plan
        self._on_fault = on_fault
        self._random = random.Random(plan.seed)  # noqa: S311 - chance that can be repeated
        self.books = Books(site.ledger)
        self._log = Log(site.root / "sent.jsonl")
        self._press = Press(site.root / "material")
        self._forms = cycle(forms(plan.seed))
        self._injector = Injector(site, self.books, plan.seed)
        self._waiting = list(plan.faults)
        self._lock = threading.Lock()
        self._enough, self._give_up = threading.Event(), threading.Event()
        self.outcome = Outcome(plan, datetime.now(UTC))

    def run(self) -> Outcome:
        """Make all faults, let the site come to rest, stop the node, and judge."""
        began = time.monotonic()
        out, plan = self.outcome, self._plan
        senders = [Sender(self._site.inbound.port, self._log, plan.seed + number) for number in range(plan.senders)]
        with ThreadPoolExecutor(plan.lanes + plan.senders) as threads, self._ended():
            sending = [threads.submit(self._send, one) for one in senders]
            for lane in [threads.submit(self._lane, began + plan.faults_s) for _ in range(plan.lanes)]:
                lane.result()
            out.faults_took_s = time.monotonic() - began
            self._enough.set()
            wait(sending, plan.calm_s)
            self._give_up.set()
            for thread in sending:
                thread.result()
            self._rest(time.monotonic() + plan.calm_s)
        out.rest_took_s = time.monotonic() - began - out.faults_took_s
        for one in senders:
            out.statuses += one.statuses
            out.associations += one.associations
            out.broken += one.broken
        out.most_at_once = self._injector.most_at_once
        self._site.stop_node()
        out.ends = {name: kept.ends for name, kept in self._site.kept.items()}
        self._judge()
        return out

    def aftermath(self) -> Aftermath:
        """Return what is to be seen now."""
        meant = {uid: form for uid, form in self.outcome.studies.items() if uid not in self.outcome.unsent}
        held = holdings(Archive(self._site.orthanc))
        return Aftermath(self._log.read(), meant, self.books, self._site.spool, held)

    @contextmanager
    def _ended(self) -> Iterator[None]:
        """Let no thread go on when the block is left, whatever the cause."""
        try:
            yield
        finally:
            self._enough.set()
            self._give_up.set()

    def _judge(self) -> None:
        seen = self.aftermath()
        self.outcome.acknowledged = len(seen.acknowledged)
        self.outcome.held = len(seen.held)
        self.outcome.superseded = self.books.rows("SELECT COUNT(*) FROM job WHERE state = 'superseded'")[0][0]
        self.outcome.violations = violations(seen)

    def _lane(self, until: float) -> None:
        """Make one fault after the other."""
        while time.monotonic() < until:
            with self._lock:
                if not self._waiting:
                    return
                drawn = self._draw()
                pause_s = self._random.uniform(0, self._plan.pause_s)
            if drawn is None:
                time.sleep(0.1)
                continue
            fault, part = drawn
            try:
                made = self._injector.inject(fault, part)
            except NotInjected as error:
                with self._lock:
                    self.outcome.not_injected[fault, str(error)] += 1
                    # Once more, later; not for ever: not every machine can make every fault.
                    if self.outcome.not_injected.total() <= len(self._plan.faults):
                        self._waiting.append(fault)
            else:
                with self._lock:
                    self.outcome.injected.append(made)
                self._on_fault(made)
            time.sleep(pause_s)

    def _draw(self) -> tuple[Fault, str] | None:
        """Take the first fault of the list whose part is free; none from far behind, so that the mix stays."""
        for place, fault in enumerate(self._waiting[:_AHEAD]):
            if part := self._injector.claim(fault):
                del self._waiting[place]
                return fault, part
        return None

    def _send(self, sender: Sender) -> None:
        """Send one study after the other, now and then one that was sent before; end with what was begun."""
        while not self._enough.is_set():
            if self._backlog() >= self._plan.backlog:
                time.sleep(0.1)
                continue
            with self._lock:
                study = self._press.make(next(self._forms))
                self.outcome.studies[study.uid] = study.form
                again = self._random.random() < 0.15
            self._finish(sender, study)
            if again and not self._enough.wait(2):
                self._finish(sender, study)
                with self._lock:
                    self.outcome.resent += 1

    def _finish(self, sender: Sender, study: Material) -> None:
        if not sender.send(study, self._give_up):
            with self._lock:
                self.outcome.unsent.append(study.uid)

    def _backlog(self) -> int:
        try:
            return len({one.split()[1] for one in self.books.open_work()})
        except sqlite3.OperationalError:  # its disk is full
            return self._plan.backlog

    def _rest(self, until: float) -> None:
        """Wait until nothing is open, twice in a row."""
        quiet = 0
        while quiet < 2 and time.monotonic() < until:
            quiet = 0 if self.books.open_work() else quiet + 1
            time.sleep(1)
