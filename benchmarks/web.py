"""How fast the worklist is with 10,000 studies: ours beside the REST listing that Orthanc Explorer is made of.

Each server holds 10,000 studies and runs in a process of its own; both are asked for the same, a list of 50 studies
with what identifies them: the first page, a page from the midst, and a search for a patient. Orthanc is asked by
POST /tools/find with Expand and Limit, as its Explorer does. Requests of both alternate, one at a time, on one
connection each. Then our page is asked 10,000 times, and the resident memory of its process is compared.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from results import Result, arguments, machine, table_of, write
from sqlalchemy import insert

from node import accounts
from node.core.ledger import Ledger
from node.core.ledger.accounts import Role
from node.core.ledger.tables import Delivery, Event, Job, Study, StudyCard
from node.core.records import JobRequest, PatientFacts, dump
from node.core.settings import ImportRules, MeasurementSettings
from node.core.states import DeliveryState, JobState, Stage, StudyState
from node.servers import Orthanc, free_port

STUDIES, PATIENTS, REQUESTS, MANY = 10_000, 4_000, 200, 10_000
BAR_MS, BAR_GROWTH_MB = 100.0, 8.0
PASSWORD = "correct horse battery staple"  # noqa: S105 - of an account that lives as long as the run
FIRST = datetime.fromisoformat("2026-01-01T06:00:00")
Ask = Callable[[], int]


@dataclass(frozen=True)
class Case:
    """A question, as each side is asked it."""

    name: str
    ours: str
    orthanc: dict[str, Any]


CASES = (
    Case("first page", "/", {"Query": {"PatientID": ""}}),
    Case(
        "a page from the midst",
        f"/?after={FIRST + timedelta(minutes=STUDIES // 2):%Y-%m-%dT%H:%M:%S}_1",
        {"Since": STUDIES // 2},
    ),
    Case("one patient", "/?q=p00123", {"Query": {"PatientID": "P00123"}}),
    Case("a name", "/?q=doe12", {"Query": {"PatientName": "DOE12*"}}),
    Case("failed", "/?state=failed", {}),
)


def fill(ledger: Ledger, count: int) -> None:
    """Enter studies as they are after a year: nearly all delivered, a few of every other kind."""
    ledger.upgrade()
    with ledger.transaction() as session:
        for start in range(0, count, 1000):
            rows: dict[Any, list[dict[str, Any]]] = {one: [] for one in (Study, StudyCard, Job, Delivery, Event)}
            for number in range(start, min(start + 1000, count)):
                _enter(rows, number, count)
            for kind, values in rows.items():
                if values:
                    session.execute(insert(kind), values)


def _enter(rows: dict[Any, list[dict[str, Any]]], number: int, count: int) -> None:
    uid, at, patient = f"1.2.826.0.1.3680043.{number}", FIRST + timedelta(minutes=number), number % PATIENTS
    state = (
        StudyState.QUARANTINED
        if number % 97 == 0
        else StudyState.NOT_ANALYSABLE
        if number % 31 == 0
        else StudyState.COMPLETE
    )
    rows[Study].append({"uid": uid, "state": state, "reason": None, "first_received_at": at, "last_received_at": at})
    rows[StudyCard].append(
        {
            "study_uid": uid,
            "sop_instance_uid": f"{uid}.1",
            "digest": "0" * 64,
            "patient_id": f"P{patient:05d}",
            "issuer": "",
            "patient_name": f"Doe{patient % 997} Jane",
            "patient": f"p{patient:05d}",
            "name": f"doe{patient % 997} jane",
            "accession_number": f"A{number:07d}",
            "study_date": date(2026, 1, 1) + timedelta(days=number // 40),
            "description": "CT abdomen",
        }
    )
    key = f"{number:032x}"
    running = number >= count - 20
    times = {"created_at": at, "not_before": at}
    job = {
        "key": key,
        "study_uid": uid,
        "state": JobState.QUEUED if running else JobState.REPORTED,
        "stage": Stage.MEASURE,
    }
    rows[Job].append(job | times | {"request": _request(uid), "priority": 0, "attempts": 1})
    for kind in ("seg", "sr", "sr-viewer"):
        sent = DeliveryState.FAILED if number % 499 == 0 else DeliveryState.PROVEN
        one = {"sop_instance_uid": f"{uid}.{kind}", "destination": "pacs", "job_key": key, "kind": kind, "file": kind}
        rows[Delivery].append(
            one | {"digest": "0" * 64, "state": sent, "attempts": 1, "planned_at": at, "not_before": at}
        )
    for new in ("receiving", "complete"):
        rows[Event].append({"at": at, "subject": "study", "key": uid, "old": None, "new": new, "cause": "made"})


def _request(uid: str) -> str:
    facts = PatientFacts(None, None, None, None, "")
    return dump(JobRequest(uid, FIRST, (), (), (), facts, ImportRules(), MeasurementSettings(), "imported", "0"))


def fill_orthanc(orthanc: Orthanc, count: int) -> None:
    """Store one small image of each study, by REST."""
    connection = http.client.HTTPConnection("127.0.0.1", orthanc.http_port, timeout=60)
    for number in range(count):
        connection.request("POST", "/instances", _image(number), {"Content-Type": "application/dicom"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"Orthanc answered {answer.status}")
    connection.close()


def _image(number: int) -> bytes:
    uid, patient = f"1.2.826.0.1.3680043.{number}", number % PATIENTS
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"{uid}.1.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = uid, f"{uid}.1", "CT"
    ds.PatientID, ds.PatientName = f"P{patient:05d}", f"DOE{patient % 997}^JANE"
    ds.AccessionNumber, ds.StudyDescription = f"A{number:07d}", "CT abdomen"
    ds.StudyDate = f"{date(2026, 1, 1) + timedelta(days=number // 40):%Y%m%d}"
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


class Page:
    """Our page in a process of its own, and somebody who is signed in."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        (home / "config.toml").write_text(f'home = "{home}"\nweb_port = {self.port}\nlog_level = "warning"\n')
        command = [sys.executable, "-P", "-m", "node", "--config", str(home / "config.toml"), "web"]
        self.process = subprocess.Popen(command)  # noqa: S603 - our own lines
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connection.connect()
                break
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.1)
        body = json.dumps({"name": "bench", "password": PASSWORD})
        self.connection.request("POST", "/api/session", body)
        token = json.loads(self.connection.getresponse().read())["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def ask(self, path: str) -> Ask:
        """Return what asks for a page and returns how many bytes came."""

        def once() -> int:
            self.connection.request("GET", path, headers=self.headers)
            answer = self.connection.getresponse()
            content = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise RuntimeError(f"{path}: {answer.status}")
            return len(content)

        return once

    def resident_mb(self) -> float:
        """Return the memory that its process holds."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    def stop(self) -> None:
        """End it."""
        self.connection.close()
        self.process.terminate()
        self.process.wait(20)


def orthanc_asks(orthanc: Orthanc, case: Case) -> Ask:
    """Return what asks Orthanc for the same."""
    connection = http.client.HTTPConnection("127.0.0.1", orthanc.http_port, timeout=60)
    body = json.dumps({"Level": "Study", "Expand": True, "Limit": 50, "Query": {}, **case.orthanc})

    def once() -> int:
        connection.request("POST", "/tools/find", body)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"Orthanc answered {answer.status}")
        return len(content)

    return once


def p95_ms(times: list[float]) -> float:
    """Return what 95 of 100 requests stay below, in milliseconds."""
    return 1000 * statistics.quantiles(times, n=20)[-1]


def compare(page: Page, orthanc: Orthanc, requests: int) -> list[Result]:
    """Ask both in turn, case by case."""
    found = []
    for case in CASES:
        ways = {"ours": page.ask(case.ours), "Orthanc": orthanc_asks(orthanc, case)}
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(requests + 5):
            for name, once in ways.items():
                begin = time.perf_counter()
                once()
                if number >= 5:
                    times[name].append(time.perf_counter() - begin)
        ours, theirs = p95_ms(times["ours"]), p95_ms(times["Orthanc"])
        if case.orthanc:
            found.append(Result(f"p95, {case.name}", ours, theirs, "Orthanc /tools/find", "ms", theirs / ours, None))
        found.append(Result(f"p95, {case.name}", ours, BAR_MS, "a fixed bar", "ms", BAR_MS / ours, 1.0))
    return found


def grow(page: Page, many: int) -> Result:
    """Ask for the first page many times; return what the process holds more after it than when it was warm."""
    once = page.ask("/")
    for _ in range(many // 10):
        once()
    before = page.resident_mb()
    for _ in range(many):
        once()
    growth = max(page.resident_mb() - before, 0.01)
    return Result(f"memory, {many} requests", growth, BAR_GROWTH_MB, "a fixed bar", "MB", BAR_GROWTH_MB / growth, 1.0)


def main() -> int:
    """Fill, measure, print, write."""
    asked = arguments(__doc__.partition("\n")[0])
    studies, requests, many = (500, 20, 200) if asked.quick else (STUDIES, REQUESTS, MANY)
    where = machine()
    with tempfile.TemporaryDirectory(prefix="web-") as root:
        home = Path(root)
        ledger = Ledger(f"sqlite:///{home / 'ledger.sqlite'}")
        fill(ledger, studies)
        accounts.add(ledger, "bench", Role.READER, PASSWORD)
        ledger.close()
        (home / "spool" / "instances").mkdir(parents=True)
        with Orthanc(home / "orthanc", "ORTHANC", {}) as orthanc:
            fill_orthanc(orthanc, studies)
            page = Page(home)
            try:
                found = [*compare(page, orthanc, requests), grow(page, many)]
            finally:
                page.stop()
    where |= {"studies": studies, "load_after": round(os.getloadavg()[0], 2)}
    print(", ".join(f"{key} {value}" for key, value in where.items()), table_of(found), sep="\n\n")
    if asked.json:
        write(asked.json, where, found)
    return 0 if all(result.holds for result in found) else 1


if __name__ == "__main__":
    sys.exit(main())
