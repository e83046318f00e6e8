"""What a person orders: measure a study again, let one out of quarantine or delete it there, change
its turn, enter facts about its patient, stop and start a queue.

Comes in: a study by its UID, or a queue, and the cause that the person gives. Goes out: moves in the ledger, with
event and audit entry in the same transaction; steward and workers do the rest. What can go wrong: no or several
studies are meant, or the order does not fit what the study is (`NotPossible`, which says what would). Who is next: the
steward, who judges a study again as if it had just come.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

from sqlalchemy.orm import Session

from node import reconcile, retention
from node.core import log
from node.core.ledger import Ledger, audit, deliveries, entries, jobs, now, queues, studies
from node.core.ledger.moves import move_study
from node.core.ledger.tables import Study, StudyCard
from node.core.records import EnteredFacts, dump
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import DeliveryState, JobState, Stage, StudyState
from node.facts import is_plausible
from node.reconcile import Reconciled

_log = log.get("operations")

_ON_ITS_WAY = (DeliveryState.PENDING, DeliveryState.SENT)


class NotPossible(RuntimeError):
    """An order does not fit; the message says why, and what would."""


def study_of(session: Session, name: str, *, lock: bool = False) -> Study:
    """Return the study with this UID, or the only one whose UID begins so.

    Raises
    ------
    NotPossible
        None or several are meant.
    """
    exact = session.get(Study, name)
    found = [exact] if exact else studies.find_studies(session, name, limit=2)
    if not found:
        raise NotPossible(f"no study {name} is known here")
    if len(found) > 1:
        raise NotPossible(f"several studies begin with {name}: give more of the UID")
    return session.get_one(Study, found[0].uid, with_for_update=True, populate_existing=True) if lock else found[0]


def has_failed(ledger: Ledger, name: str) -> bool:
    """Say whether the job of a study, or of one whose UID begins so, has failed, or the delivery of what it made."""
    with ledger.transaction() as session:
        known = (jobs.current(session, study.uid) for study in studies.find_studies(session, name))
        return any(
            job.state is JobState.FAILED or any(map(deliveries.given_up, deliveries.of_job(session, job.key)))
            for job in known
            if job is not None
        )


def replay(ledger: Ledger, spool: Spool, name: str, cause: str) -> str:
    """Measure a study again, with the present settings; return its UID.

    Where neither they nor this version change anything, it is the same job under the same key: its objects come out
    with the same UIDs and bytes, and only what had failed to arrive is sent. Else the study gets another job, whose
    objects supersede the earlier ones.

    Raises
    ------
    NotPossible
        It is still receiving, on its way already, in quarantine, or its input was removed.
    Held
        A backup is being made.
    """
    with spool.removing(), _ordered(ledger, "replay", cause) as (session, by):
        study = study_of(session, name, lock=True)
        if study.state is StudyState.QUARANTINED:
            raise NotPossible(f"{study.uid} is in quarantine: crlm-node quarantine release, once its cause is mended")
        if study.state is StudyState.RECEIVING:
            raise NotPossible(f"{study.uid} is still receiving: it is measured as soon as it is complete")
        _require_input(session, study)
        job = jobs.current(session, study.uid)
        if job is not None and job.state in (JobState.QUEUED, JobState.RUNNING):
            raise NotPossible(f"{study.uid} is on its way already: its job is {job.state} for stage {job.stage}")
        move_study(session, study, StudyState.RECEIVING, by)
        study.reason = None
        if job is not None:
            jobs.requeue(session, job, by)
            # A delivery on its way needs the stored bytes, which the stages then replace file by file.
            if not any(one.state in _ON_ITS_WAY for one in deliveries.of_job(session, job.key)):
                spool.work(job.key).clear()
        audit.write(session, audit.commanded("replay", study_uid=study.uid, detail=cause))
    _log.info("replayed", study=study.uid)
    return study.uid


def prioritise(ledger: Ledger, name: str, priority: int, cause: str) -> str:
    """Change the turn of a study whose job waits or runs; return its UID.

    Raises
    ------
    NotPossible
        No job of it waits or runs.
    """
    command = f"priority {queues.NAMES[priority]}"
    with _ordered(ledger, command, cause) as (session, by):
        study = study_of(session, name, lock=True)
        job = jobs.current(session, study.uid)
        if job is None or job.state not in (JobState.QUEUED, JobState.RUNNING):
            raise NotPossible(f"{study.uid} waits for nothing: no job of it is queued or running")
        job.priority = priority
        audit.write(session, audit.commanded(command, study_uid=study.uid, detail=cause))
    _log.info("prioritised", study=study.uid, priority=priority, by=by)
    return study.uid


def enter_facts(ledger: Ledger, name: str, facts: EnteredFacts, cause: str) -> str:
    """Enter facts about the patient of a study, in place of what was entered before, and judge the study again.

    Where they change what is measured, the study gets another job, whose objects supersede the earlier ones. Its
    patient's other studies take them when they are judged again. The audit trail names the facts and not their values.

    Raises
    ------
    NotPossible
        Nobody knows whose study it is, the height is none, or the study's input was removed.
    """
    if facts.height_m is not None and not is_plausible(facts.height_m):
        raise NotPossible("a height is between 1.0 and 2.3 m")
    named = [one for one, value in asdict(facts.clinical).items() if value is not None]
    told = ", ".join([*(["height_m"] if facts.height_m is not None else []), *named]) or "nothing"
    with _ordered(ledger, "facts enter", cause) as (session, by):
        study = study_of(session, name, lock=True)
        card = session.get(StudyCard, study.uid)
        if card is None or not card.patient:
            raise NotPossible(f"nobody knows yet whose study {study.uid} is: it has no Patient ID that could be read")
        _require_input(session, study)
        entries.enter(session, card.patient, card.issuer, dump(facts), audit.commanded("facts enter").user_id)
        if study.state in (StudyState.COMPLETE, StudyState.NOT_ANALYSABLE):
            move_study(session, study, StudyState.RECEIVING, by)
            study.reason = None
        detail = f"{told}: {cause}" if cause else told
        audit.write(session, audit.commanded("facts enter", study_uid=study.uid, detail=detail))
    _log.info("facts-entered", study=study.uid)
    return study.uid


def release(ledger: Ledger, name: str, cause: str) -> str:
    """Let a study out of quarantine, to be judged again; return its UID.

    Raises
    ------
    NotPossible
        It is not in quarantine, or its input was removed.
    """
    with _ordered(ledger, "quarantine release", cause) as (session, by):
        study = _quarantined(session, name)
        _require_input(session, study)
        move_study(session, study, StudyState.RECEIVING, by)
        study.reason = None
        audit.write(session, audit.commanded("quarantine release", study_uid=study.uid, detail=cause))
    _log.info("released", study=study.uid)
    return study.uid


def delete(ledger: Ledger, spool: Spool, settings: Settings, name: str, cause: str) -> tuple[str, int]:
    """Remove the files of a study in quarantine; return its UID and how many instances there were.

    Raises
    ------
    NotPossible
        It is not in quarantine, or not for long enough.
    Held
        A backup is being made.
    """
    with spool.removing(), _ordered(ledger, "quarantine delete", cause) as (session, _):
        study = _quarantined(session, name)
        since = studies.events_of(session, "study", study.uid)[-1].at
        until = since + timedelta(days=settings.quarantine_days)
        if until > now():
            raise NotPossible(
                f"{study.uid} is kept until {until:%Y-%m-%d %H:%M} UTC: it is in quarantine since "
                f"{since:%Y-%m-%d %H:%M}, and quarantine_days is {settings.quarantine_days:g}"
            )
        count = retention.remove(session, spool, study.uid, f"by order: {cause}")
        audit.write(session, audit.commanded("quarantine delete", study_uid=study.uid, detail=cause))
    _log.info("deleted", study=study.uid, instances=count)
    return study.uid, count


def pause(ledger: Ledger, stage: Stage, cause: str) -> None:
    """Stop a queue: what is being worked on is brought to its end, nothing new is begun.

    Raises
    ------
    NotPossible
        It is paused already.
    """
    with _ordered(ledger, f"pause {stage}", cause) as (session, by):
        if not queues.pause(session, stage, by):
            raise NotPossible(f"{stage} is paused already")
        audit.write(session, audit.commanded(f"pause {stage}", detail=cause))
    _log.info("paused", queue=stage)


def resume(ledger: Ledger, stage: Stage) -> None:
    """Let a queue go on.

    Raises
    ------
    NotPossible
        It is not paused.
    """
    with _ordered(ledger, f"resume {stage}", "") as (session, _):
        if not queues.resume(session, stage):
            raise NotPossible(f"{stage} is not paused")
        audit.write(session, audit.commanded(f"resume {stage}"))
    _log.info("resumed", queue=stage)


def rebuild(ledger: Ledger, spool: Spool) -> Reconciled:
    """Make instances and studies anew from the spool, in an empty ledger; the steward judges them.

    Raises
    ------
    NotPossible
        The ledger holds a study.
    """
    with _ordered(ledger, "ledger rebuild", "") as (session, _):
        if studies.find_studies(session, limit=1):
            raise NotPossible("the ledger holds studies: only an empty one is made anew from the spool")
        audit.write(session, audit.commanded("ledger rebuild"))
    return reconcile.enter_missing(spool, ledger, age_s=0)


def _quarantined(session: Session, name: str) -> Study:
    study = study_of(session, name, lock=True)
    if study.state is not StudyState.QUARANTINED:
        raise NotPossible(f"{study.uid} is not in quarantine, it is {study.state}")
    return study


def _require_input(session: Session, study: Study) -> None:
    if any(row.removed_at for row in studies.instances_of(session, study.uid)):
        raise NotPossible(f"the input of {study.uid} was removed: send the study again first")


@contextmanager
def _ordered(ledger: Ledger, command: str, cause: str) -> Iterator[tuple[Session, str]]:
    """Open a transaction for an order, and yield what its events say; an order that does not fit is audited too."""
    by = f"{command} by {audit.commanded(command).user_id}" + (f": {cause}" if cause else "")
    try:
        with ledger.transaction() as session:
            yield session, by
    except NotPossible as error:
        audit.note(ledger, audit.commanded(command, detail=str(error), done=False))
        raise
