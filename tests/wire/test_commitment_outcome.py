"""Storage commitment from the delivery to its outcome in the ledger: by our listener, at once, or by a query."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from pacs import COMPLETE, Pacs, Send, listing_of, report_anew, report_of, serving
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_context

from node.commitment import Reports
from node.core import commitment
from node.core.errors import Unavailable
from node.core.ledger import Ledger, deliveries, jobs
from node.core.ledger.deliveries import REJECTION, Schedule
from node.core.ledger.tables import Commitment, Delivery, Study
from node.core.reasons import Outage
from node.core.records import JobRequest, PatientFacts
from node.core.settings import CallingPeer, ImportRules, MeasurementSettings, PacsDestination
from node.core.states import DeliveryState, StudyState
from node.servers import Orthanc
from workers.delivery import deliver

from .conftest import Site
from .sender import ct_slice, file_of

CT = [build_context(CTImageStorage, ExplicitVRLittleEndian)]
STUDY = "1.2.3"
AT = datetime.fromisoformat("2026-11-21T12:00:00")
PENDING, SENT, PROVEN = DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.PROVEN


@dataclass
class Bench:
    """A site with two results to deliver, and its PACS, which keeps what it takes."""

    site: Site
    pacs: Pacs
    job: str

    def deliver(self) -> None:
        """Deliver what is due, as a worker does, once its time has come."""
        until = time.monotonic() + 30
        while not self.due() and time.monotonic() < until:
            time.sleep(0.02)
        self.pacs.listed = [listing_of(one) for one in self.objects()]
        deliver(self.job, "pacs", self.site.settings, self.site.spool, self.site.ledger)

    def due(self) -> int:
        """Return how many objects are due."""
        with self.site.ledger.transaction() as session:
            return len(deliveries.due(session, self.job, "pacs"))

    def rows(self) -> list[Delivery]:
        """Return the deliveries."""
        with self.site.ledger.transaction() as session:
            return list(deliveries.of_job(session, self.job))

    def states(self) -> list[tuple[DeliveryState, str | None]]:
        """Return their states and reasons."""
        return [(row.state, row.reason) for row in self.rows()]

    def proofs(self) -> set[str | None]:
        """Return their proofs."""
        return {row.proof for row in self.rows()}

    def commitments(self) -> list[Commitment]:
        """Return all transactions."""
        with self.site.ledger.transaction() as session:
            return list(session.query(Commitment))

    def objects(self) -> list[Dataset]:
        """Return the objects."""
        folder = self.site.spool.root / self.site.spool.work(self.job).path
        return [dcmread(folder / row.file) for row in self.rows()]


Open = Callable[..., Bench]


@pytest.fixture
def bench(open_site: Callable[..., Site], free_port: Callable[[], int]) -> Open:
    """Return a function that opens a bench; the wait for an answer may be given."""

    def open_it(
        wait_s: float = 3600.0,
        ae_title: str = "PACS",
        pacs_port: int = 0,
        *,
        commitment: bool = True,
        **changes: object,
    ) -> Bench:
        pacs = Pacs(pacs_port or free_port(), on_commitment=lambda _request, _send: None)
        destination = PacsDestination(
            kind="dicom",
            name="pacs",
            ae_title=ae_title,
            host="127.0.0.1",
            port=pacs.port,
            commitment=commitment,
            commitment_wait_s=wait_s,
        )
        values = {
            "destinations": (destination,),
            "calling": (CallingPeer(ae_title=ae_title),),
            "retry_base_s": 0.01,
            "retry_longest_s": 0.02,
        }
        site = open_site(**(values | changes))
        return Bench(site, pacs, _job(site))

    return open_it


def _job(site: Site) -> str:
    request = JobRequest(
        study_instance_uid=STUDY,
        requested_at=AT,
        candidates=(),
        left_out=(),
        segmentations=(),
        facts=PatientFacts(None, None, None, None, ""),
        imports=ImportRules(),
        measurement=MeasurementSettings(),
        engine="imported",
        version="0",
    )
    with site.ledger.transaction() as session:
        session.add(Study(uid=STUDY, state=StudyState.COMPLETE, first_received_at=AT, last_received_at=AT))
        session.flush()
        assert jobs.enqueue(session, request) is not None
        for kind in ("seg", "sr"):
            ds = ct_slice(StudyInstanceUID=STUDY)
            deliveries.plan(
                session,
                job_key=request.key,
                destination="pacs",
                kind=kind,
                sop_instance_uid=str(ds.SOPInstanceUID),
                file=f"{kind}.dcm",
                digest=site.spool.work(request.key).write(f"{kind}.dcm", file_of(ds)),
            )
    return request.key


def test_a_report_on_the_same_association_proves(bench: Open) -> None:
    """Both objects are proven by the transaction, in one association for the objects and one for the question."""
    one = bench()
    one.pacs.on_commitment = lambda request, send: send(*report_of(request))
    with serving(one.pacs, CT):
        one.deliver()
    (transaction,) = one.commitments()
    assert one.proofs() == {f"committed in transaction {transaction.transaction_uid}"}
    assert transaction.answered_at is not None
    assert transaction.destination == "pacs"
    assert (one.pacs.associations, one.pacs.queries) == (2, [])


def test_a_refused_object_is_sent_again_and_does_not_hold_up_the_other(bench: Open) -> None:
    """One is kept, one is not: that one is sent again in its time, and asked for in a new transaction."""
    one = bench()
    one.pacs.on_commitment = lambda request, send: send(*report_of(request, failed=1, reason=0x0213))
    with serving(one.pacs, CT):
        one.deliver()
        assert sorted(one.states(), key=str) == [(PENDING, "commitment-refused"), (PROVEN, None)]
        assert "0213, resource limitation" in {row.detail for row in one.rows()}
        one.pacs.on_commitment = lambda request, send: send(*report_of(request))
        one.deliver()
    assert one.states() == [(PROVEN, None)] * 2
    assert [len(request.ReferencedSOPSequence) for _, request in one.pacs.asked] == [2, 1]
    assert len({row.transaction_uid for row in one.rows()}) == len(one.commitments()) == 2
    assert len(one.pacs.received) == 3


def test_a_report_on_an_association_of_its_own_proves(bench: Open) -> None:
    """Sent, then nothing is due; the PACS calls our listener, and both objects are proven."""
    one = bench()
    with serving(one.pacs, CT):
        one.deliver()
        assert one.states() == [(SENT, None)] * 2
        assert one.due() == 0
    ((_, request),) = one.pacs.asked
    assert report_anew(one.site.port, *report_of(request), "PACS") == 0x0000
    assert one.proofs() == {f"committed in transaction {request.TransactionUID}"}


def test_a_caller_that_selects_no_role_is_understood(bench: Open) -> None:
    """Not every PACS says that it is the SCP."""
    one = bench()
    with serving(one.pacs, CT):
        one.deliver()
    ((_, request),) = one.pacs.asked
    assert report_anew(one.site.port, *report_of(request), "PACS", role=False) == 0x0000
    assert one.states() == [(PROVEN, None)] * 2


def test_a_report_of_failures_on_an_association_of_its_own(bench: Open) -> None:
    """The object that is not kept is due again at once, by the schedule."""
    one = bench()
    with serving(one.pacs, CT):
        one.deliver()
    ((_, request),) = one.pacs.asked
    assert report_anew(one.site.port, *report_of(request, failed=2), "PACS") == 0x0000
    assert one.states() == [(PENDING, "commitment-refused")] * 2
    assert {row.detail for row in one.rows()} == {"0112, no such object instance"}


def test_a_report_that_comes_twice(bench: Open) -> None:
    """The second is answered with success and changes nothing; nor does one that says the contrary."""
    one = bench()
    with serving(one.pacs, CT):
        one.deliver()
    ((_, request),) = one.pacs.asked
    for failed in (0, 0, 2):
        assert report_anew(one.site.port, *report_of(request, failed=failed), "PACS") == 0x0000
    assert one.states() == [(PROVEN, None)] * 2
    assert len([event for event in one.site.events() if event.new == "proven"]) == 2


def test_a_report_of_an_unknown_transaction(bench: Open) -> None:
    """It is answered with success, so that it is not sent for ever, and changes nothing."""
    one = bench()
    with serving(one.pacs, CT):
        one.deliver()
    ((_, request),) = one.pacs.asked
    request.TransactionUID = "2.25.1"
    assert report_anew(one.site.port, *report_of(request), "PACS") == 0x0000
    assert one.states() == [(SENT, None)] * 2


def test_a_report_that_cannot_be_read(bench: Open) -> None:
    """It is answered as an invalid argument."""
    one = bench()
    ds = Dataset()
    ds.RetrieveAETitle = "PACS"
    assert report_anew(one.site.port, COMPLETE, ds, "PACS") == 0x0115
    ds.TransactionUID = "2.25.1"
    assert report_anew(one.site.port, 7, ds, "PACS") == 0x0115


def test_a_stranger_reports_nothing(bench: Open) -> None:
    """Who is not among the callers is not let in, and the objects wait."""
    one = bench()
    with serving(one.pacs, CT):
        one.deliver()
    ((_, request),) = one.pacs.asked
    assert report_anew(one.site.port, *report_of(request), "STRANGER") is None
    assert one.states() == [(SENT, None)] * 2


def test_without_commitment_the_service_is_not_offered(site: Site) -> None:
    """Where no destination is asked for commitment, nobody has to report."""
    ds = Dataset()
    ds.TransactionUID = "2.25.1"
    assert report_anew(site.port, COMPLETE, ds, "TESTER") is None


def test_a_report_while_the_ledger_is_away(bench: Open) -> None:
    """It is answered as a processing failure: the PACS may send it again."""
    one = bench()
    away = Ledger(f"sqlite:///{one.site.spool.root}/nowhere/ledger.sqlite")
    ds = Dataset()
    ds.TransactionUID = "2.25.1"
    assert Reports(away, Schedule.of(one.site.settings)).take(COMPLETE, ds, "PACS") == 0x0110


def test_without_an_answer_the_query_proves(bench: Open) -> None:
    """The wait is over: the object is found by C-FIND, and the proof says why that had to do."""
    one = bench(wait_s=0.2)
    with serving(one.pacs, CT):
        one.deliver()
        assert one.states() == [(SENT, None)] * 2
        one.deliver()
    assert one.proofs() == {"found by C-FIND at PACS, no storage commitment within 0.2 s"}
    assert len(one.pacs.asked) == 1
    ((_, request),) = one.pacs.asked
    assert report_anew(one.site.port, *report_of(request, failed=2), "PACS") == 0x0000
    assert one.states() == [(PROVEN, None)] * 2


def test_without_an_answer_and_without_the_object(bench: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither committed nor listed: sent again, and asked for anew."""
    one = bench(wait_s=0.2)
    monkeypatch.setattr(Bench, "objects", lambda _: [])
    with serving(one.pacs, CT):
        one.deliver()
        one.deliver()
        assert one.states() == [(PENDING, "destination-lost")] * 2
        one.deliver()
    assert len(one.pacs.received) == 4
    assert len({request.TransactionUID for _, request in one.pacs.asked}) == 2


