"""What stage 10 and the listener say of storage commitments. Each function runs in the caller's transaction.

A transaction is entered before it is asked for: the answer may come, to the listener, before the request has returned.
From then on its deliveries wait for the answer; when the wait is over they are due again, and a query has to prove.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from node.core.commitment import Report
from node.core.errors import Unavailable
from node.core.ledger import now
from node.core.ledger.deliveries import Schedule, mark_proven, try_again
from node.core.ledger.tables import Commitment, Delivery
from node.core.reasons import Outage
from node.core.states import DeliveryState


def enter(session: Session, sent: Sequence[Delivery], wait: timedelta) -> str:
    """Enter a transaction for objects that were sent to one destination, and return its UID."""
    transaction_uid = f"2.25.{uuid.uuid4().int}"  # PS3.5 section B.2
    at = now()
    session.add(Commitment(transaction_uid=transaction_uid, destination=sent[0].destination, requested_at=at))
    for delivery in sent:
        delivery.transaction_uid = transaction_uid
        delivery.not_before, delivery.held_until = at + wait, None
    return transaction_uid


def settle(session: Session, report: Report, schedule: Schedule) -> Sequence[Delivery] | None:
    """Enter what a report says: proven, or another attempt; None where the transaction is not known.

    Returns
    -------
    sequence of Delivery or None
        The deliveries that it moved: none where it comes again, or after a query has proven them.
    """
    commitment = session.get(Commitment, report.transaction_uid, with_for_update=True)
    if commitment is None:
        return None
    commitment.answered_at = commitment.answered_at or now()
    query = select(Delivery).where(
        Delivery.transaction_uid == report.transaction_uid,
        Delivery.destination == commitment.destination,
        Delivery.state == DeliveryState.SENT,
    )
    moved = []
    for delivery in session.scalars(query.order_by(Delivery.sop_instance_uid).with_for_update()):
        uid = delivery.sop_instance_uid
        if uid in report.committed:
            mark_proven(session, delivery, f"committed in transaction {report.transaction_uid}")
        elif uid in report.failed:
            try_again(session, delivery, Unavailable(Outage.COMMITMENT_REFUSED, report.failed[uid]), schedule)
        else:
            continue
        moved.append(delivery)
    return moved


def heard(session: Session, destination: str, before: datetime, limit: int = 5) -> Sequence[bool]:
    """Return of the latest transactions with a destination, asked for before a time, whether each was answered."""
    asked = select(Commitment).where(Commitment.destination == destination, Commitment.requested_at < before)
    latest = session.scalars(asked.order_by(Commitment.requested_at.desc()).limit(limit))
    return [one.answered_at is not None for one in latest]
