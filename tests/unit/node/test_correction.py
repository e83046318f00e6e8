import copy
from collections.abc import Callable, Sequence
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian
from structlog.testing import capture_logs

from node import handoff, operations
from node import steward as module
from node.core.ledger import Ledger, arrivals, deliveries, jobs, studies
from node.core.ledger.arrivals import Arrival
from node.core.ledger.moves import move_study
from node.core.ledger.tables import Association, Delivery, Job, StoredInstance, Study, StudyFlag, Variant
from node.core.reasons import Flag, StudyRefusal
from node.core.records import Instance, JobRequest, parse
from node.core.settings import Settings
from node.core.spool import Spool, digest
from node.core.states import JobState, StudyState
from node.steward import Steward

Datasets = Callable[..., list[Dataset]]
Receive = Callable[..., list[Instance]]
STUDY = "1.2.3"
NOBODY = "redis://127.0.0.1:1/0"


class Site:
    """A spool, a ledger and a steward, and what a sender may do to them a second time."""

    def __init__(self, ledger: Ledger, spool: Spool, settings: Settings, clock: Any, receive: Receive) -> None:
        self.ledger, self.spool, self.clock, self.receive = ledger, spool, clock, receive
        self.steward = Steward(ledger, spool, settings.model_copy(update={"broker_url": NOBODY}))

    def judge(self) -> None:
        """Let the study fall quiet, and the steward make the rounds in which it settles (the broker is away)."""
        self.clock.forward(1)
        for _ in range(4):
            self.steward._assembly.round()

    def again(
        self, datasets: Sequence[Dataset], association: str = "a2", syntax: Any = None, *, open_: bool = False
    ) -> list[str]:
        """Take instances in whose UIDs are taken, as intake does; return their digests."""
        made = []
        self.clock.forward(0.0001)
        with self.ledger.transaction() as session:
            if session.get(Association, association) is None:
                studies.open_association(session, association, "PACS", "127.0.0.1")
            for ds in datasets:
                content = encoded(ds, syntax)
                made.append(digest(content))
                written = syntax or ds.file_meta.TransferSyntaxUID
                row = session.get_one(StoredInstance, str(ds.SOPInstanceUID))
                path = f"{row.path.removesuffix('.dcm')}.{made[-1][:12]}.dcm"
                self.spool.write(path, content)
                arrivals.keep_beside(
                    session,
                    row,
                    Arrival(
                        Instance(row.sop_instance_uid, row.sop_class_uid, str(written), made[-1], path),
                        row.study_uid,
                        row.series_uid,
                        association,
                        "PACS",
                        "127.0.0.1",
                    ),
                )
            if not open_:
                studies.close_association(session, association, "released")
        return made

    def deliver(self, *, proven: bool = True) -> None:
        """Let the current job report, and its one object reach the destination."""
        with self.ledger.transaction() as session:
            job = jobs.of_study(session, STUDY)[-1]
            jobs.take(session, job.key, job.stage, "w1", timedelta(seconds=60))
            jobs.finish(session, job.key, "w1")
            deliveries.plan(
                session, job_key=job.key, destination="pacs", kind="sr", sop_instance_uid="2.25.1", file="x", digest="x"
            )
            if proven:
                deliveries.mark_sent(session, session.get_one(Delivery, ("2.25.1", "pacs")), "0000")

    def study(self) -> tuple[StudyState, str | None]:
        """State of the study, and its reason."""
        with self.ledger.transaction() as session:
            row = session.get_one(Study, STUDY)
            return row.state, row.reason

    def jobs(self) -> list[Job]:
        """Its jobs, oldest first."""
        with self.ledger.transaction() as session:
            return list(jobs.of_study(session, STUDY))

    def flags(self) -> set[str]:
        """Codes of its flags."""
        with self.ledger.transaction() as session:
            return {row.code for row in session.query(StudyFlag).filter_by(study_uid=STUDY)}

    def digests(self) -> set[str]:
        """Digests of the files that are measured."""
        with self.ledger.transaction() as session:
            return {row.digest for row in studies.instances_of(session, STUDY)}

    def kept(self) -> set[str]:
        """Digests of the variants."""
        with self.ledger.transaction() as session:
            return {row.digest for row in session.query(Variant).filter_by(study_uid=STUDY)}

    def measured(self) -> list[Dataset]:
        """Return the files that the last job measures, verified."""
        request = parse(JobRequest, self.jobs()[-1].request)
        return [dcmread(BytesIO(self.spool.verified(one))) for one in request.candidates[0].instances]


