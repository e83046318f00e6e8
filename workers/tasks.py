"""The tasks: take the job by a lease, do the stage, give the job back. Lines 6 to 10 of the way of a study.

Here is one of the three doors with a broad except: whatever a stage raises becomes an answer of the error table, and
the job is refused, quarantined, tried again or failed where a person can see it. Only where the ledger itself is away
nothing can be entered; the steward tells the broker of the work again when the lease or the hold has run out.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from sqlalchemy.orm import Session

from node.core import log
from node.core.errors import NodeError, NotAnalysable, Unavailable, Untrusted
from node.core.kinds import Kind
from node.core.ledger import Ledger, deliveries, jobs, products, queues, studies, succession
from node.core.ledger.patience import Patience
from node.core.ledger.tables import Job
from node.core.reasons import Outage
from node.core.records import JobRequest, parse
from node.core.settings import Settings
from node.core.spool import Spool, WorkFolder
from node.core.states import Stage, StudyState
from workers import analysis, delivery, rejection
from workers.analysis import Outcome
from workers.segmentation.port import Networks

_log = log.get("worker")


@dataclass(frozen=True)
class Desk:
    """What the tasks of one process work with."""

    settings: Settings
    spool: Spool
    ledger: Ledger
    networks: Networks | None = None
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")

    def segment(self, job_key: str) -> None:
        """Stages 6 and 7."""
        with _behind_the_door(job_key, Stage.SEGMENT):
            self._guarded(job_key, Stage.SEGMENT, partial(analysis.segment, networks=self.networks))

    def measure(self, job_key: str) -> None:
        """Stages 8 and 9."""
        with _behind_the_door(job_key, Stage.MEASURE):
            label_map = any(Kind.SEG_LABELMAP in one.objects for one in self.settings.destinations)
            self._guarded(
                job_key, Stage.MEASURE, partial(analysis.measure, models=self.settings.models, label_map=label_map)
            )

    def deliver(self, job_key: str, destination: str) -> None:
        """Stage 10."""
        with _behind_the_door(job_key, Stage.DELIVER):
            self._held(job_key, destination)

    def _held(self, job_key: str, destination: str) -> None:
        """Deliver under a hold, so that the steward does not tell the broker of the same work again meanwhile."""
        lease = timedelta(seconds=self.settings.lease_s)
        with self.ledger.transaction() as session:
            if queues.is_paused(session, Stage.DELIVER):
                _log.info("message-dropped", job=job_key, task=Stage.DELIVER)
                return

        def hold() -> bool:
            with self.ledger.transaction() as session:
                deliveries.hold(session, job_key, destination, lease)
            return True

        hold()
        with _renewed(hold, lease, job_key):
            try:
                rejection.write(job_key, destination, self.spool, self.ledger)
                delivery.deliver(job_key, destination, self.settings, self.spool, self.ledger)
            except Exception as error:  # noqa: BLE001 - one of the three doors
                delivery.fail(job_key, destination, _answered(job_key, error), self.settings, self.ledger)

    def _guarded(
        self,
        job_key: str,
        stage: Stage,
        work: Callable[[JobRequest, Spool, WorkFolder], Outcome],
    ) -> None:
        """Run a stage under a lease; everything that goes wrong ends in the ledger."""
        owner = f"{self.owner}:{threading.get_ident()}"
        lease = timedelta(seconds=self.settings.lease_s)
        with self.ledger.transaction() as session:
            job = jobs.take(session, job_key, stage, owner, lease)
        if job is None:
            _log.info("message-dropped", job=job_key, task=stage)
            return
        job_key = job.key  # the message said that there is work; whose turn it is, the ledger says

        def renew() -> bool:
            with self.ledger.transaction() as session:
                return jobs.renew(session, job_key, owner, lease)

        with _renewed(renew, lease, job_key):
            try:
                request = self._request(job)
                self._done(job, owner, work(request, self.spool, self.spool.work(job_key)))
            except Exception as error:  # noqa: BLE001 - one of the three doors
                self._failed(job, owner, _answered(job_key, error))

    def _request(self, job: Job) -> JobRequest:
        """Return what the job asks for, and which result it supersedes by what was delivered until now."""
        with self.ledger.transaction() as session:
            return replace(parse(JobRequest, job.request), supersedes=succession.superseded_by(session, job))

    def _done(self, job: Job, owner: str, outcome: Outcome) -> None:
        with self.ledger.transaction() as session:
            if not outcome.final:
                held = jobs.advance(session, job.key, owner, Stage.MEASURE)
            elif self._differs(session, job, outcome):
                held = jobs.start_over(session, job.key, owner)
            elif held := jobs.finish(session, job.key, owner, outcome.refusal):
                if outcome.refusal:
                    refusal = outcome.refusal
                    jobs.show(session, job.study_uid, StudyState.NOT_ANALYSABLE, refusal.code, str(refusal))
                self._plan(session, job, outcome)
                deliveries.retry(session, "the job was run again", job_key=job.key)
        _log.info("stage-done" if held else "lease-lost", job=job.key, task=job.stage)

    def _plan(self, session: Session, job: Job, outcome: Outcome) -> None:
        """Enter what was made; plan each object for each destination that wants it, and what rejects earlier ones."""
        callers, refused = studies.callers(session, job.study_uid), outcome.refusal is not None
        for product in outcome.products:
            products.enter(session, job_key=job.key, **vars(product))
        for destination in self.settings.destinations:
            for product in outcome.products:
                if destination.wants(product.kind, callers, refused=refused):
                    deliveries.plan(session, job_key=job.key, destination=destination.name, **vars(product))
        rejection.promise(session, job, self.settings)

    def _differs(self, session: Session, job: Job, outcome: Outcome) -> bool:
        """Say whether a job that ran before made other objects then: one UID never stands for two contents."""
        made = {product.sop_instance_uid: product.digest for product in outcome.products}
        before = [one for one in deliveries.of_job(session, job.key) if one.kind != deliveries.REJECTION]
        return any(made.get(one.sop_instance_uid) != one.digest for one in before)

    def _failed(self, job: Job, owner: str, error: NodeError) -> None:
        with self.ledger.transaction() as session:
            if isinstance(error, Untrusted | NotAnalysable):
                if jobs.give_up(session, job.key, owner, error):
                    jobs.show(session, job.study_uid, StudyState.QUARANTINED, error.code, str(error))
            else:
                jobs.try_again(session, job.key, owner, error, Patience.of(self.settings))


@contextmanager
def _renewed(renew: Callable[[], bool], lease: timedelta, job_key: str) -> Iterator[None]:
    """Call `renew` three times in the length of a lease until the work is over, or until it says False."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(lease.total_seconds() / 3):
            try:
                if not renew():
                    return
            except Unavailable as error:
                _log.warning("lease-not-renewed", job=job_key, detail=error.detail)

    thread = threading.Thread(target=beat, name=f"lease-{job_key[:8]}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _behind_the_door(job_key: str, task: Stage) -> Iterator[None]:
    """Drop a task whose ledger is away."""
    try:
        yield
    except Unavailable as error:
        _log.error("task-dropped", job=job_key, task=task, code=error.code, detail=error.detail)


def _answered(job_key: str, error: Exception) -> NodeError:
    """Log an error and return it as one of the table: what nobody expected is a fault of this program.

    Of such a fault neither the message nor the values are told: they may hold patient data.
    """
    if isinstance(error, NodeError):
        _log.warning("stage-stopped", job=job_key, code=error.code, detail=error.detail)
        return error
    kind = type(error).__name__
    _log.error("stage-failed", job=job_key, error=kind, where=log.where(error))
    return Unavailable(Outage.WORKER_FAILED, kind)
