"""The worklist: studies as a person sees them, found by what they are looked up by, page by page.

Each function runs in the caller's transaction and only looks. What a person sees is one condition, derived from the
states of the study, of its present job and of the deliveries. Pages go by the time of the last instance and the UID,
and not by counting: the thousandth page costs what the first does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from node.core.ledger.tables import Delivery, Job, Study, StudyCard, StudyFlag
from node.core.states import DeliveryState, JobState, Stage, StudyState

PAGE = 50


class Condition(StrEnum):
    """Where a study is, in one word."""

    RECEIVING = "receiving"
    WAITING = "waiting"
    WORKING = "working"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    NOT_ANALYSABLE = "not-analysable"
    FAILED = "failed"
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Search:
    """What is looked for; empty: everything.

    Parameters
    ----------
    text
        Folded words: how an accession number, a Patient ID or a Study Instance UID begins, or a part of a name.
    since, until
        Study dates.
    reason
        Code of the study's or the job's reason.
    """

    text: str = ""
    since: date | None = None
    until: date | None = None
    condition: Condition | None = None
    reason: str = ""


@dataclass(frozen=True)
class Cursor:
    """A place in the list: a study, by what the list goes by."""

    received_at: datetime
    uid: str


@dataclass(frozen=True)
class Row:
    """A study as it stands in the list."""

    uid: str
    condition: Condition
    stage: Stage | None
    reason: str
    priority: int
    received_at: datetime
    flags: tuple[str, ...]
    patient_id: str = ""
    patient_name: str = ""
    accession_number: str = ""
    study_date: date | None = None
    description: str = ""

    @property
    def cursor(self) -> Cursor:
        """Its place."""
        return Cursor(self.received_at, self.uid)


@dataclass(frozen=True)
class Page:
    """Rows, the latest first, and whether there are others before and after them."""

    rows: tuple[Row, ...]
    newer: bool
    older: bool


def _unless(kind: DeliveryState) -> ColumnElement[bool]:
    return exists().where(Delivery.job_key == Job.key, Delivery.state == kind, Delivery.substitute_uid.is_(None))


def _with_job(*states: JobState) -> Select[str]:
    return select(Job.study_uid).where(Job.state.in_(states))


def _with_delivery(*states: DeliveryState) -> Select[str]:
    there = select(Job.study_uid).join(Delivery).where(Job.state != JobState.SUPERSEDED)
    return there.where(Delivery.state.in_(states), Delivery.substitute_uid.is_(None))


_ON_ITS_WAY = or_(_unless(DeliveryState.PENDING), _unless(DeliveryState.SENT))
_CONDITION = case(
    (Study.state == StudyState.QUARANTINED, Condition.QUARANTINED.value),
    (Study.state == StudyState.RECEIVING, Condition.RECEIVING.value),
    (Job.state == JobState.FAILED, Condition.FAILED.value),
    (Job.state == JobState.QUEUED, Condition.WAITING.value),
    (Job.state == JobState.RUNNING, Condition.WORKING.value),
    (_unless(DeliveryState.FAILED), Condition.FAILED.value),
    (Study.state == StudyState.NOT_ANALYSABLE, Condition.NOT_ANALYSABLE.value),
    (Job.key.is_(None), Condition.WAITING.value),
    (_ON_ITS_WAY, Condition.DELIVERING.value),
    else_=Condition.DELIVERED.value,
)
# What is true in a condition and has an index, so that few rows have to be looked at.
_NARROW: Mapping[Condition, ColumnElement[bool]] = {
    Condition.QUARANTINED: Study.state == StudyState.QUARANTINED,
    Condition.RECEIVING: Study.state == StudyState.RECEIVING,
    Condition.NOT_ANALYSABLE: Study.state == StudyState.NOT_ANALYSABLE,
    Condition.WAITING: Study.uid.in_(_with_job(JobState.QUEUED)),
    Condition.WORKING: Study.uid.in_(_with_job(JobState.RUNNING)),
    Condition.DELIVERING: Study.uid.in_(_with_delivery(DeliveryState.PENDING, DeliveryState.SENT)),
    Condition.FAILED: or_(
        Study.uid.in_(_with_job(JobState.FAILED)), Study.uid.in_(_with_delivery(DeliveryState.FAILED))
    ),
}
_PRESENT = and_(Job.study_uid == Study.uid, Job.state != JobState.SUPERSEDED)
_COLUMNS = (Study.uid, _CONDITION.label("condition"), Study.reason, Study.last_received_at)
_OF_JOB = (Job.stage, Job.state, Job.reason.label("job_reason"), Job.priority)
_OF_CARD = (
    StudyCard.patient_id,
    StudyCard.patient_name,
    StudyCard.accession_number,
    StudyCard.study_date,
    StudyCard.description,
)


def page(
    session: Session, search: Search, *, after: Cursor | None = None, before: Cursor | None = None, size: int = PAGE
) -> Page:
    """Return the rows that follow `after`, or that come before `before`; else the first."""
    query = _found(select(Study.uid), search)
    if before is not None:
        query = query.where(_beyond(before, newer=True))
        query = query.order_by(Study.last_received_at.asc(), Study.uid.asc())
    else:
        query = query.order_by(Study.last_received_at.desc(), Study.uid.desc())
    if after is not None:
        query = query.where(_beyond(after, newer=False))
    uids = session.scalars(query.limit(size + 1)).all()  # the rest is asked of these alone
    rows, more = tuple(rows_of(session, uids[:size])), len(uids) > size
    if before is not None:
        return Page(rows[::-1], more, older=True)
    return Page(rows, after is not None, more)


def row_of(session: Session, uid: str) -> Row | None:
    """Return one study as it stands in the list."""
    rows = _read(session, _rows().where(Study.uid == uid))
    return rows[0] if rows else None


def rows_of(session: Session, uids: Sequence[str]) -> Sequence[Row]:
    """Return these studies as they stand in the list, in the order that is given."""
    found = {row.uid: row for row in _read(session, _rows().where(Study.uid.in_(uids)))}
    return [found[uid] for uid in uids if uid in found]


def attention(session: Session) -> Mapping[Condition, int]:
    """Return how many studies wait for a person: set aside, or failed."""
    held = select(func.count()).select_from(Study).where(Study.state == StudyState.QUARANTINED)
    failed = _with_job(JobState.FAILED).union(_with_delivery(DeliveryState.FAILED))
    count = select(func.count()).select_from(failed.subquery())
    return {Condition.QUARANTINED: session.scalar(held) or 0, Condition.FAILED: session.scalar(count) or 0}


def counts(session: Session) -> Mapping[tuple[Condition, str], int]:
    """Return how many studies there are by condition and reason; every study is looked at."""
    why = func.coalesce(Study.reason, Job.reason, "").label("why")
    query = select(_CONDITION.label("condition"), why, func.count()).select_from(Study)
    rows = session.execute(query.outerjoin(Job, _PRESENT).group_by("condition", "why"))
    return {(Condition(condition), why): count for condition, why, count in rows}


def _rows() -> Select[tuple[object, ...]]:
    query = select(*_COLUMNS, *_OF_JOB, *_OF_CARD).select_from(Study)
    return query.outerjoin(Job, _PRESENT).outerjoin(StudyCard, StudyCard.study_uid == Study.uid)


def _found(query: Select[str], search: Search) -> Select[str]:
    cards = _of_cards(search)
    if cards is not None:  # a name of its own for the UID: the list is gone through in its order, and not by cards
        query = query.where(Study.uid.concat("").in_(cards))
    if search.condition is not None or search.reason:
        query = query.outerjoin(Job, _PRESENT)
    if search.reason:
        query = query.where(or_(Study.reason == search.reason, Job.reason == search.reason))
    if search.condition is not None:
        query = query.where(_CONDITION.in_((search.condition.value,)))
        if search.condition in _NARROW:
            query = query.where(_NARROW[search.condition])
    return query


def _of_cards(search: Search) -> Select[str] | None:
    """Select the studies that fit by their cards; None where any does."""
    asked: list[ColumnElement[bool]] = []
    for word in search.text.split():
        fits = [one.startswith(word, autoescape=True) for one in (StudyCard.patient, StudyCard.study_uid)]
        fits.append(StudyCard.accession_number.istartswith(word, autoescape=True))  # the others are folded
        asked.append(or_(*fits, StudyCard.name.contains(word, autoescape=True)))
    if search.since is not None:
        asked.append(StudyCard.study_date >= search.since)
    if search.until is not None:
        asked.append(StudyCard.study_date <= search.until)
    return select(StudyCard.study_uid).where(*asked) if asked else None


def _beyond(place: Cursor, *, newer: bool) -> ColumnElement[bool]:
    at, uid = Study.last_received_at, Study.uid
    if newer:
        return and_(at >= place.received_at, or_(at > place.received_at, uid > place.uid))
    return and_(at <= place.received_at, or_(at < place.received_at, uid < place.uid))


def _read(session: Session, query: Select[tuple[object, ...]]) -> list[Row]:
    found = session.execute(query).all()
    flags: dict[str, list[str]] = {}
    told = select(StudyFlag.study_uid, StudyFlag.code).where(StudyFlag.study_uid.in_([one.uid for one in found]))
    for uid, code in session.execute(told.order_by(StudyFlag.code)):
        flags.setdefault(uid, []).append(code)
    return [
        Row(
            uid=one.uid,
            condition=Condition(one.condition),
            stage=one.stage if one.state in (JobState.QUEUED, JobState.RUNNING) else None,
            reason=one.reason or one.job_reason or "",
            priority=one.priority or 0,
            received_at=one.last_received_at,
            flags=tuple(flags.get(one.uid, ())),
            patient_id=one.patient_id or "",
            patient_name=one.patient_name or "",
            accession_number=one.accession_number or "",
            study_date=one.study_date,
            description=one.description or "",
        )
        for one in found
    ]
