"""Beside stage 3: whether a quiet study is complete, by evidence, and what becomes of one that does not seem to be.

Comes in: a study that is quiet and released, with its content. Goes out: a `Finding`: complete, or what it waits for,
or why it is taken all the same. What can go wrong: nothing is raised. Next: `node.assembly`, which asks.

Evidence, beside quiet time and released associations: the slice grids have no gap (`node.gaps`), and no archive counts
more than has come (`node.counts`). Against it:

- Slices are missing: the study waits. It is taken by force when `forced_completion_s` has passed since its last
  instance; every number of its result then says so.
- An archive does not answer, or does not know the study: that says nothing against it. The archive is asked again for
  one more quiet time (it may be receiving the study too), then the study goes on without it.

What was found of a waiting study is remembered, so that its files are not read again in each round: a gap can only be
closed by an instance that comes, and the archives are asked again with growing pauses. A steward that starts anew
reads each waiting study once.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from node import counts, gaps
from node.content import StudyContent
from node.core import log
from node.core.dicom import IMAGE_CLASSES
from node.core.settings import Settings
from node.counts import Counted, Held
from node.inquiry import Respondent

_log = log.get("completeness")

_MOST_TOLD = 3  # of what is missing: a sentence that a person reads
_ASKS_IN_A_QUIET_TIME = 4
_REST = 10  # times as long as an answer took, no waiting study is asked about again: others have their turn


@dataclass(frozen=True)
class Quiet:
    """A study that had no new instance for its quiet time.

    Parameters
    ----------
    last_received_at
        When its last instance came.
    quiet_time
        Its quiet time, by who sent it.
    """

    uid: str
    last_received_at: datetime
    quiet_time: timedelta


@dataclass(frozen=True)
class Finding:
    """What was found of a study: one of `waits_for` and `forced` where it is not shown to be complete, else neither.

    Parameters
    ----------
    waits_for
        What it waits for, in a sentence for a person.
    forced
        Why it is taken all the same, in a sentence for the reader of its result.
    """

    waits_for: str = ""
    forced: str = ""


@dataclass
class _Waiting:
    """What is remembered of a waiting study."""

    study: Quiet
    held: Held
    names: Mapping[str, str]  # of the series, as a person knows them
    gaps: tuple[str, ...]
    counted: Counted
    ask_at: datetime
    pause: timedelta = field(default_factory=timedelta)

    @property
    def missing(self) -> tuple[str, ...]:
        """What is missing, in words."""
        short = (
            f"in {self.names.get(one.series_instance_uid, 'a series')}, {one.missing} "
            f"image{'s' * (one.missing != 1)} that {one.archive} holds did not come"
            for one in self.counted.missing
        )
        return (*self.gaps, *short)


class QuietTimes:
    """How long a study has to be quiet, by who sent it: the longest of theirs."""

    def __init__(self, settings: Settings) -> None:
        self._of_site = timedelta(seconds=settings.quiet_time_s)
        self._of_caller = {
            peer.ae_title.strip(): timedelta(seconds=peer.quiet_time_s)
            for peer in settings.calling
            if peer.quiet_time_s is not None
        }

    @property
    def differ(self) -> bool:
        """Whether it matters who sent a study."""
        return bool(self._of_caller)

    @property
    def shortest(self) -> timedelta:
        """No study is quiet after less."""
        return min((self._of_site, *self._of_caller.values()))

    def of(self, senders: Collection[str]) -> timedelta:
        """Return the quiet time of a study that these AE titles sent something of."""
        return max((self._of_caller.get(one, self._of_site) for one in senders), default=self._of_site)


class Completeness:
    """Judges studies, and remembers those that wait.

    Parameters
    ----------
    settings
        Of the site.
    archives
        Those that count.
    """

    def __init__(self, settings: Settings, archives: Sequence[Respondent] = ()) -> None:
        self._archives = archives
        self._forced_after = timedelta(seconds=settings.forced_completion_s)
        self._longest_pause = timedelta(seconds=settings.retry_longest_s)
        self._waiting: dict[str, _Waiting] = {}
        self._rests_until: datetime | None = None  # of asking again

    def forget_all_but(self, studies: Collection[Quiet]) -> None:
        """Forget the studies that no longer wait: something came for them, or a person closed them."""
        self._waiting = {one.uid: self._waiting[one.uid] for one in studies if one.uid in self._waiting}

    def still_waits(self, study: Quiet, at: datetime) -> bool:
        """Say whether a study waits as before, without a look at its files; archives whose turn it is are asked."""
        known = self._waiting.get(study.uid)
        if known is None or known.study != study or self._is_due(study, at):
            return False
        rests = self._rests_until is not None and at < self._rests_until
        if at >= known.ask_at and not rests and not known.gaps:
            self._count(known, at)
            return not self._is_enough(known, at)
        return bool(known.missing) or at < self._patient_until(study)

    def judge(self, study: Quiet, content: StudyContent, at: datetime) -> Finding:
        """Judge a study by its content.

        Parameters
        ----------
        at
            The ledger's time.
        """
        held = _images(content)
        found = tuple(str(gap) for gap in gaps.find(content.series))
        names = {one.series_instance_uid: gaps.name_of(one) for one in content.series}
        known = _Waiting(study, held, names, found, Counted(), at)
        self._count(known, at)
        if self._is_enough(known, at):
            self._waiting.pop(study.uid, None)
            return Finding()
        if known.missing and self._is_due(study, at):
            self._waiting.pop(study.uid, None)
            forced = _forced(known.missing, self._forced_after)
            _log.warning("completed-by-force", missing=list(known.missing))
            return Finding(forced=forced)
        self._waiting[study.uid] = known
        waits_for = self._waits_for(known)
        _log.info("study-waits", missing=list(known.missing), silent=list(known.counted.silent))
        return Finding(waits_for=waits_for)

    def _count(self, known: _Waiting, at: datetime) -> None:
        """Ask the archives, and say when they are asked again; what they said stands while they say nothing."""
        before, begin = known.counted, time.monotonic()
        known.counted = counts.count(self._archives, known.study.uid, known.held)
        if before.missing and known.counted.silent and not known.counted.missing:
            known.counted = Counted(before.missing, known.counted.silent)
        first = known.study.quiet_time / _ASKS_IN_A_QUIET_TIME
        known.pause = min(max(first, 2 * known.pause), self._longest_pause)
        known.ask_at = at + known.pause
        self._rests_until = at + timedelta(seconds=_REST * (time.monotonic() - begin))

    def _is_enough(self, known: _Waiting, at: datetime) -> bool:
        return not known.missing and (not known.counted.silent or at >= self._patient_until(known.study))

    def _is_due(self, study: Quiet, at: datetime) -> bool:
        return at >= study.last_received_at + self._forced_after

    def _patient_until(self, study: Quiet) -> datetime:
        """Return how long an archive that says nothing is waited for."""
        return study.last_received_at + min(2 * study.quiet_time, max(self._forced_after, study.quiet_time))

    def _waits_for(self, known: _Waiting) -> str:
        """Say what a study waits for and how long at most, in a sentence for a person."""
        if known.missing:
            until = known.study.last_received_at + self._forced_after
            return f"{_told(known.missing)}; without them it is processed at {until:%Y-%m-%d %H:%M:%S} UTC."
        until = self._patient_until(known.study)
        names = ", ".join(known.counted.silent)
        return f"{names} does not answer or does not know it; it is not waited for after {until:%Y-%m-%d %H:%M:%S} UTC."


def _images(content: StudyContent) -> Held:
    """Return the CT images of a study by series."""
    by_series = {
        one.series_instance_uid: frozenset(
            header.instance.sop_instance_uid for header in one.headers if header.instance.sop_class_uid in IMAGE_CLASSES
        )
        for one in content.series
    }
    return {uid: images for uid, images in by_series.items() if images}


def _told(missing: Sequence[str]) -> str:
    more = f"; and {len(missing) - _MOST_TOLD} more" if len(missing) > _MOST_TOLD else ""
    text = "; ".join(missing[:_MOST_TOLD]) + more
    return text[:1].upper() + text[1:]


def _forced(missing: Sequence[str], after: timedelta) -> str:
    """Return the sentence of a forced completion; of what was found alone, so that a replay says the same."""
    minutes = after.total_seconds() / 60
    waited = f"{minutes:.0f} minutes" if minutes >= 2 else f"{after.total_seconds():g} s"
    return (
        f"Processed {waited} after the last image came, without proof that the study is complete: "
        f"{'; '.join(missing[:_MOST_TOLD])}{'; and more' if len(missing) > _MOST_TOLD else ''}."
    )
