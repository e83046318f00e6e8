"""What is asked and said of instances that came again with other content, in the caller's transaction.

The row of an instance names the file that is measured; the others are its variants. Which came when stays with each
file, also where the two change places: content that was sent again is never newer than it was.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from node.core.ledger import studies
from node.core.ledger.moves import move_job, move_study
from node.core.ledger.tables import Event, Job, StoredInstance, Study, StudyFlag, Variant
from node.core.reasons import Flag
from node.core.states import JobState, StudyState

_EXCHANGED = ("digest", "path", "transfer_syntax_uid", "association_id", "received_at")


def variants_of(session: Session, study_uid: str) -> Sequence[Variant]:
    """Return the variants of a study's instances, oldest first."""
    return session.scalars(select(Variant).where(Variant.study_uid == study_uid).order_by(Variant.id)).all()


def reopen(session: Session) -> None:
    """Have every study receive again that a variant came for since its last instance: it may be a correction.

    A study whose files were removed stays closed: there is nothing left that a variant could be compared with.
    """
    newest = func.max(Variant.received_at)
    removed = exists().where(StoredInstance.study_uid == Study.uid, StoredInstance.removed_at.is_not(None))
    query = select(Study.uid, newest).join(Variant, Variant.study_uid == Study.uid).where(~removed)
    late = query.group_by(Study.uid, Study.last_received_at).having(newest > Study.last_received_at)
    for uid, at in session.execute(late.order_by(Study.uid)).all():
        study = session.get_one(Study, uid, with_for_update=True, populate_existing=True)
        study.last_received_at = max(at, study.last_received_at)
        if study.state is not StudyState.RECEIVING:
            move_study(session, study, StudyState.RECEIVING, "an instance came again with other content")
            study.reason = None


def newer_than_measured(session: Session, study_uid: str) -> Mapping[str, Sequence[Variant]]:
    """Return the variants that came after the file that is measured, by SOP Instance UID, newest first."""
    rows = {row.sop_instance_uid: row for row in studies.instances_of(session, study_uid)}
    newer: dict[str, list[Variant]] = {}
    for one in variants_of(session, study_uid):
        row = rows.get(one.sop_instance_uid)
        if row is not None and row.received_at <= one.received_at and row.digest != one.digest:
            newer.setdefault(one.sop_instance_uid, []).insert(0, one)
    return newer


def exchange(session: Session, sop_instance_uid: str, digest: str) -> None:
    """Have the variant of that digest measured, and keep the file that was measured as a variant.

    Both are of whoever sent the image first: whose segmentations are imported does not change with who passes on a
    correction. The associations tell who brought which.
    """
    row = session.get_one(StoredInstance, sop_instance_uid, with_for_update=True)
    query = select(Variant).where(Variant.sop_instance_uid == sop_instance_uid, Variant.digest == digest)
    variant = session.scalars(query).one()
    for name in _EXCHANGED:
        old = getattr(row, name)
        setattr(row, name, getattr(variant, name))
        setattr(variant, name, old)
    variant.calling_ae_title = row.calling_ae_title


def withdraw(session: Session, study_uid: str, cause: str) -> None:
    """Supersede every job of a study, so that nothing of it is sent from now on."""
    query = select(Job).where(Job.study_uid == study_uid, Job.state != JobState.SUPERSEDED)
    for job in session.scalars(query.with_for_update()):
        move_job(session, job, JobState.SUPERSEDED, cause)
        job.lease_owner = job.lease_until = job.published_at = None


def ordered(session: Session, study_uid: str, command: str) -> bool:
    """Say whether the study is judged because a person gave this command."""
    query = select(Event.cause).where(
        Event.subject == "study", Event.key == study_uid, Event.new == StudyState.RECEIVING.value
    )
    cause = session.scalars(query.order_by(Event.id.desc()).limit(1)).one_or_none() or ""
    return cause.startswith(f"{command} ")


def lock(session: Session, study_uid: str) -> Study | None:
    """Keep others from adding to a study until the transaction ends."""
    return session.get(Study, study_uid, with_for_update=True)


def unflag(session: Session, study_uid: str, *codes: Flag) -> None:
    """Take flags away that no longer say what is."""
    wanted = [code.value for code in codes]
    session.execute(delete(StudyFlag).where(StudyFlag.study_uid == study_uid, StudyFlag.code.in_(wanted)))
