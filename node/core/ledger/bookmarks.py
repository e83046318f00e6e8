"""Up to which event somebody who reads the events has come. Each function runs in the caller's transaction."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node.core.ledger.tables import Bookmark, Event


def last_event(session: Session) -> int:
    """Return the number of the latest event; 0 where there is none."""
    return session.scalar(select(func.max(Event.id))) or 0


def events_after(session: Session, event: int, limit: int) -> Sequence[Event]:
    """Return the events that came after one, oldest first, so many at most."""
    return session.scalars(select(Event).where(Event.id > event).order_by(Event.id).limit(limit)).all()


def place_of(session: Session, reader: str) -> int:
    """Return up to where a reader has come; one who is new begins with what comes from now on."""
    mark = session.get(Bookmark, reader)
    if mark is None:
        mark = Bookmark(reader=reader, event=last_event(session))
        session.add(mark)
    return mark.event


def move_on(session: Session, reader: str, event: int) -> None:
    """Note up to where a reader has come."""
    session.merge(Bookmark(reader=reader, event=event))
