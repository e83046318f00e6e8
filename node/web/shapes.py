"""The shapes of the API's answers: what a program may rely on, and what its OpenAPI document says.

Comes in: what the ledger and the spool hold. Goes out: frozen records that pydantic writes as JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from node.core.ledger.accounts import Role
from node.core.ledger.overview import DestinationView, QueueView, WorkView
from node.core.ledger.queues import NAMES
from node.core.ledger.tables import Audit, Delivery, Job
from node.core.ledger.worklist import Condition, Row
from node.core.states import DeliveryState, JobState, Stage, StudyState
from node.web.account import Account


@dataclass(frozen=True)
class StudyLine:
    """A study as it stands in the worklist; `after` is where the next page begins."""

    study_instance_uid: str
    condition: Condition
    stage: Stage | None
    reason: str
    turn: str
    received_at: datetime
    flags: tuple[str, ...]
    patient_id: str
    patient_name: str
    accession_number: str
    study_date: date | None
    description: str

    @classmethod
    def of(cls, row: Row) -> "StudyLine":
        """Return the shape of a row."""
        return cls(
            row.uid,
            row.condition,
            row.stage,
            row.reason,
            NAMES[row.priority],
            row.received_at,
            row.flags,
            row.patient_id,
            row.patient_name,
            row.accession_number,
            row.study_date,
            row.description,
        )


@dataclass(frozen=True)
class Worklist:
    """A page of studies, the latest first; `after` and `before` lead on, empty where nothing is there."""

    studies: Sequence[StudyLine]
    after: str
    before: str


@dataclass(frozen=True)
class JobShape:
    """A job; `reason` and `detail` say why it failed or refused."""

    key: str
    state: JobState
    stage: Stage
    reason: str
    detail: str
    turn: str
    attempts: int
    created_at: datetime

    @classmethod
    def of(cls, job: Job) -> "JobShape":
        """Return the shape of a job."""
        reason, detail = job.reason or "", job.detail or ""
        return cls(job.key, job.state, job.stage, reason, detail, NAMES[job.priority], job.attempts, job.created_at)


@dataclass(frozen=True)
class DeliveryShape:
    """An object on its way; `proof` says how it is known to be there, `instead` what goes in its place."""

    sop_instance_uid: str
    kind: str
    destination: str
    state: DeliveryState
    reason: str
    detail: str
    attempts: int
    proof: str
    instead: str

    @classmethod
    def of(cls, one: Delivery) -> "DeliveryShape":
        """Return the shape of a delivery."""
        return cls(
            one.sop_instance_uid,
            one.kind,
            one.destination,
            one.state,
            one.reason or "",
            one.detail or "",
            one.attempts,
            one.proof or "",
            one.substitute_uid or "",
        )


@dataclass(frozen=True)
class Moved:
    """Something that happened: `about` is the study, a job by its number, or an object at a destination."""

    at: datetime
    about: str
    old: str
    new: str
    cause: str


@dataclass(frozen=True)
class StudyShape:
    """A study with everything; `result` is result.json, whose schema is docs/result.schema.json."""

    study: StudyLine
    state: StudyState
    jobs: Sequence[JobShape]
    deliveries: Sequence[DeliveryShape]
    history: Sequence[Moved]
    key_images: Sequence[str]
    result: Mapping[str, Any] | None

    @classmethod
    def of(cls, account: Account) -> "StudyShape":
        """Return the shape of all that is known of a study."""
        return cls(
            StudyLine.of(account.row),
            account.study.state,
            [JobShape.of(one) for one in account.jobs],
            [DeliveryShape.of(one) for one in account.deliveries],
            [Moved(one.at, name, one.old or "", one.new, one.cause) for one, name in account.history],
            list(account.images),
            account.result,
        )


@dataclass(frozen=True)
class Operation:
    """Queues, and who works at what."""

    queues: Sequence[QueueView]
    work: Sequence[WorkView]


@dataclass(frozen=True)
class DestinationShape:
    """A destination: objects by state, when one was last proven there, and its last echo (`fault` empty: answered)."""

    name: str
    address: str
    states: Mapping[DeliveryState, int]
    proven_at: datetime | None
    echo_at: datetime | None
    echo_fault: str

    @classmethod
    def of(cls, view: DestinationView, address: str) -> "DestinationShape":
        """Return the shape of a destination."""
        echo = view.echo
        return cls(
            view.name, address, view.states, view.proven_at, echo.at if echo else None, echo.fault if echo else ""
        )


@dataclass(frozen=True)
class Entry:
    """A row of the audit trail, in the codes of PS3.15 section A.5."""

    at: datetime
    event: str
    action: str
    outcome: int
    user: str
    host: str
    study_instance_uid: str
    detail: str

    @classmethod
    def of(cls, row: Audit) -> "Entry":
        """Return the shape of a row."""
        return cls(row.at, row.event, row.action, row.outcome, row.user_id, row.host, row.study_uid or "", row.detail)


@dataclass(frozen=True)
class User:
    """An account."""

    name: str
    role: Role


@dataclass(frozen=True)
class Token:
    """What to send as `Authorization: Bearer TOKEN`; it ends after two hours without a request, after twelve anyway."""

    token: str


@dataclass(frozen=True)
class Said:
    """What came of an order."""

    detail: str


@dataclass(frozen=True)
class Fault:
    """Why a request was not followed."""

    detail: str
