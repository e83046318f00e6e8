"""Stages 3 to 6 over what a listener has stored, in a process of its own with limits: `python stored.py HOME`.

Prints what became of each study and candidate as JSON, and every fault that has no code. A decoder that kills its
process ends this one, and the test that started it sees that.
"""

import json
import resource
import sys
import traceback
from collections import Counter
from pathlib import Path

from sqlalchemy import select

from node.core.errors import NodeError
from node.core.ledger import Ledger
from node.core.ledger.tables import Job, Study
from node.core.records import JobRequest, parse
from node.core.settings import MeasurementSettings, Settings
from node.core.spool import Spool
from node.steward import Steward
from workers import volume

_MEMORY_BYTES = 4 * 2**30


def look(home: Path) -> dict[str, object]:
    """Assemble every study, read every candidate; return the counts and the faults."""
    rules = MeasurementSettings(minimum_slices=2)
    settings = Settings(home=home, quiet_time_s=0.001, association_idle_s=0.001, measurement=rules)
    ledger, spool = Ledger(settings.ledger), Spool(settings.spool_dir)
    Steward(ledger, spool, settings)._assembly.round()
    with ledger.transaction() as session:
        studies = list(session.scalars(select(Study)))
        requests = [parse(JobRequest, job.request) for job in session.scalars(select(Job))]
    ledger.close()
    read, faults = Counter[str](), []
    for candidate in (candidate for request in requests for candidate in request.candidates):
        try:
            volume.read(candidate, spool, rules)
            read["volume"] += 1
        except NodeError as error:
            read[error.code] += 1
        except Exception as error:  # noqa: BLE001 - to find those is what this is for
            frame = traceback.extract_tb(error.__traceback__)[-1]
            paths = [instance.path for instance in candidate.instances]
            faults.append(f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno} over {paths}")
    shown = Counter(f"{study.state} {study.reason or ''}".strip() for study in studies)
    return {"studies": shown, "candidates": read, "faults": faults}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    json.dump(look(Path(sys.argv[1])), sys.stdout)
