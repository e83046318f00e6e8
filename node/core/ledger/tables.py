"""The ledger's tables. A change here needs a migration beside it (`migrations/versions`).

Times are UTC, without zone in the database, from the ledger's one clock (`node.core.ledger.now`).
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import Enum, Float, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from node.core.states import DeliveryState, JobState, Stage, StudyState

_UID = String(64)
_KEY = String(32)


def _words(kind: type[StrEnum]) -> Enum:
    """Store an enum by its values, as plain text that a person can query."""
    return Enum(
        kind,
        values_callable=lambda members: [member.value for member in members],
        native_enum=False,
        length=16,
    )


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        kind: _words(kind) for kind in (StudyState, JobState, DeliveryState, Stage)
    }


class Association(Base):
    """An association that brought instances."""

    __tablename__ = "association"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    host: Mapped[str] = mapped_column(String(64))
    opened_at: Mapped[datetime]
    active_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(16))


class Study(Base):
    """A study, from its first instance on."""

    __tablename__ = "study"

    uid: Mapped[str] = mapped_column(_UID, primary_key=True)
    state: Mapped[StudyState] = mapped_column(index=True)
    reason: Mapped[str | None] = mapped_column(String(64))
    first_received_at: Mapped[datetime]
    last_received_at: Mapped[datetime] = mapped_column(index=True)


class StoredInstance(Base):
    """An instance that was answered 0x0000; its file in the spool is the truth."""

    __tablename__ = "instance"

    sop_instance_uid: Mapped[str] = mapped_column(_UID, primary_key=True)
    study_uid: Mapped[str] = mapped_column(ForeignKey("study.uid"), index=True)
    series_uid: Mapped[str] = mapped_column(_UID, index=True)
    sop_class_uid: Mapped[str] = mapped_column(_UID)
    transfer_syntax_uid: Mapped[str] = mapped_column(_UID)
    digest: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(String(255))
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    association_id: Mapped[str] = mapped_column(ForeignKey("association.id"), index=True)
    received_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class Variant(Base):
    """An instance that came under a UID that is taken, with other content: kept beside, never in its place."""

    __tablename__ = "variant"
    __table_args__ = (UniqueConstraint("sop_instance_uid", "digest"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    sop_instance_uid: Mapped[str] = mapped_column(_UID, index=True)
    study_uid: Mapped[str] = mapped_column(ForeignKey("study.uid"), index=True)
    transfer_syntax_uid: Mapped[str] = mapped_column(_UID)
    digest: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(String(255))
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    association_id: Mapped[str] = mapped_column(ForeignKey("association.id"), index=True)
    received_at: Mapped[datetime]


class StudyFlag(Base):
    """Something that a person should look at in a study; `code` is of `node.core.reasons.Flag`."""

    __tablename__ = "study_flag"

    study_uid: Mapped[str] = mapped_column(ForeignKey("study.uid"), primary_key=True)
    code: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]
    detail: Mapped[str] = mapped_column(Text)


class Job(Base):
    """One analysis of one content of a study. `published_at` empty: the broker has to be told (outbox).

    `priority`: -1 backfill, 0 routine, 1 STAT. `predecessor`: key of the job that this one superseded.
    """

    __tablename__ = "job"

    key: Mapped[str] = mapped_column(_KEY, primary_key=True)
    study_uid: Mapped[str] = mapped_column(ForeignKey("study.uid"), index=True)
    state: Mapped[JobState] = mapped_column(index=True)
    stage: Mapped[Stage]
    request: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(String(64))
    detail: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(default=0)
    predecessor: Mapped[str | None] = mapped_column(_KEY)
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    not_before: Mapped[datetime]
    published_at: Mapped[datetime | None]
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[datetime | None]


class Product(Base):
    """A DICOM object that a job made, whether a destination gets it or not. The file lies in the job's work folder."""

    __tablename__ = "product"

    sop_instance_uid: Mapped[str] = mapped_column(_UID, primary_key=True)
    job_key: Mapped[str] = mapped_column(ForeignKey("job.key"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    file: Mapped[str] = mapped_column(String(255))
    digest: Mapped[str] = mapped_column(String(64))


class Delivery(Base):
    """One object of a job on its way to one destination. The file lies in the job's work folder.

    `planned_at`: the days of trying count from here. `transaction_uid`: of the storage commitment that was asked for.
    `not_before`: no attempt is made earlier. `held_until`: the broker was told, and is not told again earlier.
    `substitute_uid`: SOP Instance UID of what goes to this destination in its place; that delivery then stands for it.
    """

    __tablename__ = "delivery"
    __table_args__ = (Index("delivery_job", "job_key"),)

    sop_instance_uid: Mapped[str] = mapped_column(_UID, primary_key=True)
    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_key: Mapped[str] = mapped_column(ForeignKey("job.key"))
    kind: Mapped[str] = mapped_column(String(16))
    file: Mapped[str] = mapped_column(String(255))
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[DeliveryState] = mapped_column(index=True)
    reason: Mapped[str | None] = mapped_column(String(64))
    detail: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=0)
    planned_at: Mapped[datetime]
    not_before: Mapped[datetime]
    held_until: Mapped[datetime | None]
    transaction_uid: Mapped[str | None] = mapped_column(_UID, index=True)
    proof: Mapped[str | None] = mapped_column(Text)
    substitute_uid: Mapped[str | None] = mapped_column(_UID)


class Commitment(Base):
    """A storage commitment that was asked for (PS3.4 annex J)."""

    __tablename__ = "commitment"

    transaction_uid: Mapped[str] = mapped_column(_UID, primary_key=True)
    destination: Mapped[str] = mapped_column(String(64))
    requested_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]


