"""The audit trail: who did what, when, and with what outcome, in the words of PS3.15 section A.5.

Comes in: an `Entry`. Goes out: a row of the table `audit`, which the database lets nobody change. No entry holds
patient data: studies are named by UID. What can go wrong: the ledger is away; then `note` writes the whole entry to
the log, and what was refused stays refused. Never called for a single slice. Who is next: `node.audit`, which prints
the trail.
"""

import os
import pwd
import re
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from importlib.metadata import version
from typing import NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from node.core import log
from node.core.errors import Unavailable
from node.core.ledger import Ledger, now
from node.core.ledger.tables import Association, Audit, StoredInstance, Variant
from node.core.reasons import Coded

_LONGEST_USER, _LONGEST_HOST, _LONGEST_DETAIL = 128, 64, 1000

_log = log.get("audit")
_who: ContextVar[tuple[str, str] | None] = ContextVar("who", default=None)


class Kind(NamedTuple):
    """A kind of entry: code of CID 400, action of PS3.15 section A.5.1.1, and behind a slash a code of CID 401."""

    codes: str
    action: str
    meaning: str
    type_meaning: str = ""


class AuditEvent(Enum):
    """What is audited, and nothing else is."""

    STARTED = Kind("110100/110120", "E", "Application Activity", "Application Start")
    STOPPED = Kind("110100/110121", "E", "Application Activity", "Application Stop")
    SIGNED_IN = Kind("110114/110122", "E", "User Authentication", "Login")
    SIGNED_OUT = Kind("110114/110123", "E", "User Authentication", "Logout")
    LOOKED_AT = Kind("110103", "R", "DICOM Instances Accessed")
    TRAIL_READ = Kind("110101", "R", "Audit Log Used")
    RECEIVED = Kind("110104", "C", "DICOM Instances Transferred")
    DELIVERED = Kind("110104", "R", "DICOM Instances Transferred")
    DELETED = Kind("110105", "D", "DICOM Study Deleted")
    QUERIED = Kind("110112", "E", "Query")
    REJECTED = Kind("110113/110126", "E", "Security Alert", "Node Authentication")
    COMMANDED = Kind("110113/110132", "E", "Security Alert", "Use of Restricted Function")


class Outcome(IntEnum):
    """How it ended (PS3.15 section A.5.1.1)."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


class Rejection(Coded):
    """Why an association was not let in, where TLS is not the reason (that has `node.core.tls.TlsFault`)."""

    CALLER_UNKNOWN = "caller-unknown", "The calling AE title is not in the settings."
    HOST_NOT_ALLOWED = "host-not-allowed", "This AE title may not call from this host."
    CALLED_UNKNOWN = "called-unknown", "The called AE title is not ours."


@dataclass(frozen=True)
class Entry:
    """One row to be written.

    Parameters
    ----------
    event
        What happened.
    outcome
        How it ended.
    user_id
        AE title of the other side, name of a destination, or account of whoever gave a command.
    host
        Where that is.
    study_uid
        The study that it was about.
    detail
        Codes and counts, no patient data.
    """

    event: AuditEvent
    outcome: Outcome
    user_id: str
    host: str
    study_uid: str | None = None
    detail: str = ""


def write(session: Session, entry: Entry) -> None:
    """Add a row in the caller's transaction."""
    session.add(
        Audit(
            at=now(),
            event=entry.event.value.codes,
            action=entry.event.value.action,
            outcome=int(entry.outcome),
            user_id=_printable(entry.user_id)[:_LONGEST_USER],
            host=_printable(entry.host)[:_LONGEST_HOST],
            study_uid=entry.study_uid,
            detail=_printable(entry.detail)[:_LONGEST_DETAIL],
        )
    )


def note(ledger: Ledger, *entries: Entry) -> None:
    """Add rows in a transaction of their own; where the ledger is away, the log keeps them."""
    if not entries:
        return
    try:
        with ledger.transaction() as session:
            for entry in entries:
                write(session, entry)
    except Unavailable as error:
        for entry in entries:
            facts = {**vars(entry), "event": None, "outcome": int(entry.outcome)}
            del facts["event"]
            _log.error("audit-not-written", audited=entry.event.name, code=error.code, **facts)


@contextmanager
def on_behalf_of(user_id: str, host: str) -> Iterator[None]:
    """Have what is done in the block be of somebody else than the account of this process: who is signed in there."""
    before = _who.set((user_id, host))
    try:
        yield
    finally:
        _who.reset(before)


@contextmanager
def running(ledger: Ledger, process: str) -> Iterator[None]:
    """Audit the start and the stop of a process."""
    detail = f"{process} {os.getpid()}, version {version('crlm-node')}"
    note(ledger, _ours(AuditEvent.STARTED, detail=detail))
    try:
        yield
    finally:
        note(ledger, _ours(AuditEvent.STOPPED, detail=detail))


def rejected(reason: Coded, *, calling_ae_title: str, host: str, detail: str) -> Entry:
    """Tell of associations that were not let in; `reason` is a `Rejection` or a `TlsFault`."""
    return Entry(
        AuditEvent.REJECTED, Outcome.SERIOUS_FAILURE, calling_ae_title, host, detail=": ".join((reason, detail))
    )


