"""Stage 5, handoff: one keyed job for each content of a study.

Comes in: the choice of stage 4 and the patient's facts. Goes out: a `JobRequest` in the ledger, in one transaction
with the study's move to complete. What can go wrong: the ledger is away (`Unavailable`). Next: `node.outbox`, which
tells the broker.
"""

import hashlib
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from node import __version__
from node.content import Choice, StudyContent
from node.core import log, signatures
from node.core.ledger import Ledger, jobs, queues, studies
from node.core.reasons import StudyRefusal
from node.core.records import EarlyRefusal, JobRequest, PatientFacts
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import JobState, StudyState

_log = log.get("handoff")

_MANIFEST = "manifest.json"
_RESULT = "result.json"


def build_request(
    study_instance_uid: str,
    choice: Choice,
    facts: PatientFacts,
    settings: Settings,
    now: datetime,
    refusal: EarlyRefusal | None = None,
    forced: str = "",
) -> JobRequest:
    """Return all that a worker is told about an analysis that is asked for `now`; `forced` is the content's.

    Raises
    ------
    Unavailable
        `signature-unreadable`: a signature that the site asks cannot be read.
    """
    return JobRequest(
        study_instance_uid=study_instance_uid,
        requested_at=now,
        candidates=choice.candidates,
        left_out=choice.left_out,
        segmentations=choice.segmentations,
        facts=facts,
        imports=settings.imports,
        measurement=settings.measurement,
        engine=_engine(settings),
        version=__version__,
        refusal=refusal,
        forced=forced,
        report=settings.report,
        signatures=signatures.asked(settings),
    )


def _engine(settings: Settings) -> str:
    """Say what may segment: the key of a job changes with networks, who runs them, kind of device, and what their
    manifests say.

    That is the weights, and what was measured of them, from which intervals come.
    """
    if not settings.networks:
        return "imported"
    device = settings.device.partition(":")[0]
    if settings.engine == "resident":
        device += " by resident" + (", with its ladder" if settings.engine_ladder and device == "gpu" else "")
    weights, demo = (_manifest_digest(folder) for folder in (settings.weights, settings.models / "demo"))
    return f"networks on {device}, weights {weights}, demonstration model {demo}"


def _manifest_digest(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / _MANIFEST).read_bytes()).hexdigest()[:12]
    except OSError:
        return "none"


def dated_as_before(request: JobRequest, spool: Spool) -> JobRequest:
    """Return the request with the date of the result that lies in its work folder, if there is one.

    The date is in the objects, whose UIDs come from the key: where the ledger was lost and rebuilt, the same job makes
    the same bytes under the same UIDs once more.
    """
    work = spool.work(request.key)
    if not work.has(_RESULT):
        return request
    try:
        at = datetime.fromisoformat(json.loads(work.read(_RESULT))["study"]["requested_at"])
    except (ValueError, KeyError, TypeError):  # cut or of another form: its objects are made anew
        return request
    return replace(request, requested_at=at)


def priority(content: StudyContent, settings: Settings) -> int:
    """Return STAT where the request of an image says so, or where a peer whose studies are STAT has sent it.

    A study that only peers have sent whose studies are a backfill waits for all others: that its request was urgent is
    long ago.
    """
    stat, backfill = (
        {peer.ae_title for peer in settings.calling if peer.priority == one} for one in ("stat", "backfill")
    )
    headers = [header for one in content.series for header in one.headers]
    if headers and {one.calling_ae_title for one in headers} <= backfill - stat:
        return queues.BACKFILL
    return queues.STAT if any(one.urgent or one.calling_ae_title in stat for one in headers) else queues.ROUTINE


def enter(ledger: Ledger, content: StudyContent, request: JobRequest, urgency: int = queues.ROUTINE) -> None:
    """Complete the study and enter its job, both or neither.

    Nothing happens where the study has changed since `content` was read. A job that is known already (the new
    instances changed nothing that is measured) is not entered again; where it had refused, the study says so again.
    """
    with ledger.transaction() as session:
        complete, cause = StudyState.COMPLETE, f"quiet, {len(content.sop_instance_uids)} instances"
        cause = f"{cause}; by force: {content.forced}" if content.forced else cause
        if not studies.conclude(session, content.study_instance_uid, content.seen, complete, cause):
            return
        job = jobs.enqueue(session, request, urgency)
        known = jobs.current(session, content.study_instance_uid) if job is None else None
        if known is not None and known.state is JobState.REPORTED and known.reason is not None:
            code = next(one for one in StudyRefusal if one == known.reason)
            jobs.show(session, known.study_uid, StudyState.NOT_ANALYSABLE, code, code.sentence)
    _log.info("study-complete", job=job.key if job else request.key, known_before=job is None, priority=urgency)
