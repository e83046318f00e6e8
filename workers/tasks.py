"""The tasks: take the job by a lease, do the stage, give the job back. Lines 6 to 10 of the way of a study.

`Desk._guarded` is one of the three doors with a broad except: whatever a stage raises becomes an answer of the error
table, and the job is refused, quarantined, tried again or failed where a person can see it.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.orm import Session

from node.core import log
from node.core.errors import NodeError, NotAnalysable, Unavailable, Untrusted
from node.core.ledger import Ledger, deliveries, jobs
from node.core.ledger.moves import move_study
from node.core.ledger.tables import Job, Study
from node.core.reasons import Outage
from node.core.records import JobRequest, parse
from node.core.settings import Settings
from node.core.spool import Spool, WorkFolder
from node.core.states import Stage, StudyState
from workers import analysis, delivery
from workers.analysis import Outcome

_log = log.get("worker")


@dataclass(frozen=True)
class Desk:
    """What the tasks of one process work with."""

    settings: Settings
    spool: Spool
    ledger: Ledger
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")

    def segment(self, job_key: str) -> None:
        """Stages 6 and 7."""
        self._guarded(job_key, Stage.SEGMENT, analysis.segment)

    def measure(self, job_key: str) -> None:
        """Stages 8 and 9."""
        self._guarded(job_key, Stage.MEASURE, analysis.measure)

    def deliver(self, job_key: str, destination: str) -> None:
        """Stage 10."""
        delivery.deliver(job_key, destination, self.settings, self.spool, self.ledger)

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
        with self._renewed(job_key, owner, lease):
            try:
                request = parse(JobRequest, job.request)
                self._done(job, owner, work(request, self.spool, self.spool.work(job_key)))
            except Exception as error:  # noqa: BLE001 - one of the three doors
                self._failed(job, owner, error)

    def _done(self, job: Job, owner: str, outcome: Outcome) -> None:
        with self.ledger.transaction() as session:
            if not outcome.final:
                jobs.advance(session, job.key, owner, Stage.MEASURE)
            elif jobs.finish(session, job.key, owner, outcome.refusal):
                if outcome.refusal:
                    self._mark(session, job.study_uid, StudyState.NOT_ANALYSABLE, outcome.refusal)
                for destination in self.settings.destinations:
                    for product in outcome.products:
                        deliveries.plan(session, job_key=job.key, destination=destination.name, **vars(product))
        _log.info("stage-done", job=job.key, task=job.stage)

    def _mark(self, session: Session, study_uid: str, state: StudyState, error: NodeError) -> None:
        """Let the study show what its job met, unless new instances have come meanwhile."""
        study = session.get(Study, study_uid)
        if study is not None and study.state is StudyState.COMPLETE:
            move_study(session, study, state, str(error))
            study.reason = error.code

    def _failed(self, job: Job, owner: str, error: Exception) -> None:
        if not isinstance(error, NodeError):
            _log.exception("stage-failed", job=job.key, error=type(error).__name__)
            error = Unavailable(Outage.WORKER_FAILED, type(error).__name__)
        else:
            _log.warning("stage-stopped", job=job.key, code=error.code)
        base = timedelta(seconds=self.settings.retry_base_s)
        with self.ledger.transaction() as session:
            if isinstance(error, Untrusted | NotAnalysable):
                if jobs.give_up(session, job.key, owner, error):
                    self._mark(session, job.study_uid, StudyState.QUARANTINED, error)
            else:
                jobs.try_again(session, job.key, owner, error, self.settings.attempts, base)

    @contextmanager
    def _renewed(self, job_key: str, owner: str, lease: timedelta) -> Iterator[None]:
        """Renew the lease three times in its length until the work is over."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(lease.total_seconds() / 3):
                try:
                    with self.ledger.transaction() as session:
                        if not jobs.renew(session, job_key, owner, lease):
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
