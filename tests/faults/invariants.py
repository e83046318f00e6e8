"""What must hold after the faults, judged by the sender's log, the spool's files, the ledger's rows and Orthanc.

Nothing of the node's own code is asked.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .material import Form, digest
from .outside import Books, Held
from .sender import Acknowledged


class Invariant(StrEnum):
    """What must hold."""

    NOTHING_LOST = "nothing acknowledged is lost"
    NOTHING_DOUBLED = "nothing is doubled"
    NO_ORPHAN = "no orphan job"
    LEDGER_IS_SPOOL = "ledger equals spool"


@dataclass(frozen=True)
class Violation:
    """One place where an invariant does not hold."""

    invariant: Invariant
    what: str

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.invariant}: {self.what}"


@dataclass(frozen=True)
class Aftermath:
    """All that is judged.

    Parameters
    ----------
    acknowledged
        The sender's log.
    meant
        What each study that was acknowledged in full should become, by Study Instance UID.
    books, spool
        The ledger and the root of the spool.
    held
        What Orthanc holds.
    """

    acknowledged: Sequence[Acknowledged]
    meant: Mapping[str, Form]
    books: Books
    spool: Path
    held: Sequence[Held]


_END = {
    Form.MEASURED: ("complete", None),
    Form.REFUSED: ("not-analysable", "segmentation-unavailable"),
    Form.FEW: ("not-analysable", "too-few-slices"),
}


def violations(seen: Aftermath) -> list[Violation]:
    """Return every violation; none is good."""
    checks = (
        (Invariant.NOTHING_LOST, (_lost_instances, _wrong_ends, _lost_results, _results_of_less)),
        (Invariant.NOTHING_DOUBLED, (_doubled_objects, _doubled_jobs, _variants)),
        (Invariant.NO_ORPHAN, (_orphans,)),
        (Invariant.LEDGER_IS_SPOOL, (_rows_without_file, _files_without_row, _results_changed)),
    )
    return [Violation(invariant, what) for invariant, all_ in checks for check in all_ for what in check(seen)]


def _lost_instances(seen: Aftermath) -> Iterator[str]:
    """Find each acknowledged instance in the spool, with the data set that was sent."""
    paths = dict(seen.books.rows("SELECT sop_instance_uid, path FROM instance WHERE removed_at IS NULL"))
    for one in seen.acknowledged:
        path = paths.get(one.sop_instance_uid)
        if path is None:
            yield f"{one.sop_instance_uid} was answered 0x0000 and is not in the ledger"
        elif not (seen.spool / path).is_file():
            yield f"{one.sop_instance_uid} was answered 0x0000 and is not in the spool"
        elif digest((seen.spool / path).read_bytes()) != one.digest:
            yield f"{one.sop_instance_uid} has another data set than the one that was answered 0x0000"


def _wrong_ends(seen: Aftermath) -> Iterator[str]:
    """Find each study in the final state that it would have reached without any fault."""
    ends = {uid: (state, reason) for uid, state, reason in seen.books.rows("SELECT uid, state, reason FROM study")}
    for uid, form in seen.meant.items():
        if ends.get(uid) != _END[form]:
            yield f"study {uid} should be {_END[form]} and is {ends.get(uid)}"
    for key, reason, detail in seen.books.rows("SELECT key, reason, detail FROM job WHERE state = 'failed'"):
        yield f"job {key} failed for good: {reason}, {detail}"


def _lost_results(seen: Aftermath) -> Iterator[str]:
    """Find what the ledger calls proven in Orthanc, and results of each study that should have them."""
    held = {one.sop_instance_uid for one in seen.held}
    for uid, state in seen.books.rows(
        "SELECT sop_instance_uid, state FROM delivery WHERE state IN ('proven', 'failed')"
    ):
        if state == "failed":
            yield f"result {uid} was given up"
        elif uid not in held:
            yield f"result {uid} is called proven and is not in Orthanc"
    modalities: defaultdict[str, set[str]] = defaultdict(set)
    for one in seen.held:
        modalities[one.study_uid].add(one.modality)
    wanted = {Form.MEASURED: {"SEG", "SR"}, Form.REFUSED: {"SR"}}
    for uid, form in seen.meant.items():
        if missing := wanted.get(form, set()) - modalities[uid]:
            yield f"study {uid} has no {' and no '.join(sorted(missing))} in Orthanc"


def _results_of_less(seen: Aftermath) -> Iterator[str]:
    """See that a study's results were made from all slices that were acknowledged of it."""
    sent: defaultdict[str, set[str]] = defaultdict(set)
    for one in seen.acknowledged:
        if one.is_slice:
            sent[one.study_uid].add(one.sop_instance_uid)
    current = _current(seen)
    for result in seen.held:
        if result.study_uid not in seen.meant or result.sop_instance_uid not in current or result.modality != "SR":
            continue
        if missing := sent[result.study_uid] - result.evidence:
            yield f"result {result.sop_instance_uid} of study {result.study_uid} leaves out {len(missing)} instances"


