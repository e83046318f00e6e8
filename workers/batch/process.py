"""One process of a batch: measures one case after the other, until nobody asks any more.

Comes in: cases on a connection. Goes out: the `Outcome` of each on the same connection, and its files in its folder.
What can go wrong: a case fails, by a code; or the process ends in the midst of one, which `workers.batch.runner` sees.
Networks stay loaded from one case to the next. All that libraries print goes to a file beside the results.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

from node.core import log
from node.core.cases import Case, Fate, Outcome
from node.core.errors import NodeError
from node.core.reasons import Coded, Outage
from node.core.records import JobRequest
from node.core.settings import Settings
from workers import cli
from workers.report.document import SCHEMA_VERSION
from workers.segmentation.port import Networks

LOG = "batch.log"
DONE, FAILED, BY_SIGNAL = 0, 1, 128  # exit codes: the last one and the signal's number
_log = log.get("batch")


@dataclass(frozen=True)
class Task:
    """What all cases of a batch have in common.

    Parameters
    ----------
    prepare
        Makes the request of a case; found by its name in each process, so a function of a module.
    out
        Folder with the folders of the cases.
    force_demo
        Whether the demonstration model may run on real studies.
    """

    prepare: Callable[[Case, Settings, datetime], JobRequest]
    settings: Settings
    out: Path
    force_demo: bool


def serve(connection: Connection, task: Task) -> None:
    """Measure the cases that come on the connection until it is closed; SIGTERM ends it at once, without remains."""
    signal.signal(signal.SIGTERM, _end)
    _print_to(task.out / LOG)
    log.configure(task.settings.log_level, task.settings.log_form)
    with suppress(EOFError), cli.networks_of(task.settings, task.out / LOG, force_demo=task.force_demo) as networks:
        while True:
            case: Case = connection.recv()
            connection.send(outcome_of(case, task, networks))


def outcome_of(case: Case, task: Task, networks: Networks | None) -> Outcome:
    """Measure a case, unless its result is there, and say how it ended."""
    begun = monotonic()
    try:
        outcome = _measure(case, task, networks)
    except NodeError as error:
        outcome = failed(error.code, str(error))
    except OSError as error:
        outcome = failed(Outage.SPOOL_FAILED, f"{Outage.SPOOL_FAILED.sentence} ({error.strerror})")
    except Exception as error:  # noqa: BLE001 - the door of a batch: one case must not stop the others
        _log.error("case-failed", case=case.name, error=type(error).__name__, where=log.where(error))
        what = f"{type(error).__name__}, see {LOG}"
        outcome = failed(Outage.WORKER_FAILED, f"{Outage.WORKER_FAILED.sentence} ({what})")
    return replace(outcome, seconds=monotonic() - begun)


def failed(code: Coded, text: str, exit_code: int = FAILED, seconds: float = 0.0) -> Outcome:
    """Return the outcome of a case that has no result."""
    return Outcome(Fate.FAILED, exit_code, str(code), text, seconds=seconds)


def result_in(folder: Path) -> dict[str, Any] | None:
    """Return the result document that lies in the folder of a case; None where there is none, or it is no document."""
    try:
        document = json.loads((folder / cli.RESULT).read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def clear(folder: Path) -> None:
    """Remove what an analysis that was killed has left in the folder of a case."""
    remains = list(folder.glob(f"{cli.WORK}*"))
    if remains and not (folder / cli.RESULT).exists():
        cli.remove_result(folder)
    for path in remains:
        shutil.rmtree(path)


def _measure(case: Case, task: Task, networks: Networks | None) -> Outcome:
    request = task.prepare(case, task.settings, datetime.now(UTC).replace(tzinfo=None))
    if task.force_demo:
        request = cli.forced(request)
    folder = task.out / case.name
    document = result_in(folder)
    kept = document is not None and _is_of(document, request)
    if document is None or not kept:
        folder.mkdir(exist_ok=True)
        document, _ = cli.measure(request, folder, networks, task.settings.models)
    if refusal := document["refusal"]:
        return Outcome(Fate.REFUSED, FAILED, refusal["code"], refusal["text"], kept)
    return Outcome(Fate.MEASURED, DONE, kept=kept)


def _is_of(document: dict[str, Any], request: JobRequest) -> bool:
    """Say whether a result is what the request would make again; an early refusal, whose key knows no slice, never."""
    same = (document.get("job"), document.get("schema_version")) == (request.key, SCHEMA_VERSION)
    return same and request.refusal is None


def _print_to(path: Path) -> None:
    """Have everything that this process prints, of native code too, go to the end of a file."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
    os.close(file)


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(BY_SIGNAL + number)
