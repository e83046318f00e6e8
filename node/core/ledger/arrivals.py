"""What stage 2 asks and says of instances that lie in the spool, many at once, in the caller's transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from node.core.ledger import now
from node.core.ledger.moves import born, move_study
from node.core.ledger.tables import Association, StoredInstance, Study, StudyFlag, Variant
from node.core.reasons import Flag
from node.core.records import Instance
from node.core.states import StudyState


@dataclass(frozen=True)
class Arrival:
    """An instance that lies in the spool, who brought it, and when, if not now."""

    instance: Instance
    study_uid: str
    series_uid: str
    association_id: str
    calling_ae_title: str
    host: str
    received_at: datetime | None = None


@dataclass(frozen=True)
class Known:
    """What the ledger holds under one SOP Instance UID: what is measured, and its variants."""

    measured: StoredInstance
    variants: list[Variant]


def note_associations(session: Session, arrivals: Sequence[Arrival]) -> None:
    """Note the associations of the arrivals, and that they are active."""
    at = now()
    first = {one.association_id: one for one in reversed(arrivals)}
    held = set(session.scalars(select(Association.id).where(Association.id.in_(first))))
    session.add_all(
        Association(id=name, calling_ae_title=one.calling_ae_title, host=one.host, opened_at=at, active_at=at)
        for name, one in first.items()
        if name not in held
    )
    if held:
        active = update(Association).where(Association.id.in_(held)).values(active_at=at)
        session.execute(active.execution_options(synchronize_session=False))
    session.flush()


def known(session: Session, sop_instance_uids: Collection[str]) -> dict[str, Known]:
    """Return what is held under these UIDs."""
    rows = session.scalars(select(StoredInstance).where(StoredInstance.sop_instance_uid.in_(sop_instance_uids))).all()
    if not rows:
        return {}
    variants: dict[str, list[Variant]] = {row.sop_instance_uid: [] for row in rows}
    for one in session.scalars(select(Variant).where(Variant.sop_instance_uid.in_(variants)).order_by(Variant.id)):
        variants[one.sop_instance_uid].append(one)
    return {row.sop_instance_uid: Known(row, variants[row.sop_instance_uid]) for row in rows}


def record(session: Session, arrivals: Sequence[Arrival]) -> Mapping[str, StoredInstance]:
    """Enter new instances, whose associations are noted; a study that was complete receives again."""
    at = now()
    _receive(session, sorted({one.study_uid for one in arrivals}), at)
    session.connection().execute(insert(StoredInstance), [row_of(one, at) for one in arrivals])
    held = select(StoredInstance).where(
        StoredInstance.sop_instance_uid.in_(one.instance.sop_instance_uid for one in arrivals)
    )
    return {row.sop_instance_uid: row for row in session.scalars(held)}


def restore(row: StoredInstance | Variant, instance: Instance) -> None:
    """Note that a file that was gone lies in its place again."""
    row.digest, row.transfer_syntax_uid = instance.digest, instance.transfer_syntax_uid
    if isinstance(row, StoredInstance):
        row.removed_at = None


def keep_beside(session: Session, measured: StoredInstance, arrival: Arrival) -> Variant:
    """Enter a variant of an instance and flag its study, which goes its way all the same."""
    variant = Variant(
        sop_instance_uid=measured.sop_instance_uid,
        study_uid=measured.study_uid,
        transfer_syntax_uid=arrival.instance.transfer_syntax_uid,
        digest=arrival.instance.digest,
        path=arrival.instance.path,
        calling_ae_title=arrival.calling_ae_title,
        association_id=arrival.association_id,
        received_at=arrival.received_at or now(),
    )
    session.add(variant)
    flag(session, measured.study_uid, Flag.VARIANT_KEPT, measured.sop_instance_uid)
    session.flush()
    return variant


def flag(session: Session, study_uid: str, code: Flag, detail: str) -> None:
    """Flag a study; what it was flagged for first stays."""
    if session.get(StudyFlag, (study_uid, code.value)) is None:
        session.add(StudyFlag(study_uid=study_uid, code=code.value, at=now(), detail=detail))


def row_of(one: Arrival, at: datetime) -> dict[str, Any]:
    """Return the values of an instance's row by column, for an arrival that came at that time."""
    return {
        "sop_instance_uid": one.instance.sop_instance_uid,
        "study_uid": one.study_uid,
        "series_uid": one.series_uid,
        "sop_class_uid": one.instance.sop_class_uid,
        "transfer_syntax_uid": one.instance.transfer_syntax_uid,
        "digest": one.instance.digest,
        "path": one.instance.path,
        "calling_ae_title": one.calling_ae_title,
        "association_id": one.association_id,
        "received_at": one.received_at or at,
        "removed_at": None,
    }


def _receive(session: Session, study_uids: Sequence[str], at: datetime) -> None:
    """Have the studies receive, in one order everywhere, so that nobody waits for anybody in a circle."""
    query = select(Study).where(Study.uid.in_(study_uids)).order_by(Study.uid).with_for_update()
    held = {study.uid: study for study in session.scalars(query)}
    for uid in study_uids:
        study = held.get(uid)
        if study is None:
            session.add(Study(uid=uid, state=StudyState.RECEIVING, first_received_at=at, last_received_at=at))
            born(session, "study", uid, StudyState.RECEIVING, "first instance")
            continue
        if study.state is not StudyState.RECEIVING:
            move_study(session, study, StudyState.RECEIVING, "a further instance came")
            study.reason = None
        study.last_received_at = at
    session.flush()
