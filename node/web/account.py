"""All that is known of one study, gathered for its page and for the API.

Comes in: a Study Instance UID. Goes out: an `Account`. What can go wrong: no such study (`NotFound`); a result that is
gone from the spool, or cut, is as one that was never made.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from node.core.errors import NodeError, Unavailable
from node.core.ledger import cards, deliveries, entries, history, jobs, worklist
from node.core.ledger.history import Happened
from node.core.ledger.tables import Delivery, Job, PatientEntry, Study, StudyFlag
from node.core.ledger.worklist import Row
from node.core.records import EnteredFacts, JobRequest, parse
from node.core.spool import Spool
from node.screens import flags_of
from node.web.guard import NotFound

RESULT, IMAGES = "result.json", "key-images"


@dataclass(frozen=True)
class Account:
    """A study with its jobs, what a chosen one of them asked for and found, and where it went."""

    row: Row
    study: Study
    flags: Sequence[StudyFlag]
    jobs: Sequence[Job]
    job: Job | None
    request: JobRequest | None
    result: Mapping[str, Any] | None
    images: Sequence[str]
    deliveries: Sequence[Delivery]
    history: Sequence[Happened]
    entered: EnteredFacts
    entry: PatientEntry | None
    known_patient: bool
    others: int

    @property
    def fingerprint(self) -> str:
        """What changes when a person would see something else."""
        jobs_ = [(one.key, one.state, one.stage, one.detail, one.priority) for one in self.jobs]
        told = (self.row, jobs_, len(self.history), [(one.state, one.detail, one.attempts) for one in self.deliveries])
        flags = [(one.code, one.detail) for one in self.flags]
        return hashlib.sha256(repr((told, flags, bool(self.result))).encode()).hexdigest()[:16]


def gather(session: Session, spool: Spool, uid: str, job_key: str = "") -> Account:
    """Gather what is known of a study; of its latest job, or of the one with that key.

    Raises
    ------
    NotFound
        There is no such study, or no such job of it.
    """
    row = worklist.row_of(session, uid)
    if row is None:
        raise NotFound("No such study is known here.")
    known = jobs.of_study(session, uid)
    chosen = next((one for one in known if one.key == job_key), None) if job_key else known[-1] if known else None
    if job_key and chosen is None:
        raise NotFound("No such job of this study is known here.")
    card = cards.of_studies(session, [uid]).get(uid)
    entry = entries.of_patient(session, card.patient, card.issuer) if card else None
    return Account(
        row=row,
        study=session.get_one(Study, uid),
        flags=flags_of(session, uid),
        jobs=known,
        job=chosen,
        request=_request(chosen),
        result=result_of(spool, chosen.key) if chosen else None,
        images=images_of(spool, chosen.key) if chosen else (),
        deliveries=deliveries.of_job(session, chosen.key) if chosen else (),
        history=history.of_study(session, uid),
        entered=parse(EnteredFacts, entry.facts) if entry else EnteredFacts(),
        entry=entry,
        known_patient=bool(card and card.patient),
        others=len(cards.of_same_patient(session, uid)) - 1,
    )


def result_of(spool: Spool, job_key: str) -> Mapping[str, Any] | None:
    """Return the result of a job, where it lies in the spool and can be read."""
    work = spool.work(job_key)
    if not work.has(RESULT):
        return None
    try:
        found: Mapping[str, Any] = json.loads(work.read(RESULT))
    except (ValueError, Unavailable):
        return None
    return found


def images_of(spool: Spool, job_key: str) -> Sequence[str]:
    """Return the names of a job's key images, the cover first."""
    folder = spool.root / "work" / job_key / IMAGES
    return sorted(path.name for path in folder.glob("*.png")) if folder.is_dir() else []


def _request(job: Job | None) -> JobRequest | None:
    try:
        return parse(JobRequest, job.request) if job else None
    except NodeError:  # of an earlier version, with another form
        return None
