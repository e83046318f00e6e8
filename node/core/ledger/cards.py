"""The cards that people look studies up by. Each function runs in the caller's transaction.

A card says what one image of the study says: the steward reads it (`node.cards`), and anew where that image was
corrected. It is patient data, as the instances of the spool are, and is nowhere but in its table and on the page.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Select, case, exists, func, or_, select
from sqlalchemy.orm import Session

from node.core.dicom import IMAGE_CLASSES
from node.core.ledger.tables import StoredInstance, Study, StudyCard

_IS_IMAGE = case((StoredInstance.sop_class_uid.in_(IMAGE_CLASSES), 1), else_=0)


def wanted(session: Session, since: datetime | None, limit: int) -> Sequence[StoredInstance]:
    """Return an instance to read of each study that has no card, or one of something else than its file says now.

    An image is read where there is one: a segmentation need not hold what people look a study up by.

    Parameters
    ----------
    since
        Only of studies that received something from then on; None: of all.
    """
    lacking = select(Study.uid).outerjoin(StudyCard).where(StudyCard.study_uid.is_(None))
    corrected = (
        select(StoredInstance)
        .join(StudyCard, StudyCard.sop_instance_uid == StoredInstance.sop_instance_uid)
        .join(Study, Study.uid == StoredInstance.study_uid)
        .where(StudyCard.digest != StoredInstance.digest)
    )
    if since is not None:
        lacking = lacking.where(Study.last_received_at >= since)
        corrected = corrected.where(Study.last_received_at >= since)
    uids = {*session.scalars(lacking.limit(limit)), *session.scalars(_without_image(since).limit(limit))}
    first = (
        select(StoredInstance.study_uid, _IS_IMAGE, func.min(StoredInstance.sop_instance_uid))
        .where(StoredInstance.study_uid.in_(uids))
        .group_by(StoredInstance.study_uid, _IS_IMAGE)
        .order_by(_IS_IMAGE)
    )
    best = {study: uid for study, _, uid in session.execute(first)}  # an image comes last
    new = session.scalars(select(StoredInstance).where(StoredInstance.sop_instance_uid.in_(best.values()))).all()
    return [*new, *session.scalars(corrected.limit(limit))]


def _without_image(since: datetime | None) -> Select[str]:
    """Select studies whose card is of no image, though an image has come."""
    image = exists().where(StoredInstance.study_uid == Study.uid, StoredInstance.sop_class_uid.in_(IMAGE_CLASSES))
    read = exists().where(
        StoredInstance.sop_instance_uid == StudyCard.sop_instance_uid,
        StoredInstance.sop_class_uid.not_in(IMAGE_CLASSES),
    )
    query = select(Study.uid).join(StudyCard).where(read, image)
    return query.where(Study.last_received_at >= since) if since is not None else query


def write(session: Session, card: StudyCard) -> None:
    """Enter a card in place of the one that is there."""
    session.merge(card)


def of_studies(session: Session, uids: Collection[str]) -> Mapping[str, StudyCard]:
    """Return the cards of studies, by their UID."""
    found = session.scalars(select(StudyCard).where(StudyCard.study_uid.in_(uids)))
    return {one.study_uid: one for one in found}


def of_same_patient(session: Session, study_uid: str) -> Sequence[StudyCard]:
    """Return the cards of all studies of a study's patient, oldest first; its own alone where nobody knows whose.

    The same Patient ID, and issuers that do not contradict.
    """
    card = session.get(StudyCard, study_uid)
    if card is None:
        return []
    if not card.patient:
        return [card]
    query = select(StudyCard).where(StudyCard.patient == card.patient)
    if card.issuer:
        query = query.where(or_(StudyCard.issuer == card.issuer, StudyCard.issuer == ""))
    return session.scalars(query.order_by(StudyCard.study_date, StudyCard.study_uid)).all()