def test_a_service_that_is_not_offered(bench: Open) -> None:
    """The query proves at once, and the proof says that the service is not there."""
    one = bench()
    one.pacs.on_commitment = None
    with serving(one.pacs, CT):
        one.deliver()
    (proof,) = one.proofs()
    assert proof is not None
    assert proof.startswith("found by C-FIND at PACS, no storage commitment: ")
    assert "abstract syntax not supported" in proof


def test_a_pacs_that_breaks_off_when_it_is_asked(bench: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have taken the request: an answer is waited for, and then the query proves."""
    one = bench(wait_s=0.2)
    monkeypatch.setattr(Pacs, "on_action", lambda _pacs, event: event.assoc.abort())
    with serving(one.pacs, CT):
        one.deliver()
        assert one.states() == [(SENT, None)] * 2
        one.deliver()
    assert one.proofs() == {"found by C-FIND at PACS, no storage commitment within 0.2 s"}


def test_a_pacs_that_goes_away_before_it_is_asked(bench: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent is not sent again: it is asked for, in a new transaction, when the PACS is back."""
    one = bench()
    one.pacs.on_commitment = lambda request, send: send(*report_of(request))

    def away(*_: object) -> None:
        raise Unavailable(Outage.DESTINATION_UNREACHABLE, "connection refused")

    with serving(one.pacs, CT):
        with monkeypatch.context() as patched:
            patched.setattr(commitment, "ask", away)
            one.deliver()
        assert one.states() == [(SENT, "destination-unreachable")] * 2
        one.deliver()
    assert one.states() == [(PROVEN, None)] * 2
    assert len(one.pacs.received) == len(one.commitments()) == 2


def test_a_report_that_overtakes_the_answer(bench: Open) -> None:
    """The PACS calls our listener before its answer to the request has reached us: the transaction is known already."""
    one = bench()
    statuses: list[int | None] = []

    def overtake(request: Dataset, send: Send) -> None:
        del send
        statuses.append(report_anew(one.site.port, *report_of(request), "PACS"))

    one.pacs.on_commitment = overtake
    with serving(one.pacs, CT):
        one.deliver()
    assert statuses == [0x0000]
    assert one.states() == [(PROVEN, None)] * 2


# --- without commitment -----------------------------------------------------------------------------------------------


def test_an_object_that_is_refused_does_not_hold_up_the_other(bench: Open) -> None:
    """One is answered A900, the other is stored and proven at once; the first goes its way alone."""
    one = bench(commitment=False)
    one.pacs.statuses = [0xA900, 0]
    with serving(one.pacs, CT):
        one.deliver()
        assert one.states() == [(PENDING, "destination-refused"), (PROVEN, None)]
        one.pacs.statuses = [0]
        one.deliver()
    assert one.states() == [(PROVEN, None)] * 2
    assert len(one.pacs.received) == 3


@pytest.mark.parametrize("rejected", [True, False], ids=["rejected", "still listed"])
def test_a_note_that_the_pacs_hides(bench: Open, monkeypatch: pytest.MonkeyPatch, *, rejected: bool) -> None:
    """A PACS may take the note out of sight with what it rejects: that these are gone proves it."""
    one = bench(commitment=False)
    old = ct_slice(StudyInstanceUID=STUDY)
    with serving(one.pacs, CT):
        one.deliver()
        _plan_note(one, old)
        monkeypatch.setattr(Bench, "objects", lambda _: [] if rejected else [old])
        one.deliver()
    note = next(row for row in one.rows() if row.kind == REJECTION)
    if rejected:
        assert note.proof == "what it rejects is not found by C-FIND at PACS"
    else:
        assert (note.state, note.reason) == (PENDING, "destination-lost")


def _plan_note(one: Bench, old: Dataset) -> None:
    """Plan a rejection note for an object."""
    note, study, series, item = ct_slice(StudyInstanceUID=STUDY), Dataset(), Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = old.SOPClassUID, old.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = old.SeriesInstanceUID, [item]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = STUDY, [series]
    note.CurrentRequestedProcedureEvidenceSequence = [study]
    with one.site.ledger.transaction() as session:
        deliveries.plan(
            session,
            job_key=one.job,
            destination="pacs",
            kind=REJECTION,
            sop_instance_uid=str(note.SOPInstanceUID),
            file="note.dcm",
            digest=one.site.spool.work(one.job).write("note.dcm", file_of(note)),
        )


# --- a real Orthanc ---------------------------------------------------------------------------------------------------


class Peculiar(Orthanc):
    """An Orthanc that answers success and may forget, may be unwilling to commit itself, or report elsewhere."""

    def __init__(self, folder: Path, port: int, *, forget: bool = False, commit: bool = True) -> None:
        super().__init__(folder, "ORTHANC", {"NODE": ("127.0.0.1", port)})
        self._forget, self._commit = forget, commit
        self._port = port

    def configuration(self) -> dict[str, object]:
        """Return its settings."""
        script = self.folder / "forget.lua"
        script.write_text("function ReceivedInstanceFilter(dicom, origin, info)\n  return false\nend\n")
        known = {"AET": "NODE", "Host": "127.0.0.1", "Port": self._port, "AllowStorageCommitment": self._commit}
        scripts = [str(script)] if self._forget else []
        return super().configuration() | {"LuaScripts": scripts, "DicomModalities": {"NODE": known}}


Peculiarly = Callable[..., AbstractContextManager[Bench]]


@pytest.fixture
def peculiarly(bench: Open, tmp_path: Path, free_port: Callable[[], int], lacking: Callable[[str], None]) -> Peculiarly:
    """Return a function that opens a bench whose PACS is such an Orthanc."""
    if not Orthanc.available():
        lacking("Orthanc")

    @contextmanager
    def run(
        *, forget: bool = False, commit: bool = True, stray: bool = False, wait_s: float = 3600.0
    ) -> Iterator[Bench]:
        port = free_port()
        report_to = free_port() if stray else port
        with Peculiar(tmp_path / "orthanc", report_to, forget=forget, commit=commit) as server:
            yield bench(wait_s, "ORTHANC", server.dicom_port, port=port)

    return run


def settled(one: Bench) -> None:
    """Wait until the PACS has reported."""
    until = time.monotonic() + 60
    while {row.state for row in one.rows()} == {SENT} and time.monotonic() < until:
        time.sleep(0.05)


def test_orthanc_commits_itself(peculiarly: Peculiarly) -> None:
    """It reports to our listener, on an association of its own."""
    with peculiarly() as one:
        one.deliver()
        settled(one)
        (transaction,) = one.commitments()
        assert one.proofs() == {f"committed in transaction {transaction.transaction_uid}"}


def test_an_orthanc_that_forgets_is_caught(peculiarly: Peculiarly) -> None:
    """It answers success to C-STORE and keeps nothing: it says so itself when it is asked."""
    with peculiarly(forget=True) as one:
        one.deliver()
        settled(one)
        assert one.states() == [(PENDING, "commitment-refused")] * 2
        assert {row.detail for row in one.rows()} == {"0112, no such object instance"}


def test_an_orthanc_that_does_not_commit_itself(peculiarly: Peculiarly) -> None:
    """The query proves in the end, and the proof says what was missing."""
    with peculiarly(commit=False, wait_s=2.0) as one:
        one.deliver()
        one.deliver()
        (proof,) = one.proofs()
        assert proof == "found by C-FIND at ORTHANC, no storage commitment within 2 s"


@pytest.mark.parametrize("forget", [False, True], ids=["keeps", "forgets"])
def test_an_orthanc_whose_report_never_comes(peculiarly: Peculiarly, *, forget: bool) -> None:
    """It reports to a port at which nobody listens: the query finds the objects, or finds them missing."""
    with peculiarly(stray=True, forget=forget, wait_s=2.0) as one:
        one.deliver()
        assert one.states() == [(SENT, None)] * 2
        one.deliver()
        expected = (PENDING, "destination-lost") if forget else (PROVEN, None)
        assert one.states() == [expected] * 2
