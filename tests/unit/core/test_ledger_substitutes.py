"""What goes in place of an object that a destination refuses, and what that counts for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.core.errors import Unavailable
from node.core.kinds import INSTEAD, Kind
from node.core.ledger import Ledger, deliveries, jobs, products, studies
from node.core.ledger.audit import Outcome
from node.core.ledger.deliveries import REJECTION
from node.core.ledger.tables import Audit, Delivery, Product
from node.core.reasons import Outage
from node.core.records import JobRequest
from node.core.states import DeliveryState, Stage

LEASE = timedelta(seconds=60)
NOT_TAKEN = Unavailable(Outage.SOP_CLASS_REFUSED, "C-STORE answered 0122")
UIDS = {kind.value: f"2.25.{number}" for number, kind in enumerate(Kind)} | {REJECTION: "2.25.99"}
Requests = Callable[..., JobRequest]
Make = Callable[..., str]


@pytest.fixture
def make(ledger: Ledger, clock: Any, store: Callable[..., list[str]], request_of: Requests) -> Make:
    """Return a function that reports a job with these products, and plans some of them for the PACS."""
    store()

    def report(made: tuple[str, ...], planned: tuple[str, ...]) -> str:
        with ledger.transaction() as session:
            job = jobs.enqueue(session, request_of())
            assert job is not None
            jobs.take(session, job.key, Stage.SEGMENT, "w1", LEASE)
            jobs.finish(session, job.key, "w1")
            for kind in made:
                products.enter(session, job_key=job.key, **facts(kind))
            for kind in planned:
                deliveries.plan(session, job_key=job.key, destination="pacs", **facts(kind))
            return job.key

    return report


def facts(kind: str, digest: str = "aa") -> dict[str, str]:
    return {"kind": kind, "sop_instance_uid": UIDS[kind], "file": f"{kind}.dcm", "digest": digest}


def refuse(session: Session, *kinds: str, substitutes: bool = True) -> None:
    for kind in kinds:
        deliveries.refuse(session, row(session, kind), NOT_TAKEN, substitutes=substitutes)


def row(session: Session, kind: str) -> Delivery:
    return session.get_one(Delivery, (UIDS[kind], "pacs"))


def prove(session: Session, kind: str) -> None:
    deliveries.mark_sent(session, row(session, kind), "status 0000")
    deliveries.mark_proven(session, row(session, kind), "found")


def outcomes(session: Session) -> list[tuple[int, str]]:
    return [(one.outcome, one.detail.split()[0]) for one in session.scalars(select(Audit).order_by(Audit.id))]


def test_the_summary_is_planned_in_place_of_what_is_refused(ledger: Ledger, make: Make) -> None:
    """SEG and both SR are refused: one Summary for all three, with the digest that was noted, due at once."""
    key = make(("seg", "sr", "sr-viewer", "summary"), ("seg", "sr", "sr-viewer"))
    with ledger.transaction() as session:
        refuse(session, "seg", "sr", "sr-viewer")
        assert [(one.kind, one.digest) for one in deliveries.due(session, key, "pacs")] == [("summary", "aa")]
        made = deliveries.of_job(session, key)
        assert {(one.kind, one.state, one.reason) for one in made} == {
            *((kind, DeliveryState.FAILED, Outage.SOP_CLASS_REFUSED) for kind in ("seg", "sr", "sr-viewer")),
            ("summary", DeliveryState.PENDING, None),
        }
        assert [one.kind for one in deliveries.standing(made)] == ["summary"]
        assert not any(map(deliveries.given_up, made))
        assert outcomes(session) == [(Outcome.MINOR_FAILURE, kind) for kind in ("seg", "sr", "sr-viewer")]
        (_, failed) = studies.events_of(session, "delivery", f"{UIDS['sr']}@pacs")
        assert failed.cause == f"{Outage.SOP_CLASS_REFUSED.sentence} (C-STORE answered 0122); summary goes in its place"
        (born,) = studies.events_of(session, "delivery", f"{UIDS['summary']}@pacs")
        assert born.cause == "in place of seg"


@pytest.mark.parametrize(
    ("made", "substitutes"), [(("sr", "summary"), False), (("sr",), True)], ids=["not wanted", "not made"]
)
def test_a_refusal_without_anything_else_is_a_failure(
    ledger: Ledger, make: Make, made: tuple[str, ...], substitutes: bool
) -> None:
    """Where nothing may or can go in its place the object is given up at once, and the trail calls it serious."""
    key = make(made, ("sr",))
    with ledger.transaction() as session:
        refuse(session, "sr", substitutes=substitutes)
        assert deliveries.due(session, key, "pacs") == []
        (only,) = deliveries.of_job(session, key)
        assert deliveries.given_up(only)
        assert deliveries.standing([only]) == [only]
        assert outcomes(session) == [(Outcome.SERIOUS_FAILURE, "sr")]


def test_a_label_map_gives_way_step_by_step(ledger: Ledger, make: Make) -> None:
    """First to the binary SEG, then to the Summary, which then stands for both."""
    key = make(("seg-labelmap", "seg", "summary"), ("seg-labelmap",))
    with ledger.transaction() as session:
        refuse(session, "seg-labelmap")
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["seg"]
        refuse(session, "seg")
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["summary"]
        made = deliveries.of_job(session, key)
        assert {deliveries.stand_in(one, made).kind for one in made} == {"summary"}


def test_a_kind_that_was_not_made_is_passed_over(ledger: Ledger, make: Make) -> None:
    """A label map without a binary SEG beside it gives way to the Summary."""
    key = make(("seg-labelmap", "summary"), ("seg-labelmap",))
    with ledger.transaction() as session:
        refuse(session, "seg-labelmap")
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["summary"]


@pytest.mark.parametrize(
    ("order", "audited"),
    [
        (("sr", "summary"), [Outcome.MINOR_FAILURE, Outcome.SERIOUS_FAILURE]),
        (("summary", "sr"), [Outcome.SERIOUS_FAILURE, Outcome.SERIOUS_FAILURE]),
    ],
)
def test_where_the_summary_is_refused_too_all_have_failed(
    ledger: Ledger, make: Make, order: tuple[str, ...], audited: list[Outcome]
) -> None:
    """In whatever order they are told: nothing is due any more, and what stands is a failure.

    A Summary that was refused already is not promised in place of the SR.
    """
    key = make(("sr", "summary"), ("sr", "summary"))
    with ledger.transaction() as session:
        refuse(session, *order)
        made = deliveries.of_job(session, key)
        assert deliveries.due(session, key, "pacs") == []
        assert {deliveries.given_up(deliveries.stand_in(one, made)) for one in made} == {True}
        assert {one.state for one in deliveries.standing(made)} == {DeliveryState.FAILED}
        assert outcomes(session) == list(zip(audited, order, strict=True))


def test_a_note_waits_for_the_summary_and_for_nothing_else(ledger: Ledger, make: Make) -> None:
    """Earlier results are rejected once the Summary is proven, though the SR never will be."""
    key = make(("sr", "summary"), ("sr", REJECTION))
    with ledger.transaction() as session:
        refuse(session, "sr")
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == ["summary"]
        prove(session, "summary")
        assert [one.kind for one in deliveries.due(session, key, "pacs")] == [REJECTION]


def test_what_was_refused_is_asked_for_again(ledger: Ledger, make: Make) -> None:
    """After a replay the SR speaks for itself again; refused once more, it has the Summary that is there already."""
    key = make(("sr", "summary"), ("sr",))
    with ledger.transaction() as session:
        refuse(session, "sr")
        prove(session, "summary")
        assert [one.kind for one in deliveries.retry(session, "replay", job_key=key)] == ["sr"]
        assert [one.kind for one in deliveries.standing(deliveries.of_job(session, key))] == ["sr", "summary"]
        refuse(session, "sr")
        standing = deliveries.standing(deliveries.of_job(session, key))
        assert [(one.kind, one.state) for one in standing] == [("summary", DeliveryState.PROVEN)]


def test_of_what_is_made_again_the_new_bytes_count(ledger: Ledger, make: Make) -> None:
    """A job that ran again has its Summary sent as it is now."""
    key = make(("sr", "summary"), ("sr",))
    with ledger.transaction() as session:
        products.enter(session, job_key=key, **facts("summary", "bb"))
    with ledger.transaction() as session:
        assert len(session.scalars(select(Product)).all()) == 2
        refuse(session, "sr")
        assert row(session, "summary").digest == "bb"


def test_every_kind_gives_way_to_the_summary_in_the_end() -> None:
    """The table has no loop, and the Summary is its only end."""
    for kind in Kind:
        seen = [kind]
        while seen[-1] in INSTEAD:
            seen.append(INSTEAD[seen[-1]])
            assert len(seen) <= len(Kind)
        assert seen[-1] is Kind.SUMMARY
