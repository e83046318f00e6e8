"""Commands of the workers on the one command line: `crlm-node worker` and `crlm-node analyse`.

They join by the entry-point group `crlm_node.commands`: a name and a function that takes what the node hands over.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from node.core.ledger import Ledger
from node.core.records import JobRequest
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import Stage
from workers import analysis


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
    """Run stages 6 to 9 on a folder's request; return the result document and the names of the files in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out, prefix=".work-") as folder:
        return _analyse(request, Spool(Path(folder)), out)


def _analyse(request: JobRequest, spool: Spool, out: Path) -> tuple[dict[str, Any], list[str]]:
    spool.prepare()
    work = spool.work(request.key)
    outcome = analysis.segment(request, spool, work)
    if not outcome.final:
        outcome = analysis.measure(request, spool, work)
    document: dict[str, Any] = json.loads(work.read("result.json"))
    files = ["result.json", *(product.file for product in outcome.products)]
    for name in files:
        (out / name).write_bytes(work.read(name))
    return document, files
