"""Retention: what may be deleted, and the only place where an input is.

Comes in: the ledger. Goes out: instances whose files are gone and whose rows say since when. An input goes when its
study has a report (results, or its refusal) that is proven at every destination, be it as the Summary where SEG or SR
is not taken, nothing of the study is on its way, and the retention time has passed since the last proof. Quarantine is
left to a person (`node.operations`), and so is what was never reported. While a backup is made, nothing goes. What can
go wrong: the spool is away; the round ends, and the next one goes on. A process that dies between the files and the
rows leaves rows of files that are gone: the next round finds them due again.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from node.core import log
from node.core.errors import Unavailable
from node.core.ledger import Ledger, audit, deliveries, jobs, now
from node.core.ledger.tables import Delivery, Event, Job, StoredInstance, Study, Variant
from node.core.lock import Held
from node.core.reasons import Outage
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import DeliveryState, JobState, StudyState

_log = log.get("retention")

_PERIOD_S = 600.0


class Retention:
    """The rounds of deletion; between two of them lies a pause, since nothing is due by the second."""

    def __init__(self, ledger: Ledger, spool: Spool, settings: Settings) -> None:
        self._ledger = ledger
        self._spool = spool
        self._kept_for = timedelta(days=settings.retention_days)
        self._not_before = monotonic()

    def round(self) -> None:
        """Remove the input of each study whose time has come.

        Raises
        ------
        Unavailable
            The ledger or the spool is away.
        """
        if monotonic() < self._not_before:
            return
        with suppress(Held), self._spool.removing():  # a backup is being made: the next round tries again
            self._remove_aged()
            self._not_before = monotonic() + _PERIOD_S

    def _remove_aged(self) -> None:
        for study_uid in self._aged():
            with self._ledger.transaction() as session:
                study = session.get_one(Study, study_uid, with_for_update=True)
                since = settled_since(session, study)
                if since is None or since > now() - self._kept_for:
                    continue
                count = remove(session, self._spool, study_uid, f"proven since {since:%Y-%m-%d %H:%M}")
            _log.info("input-removed", study=study_uid, instances=count)

    def _aged(self) -> Sequence[str]:
        kept = exists().where(StoredInstance.study_uid == Study.uid, StoredInstance.removed_at.is_(None))
        ended = Study.state.in_((StudyState.COMPLETE, StudyState.NOT_ANALYSABLE))
        old = Study.last_received_at <= now() - self._kept_for
        with self._ledger.transaction() as session:
            return session.scalars(select(Study.uid).where(ended, old, kept).order_by(Study.last_received_at)).all()


def settled_since(session: Session, study: Study) -> datetime | None:
    """Return when the last object of the study's report was proven; None where something is still to come."""
    if study.state not in (StudyState.COMPLETE, StudyState.NOT_ANALYSABLE):
        return None
    job = jobs.current(session, study.uid)
    if job is None or job.state is not JobState.REPORTED:
        return None
    made = deliveries.standing(deliveries.of_job(session, job.key))
    if not made or any(one.state is not DeliveryState.PROVEN for one in made):
        return None
    sent = select(Delivery).join(Job).where(Job.study_uid == study.uid, Delivery.state == DeliveryState.SENT)
    if session.scalars(sent.limit(1)).first() is not None:  # of a superseded job: it may have to be sent again
        return None
    proofs = select(func.max(Event.at)).where(
        Event.subject == "delivery",
        Event.key.in_([f"{one.sop_instance_uid}@{one.destination}" for one in made]),
        Event.new == DeliveryState.PROVEN.value,
    )
    return session.scalar(proofs)


def remove(session: Session, spool: Spool, study_uid: str, cause: str) -> int:
    """Delete the files of a study, what was kept beside them, and its work; return how many instances it had.

    Raises
    ------
    Unavailable
        `spool-failed`: a file cannot be deleted.
    """
    kept = select(StoredInstance).where(StoredInstance.study_uid == study_uid, StoredInstance.removed_at.is_(None))
    rows = session.scalars(kept.with_for_update()).all()
    variants = session.scalars(select(Variant.path).where(Variant.study_uid == study_uid)).all()
    try:
        for path in (*(row.path for row in rows), *variants):
            _unlink(spool.root / path, spool.root)
    except OSError as error:
        raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error
    for job in jobs.of_study(session, study_uid):
        spool.work(job.key).clear()
    at = now()
    for row in rows:
        row.removed_at = at
    audit.write(session, audit.deleted(study_uid=study_uid, detail=f"{len(rows)} instances, {cause}"))
    return len(rows)


def _unlink(file: Path, root: Path) -> None:
    """Delete a file, and the folders above it that are then empty, up to the kind of file in the spool."""
    file.unlink(missing_ok=True)
    with suppress(OSError):  # not empty, or gone
        for folder in list(file.parents)[: len(file.relative_to(root).parts) - 2]:
            folder.rmdir()
