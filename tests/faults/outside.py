"""What can be seen of a site from outside: the ledger's rows by read-only SQL, and what Orthanc holds."""

import sqlite3
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from archive import Archive
from pydicom import Dataset, dcmread

_OPEN = (
    ("study {0} is still {1}", "SELECT uid, state FROM study WHERE state = 'receiving'"),
    ("job {0} is still {1}", "SELECT key, state FROM job WHERE state IN ('queued', 'running')"),
    ("job {0} is {1} and still leased", "SELECT key, state FROM job WHERE lease_owner IS NOT NULL"),
    (
        "delivery {0} is still {1}",
        """SELECT delivery.sop_instance_uid, delivery.state FROM delivery JOIN job ON job.key = delivery.job_key
        WHERE delivery.state = 'sent' OR delivery.state = 'pending' AND job.state <> 'superseded'""",
    ),
)


@dataclass(frozen=True)
class Books:
    """The ledger, read without the node's own code."""

    path: Path

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def runs(self, stage: str) -> bool:
        """Whether a worker is at a job of this stage."""
        return bool(self.rows("SELECT 1 FROM job WHERE state = 'running' AND stage = ? LIMIT 1", stage))

    def open_work(self) -> list[str]:
        """Return a sentence for each study, job and delivery that has not come to its end."""
        return [sentence.format(*row) for sentence, query in _OPEN for row in self.rows(query)]


@dataclass(frozen=True)
class Held:
    """An object that Orthanc holds, and the instances that it was made from by its own evidence (PS3.3 C.17.2)."""

    study_uid: str
    sop_instance_uid: str
    modality: str
    evidence: frozenset[str]


def holdings(archive: Archive) -> list[Held]:
    """Return all that Orthanc holds."""
    return [held(archive.ask(f"/instances/{one}/file")[1]) for one in archive.rest("/instances")]


def held(content: bytes) -> Held:
    """Return what a DICOM file is and what it was made from."""
    ds = dcmread(BytesIO(content), stop_before_pixels=True)
    evidence = _instances(ds, "CurrentRequestedProcedureEvidenceSequence", "ReferencedSOPSequence")
    evidence |= _series(ds.get("ReferencedSeriesSequence", ()), "ReferencedInstanceSequence")
    return Held(str(ds.StudyInstanceUID), str(ds.SOPInstanceUID), str(ds.Modality), frozenset(evidence))


def _instances(ds: Dataset, studies: str, instances: str) -> set[str]:
    return set().union(
        *(_series(study.get("ReferencedSeriesSequence", ()), instances) for study in ds.get(studies, ()))
    )


def _series(series: Any, instances: str) -> set[str]:
    return {str(one.ReferencedSOPInstanceUID) for each in series for one in each.get(instances, ())}
