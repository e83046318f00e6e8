"""Ledger and spool compared: what a row promises and the files do not hold, and the other way round.

Comes in: a ledger and a spool, which may be in use. Goes out: findings by kind, each with what it is about. Nothing is
changed. What can go wrong: ledger or spool are away. Who is next: a person, by `crlm-node ledger check`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from node.core.errors import Unavailable
from node.core.ledger import Ledger
from node.core.ledger.tables import Base, Delivery, Job, StoredInstance, Study, Variant
from node.core.reasons import Coded, Outage
from node.core.spool import Spool, digest
from node.core.states import DeliveryState, JobState, StudyState


class Fault(Coded):
    """What may be wrong."""

    MISSING = "missing-file", "The file of an instance is gone."
    UNKNOWN = "unknown-file", "A file among the instances has no row in the ledger."
    LEFT = "left-file", "The file of an instance that was removed is still there."
    CHANGED = "wrong-digest", "A file is not the one that was received."
    RESULT = "missing-result", "A result that is to be delivered is gone, or was changed."
    ORPHAN = "orphan-work", "A folder of work belongs to no job."
    STATE = "illegal-state", "The ledger says what cannot be."


@dataclass(frozen=True)
class Inspection:
    """How much was looked at, by what it is, and what was found."""

    counts: dict[str, int]
    findings: dict[Fault, list[str]]

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not any(self.findings.values())


def check(ledger: Ledger, spool: Spool, *, digests: bool = False) -> Inspection:
    """Compare; with `digests` every file is read.

    Raises
    ------
    Unavailable
        Ledger or spool cannot be read.
    """
    files = set(files_of(spool))  # before the rows: what comes meanwhile has a row by the time that these are read
    folders = {path.name for path in (spool.root / "work").glob("*")}
    with ledger.transaction() as session:
        rows = promised(session)
        jobs = set(session.scalars(select(Job.key)))
        results = session.scalars(select(Delivery).join(Job).where(_to_be_delivered())).all()
        states = list(_illegal(session))
        tables: tuple[tuple[str, type[Base]], ...] = (("studies", Study), ("instances", StoredInstance), ("jobs", Job))
        counts = {name: session.scalar(select(func.count()).select_from(table)) or 0 for name, table in tables}
    kept = {path: expected for path, expected, removed in rows if not removed}
    gone = {path for path, _, removed in rows if removed}
    missing = [path for path in kept if not (spool.root / path).is_file()]
    return Inspection(
        counts | {"files": len(files)},
        {
            Fault.MISSING: missing,
            Fault.UNKNOWN: sorted(files - set(kept) - gone),
            Fault.LEFT: sorted(files & gone),
            Fault.CHANGED: [path for path in kept if digests and not _is(spool, path, kept[path], or_gone=True)],
            Fault.RESULT: [
                f"work/{one.job_key}/{one.file}"
                for one in results
                if not _is(spool, f"work/{one.job_key}/{one.file}", one.digest)
            ],
            Fault.ORPHAN: [f"work/{name}" for name in sorted(folders - jobs)],
            Fault.STATE: states,
        },
    )


def files_of(spool: Spool) -> Iterator[str]:
    """Yield the path of every file in the folder of instances, relative to the spool."""
    for path in (spool.root / "instances").rglob("*"):
        if path.is_file():
            yield str(path.relative_to(spool.root))


def promised(session: Session) -> list[tuple[str, str, bool]]:
    """Return path and digest of every file that a row tells of, and whether it was removed."""
    instances = session.execute(select(StoredInstance.path, StoredInstance.digest, StoredInstance.removed_at)).all()
    joined = select(Variant.path, Variant.digest, StoredInstance.removed_at).join(
        StoredInstance, StoredInstance.sop_instance_uid == Variant.sop_instance_uid
    )
    return [(path, expected, at is not None) for path, expected, at in (*instances, *session.execute(joined))]


def _to_be_delivered() -> ColumnElement[bool]:
    pending = and_(Delivery.state == DeliveryState.PENDING, Job.state != JobState.SUPERSEDED)
    return or_(Delivery.state == DeliveryState.SENT, pending)


def _illegal(session: Session) -> Iterator[str]:
    """Yield what no sequence of moves leads to."""
    for uid in session.scalars(
        select(Study.uid).where(Study.state == StudyState.COMPLETE, ~exists().where(Job.study_uid == Study.uid))
    ):
        yield f"study {uid}: complete without a job"
    current = select(Job.study_uid).where(Job.state != JobState.SUPERSEDED)
    for uid in session.scalars(current.group_by(Job.study_uid).having(func.count() > 1)):
        yield f"study {uid}: several jobs that none supersedes"
    for job in session.scalars(select(Job).where((Job.state == JobState.RUNNING) != Job.lease_until.is_not(None))):
        yield f"job {job.key}: {job.state} with lease until {job.lease_until}"
    for one in session.scalars(
        select(Delivery).where(Delivery.state == DeliveryState.PROVEN, Delivery.proof.is_(None))
    ):
        yield f"delivery {one.sop_instance_uid} to {one.destination}: proven without a proof"


def _is(spool: Spool, path: str, expected: str, *, or_gone: bool = False) -> bool:
    """Say whether a file has this digest."""
    try:
        return digest((spool.root / path).read_bytes()) == expected
    except FileNotFoundError:
        return or_gone
    except OSError as error:
        raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error
