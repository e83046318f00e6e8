"""What a process of a batch may be given in place of the product's own function: it dies, or fails, at some cases."""

import os
import signal
import time
from datetime import datetime

from node.core.cases import Case
from node.core.records import JobRequest
from node.core.settings import Settings
from node.folder import request_for_case

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
        time.sleep(60)
    return request_for_case(case, settings, now)
