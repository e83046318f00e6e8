"""The worklist: one condition for each study, found by what people name, page by page."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest

from node.core.ledger import Ledger, deliveries, jobs, worklist
from node.core.ledger.moves import move_delivery, move_job
from node.core.ledger.tables import Delivery, Job, Study, StudyCard
from node.core.ledger.worklist import Condition, Search
from node.core.records import JobRequest
from node.core.states import DeliveryState, JobState, StudyState

FIRST = datetime.fromisoformat("2026-11-01T08:00:00")
WAY = (DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.PROVEN)
Enter = Callable[..., None]


@pytest.fixture
def enter(ledger: Ledger, request_of: Callable[..., JobRequest]) -> Enter:
    """Return a function that enters a study, its job in a state, and an object of it in a state."""

    def make(
        uid: str,
        state: StudyState = StudyState.COMPLETE,
        job: JobState | None = None,
        delivery: DeliveryState | None = None,
        *,
        minute: int = 0,
        reason: str | None = None,
        **card: object,
    ) -> None:
        at = FIRST + timedelta(minutes=minute)
        with ledger.transaction() as session:
            session.add(Study(uid=uid, state=state, reason=reason, first_received_at=at, last_received_at=at))
            session.flush()
            values = {"patient_id": "", "issuer": "", "patient_name": "", "patient": "", "name": "", "description": ""}
            values |= {"accession_number": "", "study_date": None} | card
            session.add(StudyCard(study_uid=uid, sop_instance_uid=f"{uid}.1", digest="aa", **values))
            if job is None:
                return
            made = jobs.enqueue(session, request_of(uid))
            assert made is not None
            for step in {JobState.QUEUED: (), JobState.RUNNING: (JobState.RUNNING,)}.get(job, (JobState.RUNNING, job)):
                move_job(session, made, step, "test")
            if delivery is not None:
                plan = {"job_key": made.key, "destination": "pacs", "kind": "sr", "file": "sr.dcm", "digest": "bb"}
                deliveries.plan(session, sop_instance_uid=f"{uid}.9", **plan)
                one = session.get_one(Delivery, (f"{uid}.9", "pacs"))
                steps = (delivery,) if delivery is DeliveryState.FAILED else WAY[1 : WAY.index(delivery) + 1]
                for step in steps:
                    move_delivery(session, one, step, "test")

    return make


CASES = {
    Condition.RECEIVING: (StudyState.RECEIVING, None, None),
    Condition.WAITING: (StudyState.COMPLETE, JobState.QUEUED, None),
    Condition.WORKING: (StudyState.COMPLETE, JobState.RUNNING, None),
    Condition.DELIVERING: (StudyState.COMPLETE, JobState.REPORTED, DeliveryState.PENDING),
    Condition.DELIVERED: (StudyState.COMPLETE, JobState.REPORTED, DeliveryState.PROVEN),
    Condition.NOT_ANALYSABLE: (StudyState.NOT_ANALYSABLE, JobState.REPORTED, DeliveryState.PROVEN),
    Condition.FAILED: (StudyState.COMPLETE, JobState.FAILED, None),
    Condition.QUARANTINED: (StudyState.QUARANTINED, JobState.FAILED, None),
}


def test_each_condition_is_seen_and_filtered_for(ledger: Ledger, enter: Enter) -> None:
    """The states of three machines make one word; the filter of that word finds that study alone."""
    for number, states in enumerate(CASES.values()):
        enter(f"1.{number}", *states, minute=number)
    with ledger.reading() as session:
        seen = {row.uid: row.condition for row in worklist.page(session, Search()).rows}
        assert seen == {f"1.{number}": condition for number, condition in enumerate(CASES)}
        for number, condition in enumerate(CASES):
            found = worklist.page(session, Search(condition=condition)).rows
            assert [row.uid for row in found] == [f"1.{number}"], condition


def test_an_object_that_could_not_be_delivered_makes_a_study_failed(ledger: Ledger, enter: Enter) -> None:
    """Unless something else goes in its place: that then stands for it."""
    enter("1.1", StudyState.COMPLETE, JobState.REPORTED, DeliveryState.FAILED)
    with ledger.reading() as session:
        assert [row.condition for row in worklist.page(session, Search()).rows] == [Condition.FAILED]
        assert worklist.attention(session) == {Condition.QUARANTINED: 0, Condition.FAILED: 1}
    with ledger.transaction() as session:
        session.get_one(Delivery, ("1.1.9", "pacs")).substitute_uid = "1.1.8"
    with ledger.reading() as session:
        assert [row.condition for row in worklist.page(session, Search()).rows] == [Condition.DELIVERED]
        assert worklist.attention(session)[Condition.FAILED] == 0


def test_a_superseded_job_says_nothing(ledger: Ledger, enter: Enter, request_of: Callable[..., JobRequest]) -> None:
    """The study stands once in the list, as its present job has it."""
    enter("1.1", StudyState.COMPLETE, JobState.FAILED)
    with ledger.transaction() as session:
        jobs.enqueue(session, request_of("1.1", digest="cc"))
    with ledger.reading() as session:
        assert [(row.uid, row.condition) for row in worklist.page(session, Search()).rows] == [
            ("1.1", Condition.WAITING)
        ]


FOUND = {
    "acc-1": {"1.1"},
    "acc": {"1.1", "1.2"},
    "cc-1": set(),
    "p7": {"1.2"},
    "doe": {"1.1"},
    "jane doe": {"1.1"},
    "doe acc-2": set(),
    "1.": {"1.1", "1.2"},
    "%": set(),
    "_": set(),
}


def test_what_people_name_finds_studies(ledger: Ledger, enter: Enter) -> None:
    """The beginning of a number, any part of a name, all words at once; signs of a pattern mean themselves."""
    enter("1.1", accession_number="ACC-1", patient="p1", name="doe jane")
    enter("1.2", accession_number="ACC-2", patient="p7", name="roe jim")
    with ledger.reading() as session:
        for text, found in FOUND.items():
            assert {row.uid for row in worklist.page(session, Search(text=text)).rows} == found, text


def test_dates_and_reasons_narrow_the_list(ledger: Ledger, enter: Enter) -> None:
    """Both ends of a range count; a reason is that of the study or of its job."""
    for day in (1, 2, 3):
        enter(f"1.{day}", study_date=date(2026, 11, day), reason="gantry-tilt" if day == 2 else None)
    with ledger.reading() as session:
        search = Search(since=date(2026, 11, 2), until=date(2026, 11, 3))
        assert {row.uid for row in worklist.page(session, search).rows} == {"1.2", "1.3"}
        assert [row.uid for row in worklist.page(session, Search(reason="gantry-tilt")).rows] == ["1.2"]


def test_pages_lead_through_all_and_back(ledger: Ledger, enter: Enter) -> None:
    """Each study once, the latest first, also where several came in one moment; and back again."""
    for number in range(7):
        enter(f"1.{number}", minute=number // 3)
    with ledger.reading() as session:
        first = worklist.page(session, Search(), size=3)
        second = worklist.page(session, Search(), after=first.rows[-1].cursor, size=3)
        third = worklist.page(session, Search(), after=second.rows[-1].cursor, size=3)
        back = worklist.page(session, Search(), before=third.rows[0].cursor, size=3)
    assert [row.uid for one in (first, second, third) for row in one.rows] == [
        "1.6", "1.5", "1.4", "1.3", "1.2", "1.1", "1.0"
    ]  # fmt: skip
    assert [(one.newer, one.older) for one in (first, second, third)] == [(False, True), (True, True), (True, False)]
    assert back == second


def test_who_only_looks_keeps_nobody_from_writing(ledger: Ledger, enter: Enter) -> None:
    """A page that is being made sees one picture, and a slice that comes meanwhile is entered at once."""
    enter("1.1")
    with ledger.reading() as session:
        before = len(worklist.page(session, Search()).rows)
        enter("1.2")
        assert len(worklist.page(session, Search()).rows) == before
    with ledger.reading() as session:
        assert len(worklist.page(session, Search()).rows) == before + 1


def test_what_only_looks_cannot_leave_a_job_changed(ledger: Ledger, enter: Enter) -> None:
    """What is changed in such a session is forgotten."""
    enter("1.1", StudyState.COMPLETE, JobState.QUEUED)
    with ledger.reading() as session:
        session.query(Job).one().priority = 1
    with ledger.reading() as session:
        assert session.query(Job).one().priority == 0
