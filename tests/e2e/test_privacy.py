"""What nobody may read who should not: patient data in logs and trails, files that others could open."""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_context

from node.core.errors import Unavailable
from node.core.ledger import audit
from node.core.ledger.audit import AuditEvent
from node.core.ledger.tables import Audit, Event, Job, Study
from node.core.states import StudyState
from node.servers import CannotStart, Orthanc

from .conftest import Sent, renamed, send_all
from .stack import HOST, LEASE_S, NODE, SCANNER, Stack

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")

MARK = "LEAK"
_MARKED = {
    "PatientName": f"{MARK}NAME^Jane",
    "PatientID": f"{MARK}-4711",
    "OtherPatientIDs": f"{MARK}-OTHER",
    "AccessionNumber": f"{MARK}-ACC",
    "PatientBirthDate": "19340917",
    "PatientAddress": f"{MARK} Street 1",
    "PatientComments": f"{MARK} comment",
    "ReferringPhysicianName": f"{MARK}REFERRER^Joe",
    "PerformingPhysicianName": f"{MARK}PERFORMER^Jim",
    "InstitutionName": f"{MARK} hospital",
    "StudyID": f"{MARK}-STUDY",
    "StudyDescription": f"{MARK} study",
    "SeriesDescription": f"{MARK} series",
    "ProtocolName": f"{MARK} protocol",
    "ImageComments": f"{MARK} image",
}
_LIMIT_S = 240
_SOUGHT = (MARK, "19340917")


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Stack]:
    """A site of its own that logs everything."""
    if not Orthanc.available():
        lacking("Orthanc")
    site = Stack(tmp_path_factory.mktemp("loud"))
    patient = site.config.read_text().replace(f"lease_s = {LEASE_S}", "lease_s = 60.0")  # all that talk takes time
    site.config.write_text('log_level = "debug"\n' + patient)
    try:
        site.start()
        yield site
    except CannotStart as error:
        lacking(str(error))
    finally:
        site.stop()


def _marked(sent: Sent) -> Sent:
    """Write the mark into every attribute of a study that speaks of a patient."""
    for path in (*sent.slices, sent.seg):
        ds = dcmread(path)
        for keyword, value in _MARKED.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
    return sent


@pytest.fixture(scope="module")
def journeys(loud: Stack, phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The site after a study that was measured, one of two patients, one refused, and instances that no one takes."""
    folder = tmp_path_factory.mktemp("marked")
    whole = _marked(renamed(phantom, folder / "whole", "whole"))
    send_all(loud, whole)
    loud.wait(whole.uid, limit_s=_LIMIT_S)

    mixed = _marked(renamed(phantom, folder / "mixed", "mixed"))
    other = dcmread(mixed.slices[0])
    other.PatientID, other.PatientName = f"{MARK}-0815", f"{MARK}OTHER^Jill"
    other.save_as(mixed.slices[0])
    loud.give(mixed.slices)
    loud.wait(mixed.uid, lambda view: view.refused, _LIMIT_S)

    bare = _marked(renamed(phantom, folder / "bare", "bare"))
    loud.give(bare.slices)
    loud.wait(bare.uid, lambda view: view.refused or view.proven, _LIMIT_S)

    _offer_what_nobody_takes(loud, whole.slices[0])
    with pytest.raises(Unavailable, match="not recognised"):
        loud.give(whole.slices[:1], "STRANGER")
    return loud


def _offer_what_nobody_takes(site: Stack, path: Path) -> None:
    """Send data sets that are cut short, or that hold a name in the place of a UID."""
    ae = AE(SCANNER)
    assoc = ae.associate(HOST, site.port, [build_context(CTImageStorage, ExplicitVRLittleEndian)], NODE)
    for change in ({"StudyInstanceUID": f"{MARK}^UID"}, {"SeriesInstanceUID": f"../{MARK}"}):
        ds = dcmread(path)
        for keyword, value in change.items():
            setattr(ds, keyword, value)
        assert assoc.send_c_store(ds).Status != 0
    assoc.release()


def test_no_log_names_a_patient(journeys: Stack) -> None:
    """At the most talkative level: not in the output of any process, whatever came and whatever went wrong."""
    logs = {path: path.read_text(errors="replace") for path in journeys.logs.glob("*.log")}
    logs |= {path: path.read_text(errors="replace") for path in (journeys.home / "node").rglob("*.log")}
    assert {path.stem for path in logs} >= {"listen", "steward", "worker-segment", "worker-measure", "worker-deliver"}
    assert "[debug" in logs[journeys.logs / "listen.log"]
    for path, text in logs.items():
        leaks = [line for line in text.splitlines() if any(word in line for word in _SOUGHT)]
        assert leaks == [], path.name


def test_no_trail_names_a_patient(journeys: Stack) -> None:
    """Neither the audit trail nor the events hold patient data, nor do the reasons of jobs."""
    with journeys.ledger.transaction() as session:
        told = [" ".join(map(str, vars(row).values())) for table in (Audit, Event) for row in session.query(table)]
        told += [f"{job.reason} {job.detail}" for job in session.query(Job)]
    assert told
    assert [one for one in told if any(word in one for word in _SOUGHT)] == []


def test_the_trail_tells_the_journeys(journeys: Stack) -> None:
    """Processes that started, what came, what was delivered and who was turned away: each is in the trail."""
    with journeys.ledger.transaction() as session:
        rows = list(audit.rows(session))
    kinds = {audit.kind_of(row) for row in rows}
    told = (AuditEvent.STARTED, AuditEvent.RECEIVED, AuditEvent.DELIVERED, AuditEvent.REJECTED)
    assert kinds >= {event.value for event in told}
    started = {row.detail.split()[0] for row in rows if row.event == AuditEvent.STARTED.value.codes}
    assert started == {"listen", "steward", "worker"}
    assert {row.outcome for row in rows if audit.kind_of(row) is AuditEvent.DELIVERED.value} == {0}


def test_no_file_is_readable_by_others(journeys: Stack) -> None:
    """Spool, work files and results: folders 0700, files 0600; the ledger was made by the test, not by a process."""
    made = [path for folder in (journeys.spool, journeys.results) for path in folder.rglob("*") if path.exists()]
    assert len(made) > 50
    assert [path for path in made if stat.S_IMODE(path.lstat().st_mode) & 0o077] == []


def test_a_study_of_two_patients_was_set_aside(journeys: Stack) -> None:
    """The journeys were what they should be: one study waits for a person."""
    with journeys.ledger.transaction() as session:
        states = [study.state for study in session.query(Study)]
    assert sorted(states) == sorted([StudyState.COMPLETE, StudyState.QUARANTINED, StudyState.NOT_ANALYSABLE])