def write_received(session: Session, association_id: str) -> None:
    """Add a row for each study of which an association has brought instances, with their number."""
    association = session.get(Association, association_id)
    if association is None:
        return
    counts: Counter[str] = Counter()
    for table in (StoredInstance, Variant):
        brought = select(table.study_uid, func.count()).where(table.association_id == association_id)
        for study_uid, count in session.execute(brought.group_by(table.study_uid)):
            counts[study_uid] += count
    sender = (association.calling_ae_title, association.host)
    for study_uid, count in sorted(counts.items()):
        detail = f"{count} instances, association {association_id} {association.outcome}"
        write(session, Entry(AuditEvent.RECEIVED, Outcome.SUCCESS, *sender, study_uid, detail))


def delivered(outcome: Outcome, *, destination: str, study_uid: str, detail: str) -> Entry:
    """Tell of an object whose delivery to the destination of that name was proven, or has failed for good.

    It is a minor failure where something else goes in its place.
    """
    return Entry(AuditEvent.DELIVERED, outcome, destination, "", study_uid, detail)


def deleted(*, study_uid: str, detail: str) -> Entry:
    """Tell of a study whose instances were removed, by the retention time or by a person."""
    return _ours(AuditEvent.DELETED, study_uid=study_uid, detail=detail)


def commanded(command: str, *, study_uid: str | None = None, detail: str = "", done: bool = True) -> Entry:
    """Tell of a command of a person, at this machine or on the page: replay, release, pause, delete and the like."""
    outcome = Outcome.SUCCESS if done else Outcome.MINOR_FAILURE
    return _ours(AuditEvent.COMMANDED, outcome, study_uid=study_uid, detail=f"{command} {detail}".strip())


def queried(archive: str, host: str, detail: str, *, done: bool = True) -> Entry:
    """Tell of queries at an archive, with the number of answers; what was asked for may name patients, and is not."""
    outcome = Outcome.SUCCESS if done else Outcome.SERIOUS_FAILURE
    return Entry(AuditEvent.QUERIED, outcome, archive, host, detail=detail)


def signed_in(account: str, host: str, *, detail: str = "", done: bool = True) -> Entry:
    """Tell of somebody who signed in on the page or by the API, or tried to."""
    return Entry(
        AuditEvent.SIGNED_IN, Outcome.SUCCESS if done else Outcome.SERIOUS_FAILURE, account, host, None, detail
    )


def signed_out(account: str, host: str) -> Entry:
    """Tell of somebody who signed out."""
    return Entry(AuditEvent.SIGNED_OUT, Outcome.SUCCESS, account, host)


def looked_at(study_uid: str, detail: str) -> Entry:
    """Tell of somebody who has opened a study on the page or by the API."""
    return _ours(AuditEvent.LOOKED_AT, study_uid=study_uid, detail=detail)


def trail_read(detail: str) -> Entry:
    """Tell that the trail itself was read."""
    return _ours(AuditEvent.TRAIL_READ, detail=detail)


def rows(session: Session, *, since: datetime | None = None, study_uid: str | None = None) -> Sequence[Audit]:
    """Return the trail, oldest first."""
    return session.scalars(_trail(since, study_uid).order_by(Audit.id)).all()


def latest(
    session: Session, most: int, *, since: datetime | None = None, study_uid: str | None = None
) -> Sequence[Audit]:
    """Return the trail, latest first, so many rows at most."""
    return session.scalars(_trail(since, study_uid).order_by(Audit.id.desc()).limit(most)).all()


def _trail(since: datetime | None, study_uid: str | None) -> Select[Audit]:
    query = select(Audit)
    if since is not None:
        query = query.where(Audit.at >= since)
    return query if study_uid is None else query.where(Audit.study_uid == study_uid)


def last_row(session: Session) -> int:
    """Return the number of the latest row; 0 where there is none."""
    return session.scalar(select(func.max(Audit.id))) or 0


def rejections_after(session: Session, row: int) -> Sequence[Audit]:
    """Return the rows of associations that were not let in, after that of a number."""
    query = select(Audit).where(Audit.id > row, Audit.event == AuditEvent.REJECTED.value.codes)
    return session.scalars(query.order_by(Audit.id)).all()


def count_of(row: Audit) -> int:
    """Return how many associations a row of that kind tells of."""
    told = re.search(r": (\d+) more in ", row.detail)
    return int(told[1]) if told else 1


def kind_of(row: Audit) -> Kind:
    """Return the kind of a row, with its meanings."""
    return next(
        event.value for event in AuditEvent if (event.value.codes, event.value.action) == (row.event, row.action)
    )


def _ours(
    event: AuditEvent, outcome: Outcome = Outcome.SUCCESS, *, study_uid: str | None = None, detail: str = ""
) -> Entry:
    """Return an entry of what happened here: by who is signed in, else by the account of this process on this host."""
    user_id, host = _who.get() or (_account(), socket.gethostname())
    return Entry(event, outcome, user_id, host, study_uid, detail)


def _account() -> str:
    """Return the account of this process, as the system knows it: the environment says what it was told."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # an account without a name
        return str(os.getuid())


def _printable(text: str) -> str:
    """Replace what XML cannot hold and what would break a line: AE titles are a stranger's words."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
