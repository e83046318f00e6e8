"""A backfill from its first study to its last: one after the other, at its pace, with patience, until told to stop.

Comes in: a plan. Goes out: the plan with the outcome of each study. What can go wrong: a study fails (it is tried again
when all others were tried, as often as the setting `attempts` says); the archive is away (it is waited for, ever
longer, then the backfill ends and says so); many fail one after the other (it ends: the cause is not the studies). To
run the same command again goes on in every case. A study that has begun is brought to its end, also where the window
closes meanwhile: half a study would be measured as half a study.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from threading import Event
from typing import Protocol, TypeVar

from node.backfill.fetching import Fetching
from node.backfill.pace import Pace, Wait
from node.backfill.plan import Fate, Outcome, Plan
from node.backfill.search import Found
from node.core import log
from node.core.errors import Unavailable
from node.core.ledger.patience import Patience
from node.core.query import Moved

PERIOD_S = 2.0
OUTAGES = 10  # in a row: with the default pauses an hour
FAILURES = 5  # in a row

Answer = TypeVar("Answer")

_log = log.get("backfill")


class TooManyFail(RuntimeError):
    """Study after study fails; the message says why the last one did."""


class Display(Protocol):
    """What a person sees of it."""

    def waits(self, wait: Wait) -> None:
        """Hear what is waited for; again and again while it is."""

    def begins(self, found: Found) -> None:
        """Hear of a study that is fetched now."""

    def moves(self, moved: Moved) -> None:
        """Hear how the move of a series stands."""

    def ends(self, found: Found, outcome: Outcome) -> None:
        """Hear how a study ended."""


class Campaign:
    """One run of a backfill.

    Parameters
    ----------
    plan
        What there is to do.
    fetching
        Fetches a study.
    pace
        Says when.
    patience
        How often a study is tried in this run, and after which pauses.
    display
        Who is told.
    stop
        Is set to end it.
    """

    def __init__(
        self, plan: Plan, fetching: Fetching, pace: Pace, patience: Patience, display: Display, stop: Event
    ) -> None:
        self._plan = plan
        self._fetching = fetching
        self._pace = pace
        self._patience = patience
        self._display = display
        self._stop = stop

    def run(self) -> None:
        """Fetch what is open, until nothing is, every attempt is used, or it is told to stop.

        Raises
        ------
        Unavailable
            The archive (`Away`), the ledger or the spool stays away.
        NotKnownThere, TooManyFail
            No study can be fetched.
        """
        for attempt in range(1, self._patience.attempts + 1):
            waiting = self._plan.open
            if not waiting or self._stop.is_set():
                return
            if attempt > 1:
                pause_s = self._patience.pause(attempt - 1).total_seconds()
                self._rest(Wait("retry", f"tries {len(waiting)} that failed again in {pause_s:.0f} s"), pause_s)
            self._round(waiting, FAILURES if attempt == 1 else len(waiting) + 1)

    def _round(self, waiting: Sequence[Found], most_failures: int) -> None:
        in_a_row = 0
        for found in waiting:
            ended = self._patiently(partial(self._one, found))
            if ended is None:
                return
            outcome, begun_at = ended
            self._plan.note(found.study_uid, outcome, begun_at)
            self._display.ends(found, outcome)
            _log.debug("backfill-study", study=found.study_uid, fate=outcome.fate, instances=outcome.instances)
            in_a_row = in_a_row + 1 if outcome.fate is Fate.FAILED else 0
            if in_a_row == most_failures:
                raise TooManyFail(f"{in_a_row} studies failed one after the other, the last one: {outcome.reason}")

    def _one(self, found: Found) -> tuple[Outcome, datetime] | None:
        """Wait for the turn of a study and fetch it; None where it was told to stop meanwhile."""
        while not self._stop.is_set() and (wait := self._pace.obstacle(self._plan.begun)):
            self._rest(wait, PERIOD_S)
        if self._stop.is_set():
            return None
        begun_at = self._pace.clock()
        self._display.begins(found)
        outcome = self._fetching.fetch(found.study_uid, self._display.moves)
        stopped = self._stop.is_set() and outcome.fate is Fate.FAILED
        return None if stopped else (outcome, begun_at)

    def _patiently(self, work: Callable[[], Answer]) -> Answer | None:
        """Do what needs the archive, the ledger or the spool, and wait where one is away; None where told to stop."""
        for outage in range(1, OUTAGES + 1):
            try:
                return work()
            except Unavailable as error:
                if outage == OUTAGES:
                    raise
                pause_s = self._patience.pause(outage).total_seconds()
                self._rest(Wait("away", f"waits {pause_s:.0f} s: {error.detail or error}"), pause_s)
            if self._stop.is_set():
                break
        return None

    def _rest(self, wait: Wait, pause_s: float) -> None:
        self._display.waits(wait)
        self._stop.wait(pause_s)


def counts_of(plan: Plan) -> dict[str, int]:
    """Return how many studies were found, how many have each fate, and how many are still to be fetched."""
    fates = Counter(outcome.fate for outcome in plan.outcomes.values())
    left = len(plan.studies) - sum(fates.values())
    return {"found": len(plan.studies), **{fate.value: fates[fate] for fate in Fate}, "not yet": left}


def reasons_of(plan: Plan) -> list[tuple[Found, Outcome]]:
    """Return the studies that failed, with what went wrong at the last attempt."""
    failed = [(uid, one) for uid, one in plan.outcomes.items() if one.fate is Fate.FAILED and uid in plan.studies]
    return [(plan.studies[uid], one) for uid, one in failed]
