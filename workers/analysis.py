"""Stages 6 to 9 in their order, without a queue: what the Celery tasks and `crlm-node analyse` both run.

Each function reads what the one before left in the job's work folder and writes its own files there whole, so that
any of them can be repeated alone: `tried.json`, `labels.npz`, `result.json`, `seg.dcm`, `sr.dcm`, `sr-viewer.dcm`.
"""

import json
from dataclasses import asdict, dataclass

from node.core.errors import NodeError, NotAnalysable
from node.core.reasons import StudyRefusal
from node.core.records import Candidate, JobRequest
from node.core.spool import Spool, WorkFolder
from workers import measurement, report, segmentation, volume
from workers.records import LabelMap, Volume, dump_labels, parse_labels
from workers.report.document import Findings, Tried
from workers.segmentation.port import Networks

TRIED = "tried.json"
LABELS = "labels.npz"


@dataclass(frozen=True)
class Product:
    """A file of a job that goes to the destinations."""

    kind: str
    file: str
    sop_instance_uid: str
    digest: str


@dataclass(frozen=True)
class Outcome:
    """What a stage leaves: files to deliver, the refusal that they tell of, or nothing yet (`final` is False)."""

    final: bool
    products: tuple[Product, ...] = ()
    refusal: NodeError | None = None


def segment(request: JobRequest, spool: Spool, work: WorkFolder, networks: Networks | None = None) -> Outcome:
    """Stages 6 and 7: read the best candidate that can be measured, segment it, keep the label map.

    The outcome is final where no candidate can be measured; else `measure` is next.

    Raises
    ------
    Untrusted, Unavailable
        See the stages; nothing was written.
    """
    if request.refusal:
        early = NotAnalysable(request.refusal.code, request.refusal.detail)
        return _report(Findings(request, None, None, None, early), spool, work)
    tried: list[Tried] = []
    first: tuple[NodeError, Volume | None] | None = None
    for candidate in request.candidates:
        read: Volume | None = None
        try:
            read = volume.read(candidate, spool, request.measurement)
            labels = segmentation.segment(read, request, spool, networks)
        except NotAnalysable as error:
            first = first or (error, read)
            tried.append(Tried(candidate.series_instance_uid, error.code, str(error)))
        else:
            work.write(TRIED, json.dumps([asdict(one) for one in tried]).encode())
            work.write(LABELS, dump_labels(labels))
            return Outcome(final=False)
    refusal, refused = first or (NotAnalysable(StudyRefusal.NO_SUITABLE_SERIES), None)
    return _report(Findings(request, refused, None, None, refusal, tuple(tried)), spool, work)


def measure(request: JobRequest, spool: Spool, work: WorkFolder) -> Outcome:
    """Stages 8 and 9: measure the segmented series and write the result set.

    Raises
    ------
    Untrusted, Unavailable
        See the stages.
    """
    labels = parse_labels(work.read(LABELS))
    tried = tuple(Tried(**one) for one in json.loads(work.read(TRIED)))
    read = volume.read(_segmented(request, labels), spool, request.measurement)
    measured = measurement.measure(read, labels, request.facts, request.measurement, request.notes)
    return _report(Findings(request, read, labels, measured, None, tried), spool, work)


def _segmented(request: JobRequest, labels: LabelMap) -> Candidate:
    return next(
        candidate for candidate in request.candidates if candidate.series_instance_uid == labels.series_instance_uid
    )


def _report(findings: Findings, spool: Spool, work: WorkFolder) -> Outcome:
    products = []
    for made in report.write(findings, spool):
        digest = work.write(made.file, made.content)
        if made.sop_instance_uid:
            products.append(Product(made.kind, made.file, made.sop_instance_uid, digest))
    return Outcome(final=True, products=tuple(products), refusal=findings.refusal)