def _doubled_objects(seen: Aftermath) -> Iterator[str]:
    """See each result once: one UID of a kind for a job, each job's, and an older one only where the study grew."""
    for uid, count in Counter(one.sop_instance_uid for one in seen.held).items():
        if count > 1:
            yield f"object {uid} is in Orthanc {count} times"
    planned = {
        uid: (job, kind) for uid, job, kind in seen.books.rows("SELECT sop_instance_uid, job_key, kind FROM delivery")
    }
    known = [one for one in seen.held if one.sop_instance_uid in planned]
    for stranger in set(seen.held) - set(known):
        yield f"object {stranger.sop_instance_uid} of study {stranger.study_uid} is in Orthanc and in no job"
    for (job, kind), count in Counter(planned[one.sop_instance_uid] for one in known).items():
        if count > 1:
            yield f"job {job} has {count} objects of the kind {kind} in Orthanc"
    for (study, kind, _), count in Counter(
        (one.study_uid, planned[one.sop_instance_uid][1], one.evidence) for one in known
    ).items():
        if count > 1:
            yield f"study {study} has {count} objects of the kind {kind} in Orthanc, made from the same instances"


def _doubled_jobs(seen: Aftermath) -> Iterator[str]:
    """See one job that counts in each study."""
    query = "SELECT study_uid, COUNT(*) FROM job WHERE state <> 'superseded' GROUP BY study_uid HAVING COUNT(*) > 1"
    for uid, count in seen.books.rows(query):
        yield f"study {uid} has {count} jobs that are not superseded"


def _variants(seen: Aftermath) -> Iterator[str]:
    """See nothing kept twice: the sender never changed a byte."""
    for uid, study in seen.books.rows("SELECT sop_instance_uid, study_uid FROM variant"):
        yield f"{uid} of study {study} is kept a second time with other content"


def _orphans(seen: Aftermath) -> Iterable[str]:
    """See everything at its end."""
    return seen.books.open_work()


def _rows_without_file(seen: Aftermath) -> Iterator[str]:
    """See a file with the right digest behind each row."""
    for uid, path, sha256 in seen.books.rows(
        "SELECT sop_instance_uid, path, digest FROM instance WHERE removed_at IS NULL"
    ):
        file = seen.spool / path
        if not file.is_file():
            yield f"the ledger has {uid}, the spool does not"
        elif hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
            yield f"the file of {uid} is not the one that the ledger knows"


def _files_without_row(seen: Aftermath) -> Iterator[str]:
    """See a row behind each file."""
    known = {path for (path,) in seen.books.rows("SELECT path FROM instance UNION SELECT path FROM variant")}
    for file in sorted((seen.spool / "instances").rglob("*")):
        if file.is_file() and (path := str(file.relative_to(seen.spool))) not in known:
            yield f"the spool has {path}, the ledger does not"


def _results_changed(seen: Aftermath) -> Iterator[str]:
    """See the stored results as they were when they were planned."""
    for job, name, sha256 in seen.books.rows("SELECT job_key, file, digest FROM delivery WHERE state = 'proven'"):
        file = seen.spool / "work" / job / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
            yield f"{name} of job {job} is not the one that was delivered"


def _current(seen: Aftermath) -> set[str]:
    query = (
        "SELECT delivery.sop_instance_uid FROM delivery JOIN job ON job.key = delivery.job_key "
        "WHERE job.state <> 'superseded'"
    )
    return {uid for (uid,) in seen.books.rows(query)}
