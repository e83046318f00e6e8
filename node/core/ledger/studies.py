"""What stages 1 to 4 ask and say: associations, instances, studies. Each function runs in the caller's transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from node.core.ledger import audit, now
from node.core.ledger.moves import born, move_study
from node.core.ledger.tables import Association, Event, StoredInstance, Study, StudyFlag, Variant
from node.core.reasons import Flag
from node.core.records import Instance
from node.core.states import StudyState


def open_association(session: Session, association_id: str, calling_ae_title: str, host: str) -> None:
    """Note that a peer has opened an association."""
    session.add(
        Association(
            id=association_id,
            calling_ae_title=calling_ae_title,
            host=host,
            opened_at=now(),
            active_at=now(),
        )
    )


def close_association(session: Session, association_id: str, outcome: str) -> None:
    """Note how an association ended: `released`, `aborted` or `lost`; what it brought is audited."""
    ended = session.scalars(
        update(Association)
        .where(Association.id == association_id, Association.closed_at.is_(None))
        .values(closed_at=now(), outcome=outcome)
        .returning(Association.id)
    )
    if ended.first() is not None:
        audit.write_received(session, association_id)


def find_instance(session: Session, sop_instance_uid: str) -> StoredInstance | None:
    """Return the instance of that UID, if it is stored."""
    return session.get(StoredInstance, sop_instance_uid)


def record_instance(
    session: Session,
    instance: Instance,
    *,
    study_uid: str,
    series_uid: str,
    association_id: str,
    calling_ae_title: str,
) -> None:
    """Enter an instance that lies in the spool; a study that was complete receives again."""
    at = now()
    study = session.get(Study, study_uid, with_for_update=True)
    if study is None:
        study = Study(uid=study_uid, state=StudyState.RECEIVING, first_received_at=at, last_received_at=at)
        session.add(study)
        session.flush()
        born(session, "study", study_uid, StudyState.RECEIVING, "first instance")
    elif study.state is not StudyState.RECEIVING:
        move_study(session, study, StudyState.RECEIVING, "a further instance came")
        study.reason = None
    study.last_received_at = at
    session.add(
        StoredInstance(
            sop_instance_uid=instance.sop_instance_uid,
            study_uid=study_uid,
            series_uid=series_uid,
            sop_class_uid=instance.sop_class_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            digest=instance.digest,
            path=instance.path,
            calling_ae_title=calling_ae_title,
            association_id=association_id,
            received_at=at,
        )
    )
    session.execute(update(Association).where(Association.id == association_id).values(active_at=at))


def quiet_studies(session: Session, quiet: timedelta, idle: timedelta) -> Sequence[Study]:
    """Return studies still receiving that had no instance for `quiet` and that no open association feeds.

    An association that said nothing for `idle` counts as gone: its listener would have closed it.
    """
    at = now()
    fed = or_(
        *(
            exists().where(
                row.study_uid == Study.uid,
                row.association_id == Association.id,
                Association.closed_at.is_(None),
                Association.active_at > at - idle,
            )
            for row in (StoredInstance, Variant)
        )
    )
    query = select(Study).where(Study.state == StudyState.RECEIVING, Study.last_received_at <= at - quiet, ~fed)
    return session.scalars(query.order_by(Study.last_received_at)).all()


def conclude(
    session: Session, study_uid: str, seen: Collection[str], new: StudyState, cause: str, reason: str | None = None
) -> bool:
    """Move a study out of receiving, judged by the evidence in `seen`; False if it has changed since.

    A study whose `evidence_of` is no longer that is judged anew in the next round.
    """
    study = session.get(Study, study_uid, with_for_update=True)
    if study is None or study.state is not StudyState.RECEIVING or evidence_of(session, study_uid) != set(seen):
        return False
    move_study(session, study, new, cause)
    study.reason = reason
    stop_waiting(session, study_uid)
    return True


def wait(session: Session, study_uid: str, detail: str) -> None:
    """Show that a study waits for evidence that it is complete, and for which."""
    row = session.get(StudyFlag, (study_uid, Flag.WAITING.value))
    if row is None:
        session.add(StudyFlag(study_uid=study_uid, code=Flag.WAITING.value, at=now(), detail=detail))
    else:
        row.detail = detail


def stop_waiting(session: Session, study_uid: str) -> None:
    """Take that flag away."""
    session.execute(delete(StudyFlag).where(StudyFlag.study_uid == study_uid, StudyFlag.code == Flag.WAITING.value))


def evidence_of(session: Session, study_uid: str) -> frozenset[str]:
    """Return all that a study is judged by: the UIDs of its instances, the digests of their variants."""
    uids = select(StoredInstance.sop_instance_uid).where(StoredInstance.study_uid == study_uid)
    variants = select(Variant.digest).where(Variant.study_uid == study_uid)
    return frozenset((*session.scalars(uids), *session.scalars(variants)))


def instances_of(session: Session, study_uid: str) -> Sequence[StoredInstance]:
    """Return a study's instances, in the order of their UIDs."""
    query = select(StoredInstance).where(StoredInstance.study_uid == study_uid)
    return session.scalars(query.order_by(StoredInstance.sop_instance_uid)).all()


def callers(session: Session, study_uid: str) -> frozenset[str]:
    """Return the AE titles of those who sent something of a study, without padding."""
    query = select(StoredInstance.calling_ae_title).where(StoredInstance.study_uid == study_uid).distinct()
    return frozenset(one.strip() for one in session.scalars(query))


def senders(session: Session, study_uid: str) -> frozenset[str]:
    """Return the AE titles of all who sent something of a study, the same again with other content too."""
    query = select(Variant.calling_ae_title).where(Variant.study_uid == study_uid).distinct()
    return callers(session, study_uid) | {one.strip() for one in session.scalars(query)}


def neighbours_of(session: Session, study_uid: str) -> Sequence[StoredInstance]:
    """Return one instance of each other study that holds a series UID of this one: a UID that is not unique."""
    own = select(StoredInstance.series_uid).where(StoredInstance.study_uid == study_uid)
    query = (
        select(func.min(StoredInstance.sop_instance_uid))
        .where(StoredInstance.series_uid.in_(own), StoredInstance.study_uid != study_uid)
        .group_by(StoredInstance.study_uid)
    )
    return session.scalars(select(StoredInstance).where(StoredInstance.sop_instance_uid.in_(query))).all()


def record_of(row: StoredInstance) -> Instance:
    """Return the row as the record that crosses stages."""
    return Instance(row.sop_instance_uid, row.sop_class_uid, row.transfer_syntax_uid, row.digest, row.path)


def find_studies(session: Session, prefix: str = "", limit: int = 50) -> Sequence[Study]:
    """Return the latest studies whose UID begins with `prefix`."""
    query = select(Study).where(Study.uid.startswith(prefix, autoescape=True))
    return session.scalars(query.order_by(Study.last_received_at.desc()).limit(limit)).all()


def events_of(session: Session, subject: str, key: str) -> Sequence[Event]:
    """Return the events of one study, job or delivery, oldest first."""
    return session.scalars(select(Event).where(Event.subject == subject, Event.key == key).order_by(Event.id)).all()


def count_receiving(session: Session) -> int:
    """Return how many studies are still receiving."""
    query = select(func.count()).select_from(Study).where(Study.state == StudyState.RECEIVING)
    return session.scalar(query) or 0


def last_activity(session: Session) -> datetime | None:
    """Return when the last instance came."""
    return session.scalar(select(Study.last_received_at).order_by(Study.last_received_at.desc()).limit(1))
