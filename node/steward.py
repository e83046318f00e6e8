"""The steward: the one process that moves studies on. Exactly one works in a home.

Comes in: settings. Each round: files that the ledger does not know are entered (at the start, then from time to time),
what is complete is assembled, selected and handed off (stages 3 to 5), jobs whose worker was lost are queued again,
the broker is told what it has to be told, inputs whose retention time is over are removed, cards of new studies are
written, and the site is told of what waits for a person. What can go wrong: an
outage of ledger, spool or broker is logged once when it begins and once when it ends, and never stops the rounds. Who
is next: the workers.
"""

from collections.abc import Callable

from node import handoff, selection
from node.alerts import Alerts
from node.assembly import Assembly
from node.cards import Cards
from node.content import StudyContent
from node.core import log
from node.core.errors import Unavailable
from node.core.ledger import Ledger, audit, jobs, now
from node.core.ledger.patience import Patience
from node.core.lock import STEWARD, alone
from node.core.reasons import Coded, NotComputed
from node.core.records import JobRequest, PatientFacts, parse
from node.core.settings import Settings
from node.core.signals import until_told
from node.core.spool import Spool
from node.entered import Entered
from node.facts import patient_facts
from node.heights import Heights
from node.inquiry import Respondent
from node.outbox import Outbox
from node.reconcile import Reconciler
from node.retention import Retention

_log = log.get("steward")


class Steward:
    """The work of one round, and what it remembers between rounds: which outages it has told of."""

    def __init__(self, ledger: Ledger, spool: Spool, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._reconciler = Reconciler(spool, ledger)
        archives = [(one, Respondent(one, settings)) for one in settings.archives]
        counting = [respondent for one, respondent in archives if one.counts]
        knowing = [respondent for one, respondent in archives if one.heights]
        worklist = Respondent(settings.worklist, settings) if settings.worklist else None
        self._heights = Heights(knowing, worklist, settings)
        self._entered = Entered(settings.patient_facts, ledger)
        self._cards = Cards(ledger, spool)
        self._alerts = Alerts(ledger, settings)
        self._assembly = Assembly(ledger, spool, settings, self._hand_on, counting)
        self._outbox = Outbox(ledger, settings)
        self._retention = Retention(ledger, spool, settings)
        self._spool = spool
        self._rules = selection.load(settings.series_rules)
        self._outages: set[tuple[str, Coded]] = set()

    def round(self) -> None:
        """Do each part of the work once; an outage of one part does not keep the others from theirs."""
        self._part("reconcile", self._reconciler.round)
        self._part("cards", self._cards.round)
        self._part("assembly", self._assembly.round)
        self._part("reclaim", self._reclaim)
        self._part("outbox", self._tell)
        self._part("retention", self._retention.round)
        self._part("alerts", self._alerts.round)

    def _hand_on(self, content: StudyContent) -> None:
        """Stages 4 and 5 of one study."""
        settings = self._settings
        choice = selection.choose(content, settings.imports, settings.measurement.minimum_slices, rules=self._rules)
        first = choice.candidates[0].series_instance_uid
        facts = patient_facts(content, first, height_in_cm=settings.measurement.height_in_cm)
        uid = content.study_instance_uid
        before = self._facts_before(uid)
        if facts.height_reason is NotComputed.HEIGHT_MISSING:
            facts = self._heights.complete(facts, content, before)
        facts = self._entered.complete(facts, content, before)
        request = handoff.build_request(uid, choice, facts, settings, now(), forced=content.forced)
        request = handoff.dated_as_before(request, self._spool)
        handoff.enter(self._ledger, content, request, handoff.priority(content, settings))

    def _facts_before(self, study_uid: str) -> PatientFacts | None:
        with self._ledger.transaction() as session:
            job = jobs.current(session, study_uid)
        return parse(JobRequest, job.request).facts if job else None

    def _reclaim(self) -> None:
        with self._ledger.transaction() as session:
            for job in jobs.reclaim(session, Patience.of(self._settings)):
                _log.warning("worker-lost", job=job.key, state=job.state)

    def _tell(self) -> None:
        self._outbox.forget_lost()
        self._outbox.publish()

    def _part(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Unavailable as error:
            outage: tuple[str, Coded] = (name, error.code)
            if outage not in self._outages:
                self._outages.add(outage)
                _log.warning("outage-begins", part=name, code=error.code, detail=error.detail)
            return
        for outage in [one for one in self._outages if one[0] == name]:
            self._outages.discard(outage)
            _log.info("outage-ends", part=name, code=outage[1])


def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, which end it at once: every step is one transaction and can be repeated.

    Raises
    ------
    Held
        Another steward works in this home.
    Unavailable
        The ledger or the spool cannot be opened.
    """
    spool = Spool(settings.spool_dir)
    spool.prepare()
    with (
        alone(settings.home / STEWARD, f"A steward works in {settings.home} already"),
        until_told(at_once=True) as told,
    ):
        ledger = Ledger.of(settings)
        try:
            ledger.upgrade()
            steward = Steward(ledger, spool, settings)
            _log.info("started")
            with audit.running(ledger, "steward"):
                while not told.is_set():
                    steward.round()
                    told.wait(settings.steward_period_s)
        except KeyboardInterrupt:
            _log.info("stopped")
        finally:
            ledger.close()