def encoded(ds: Dataset, syntax: Any = None) -> bytes:
    buffer = BytesIO()
    one = copy.deepcopy(ds)
    one.file_meta.TransferSyntaxUID = syntax or ds.file_meta.TransferSyntaxUID
    one.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def changed(datasets: Sequence[Dataset], **attributes: Any) -> list[Dataset]:
    """Return copies with other attributes; None takes one away."""
    made = [copy.deepcopy(ds) for ds in datasets]
    for ds in made:
        for keyword, value in attributes.items():
            if value is None:
                del ds[keyword]
            else:
                setattr(ds, keyword, value)
    return made


OTHER = {"PatientID": "P2", "PatientName": "Roe^Mary", "PatientBirthDate": "19610203"}


@pytest.fixture
def site(
    ledger: Ledger, clock: Any, spool: Spool, settings: Settings, receive: Receive, monkeypatch: pytest.MonkeyPatch
) -> Site:
    for one in (module, arrivals):
        monkeypatch.setattr(one, "now", clock)
    return Site(ledger, spool, settings, clock, receive)


@pytest.fixture
def first(site: Site, series: Datasets) -> list[Dataset]:
    """A study of twelve slices that was judged: one job waits."""
    datasets = series()
    site.receive(datasets)
    site.judge()
    assert [job.state for job in site.jobs()] == [JobState.QUEUED]
    return datasets


@pytest.mark.parametrize(
    "attributes",
    [
        OTHER,
        {"PatientID": "P2"},
        {"PatientSex": "M"},
        {"PatientSex": None},
        {"AccessionNumber": "A-9", "StudyDescription": "CT abdomen"},
        {"PatientSize": "1.62"},
        {"PatientID": "P2", "WindowCenter": "40", "WindowWidth": "400"},
    ],
)
def test_a_correction_before_delivery_is_taken_over(
    site: Site, first: list[Dataset], attributes: dict[str, Any]
) -> None:
    """The later files are measured by a job of their own; the first are kept, and the study says what happened."""
    before = site.digests()
    new = set(site.again(changed(first, **attributes)))
    site.judge()
    assert site.study() == (StudyState.COMPLETE, None)
    assert (site.digests(), site.kept()) == (new, before)
    assert [job.state for job in site.jobs()] == [JobState.SUPERSEDED, JobState.QUEUED]
    assert site.flags() == {Flag.PATIENT_CORRECTED}
    for ds in site.measured():
        for keyword, value in attributes.items():
            assert ds.get(keyword) == (value if not isinstance(value, str) or "." not in value else float(value))


def test_a_correction_that_is_still_coming_is_waited_for(site: Site, first: list[Dataset]) -> None:
    """Half of it could be a conflict that the other half resolves."""
    site.again(changed(first[:5], **OTHER), open_=True)
    site.judge()
    assert site.study()[0] is StudyState.RECEIVING
    new = site.again(changed(first[5:], **OTHER))
    site.judge()
    assert site.study() == (StudyState.COMPLETE, None)
    assert site.digests() > set(new)


def test_what_was_made_and_not_yet_sent_is_never_sent(site: Site, first: list[Dataset]) -> None:
    """A result that waits for its delivery tells of the wrong patient: it is stopped at once, before a new job is."""
    site.deliver(proven=False)
    site.again(changed(first, **OTHER))
    site.clock.forward(1)
    site.steward._assembly.round()
    assert site.flags() == {Flag.PATIENT_CORRECTED}
    assert [job.state for job in site.jobs()] == [JobState.SUPERSEDED]
    with site.ledger.transaction() as session:
        assert list(deliveries.waiting(session)) == []


def test_after_delivery_it_is_flagged_and_a_person_decides(site: Site, first: list[Dataset]) -> None:
    """Nothing is measured or sent by itself; after `crlm-node replay` the corrected study is."""
    before, [job] = site.digests(), site.jobs()
    site.deliver()
    new = set(site.again(changed(first, **OTHER)))
    site.judge()
    assert site.study() == (StudyState.COMPLETE, None)
    assert site.digests() == before
    assert [one.key for one in site.jobs()] == [job.key]
    assert site.flags() == {Flag.VARIANT_KEPT, Flag.PATIENT_CHANGED}
    operations.replay(site.ledger, site.spool, STUDY, "corrected in the PACS")
    site.judge()
    assert (site.digests(), site.kept()) == (new, before)
    assert [one.state for one in site.jobs()] == [JobState.SUPERSEDED, JobState.QUEUED]
    assert site.flags() == {Flag.PATIENT_CORRECTED}


