"""Commands of the workers on the one command line: `crlm-node worker` and `crlm-node analyse`.

They join by the entry-point group `crlm_node.commands`: a name and a function that takes what the node hands over.
"""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from node.core.errors import Untrusted
from node.core.ledger import Ledger
from node.core.records import EarlyRefusal, JobRequest
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import Stage
from workers import analysis

_RESULT = "result.json"
_NAMES = (_RESULT, "seg.dcm", "sr.dcm", "sr-viewer.dcm")


def worker(settings: Settings, queues: tuple[Stage, ...], concurrency: int) -> None:
    """Serve the queues of jobs until told to stop.

    Raises
    ------
    SchemaMismatch
        The ledger belongs to another version.
    """
    from workers import app, tasks  # here, because `analyse` has no need of Celery, which is slow to import

    ledger = Ledger(settings.ledger)
    ledger.require_schema()
    spool = Spool(settings.spool_dir)
    spool.prepare()
    app.run(settings, tasks.Desk(settings, spool, ledger), queues, concurrency)


def analyse(request: JobRequest, out: Path) -> tuple[dict[str, Any], list[str]]:
    """Run stages 6 to 9 on a folder's request; return the result document and the names of the files in `out`.

    What an earlier analysis has written there is replaced, and what this one does not write is removed.

    Raises
    ------
    FileExistsError
        `out` holds a file of one of these names that no earlier analysis has written.
    Unavailable, Untrusted
        See the stages.
    """
    present = [name for name in _NAMES if (out / name).exists()]
    if present and _RESULT not in present:
        raise FileExistsError(f"{out} holds {present[0]}, which would be overwritten: name another folder")
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out, prefix=".work-") as folder:
        document, files = _analyse(request, Spool(Path(folder)))
        for name in present:
            (out / name).unlink()
        for name, content in files.items():
            (out / name).write_bytes(content)
    return document, list(files)


def _analyse(request: JobRequest, spool: Spool) -> tuple[dict[str, Any], dict[str, bytes]]:
    spool.prepare()
    try:
        outcome = analysis.segment(request, spool, spool.work(request.key))
    except Untrusted as error:  # nobody looks into a spool here: the result tells of it
        request = replace(request, refusal=EarlyRefusal(error.code, error.detail))
        outcome = analysis.segment(request, spool, spool.work(request.key))
    work = spool.work(request.key)
    if not outcome.final:
        outcome = analysis.measure(request, spool, work)
    files = {name: work.read(name) for name in (_RESULT, *(product.file for product in outcome.products))}
    document: dict[str, Any] = json.loads(files[_RESULT])
    return document, files
