"""What a process of a batch may be given in place of the product's own function: it dies, or fails, at some cases."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Event

from node.core.cases import Case, Outcome
from node.core.records import JobRequest
from node.core.settings import Settings
from node.folder import request_for_case
from workers.batch.process import Task, outcome_of

_SLEEP_S = 60
MARK = ".work-left"
SLOW = "1.2.3.5"


def troubled(case: Case, settings: Settings, now: datetime) -> JobRequest:
    """Make the request of a case; kill this process at `killed`, fail at `faulty`, sleep on at the study `SLOW`."""
    if case.name == "killed":
        (settings.home.parent / "out" / case.name / MARK).mkdir(parents=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if case.name == "faulty":
        raise ZeroDivisionError("Doe^Jane")
    if case.study_instance_uid == SLOW:
        time.sleep(_SLEEP_S)
    return request_for_case(case, settings, now)


def one_by_one(
    cases: Sequence[Case], task: Task, at_once: int, stop: Event, on_end: Callable[[Case, Outcome], None]
) -> dict[str, Outcome]:
    """Measure cases in this process, as one of its own would."""
    ended = {}
    for case in cases:
        ended[case.name] = outcome_of(case, task, None)
        on_end(case, ended[case.name])
    return ended