def test_a_part_that_contradicts_waits_in_quarantine_for_the_rest(site: Site, first: list[Dataset]) -> None:
    """Slices of two patients are measured for neither, and nothing is exchanged; with the rest the study is whole."""
    before = site.digests()
    site.deliver(proven=False)
    part = site.again(changed(first[:5], **OTHER))
    site.judge()
    assert site.study() == (StudyState.QUARANTINED, StudyRefusal.PATIENT_CONFLICT)
    assert site.digests() == before
    assert [job.state for job in site.jobs()] == [JobState.SUPERSEDED]
    rest = site.again(changed(first[5:], **OTHER), association="a3")
    site.judge()
    assert site.study() == (StudyState.COMPLETE, None)
    assert site.digests() == {*part, *rest}
    assert [job.state for job in site.jobs()] == [JobState.SUPERSEDED, JobState.QUEUED]


def test_a_part_that_contradicts_nobody_waits_for_the_rest(site: Site, first: list[Dataset]) -> None:
    """Half an accession number is none: the first files stay measured, and the study stays flagged, until all came."""
    before = site.digests()
    part = site.again(changed(first[:5], AccessionNumber="A-9"))
    site.judge()
    assert site.study() == (StudyState.COMPLETE, None)
    assert (site.digests(), len(site.jobs())) == (before, 1)
    assert site.flags() == {Flag.VARIANT_KEPT}
    rest = site.again(changed(first[5:], AccessionNumber="A-9"), association="a3")
    site.judge()
    assert site.digests() == {*part, *rest}
    assert site.flags() == {Flag.PATIENT_CORRECTED}


def test_the_one_wrong_slice_is_corrected_alone(site: Site, series: Datasets) -> None:
    """A study in quarantine for one slice of another patient is released by that slice as it should be."""
    datasets = series(PatientID=lambda index: "P2" if index == 7 else "P1")
    site.receive(datasets)
    site.judge()
    assert site.study() == (StudyState.QUARANTINED, StudyRefusal.PATIENT_CONFLICT)
    site.again(changed(datasets[7:8], PatientID="P1"))
    site.judge()
    assert site.study() == (StudyState.COMPLETE, None)
    assert {ds.PatientID for ds in site.measured()} == {"P1"}


def shifted(index: int) -> list[float]:
    return [0.0, 0.0, index * 3.0 + 1]


@pytest.mark.parametrize(
    "attributes",
    [
        {"PixelData": bytes([77]) * 128},
        {"RescaleIntercept": -24},
        {"PixelSpacing": [0.9, 0.9]},
        {"ImagePositionPatient": [0.0, 0.0, 200.0]},
        {"SeriesInstanceUID": "1.2.3.77"},
        {"StudyInstanceUID": "1.2.77"},
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
    ],
)
def test_another_image_is_no_correction(site: Site, first: list[Dataset], attributes: dict[str, Any]) -> None:
    """Whatever its patient: it is kept beside, the study is flagged, and the first is measured as before."""
    before = site.digests()
    site.again(changed(first, **OTHER, **attributes))
    site.judge()
    assert site.study() == (StudyState.COMPLETE, None)
    assert (site.digests(), len(site.jobs())) == (before, 1)
    assert site.flags() == {Flag.VARIANT_KEPT}


def test_the_same_image_of_the_same_patient_is_no_correction(site: Site, first: list[Dataset]) -> None:
    """A private note, or another window, changes nothing."""
    before = site.digests()
    noted = changed(first, WindowCenter="40", WindowWidth="400")
    for ds in noted:
        ds.private_block(0x0009, "SOMEBODY", create=True).add_new(0x01, "LO", "a note")
    site.again(noted)
    site.judge()
    assert (site.digests(), len(site.jobs())) == (before, 1)


def test_a_correction_may_come_in_another_uncompressed_encoding(site: Site, first: list[Dataset]) -> None:
    """What came from the modality in one, and from the PACS in another, is compared by its values."""
    new = set(site.again(changed(first, **OTHER), syntax=ImplicitVRLittleEndian))
    site.judge()
    assert site.digests() == new
    assert {ds.PatientID for ds in site.measured()} == {"P2"}


