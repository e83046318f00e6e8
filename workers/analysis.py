"""Stages 6 to 9 in their order, without a queue: what the Celery tasks and `crlm-node analyse` both run.

Each function reads what the one before left in the job's work folder and writes its own files there whole, so that
any of them can be repeated alone: `tried.json`, `labels.npz`, `result.json`, `seg.dcm`, `sr.dcm`, `sr-viewer.dcm`,
`summary.dcm`, `key-images/*.png`, and `seg-labelmap.dcm` where it is asked for. `run.json` says what stages 8 and 9 ran
with and how long they took; it is no part of the result, for the same job makes the same result again.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from node.core.errors import NodeError, NotAnalysable, Unavailable
from node.core.reasons import Outage, StudyRefusal
from node.core.records import JobRequest
from node.core.spool import Spool, WorkFolder
from workers import measurement, report, segmentation, volume
from workers.measured import Measured
from workers.records import Volume
from workers.report.document import Findings, Tried, versions
from workers.segmentation.port import Networks
from workers.signature import folder
from workers.signature.manifest import Signature
from workers.stored_labels import parse_labels
from workers.trials import LABELS, TRIED, Trials

RUN = "run.json"

# A further candidate that is too much for the engine does not take away what the ones before it gave.
_TOO_MUCH = (Outage.ENGINE_TIMEOUT, Outage.ENGINE_MEMORY)


@dataclass(frozen=True)
class Product:
    """A file of a job that goes to the destinations."""

    kind: str
    file: str
    sop_instance_uid: str
    digest: str


@dataclass(frozen=True)
class Outcome:
    """What a stage leaves: files to deliver, the refusal that they tell of, or nothing yet (`final` is False).

    `files` are the names of all files of the result, those that go nowhere among them.
    """

    final: bool
    products: tuple[Product, ...] = ()
    refusal: NodeError | None = None
    files: tuple[str, ...] = ()


def segment(request: JobRequest, spool: Spool, work: WorkFolder, networks: Networks | None = None) -> Outcome:
    """Stages 6 and 7: find the best candidate that can be measured, segment it, keep the label map.

    A candidate whose segmentation lacks a level or an organ that is asked for is not the last word: the next ones are
    tried, as far as they can have more, and the one that lacks least is measured. The outcome is final where no
    candidate can be measured; else `measure` is next.

    Raises
    ------
    Untrusted, Unavailable
        See the stages; no result was written.
    """
    if request.refusal:
        early = NotAnalysable(request.refusal.code, request.refusal.detail)
        return _report(Findings(request, None, None, None, early), spool, work)
    trials = Trials(request, work)
    for index, candidate in enumerate(request.candidates):
        read: Volume | None = None  # the one before is let go of before this one is read
        try:
            read = volume.read(candidate, spool, request.measurement)
            if trials.is_worth(index, read):
                trials.add(index, segmentation.segment(read, request, spool, networks))
        except NotAnalysable as error:
            trials.refuse(index, error, read=read is not None)
        except Unavailable as error:
            if trials.best is None or error.code not in _TOO_MUCH:
                raise
            trials.refuse(index, NotAnalysable(StudyRefusal.SEGMENTATION_UNAVAILABLE, str(error)))
        if trials.over:
            break
    if trials.best is not None:
        work.write(TRIED, trials.dump(trials.best.index))
        return Outcome(final=False)
    refusal, refused = trials.first or NotAnalysable(StudyRefusal.NO_SUITABLE_SERIES), None
    if trials.first_read is not None:
        refused = volume.read(request.candidates[trials.first_read], spool, request.measurement)
    return _report(Findings(request, refused, None, None, refusal, trials.tried()), spool, work)


def measure(request: JobRequest, spool: Spool, work: WorkFolder, models: Path, *, label_map: bool = False) -> Outcome:
    """Stages 8 and 9: measure the segmented series and write the result set, with `label_map` the SEG as such as well.

    `models` is the folder that the signatures of the request lie below.

    Raises
    ------
    Untrusted, Unavailable
        See the stages; a signature that is not as it was asked is `signature-unreadable`.
    """
    signatures = folder.asked(models, request.signatures)
    labels = parse_labels(work.read(LABELS))
    trials = json.loads(work.read(TRIED))
    tried = tuple(Tried(**one) for one in trials["tried"])
    read = volume.read(request.candidates[trials["chosen"]], spool, request.measurement)
    begin = perf_counter()
    measured = measurement.measure(read, labels, request.facts, request.measurement, request.notes, signatures, models)
    between = perf_counter()
    outcome = _report(Findings(request, read, labels, measured, None, tried), spool, work, label_map=label_map)
    seconds = {"measure": between - begin, "report": perf_counter() - between}
    work.write(RUN, _run(request, signatures, measured, seconds))
    return outcome


def _run(
    request: JobRequest, signatures: tuple[Signature, ...], measured: Measured, seconds: dict[str, float]
) -> bytes:
    """Return the run manifest: versions, digests of signatures, seconds of the stages and of each extraction."""
    content = {
        "job": request.key,
        "versions": versions(request),
        "signatures": {one.id: one.digest for one in signatures},
        "seconds": seconds,
        "extracted": [asdict(one) for one in measured.extracted],
    }
    return json.dumps(content, indent=1).encode()


def _report(findings: Findings, spool: Spool, work: WorkFolder, *, label_map: bool = False) -> Outcome:
    products, files = [], []
    for made in report.write(findings, spool, label_map=label_map):
        digest = work.write(made.file, made.content)
        files.append(made.file)
        if made.sop_instance_uid:
            products.append(Product(made.kind, made.file, made.sop_instance_uid, digest))
    return Outcome(final=True, products=tuple(products), refusal=findings.refusal, files=tuple(files))
