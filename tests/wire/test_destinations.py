"""Destinations that do not take everything: what goes there instead, over real associations, and what fails."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from pacs import Pacs, report_of, serving
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_context

from node import operations
from node.core.kinds import Kind
from node.core.ledger import Ledger, deliveries, jobs, products
from node.core.ledger.tables import Delivery, Study
from node.core.records import JobRequest, PatientFacts
from node.core.settings import ImportRules, MeasurementSettings, PacsDestination, Settings
from node.core.spool import Spool
from node.core.states import DeliveryState, StudyState
from node.probe import ask
from workers.delivery import deliver

from .sender import ct_slice, data_set_of, file_of

STUDY = "1.2.3"
AT = datetime.fromisoformat("2026-11-21T12:00:00")
PENDING, PROVEN, FAILED = DeliveryState.PENDING, DeliveryState.PROVEN, DeliveryState.FAILED
SEG, LABELMAP, SR, SUMMARY = (one.sop_class_uid for one in (Kind.SEG, Kind.SEG_LABELMAP, Kind.SR, Kind.SUMMARY))
USUAL = ("seg", "sr", "sr-viewer")
REFUSED = "sop-class-refused"


@dataclass
class Site:
    """A reported job with an object of every kind, of which the settings send some to a PACS."""

    settings: Settings
    spool: Spool
    ledger: Ledger
    pacs: Pacs
    job: str
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def destination(self) -> PacsDestination:
        """The PACS in the settings."""
        (one,) = self.settings.destinations
        assert isinstance(one, PacsDestination)
        return one

    def deliver(self) -> int:
        """Deliver what is due, as a worker does, until nothing is; return how often something was."""
        for times in range(9):
            with self.ledger.transaction() as session:
                if not deliveries.due(session, self.job, "pacs"):
                    return times
            deliver(self.job, "pacs", self.settings, self.spool, self.ledger)
        raise AssertionError("it is due again and again")

    def rows(self) -> dict[str, Delivery]:
        """Return the deliveries by kind."""
        with self.ledger.transaction() as session:
            return {one.kind: one for one in deliveries.of_job(session, self.job)}

    def told(self) -> dict[str, str]:
        """Return by kind what went for it and is proven; where nothing is, the reason."""
        rows = self.rows()
        last = {kind: deliveries.stand_in(row, list(rows.values())) for kind, row in rows.items()}
        return {kind: one.kind if one.state is PROVEN else str(one.reason) for kind, one in last.items()}

    def received(self) -> list[str]:
        """Return the kinds of the objects that came to the PACS, by their very bytes."""
        kinds = {data_set_of(content): kind for kind, content in self.files.items()}
        return sorted(kinds[content] for _, content in self.pacs.received)


Open = Callable[..., Site]


@pytest.fixture
def site(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Open]:
    """Return a function that opens a site; what goes to the PACS, and other settings of it, may be given."""
    opened: list[Ledger] = []

    def open_it(objects: tuple[str, ...] = USUAL, **changes: object) -> Site:
        pacs = Pacs(free_port(), keeps=True)
        values = {"kind": "dicom", "name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port}
        destination = PacsDestination(**(values | {"objects": objects} | changes))
        settings = Settings(
            home=tmp_path, ae_title="NODE", destinations=(destination,), retry_base_s=600.0, retry_longest_s=600.0
        )
        ledger, spool = Ledger(settings.ledger), Spool(settings.spool_dir)
        ledger.upgrade()
        spool.prepare()
        opened.append(ledger)
        request = _request()
        one = Site(settings, spool, ledger, pacs, request.key)
        _report(one, request)
        return one

    yield open_it
    for ledger in opened:
        ledger.close()


def _request() -> JobRequest:
    return JobRequest(
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


def _report(site: Site, request: JobRequest) -> None:
    """Enter a job with an object of every kind, and plan what the settings send."""
    with site.ledger.transaction() as session:
        session.add(Study(uid=STUDY, state=StudyState.COMPLETE, first_received_at=AT, last_received_at=AT))
        session.flush()
        assert jobs.enqueue(session, request) is not None
        for kind in Kind:
            ds = ct_slice(StudyInstanceUID=STUDY, SOPClassUID=kind.sop_class_uid)
            site.files[kind] = file_of(ds)
            written = site.spool.work(request.key).write(f"{kind}.dcm", site.files[kind])
            made = {"kind": kind.value, "sop_instance_uid": str(ds.SOPInstanceUID), "file": f"{kind}.dcm"}
            products.enter(session, job_key=request.key, digest=written, **made)
            if site.destination.wants(kind, (), refused=False):
                deliveries.plan(session, job_key=request.key, destination="pacs", digest=written, **made)


def taking(*classes: str) -> list[object]:
    """Return the contexts of a PACS that takes these classes."""
    return [build_context(one, ExplicitVRLittleEndian) for one in classes]


@pytest.mark.parametrize(
    ("objects", "taken", "told"),
    [
        (USUAL, (SEG, SR), {"seg": "seg", "sr": "sr", "sr-viewer": "sr-viewer"}),
        (USUAL, (SEG, SUMMARY), {"seg": "seg", "sr": "summary", "sr-viewer": "summary", "summary": "summary"}),
        (USUAL, (SR, SUMMARY), {"seg": "summary", "sr": "sr", "sr-viewer": "sr-viewer", "summary": "summary"}),
        (USUAL, (SUMMARY,), dict.fromkeys((*USUAL, "summary"), "summary")),
        (("sr", "summary"), (SUMMARY,), dict.fromkeys(("sr", "summary"), "summary")),
        (("seg-labelmap",), (LABELMAP, SEG), {"seg-labelmap": "seg-labelmap"}),
        (("seg-labelmap",), (SEG,), {"seg-labelmap": "seg", "seg": "seg"}),
        (("seg-labelmap",), (SUMMARY,), dict.fromkeys(("seg-labelmap", "seg", "summary"), "summary")),
    ],
    ids=[
        "takes all", "refuses SR", "refuses SEG", "refuses both", "refuses SR and has the Summary anyway",
        "takes label maps", "refuses label maps", "refuses every SEG",
    ],
)  # fmt: skip
def test_a_context_that_is_rejected(
    site: Open, objects: tuple[str, ...], taken: tuple[str, ...], told: dict[str, str]
) -> None:
    """What the PACS takes goes there; in place of the others the next best does, by its stored bytes, once."""
    one = site(objects)
    with serving(one.pacs, taking(*taken)):
        one.deliver()
    assert one.told() == told
    assert one.received() == sorted(set(told.values()))
    assert not operations.has_failed(one.ledger, STUDY)
    failed = {kind: row for kind, row in one.rows().items() if row.state is FAILED}
    assert {row.reason for row in failed.values()} <= {REFUSED}
    assert all("context" in str(row.detail) for row in failed.values())
    assert {row.attempts for row in failed.values()} <= {1}


@pytest.mark.parametrize("status", [0x0122, 0x0124])
def test_a_status_that_refuses_the_kind(site: Open, status: int) -> None:
    """The context is accepted and the object is not: the same, with the status as the detail."""
    one = site()
    one.pacs.unsupported = {SR: status}
    with serving(one.pacs, taking(SEG, SR, SUMMARY)):
        assert one.deliver() == 2
    assert one.told() == {"seg": "seg", "sr": "summary", "sr-viewer": "summary", "summary": "summary"}
    assert str(one.rows()["sr"].detail).startswith(f"C-STORE answered {status:04X}, ")
    assert not operations.has_failed(one.ledger, STUDY)


@pytest.mark.parametrize(
    ("taken", "unsupported", "attempts"),
    [((CTImageStorage,), {}, 2), ((), {}, 2), ((SEG, SR, SUMMARY), dict.fromkeys((SEG, SR, SUMMARY), 0x0122), 2)],
    ids=["takes CT only", "takes no storage at all", "answers 0122 to everything"],
)
def test_a_destination_that_refuses_all_fails_visibly(
    site: Open, taken: tuple[str, ...], unsupported: dict[str, int], attempts: int
) -> None:
    """The Summary is tried, and refused: everything has failed at once, and whoever asks for the status is told."""
    one = site()
    one.pacs.unsupported = unsupported
    with serving(one.pacs, taking(*taken)):
        assert one.deliver() == attempts
    assert one.told() == dict.fromkeys((*USUAL, "summary"), REFUSED)
    assert {row.state for row in one.rows().values()} == {FAILED}
    assert operations.has_failed(one.ledger, STUDY)


def test_a_destination_that_wants_no_substitute(site: Open) -> None:
    """What it refuses has failed, and the Summary does not go there."""
    one = site(substitutes=False)
    with serving(one.pacs, taking(SEG, SUMMARY)):
        one.deliver()
    assert one.told() == {"seg": "seg", "sr": REFUSED, "sr-viewer": REFUSED}
    assert operations.has_failed(one.ledger, STUDY)


def test_no_association_at_all_is_no_refusal(site: Open) -> None:
    """Nobody listens, or it rejects the association: that may change, and is tried again."""
    one = site()
    assert one.deliver() == 1
    assert set(one.told().values()) == {"destination-unreachable"}
    with one.ledger.transaction() as session:
        for row in deliveries.of_job(session, one.job):
            row.not_before = AT
    with serving(one.pacs, taking(SEG), ae_title="OTHER"):
        one.deliver()
    assert one.told() == dict.fromkeys(USUAL, "destination-refused")
    assert {row.state for row in one.rows().values()} == {PENDING}


def test_the_summary_is_committed_as_any_object(site: Open) -> None:
    """Storage commitment is asked for it, in a transaction of its own."""
    one = site(commitment=True)
    one.pacs.on_commitment = lambda request, send: send(*report_of(request))
    with serving(one.pacs, taking(SEG, SUMMARY)):
        one.deliver()
        until = time.monotonic() + 20
        while one.rows()["summary"].state is not PROVEN and time.monotonic() < until:
            time.sleep(0.02)
    rows = one.rows()
    for kind in ("seg", "summary"):
        assert rows[kind].proof == f"committed in transaction {rows[kind].transaction_uid}"
    assert rows["sr"].transaction_uid is None


def test_a_summary_that_was_changed_is_never_sent(site: Open) -> None:
    """Its digest was noted when it was made, not when it was needed."""
    one = site()
    one.spool.work(one.job).write("summary.dcm", one.files["summary"] + b"\0")
    with serving(one.pacs, taking(SEG, SUMMARY)):
        one.deliver()
    assert one.told() == {
        "seg": "seg",
        "sr": "input-untrusted",
        "sr-viewer": "input-untrusted",
        "summary": "input-untrusted",
    }
    assert one.received() == ["seg"]
    assert operations.has_failed(one.ledger, STUDY)


def test_a_destination_that_takes_it_later_gets_it(site: Open) -> None:
    """Its configuration was mended and the job run again: the SR goes there as well, and the Summary not again."""
    one = site(("sr",))
    with serving(one.pacs, taking(SUMMARY)):
        one.deliver()
    with one.ledger.transaction() as session:
        deliveries.retry(session, "the job was run again", job_key=one.job)
    with serving(one.pacs, taking(SR, SUMMARY)):
        one.deliver()
    assert one.told() == {"sr": "sr", "summary": "summary"}
    assert one.received() == ["sr", "summary"]


@pytest.mark.parametrize(
    ("taken", "sentence", "good"),
    [
        ((SEG, SR), "pacs takes seg, sr, sr-viewer", True),
        ((SR, SUMMARY), "pacs takes sr, sr-viewer; gets summary in place of seg", True),
        ((SEG,), "pacs takes seg; gets nothing of sr, sr-viewer", False),
        ((), "pacs gets nothing of seg, sr, sr-viewer", False),
    ],
)
def test_a_pacs_is_asked_what_it_takes(site: Open, taken: tuple[str, ...], sentence: str, *, good: bool) -> None:
    """By the contexts that it accepts; nothing is sent."""
    one = site()
    with serving(one.pacs, taking(*taken)):
        assert ask(one.destination, "NODE") == (sentence, good)
    assert one.pacs.received == []


def test_a_pacs_that_cannot_be_asked(site: Open) -> None:
    """The sentence says why."""
    one = site()
    sentence, good = ask(one.destination, "NODE")
    assert (sentence.startswith("pacs: "), "connection refused" in sentence, good) == (True, True, False)