def test_who_passes_on_a_correction_is_not_who_made_the_image(site: Site, first: list[Dataset]) -> None:
    """The rules of import and priority go by the first sender; the associations still tell who brought what."""
    site.again(changed(first, **OTHER))
    site.judge()
    with site.ledger.transaction() as session:
        rows = studies.instances_of(session, STUDY)
        assert {(row.calling_ae_title, row.association_id) for row in rows} == {("SCANNER", "a2")}
        kept = {(row.calling_ae_title, row.association_id) for row in session.query(Variant)}
    assert kept == {("SCANNER", "a1")}


def test_the_uncorrected_study_again_changes_nothing_back(site: Site, first: list[Dataset]) -> None:
    """Content that was there before the correction stays older than it, however often the modality sends it."""
    new = set(site.again(changed(first, **OTHER)))
    site.judge()
    with site.ledger.transaction() as session:  # as intake does for content that is known: nothing but a look
        study = session.get_one(Study, STUDY)
        move_study(session, study, StudyState.RECEIVING, "looked at again")
    site.judge()
    assert site.digests() == new
    assert len(site.jobs()) == 2


def test_the_latest_of_two_corrections_counts(site: Site, first: list[Dataset]) -> None:
    """A correction of the correction, also before the study was judged in between; all that came is kept."""
    before = site.digests()
    middle = set(site.again(changed(first, PatientID="P2")))
    site.clock.forward(0.0001)
    last = set(site.again(changed(first, PatientID="P3"), association="a3"))
    site.judge()
    assert (site.digests(), site.kept()) == (last, before | middle)
    final = set(site.again(changed(first, PatientID="P4"), association="a4"))
    site.judge()
    assert (site.digests(), site.kept()) == (final, before | middle | last)


def test_a_variant_of_another_image_does_not_hide_a_correction(site: Site, first: list[Dataset]) -> None:
    """It is the newest one that shows the same image that counts; the study stays flagged for the other."""
    new = set(site.again(changed(first, **OTHER)))
    site.clock.forward(0.0001)
    site.again(changed(first[:1], PixelData=bytes([9]) * 128), association="a3")
    site.judge()
    assert site.digests() == new
    assert site.flags() == {Flag.VARIANT_KEPT, Flag.PATIENT_CORRECTED}


def test_a_changed_variant_is_not_trusted(site: Site, first: list[Dataset]) -> None:
    """A kept file that is not the one that was received quarantines the study."""
    [new, *_] = site.again(changed(first, **OTHER))
    with site.ledger.transaction() as session:
        path = session.query(Variant).filter_by(digest=new).one().path
    (site.spool.root / path).write_bytes(b"something else")
    site.judge()
    assert site.study() == (StudyState.QUARANTINED, StudyRefusal.INPUT_UNTRUSTED)


def test_what_comes_while_the_study_is_judged_is_judged_too(
    site: Site, first: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A correction that arrives between reading and entering: the study is not closed over it."""
    late = changed(first, **OTHER)
    enter = handoff.enter

    def meanwhile(*args: Any) -> None:
        monkeypatch.setattr(handoff, "enter", enter)
        site.again(late, association="a9")
        enter(*args)

    monkeypatch.setattr(handoff, "enter", meanwhile)
    site.again(changed(first[:1], PixelData=bytes([9]) * 128))
    site.judge()
    site.judge()
    assert {ds.PatientID for ds in site.measured()} == {"P2"}


def test_a_study_whose_files_were_removed_stays_closed(site: Site, first: list[Dataset]) -> None:
    """There is nothing to compare with; that something came is flagged."""
    site.again(changed(first, **OTHER))
    with site.ledger.transaction() as session:
        for row in studies.instances_of(session, STUDY):
            row.removed_at = site.clock()
    site.judge()
    assert site.study() == (StudyState.COMPLETE, None)
    assert site.flags() == {Flag.VARIANT_KEPT}


def test_no_patient_is_told(site: Site, first: list[Dataset]) -> None:
    """Neither log nor flag nor cause names who it was or is."""
    with capture_logs() as logs:
        site.again(changed(first[:5], **OTHER))
        site.judge()
        site.again(changed(first[5:], **OTHER), association="a3")
        site.judge()
    with site.ledger.transaction() as session:
        told = [event.cause for event in studies.events_of(session, "study", STUDY)]
        told += [flag.detail for flag in session.query(StudyFlag)]
    assert "patient-corrected" in {entry["event"] for entry in logs}
    for word in ("Roe", "Doe", "P2", "19610203"):
        assert word not in repr(logs) + repr(told)