class Queue(Base):
    """The queue of a stage that a person has paused; a stage without a row, or without `paused_at`, runs."""

    __tablename__ = "queue"

    stage: Mapped[Stage] = mapped_column(primary_key=True)
    paused_at: Mapped[datetime | None]
    cause: Mapped[str] = mapped_column(Text)


class Event(Base):
    """A move of a study, a job or a delivery: only ever added to."""

    __tablename__ = "event"
    __table_args__ = (Index("event_subject", "subject", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    subject: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(140))
    old: Mapped[str | None] = mapped_column(String(16))
    new: Mapped[str] = mapped_column(String(16))
    cause: Mapped[str] = mapped_column(Text)


class Audit(Base):
    """Who did what, when, and with what outcome, in the words of PS3.15 section A.5: only ever added to.

    `event` is a code of DICOM CID 400 (110104: DICOM Instances Transferred), `outcome` one of 0, 4, 8, 12.
    `user_id` is an AE title or an account, `host` where it came from. The database refuses changes of a row.
    """

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    event: Mapped[str] = mapped_column(String(16))
    action: Mapped[str] = mapped_column(String(1))
    outcome: Mapped[int]
    user_id: Mapped[str] = mapped_column(String(128))
    host: Mapped[str] = mapped_column(String(64))
    study_uid: Mapped[str | None] = mapped_column(_UID, index=True)
    detail: Mapped[str] = mapped_column(Text)


class StudyCard(Base):
    """What people look a study up by, as one of its images says it; empty texts where that cannot be read.

    `digest` is of the file that was read: a corrected image is read anew. `name` and `patient` are folded for search.
    """

    __tablename__ = "study_card"

    study_uid: Mapped[str] = mapped_column(ForeignKey("study.uid"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(_UID)
    digest: Mapped[str] = mapped_column(String(64))
    patient_id: Mapped[str] = mapped_column(String(64))
    issuer: Mapped[str] = mapped_column(String(64))
    patient_name: Mapped[str] = mapped_column(String(200))
    patient: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(200), index=True)
    accession_number: Mapped[str] = mapped_column(String(64), index=True)
    study_date: Mapped[date | None] = mapped_column(index=True)
    description: Mapped[str] = mapped_column(String(64))


class PatientEntry(Base):
    """What a person has entered about a patient; `facts` as JSON, patient and issuer as they are compared."""

    __tablename__ = "patient_entry"

    patient: Mapped[str] = mapped_column(String(64), primary_key=True)
    issuer: Mapped[str] = mapped_column(String(64), primary_key=True)
    facts: Mapped[str] = mapped_column(Text)
    entered_at: Mapped[datetime]
    entered_by: Mapped[str] = mapped_column(String(64))


class Account(Base):
    """Who may use the page and the API; `role` is of `node.core.ledger.accounts.Role`, the password a hash."""

    __tablename__ = "account"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class SignIn(Base):
    """Somebody who is signed in, by the digest of what the browser holds."""

    __tablename__ = "sign_in"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name"), index=True)
    began_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class Echo(Base):
    """The last C-ECHO, or the like, of a destination; `fault` empty where it answered."""

    __tablename__ = "echo"

    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]
    seconds: Mapped[float] = mapped_column(Float)
    fault: Mapped[str] = mapped_column(Text)


class Bookmark(Base):
    """Up to which event somebody who reads the events has come."""

    __tablename__ = "bookmark"

    reader: Mapped[str] = mapped_column(String(32), primary_key=True)
    event: Mapped[int]
