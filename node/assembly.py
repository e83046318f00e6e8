"""Stage 3, assembly: from single instances to a complete study, by evidence.

Comes in: what the ledger knows of instances, and their files in the spool. Goes out: `StudyContent` of each study
that had no new instance for its quiet time, that no open association feeds, and that is complete by the evidence of
`node.completeness`, or is taken by force; what was corrected in it is taken over first (`node.correction`). What can
go wrong: a file was changed or is gone, two patients in one study (the study is quarantined, or not analysable, by the
table in `node.core.errors`); the spool or the ledger is away (the study waits). Next: `node.selection`, then
`node.handoff`, as the steward connects them.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from structlog.contextvars import bound_contextvars

from node import correction
from node.completeness import Completeness, Quiet, QuietTimes
from node.content import Header, StudyContent, gather, header
from node.core import ledger as ledgers
from node.core import log
from node.core.dicom import read_header
from node.core.errors import ANSWERS, NotAnalysable, Refused, Unavailable, Untrusted, Verdict
from node.core.ledger import Ledger, corrections, jobs, studies
from node.core.ledger.tables import StoredInstance
from node.core.reasons import Coded, Outage, StudyRefusal
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import StudyState
from node.identity import require_one_patient
from node.inquiry import Respondent

_log = log.get("assembly")

HandOn = Callable[[StudyContent], None]


class Assembly:
    """Finds complete studies, reads them and hands each one on.

    Parameters
    ----------
    hand_on
        What becomes of a study's content: selection and handoff. What it raises is answered here, once.
    archives
        Those that are asked how many instances a study has.
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        settings: Settings,
        hand_on: HandOn,
        archives: Sequence[Respondent] = (),
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._settings = settings
        self._hand_on = hand_on
        self._quiet_times = QuietTimes(settings)
        self._completeness = Completeness(settings, archives)
        self._not_before: dict[str, float] = {}  # monotonic time, by study whose files could not be read

    def round(self) -> None:
        """Hand on each study that is complete now, or has waited long enough.

        Raises
        ------
        Unavailable
            The ledger is away; or the spool is, after the other studies were handed on.
        """
        outage: Unavailable | None = None
        quiet = self._quiet()
        self._completeness.forget_all_but(quiet)
        for study in quiet:
            if self._not_before.get(study.uid, 0.0) > time.monotonic():
                continue
            with bound_contextvars(study=study.uid):
                try:
                    if not self._completeness.still_waits(study, ledgers.now()):
                        self._one(study)
                    self._not_before.pop(study.uid, None)
                except Unavailable as error:
                    self._not_before[study.uid] = time.monotonic() + self._settings.retry_base_s
                    outage = error
        if outage is not None:
            raise outage

    def _quiet(self) -> list[Quiet]:
        idle = timedelta(seconds=self._settings.association_idle_s)
        times = self._quiet_times
        with self._ledger.transaction() as session:
            corrections.reopen(session)
            at = ledgers.now()
            found = [
                Quiet(
                    one.uid,
                    one.last_received_at,
                    times.of(studies.senders(session, one.uid) if times.differ else ()),
                )
                for one in studies.quiet_studies(session, times.shortest, idle)
            ]
        return [one for one in found if one.last_received_at + one.quiet_time <= at]

    def _one(self, study: Quiet) -> None:
        """Hand on one study, or close it with its reason; a fault of the program closes it too, visibly."""
        forced = ""
        with self._ledger.transaction() as session:
            seen = studies.evidence_of(session, study.uid)
        try:
            correction.settle(self._ledger, self._spool, study.uid)
            with self._ledger.transaction() as session:
                rows = studies.instances_of(session, study.uid)
                neighbours = studies.neighbours_of(session, study.uid)
            content = gather(study.uid, self._headers(rows), seen)
            self._require_no_stranger(content, neighbours)
            found = self._completeness.judge(study, content, ledgers.now())
            if found.waits_for:
                with self._ledger.transaction() as session:
                    studies.wait(session, study.uid, found.waits_for)
                return
            forced = found.forced
            self._hand_on(replace(content, forced=forced))
        except Unavailable:
            raise
        except (NotAnalysable, Untrusted) as error:
            self._close(study.uid, seen, error.code, " ".join(filter(None, (str(error), forced))))
        except Exception as error:  # noqa: BLE001 - the door: one study must not stop the others
            # Neither the message nor the values of the fault are told: they may hold patient data.
            _log.error("program-failed", error=type(error).__name__, where=log.where(error))
            cause = f"{Outage.STEWARD_FAILED.sentence} ({type(error).__name__})"
            self._close(study.uid, seen, Outage.STEWARD_FAILED, cause)

    def _headers(self, rows: Collection[StoredInstance]) -> Iterator[Header]:
        for row in rows:
            instance = studies.record_of(row)
            try:
                ds = read_header(self._spool.verified(instance))
            except Refused as error:  # taken in by a version that read it, or never by the listener
                raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{row.sop_instance_uid}: {error.code}") from error
            yield header(ds, instance, row.calling_ae_title)

    def _require_no_stranger(self, content: StudyContent, neighbours: Collection[StoredInstance]) -> None:
        """Refuse a study whose series UID another patient's study holds as well."""
        for stranger in self._headers(neighbours):
            same = [one for one in content.series if one.series_instance_uid == stranger.series_instance_uid]
            require_one_patient([stranger.identity, *(one.identity for series in same for one in series.headers)])

    def _close(self, study_uid: str, seen: Collection[str], code: Coded, cause: str) -> None:
        quarantine = ANSWERS[code].verdict is Verdict.QUARANTINE
        state = StudyState.QUARANTINED if quarantine else StudyState.NOT_ANALYSABLE
        with self._ledger.transaction() as session:
            if studies.conclude(session, study_uid, seen, state, cause, reason=code):
                jobs.withdraw(session, study_uid, f"study {state}: {code}")
                _log.warning("study-closed", state=state, reason=code)
