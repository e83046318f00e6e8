"""The three state machines: what a study, a job and a delivery may become.

Every move is checked against these tables and written as an event with time and cause (see `node.core.ledger`).
What a person sees is derived from the three.
"""

from collections.abc import Mapping
from enum import StrEnum


class StudyState(StrEnum):
    """A study, from its first instance on."""

    RECEIVING = "receiving"
    COMPLETE = "complete"
    NOT_ANALYSABLE = "not-analysable"
    QUARANTINED = "quarantined"


class JobState(StrEnum):
    """One analysis of one content of a study."""

    QUEUED = "queued"
    RUNNING = "running"
    REPORTED = "reported"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class DeliveryState(StrEnum):
    """One object on its way to one destination."""

    PENDING = "pending"
    SENT = "sent"
    PROVEN = "proven"
    FAILED = "failed"


class Stage(StrEnum):
    """The stage that a job waits for or is in; also the name of its queue."""

    SEGMENT = "segment"
    MEASURE = "measure"
    DELIVER = "deliver"


State = StudyState | JobState | DeliveryState

# By machine: the words of two machines may be the same, and equal words are one key.
MOVES: Mapping[type[State], Mapping[State, frozenset[State]]] = {
    StudyState: {
        StudyState.RECEIVING: frozenset({StudyState.COMPLETE, StudyState.NOT_ANALYSABLE, StudyState.QUARANTINED}),
        StudyState.COMPLETE: frozenset({StudyState.RECEIVING, StudyState.NOT_ANALYSABLE, StudyState.QUARANTINED}),
        StudyState.NOT_ANALYSABLE: frozenset({StudyState.RECEIVING}),
        StudyState.QUARANTINED: frozenset({StudyState.RECEIVING}),
    },
    JobState: {
        JobState.QUEUED: frozenset({JobState.RUNNING, JobState.SUPERSEDED, JobState.FAILED}),
        JobState.RUNNING: frozenset({JobState.QUEUED, JobState.REPORTED, JobState.FAILED, JobState.SUPERSEDED}),
        JobState.REPORTED: frozenset({JobState.QUEUED, JobState.SUPERSEDED}),
        JobState.FAILED: frozenset({JobState.QUEUED, JobState.SUPERSEDED}),
        JobState.SUPERSEDED: frozenset(),
    },
    DeliveryState: {
        DeliveryState.PENDING: frozenset({DeliveryState.SENT, DeliveryState.FAILED}),
        DeliveryState.SENT: frozenset({DeliveryState.PROVEN, DeliveryState.PENDING, DeliveryState.FAILED}),
        DeliveryState.PROVEN: frozenset(),
        DeliveryState.FAILED: frozenset({DeliveryState.PENDING}),
    },
}


class IllegalMove(AssertionError):
    """A move that the table does not allow: a fault in the program, never in the input."""


def check_move(old: State, new: State) -> None:
    """Raise `IllegalMove` unless `old` may become `new`."""
    if type(new) is not type(old) or new not in MOVES[type(old)][old]:
        raise IllegalMove(f"{type(old).__name__}: {old} may not become {new}")
