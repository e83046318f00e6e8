"""C-STORE: what is answered, and what lies in the spool and the ledger by then."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
    SegmentationStorage,
    generate_uid,
)
from structlog.testing import capture_logs

from node.core.ledger import deliveries, moves, now
from node.core.ledger.tables import Base, Job, StoredInstance, Study, StudyFlag, Variant
from node.core.offer import Offer
from node.core.reasons import Flag
from node.core.states import JobState, Stage, StudyState
from node.intake import Intake

from .conftest import Site
from .sender import associate, ct_slice, data_set_of, file_of, offer, offer_slice

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # the UIDs are meant to be impossible

Send = Callable[[FileDataset], Dataset]


@pytest.fixture
def send(site: Site) -> Send:
    """Return a function that offers a slice over an association of its own."""

    def send_it(ds: FileDataset) -> Dataset:
        assoc = associate(site.port)
        answer = offer(assoc, data_set_of(file_of(ds)), ds.SOPInstanceUID, ds.SOPClassUID)
        assoc.release()
        return answer

    return send_it


def test_slice_is_durable_when_it_is_answered(site: Site) -> None:
    """At the moment of 0x0000 the file holds the bytes that were sent, and the ledger their digest and their way."""
    ds = ct_slice()
    sent = data_set_of(file_of(ds))
    assoc = associate(site.port)
    assert offer(assoc, sent, ds.SOPInstanceUID).Status == 0x0000
    row, study = site.row(ds.SOPInstanceUID), site.study(ds.StudyInstanceUID)
    assert row is not None
    assert study is not None
    content = (site.spool.root / row.path).read_bytes()
    assert data_set_of(content) == sent
    assert row.digest == hashlib.sha256(content).hexdigest()
    assert row.path == f"instances/{ds.StudyInstanceUID}/{ds.SeriesInstanceUID}/{ds.SOPInstanceUID}.dcm"
    assert (row.calling_ae_title, row.transfer_syntax_uid) == ("TESTER", ExplicitVRLittleEndian)
    assert study.state is StudyState.RECEIVING
    assoc.release()


def test_stored_file_names_its_sender(site: Site, send: Send) -> None:
    """The file meta information is whole and says who sent it, so that the ledger can be rebuilt from the spool."""
    ds = ct_slice()
    send(ds)
    stored = dcmread(site.files()[0])
    assert stored.file_meta.SendingApplicationEntityTitle == "TESTER"
    assert stored.file_meta.ReceivingApplicationEntityTitle == "NODE"
    assert stored.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert stored.PatientName == ds.PatientName
    assert (stored.pixel_array == ds.pixel_array).all()


def test_same_bytes_again_change_nothing(site: Site, send: Send) -> None:
    """A second sending is answered with success and leaves file and events as they are; it does not reopen a study."""
    ds = ct_slice()
    assert send(ds).Status == 0
    with site.ledger.transaction() as session:
        moves.move_study(session, session.get_one(Study, ds.StudyInstanceUID), StudyState.COMPLETE, "test")
    before = site.files()[0].stat()
    assert send(ds).Status == 0
    assert [(path.stat().st_mtime_ns, path.stat().st_ino) for path in site.files()] == [
        (before.st_mtime_ns, before.st_ino)
    ]
    assert [event.cause for event in site.events()] == ["first instance", "test"]


def test_same_bytes_of_another_sender_are_known(open_site: Callable[..., Site]) -> None:
    """Who sends it changes the file meta information, not the instance: the PACS may send what the modality sent."""
    site = open_site(calling=[{"ae_title": "MODALITY"}, {"ae_title": "PACS"}])
    ds = ct_slice()
    for calling in ("MODALITY", "PACS"):
        assoc = associate(site.port, calling=calling)
        assert offer_slice(assoc, ds) == 0
        assoc.release()
    row = site.row(ds.SOPInstanceUID)
    assert row is not None
    assert row.calling_ae_title == "MODALITY"


def test_further_slice_reopens_a_complete_study(site: Site, send: Send) -> None:
    """A late slice makes its study receive again."""
    ds = ct_slice()
    send(ds)
    with site.ledger.transaction() as session:
        moves.move_study(session, session.get_one(Study, ds.StudyInstanceUID), StudyState.COMPLETE, "test")
    assert send(ct_slice(StudyInstanceUID=ds.StudyInstanceUID)).Status == 0
    study = site.study(ds.StudyInstanceUID)
    assert study is not None
    assert study.state is StudyState.RECEIVING


_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def _changed(ds: FileDataset, **changes: object) -> FileDataset:
    """Return an instance of the same UIDs with other content."""
    return ct_slice(**{name: ds[name].value for name in _UIDS}, **changes)


def _variants(site: Site) -> list[Variant]:
    with site.ledger.transaction() as session:
        return list(session.query(Variant))


def _flags(site: Site) -> set[tuple[str, str]]:
    with site.ledger.transaction() as session:
        return {(row.study_uid, row.code) for row in session.query(StudyFlag)}


def _assert_ledger_equals_spool(site: Site) -> None:
    """Every file has its row and every row its file, and the digest is that of the file."""
    with site.ledger.transaction() as session:
        rows = [*session.query(StoredInstance), *session.query(Variant)]
    held = {str(path.relative_to(site.spool.root)): path.read_bytes() for path in site.files()}
    assert {row.path: row.digest for row in rows} == {
        path: hashlib.sha256(content).hexdigest() for path, content in held.items()
    }


def test_other_bytes_under_a_used_uid_are_kept_beside(site: Site, send: Send) -> None:
    """The first stays as it is; the other lies beside it, durable at 0x0000, and the study is flagged."""
    ds = ct_slice()
    send(ds)
    (first,) = site.files()
    kept = first.read_bytes()
    other = _changed(ds, PatientID="OTHER")
    assert send(other).Status == 0
    assert first.read_bytes() == kept
    (variant,) = _variants(site)
    beside = site.spool.root / variant.path
    assert data_set_of(beside.read_bytes()) == data_set_of(file_of(other))
    assert beside.parent == first.parent
    assert _flags(site) == {(ds.StudyInstanceUID, Flag.VARIANT_KEPT)}
    _assert_ledger_equals_spool(site)


def test_variant_again_changes_nothing(open_site: Callable[..., Site]) -> None:
    """First and variant, again, and from another sender: success, the same two files, no event, no study reopened."""
    site = open_site(calling=[{"ae_title": "TESTER"}, {"ae_title": "PACS"}])
    ds = ct_slice()
    both = ds, _changed(ds, PatientID="OTHER")
    assoc = associate(site.port)
    assert [offer_slice(assoc, one) for one in both] == [0, 0]
    with site.ledger.transaction() as session:
        moves.move_study(session, session.get_one(Study, ds.StudyInstanceUID), StudyState.COMPLETE, "test")
    before = {path: path.stat().st_ino for path in site.files()}
    again = associate(site.port, calling="PACS")
    assert [offer_slice(one, slice_) for one in (assoc, again) for slice_ in both] == [0] * 4
    assoc.release()
    again.release()
    assert {path: path.stat().st_ino for path in site.files()} == before
    assert len(_variants(site)) == 1
    assert [event.cause for event in site.events()] == ["first instance", "test"]
    _assert_ledger_equals_spool(site)


def test_variant_alone_does_not_reopen_a_study(site: Site, send: Send) -> None:
    """A study that was complete stays so: whether other content matters is judged later."""
    ds = ct_slice()
    send(ds)
    with site.ledger.transaction() as session:
        moves.move_study(session, session.get_one(Study, ds.StudyInstanceUID), StudyState.COMPLETE, "test")
    assert send(_changed(ds, PatientID="OTHER")).Status == 0
    study = site.study(ds.StudyInstanceUID)
    assert study is not None
    assert study.state is StudyState.COMPLETE


def test_used_uid_in_another_study_is_kept_beside_the_first(site: Site, send: Send) -> None:
    """A SOP Instance UID is one instance wherever it comes: the other study gets no row, and no folder of its own."""
    ds = ct_slice()
    send(ds)
    other = ct_slice(SOPInstanceUID=ds.SOPInstanceUID)
    assert [send(other).Status, send(other).Status] == [0, 0]
    assert site.study(other.StudyInstanceUID) is None
    assert not (site.spool.root / "instances" / other.StudyInstanceUID).exists()
    assert [row.study_uid for row in _variants(site)] == [ds.StudyInstanceUID]
    assert len(site.files()) == 2
    _assert_ledger_equals_spool(site)


def test_other_transfer_syntax_is_other_content(site: Site, send: Send) -> None:
    """The same bytes under another transfer syntax mean something else: they are a variant."""
    ds = ct_slice()
    send(ds)
    assoc = associate(site.port, (CTImageStorage, ImplicitVRLittleEndian))
    assert offer_slice(assoc, ct_slice(ImplicitVRLittleEndian, **{name: ds[name].value for name in _UIDS})) == 0
    assoc.release()
    assert [row.transfer_syntax_uid for row in _variants(site)] == [ImplicitVRLittleEndian]
    _assert_ledger_equals_spool(site)


def _cut(ds: FileDataset) -> bytes:
    return data_set_of(file_of(ds))[:-10]


def _headless(ds: FileDataset) -> bytes:
    del ds.PixelData
    return data_set_of(file_of(ds))


@pytest.mark.parametrize(
    ("wrong", "code", "status"),
    [
        (_cut, "dataset-truncated", 0xC000),
        (_headless, "dataset-truncated", 0xC000),
        (lambda ds: data_set_of(file_of(ds))[:40], "dataset-truncated", 0xC000),
        (lambda _: b"GET / HTTP/1.1\r\n\r\n" * 9, "uid-invalid", 0xC000),
        (lambda _: data_set_of(file_of(ct_slice())), "uid-mismatch", 0xA900),
    ],
    ids=["cut", "no-pixels", "header-cut", "no-data-set", "other-instance"],
)
def test_wrong_data_set_is_refused(site: Site, wrong: Callable[[FileDataset], bytes], code: str, status: int) -> None:
    """A data set that is cut, is none, or is not the announced instance is answered with its code and not kept."""
    ds = ct_slice()
    assoc = associate(site.port)
    answer = offer(assoc, wrong(ds), ds.SOPInstanceUID)
    assert (answer.Status, answer.ErrorComment.split(":")[0]) == (status, code)
    assert site.files() == []
    assert offer_slice(assoc, ct_slice()) == 0, "the association serves on"
    assoc.release()


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", ["", "../../../etc/passwd", "1.2/3", "1.2.A", "."])
def test_impossible_uid_touches_no_path(site: Site, send: Send, keyword: str, value: str) -> None:
    """A study or series UID that is no UID is refused before it becomes a folder's name."""
    answer = send(ct_slice(**{keyword: value}))
    assert (answer.Status, answer.ErrorComment) == (0xC000, f"uid-invalid: {keyword}")
    assert site.files() == []


def test_impossible_uid_in_the_request_is_refused(site: Site) -> None:
    """The announced SOP Instance UID is checked like those of the data set."""
    assoc = associate(site.port)
    answer = offer(assoc, data_set_of(file_of(ct_slice())), "../../tmp/x")
    assert (answer.Status, answer.ErrorComment) == (0xC000, "uid-invalid: in the request")
    assoc.release()


@pytest.mark.parametrize(
    ("sop_class", "status", "code"),
    [(MRImageStorage, 0x0122, "sop-class-unsupported"), (SegmentationStorage, 0xA900, "uid-mismatch")],
)
def test_context_used_for_another_class_is_refused(site: Site, sop_class: str, status: int, code: str) -> None:
    """Over the context that was accepted for CT images nothing else is taken, whatever the peer announces."""
    ds = ct_slice(SOPClassUID=sop_class)
    assoc = associate(site.port)
    answer = offer(assoc, data_set_of(file_of(ds)), ds.SOPInstanceUID, sop_class)
    assert (answer.Status, answer.ErrorComment.split(":")[0]) == (status, code)
    assoc.release()


def test_class_of_the_data_set_must_be_the_announced_one(site: Site) -> None:
    """An MR image that is announced as CT is refused."""
    ds = ct_slice(SOPClassUID=MRImageStorage)
    assoc = associate(site.port)
    answer = offer(assoc, data_set_of(file_of(ds)), ds.SOPInstanceUID, CTImageStorage)
    assert (answer.Status, answer.ErrorComment) == (0xA900, "uid-mismatch: SOPClassUID")
    assoc.release()


def _plan(site: Site, sop_instance_uid: str) -> None:
    """Enter an object as one that we made."""
    at = now()
    with site.ledger.transaction() as session:
        session.add(Study(uid="1.2", state=StudyState.COMPLETE, first_received_at=at, last_received_at=at))
        session.flush()
        states = {"state": JobState.REPORTED, "stage": Stage.DELIVER, "attempts": 0}
        session.add(Job(key="k", study_uid="1.2", request="", created_at=at, not_before=at, **states))
        session.flush()
        planned = {"job_key": "k", "destination": "pacs", "kind": "seg", "file": "seg.dcm", "digest": "0"}
        deliveries.plan(session, sop_instance_uid=sop_instance_uid, **planned)


@pytest.mark.parametrize(
    "sop_class",
    [SegmentationStorage, Comprehensive3DSRStorage, KeyObjectSelectionDocumentStorage],
    ids=lambda uid: uid.name,
)
def test_own_result_that_comes_back_is_dropped(site: Site, sop_class: str) -> None:
    """Auto-routing brings our objects back: success is answered, and nothing is stored or measured again."""
    ds = ct_slice(SOPClassUID=sop_class)
    _plan(site, ds.SOPInstanceUID)
    assoc = associate(site.port, (sop_class, ExplicitVRLittleEndian))
    assert offer_slice(assoc, ds) == 0
    assoc.release()
    assert site.row(ds.SOPInstanceUID) is None
    assert site.study(ds.StudyInstanceUID) is None
    assert site.files() == []


def test_report_of_another_maker_is_refused(site: Site) -> None:
    """The context is there for our own reports; any other is answered: SOP class not supported."""
    ds = ct_slice(SOPClassUID=Comprehensive3DSRStorage)
    assoc = associate(site.port, (Comprehensive3DSRStorage, ExplicitVRLittleEndian))
    assert offer_slice(assoc, ds) == 0x0122
    assoc.release()
    assert site.files() == []


def test_file_of_a_crash_is_healed_by_sending_again(site: Site, send: Send) -> None:
    """What a crash has left of a file was never answered 0x0000: what is sent now takes its place."""
    ds = ct_slice()
    path = site.spool.instance_path(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    site.spool.write(path, file_of(ds)[:-100])
    assert send(ds).Status == 0
    assert len(site.files()) == 1
    _assert_ledger_equals_spool(site)


@pytest.mark.parametrize("differ", [False, True], ids=["same-bytes", "other-bytes"])
def test_whole_file_without_a_row_came_first(site: Site, send: Send, *, differ: bool) -> None:
    """A process that died between file and row has left it: it is entered by the next sending, as the first."""
    ds = ct_slice()
    path = site.spool.instance_path(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    site.spool.write(path, file_of(ds))
    assert send(_changed(ds, PatientID="OTHER") if differ else ds).Status == 0
    row = site.row(ds.SOPInstanceUID)
    assert row is not None
    assert row.path == path
    assert len(_variants(site)) == differ
    _assert_ledger_equals_spool(site)


def test_row_without_file_is_healed_by_sending_again(site: Site, send: Send) -> None:
    """A file that was lost is put back, and its digest is that of the row."""
    ds = ct_slice()
    send(ds)
    site.files()[0].unlink()
    assert send(ds).Status == 0
    row = site.row(ds.SOPInstanceUID)
    assert row is not None
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in site.files()] == [row.digest]


@pytest.mark.parametrize("differ", [False, True], ids=["same-bytes", "other-bytes"])
def test_same_new_uid_over_several_associations_at_once(site: Site, *, differ: bool) -> None:
    """All hear success: the same content is stored once, other content beside it; files and rows agree."""
    first = ct_slice()
    uids = {name: first[name].value for name in _UIDS}
    slices = [ct_slice(**uids, PatientID=f"P{number if differ else 0}") for number in range(6)]
    barrier = threading.Barrier(len(slices))

    def store(ds: FileDataset) -> int:
        assoc = associate(site.port)
        barrier.wait()
        status = offer_slice(assoc, ds)
        assoc.release()
        return status

    with ThreadPoolExecutor(len(slices)) as pool:
        statuses = sorted(pool.map(store, slices))
    assert statuses == [0] * 6
    assert len(_variants(site)) == (5 if differ else 0)
    assert {data_set_of(path.read_bytes()) for path in site.files()} == {data_set_of(file_of(ds)) for ds in slices}
    _assert_ledger_equals_spool(site)
    assert len(site.events()) == 1


def test_slices_of_one_study_over_several_associations_at_once(site: Site) -> None:
    """A new study that several associations begin at once has one row, and every slice."""
    study = generate_uid()
    slices = [ct_slice(StudyInstanceUID=study) for _ in range(6)]
    barrier = threading.Barrier(len(slices))

    def store(ds: FileDataset) -> int:
        assoc = associate(site.port)
        barrier.wait()
        status = offer_slice(assoc, ds)
        assoc.release()
        return status

    with ThreadPoolExecutor(len(slices)) as pool:
        assert set(pool.map(store, slices)) == {0}
    assert len(site.files()) == len(slices)
    assert [event.cause for event in site.events()] == ["first instance"]


def test_failing_spool_asks_for_a_second_sending(site: Site, send: Send) -> None:
    """While the spool cannot be written A700 is answered, and nothing is entered; later the same slice is taken."""
    ds = ct_slice()
    (site.spool.root / "tmp").rmdir()
    answer = send(ds)
    assert (answer.Status, answer.ErrorComment.split(":")[0]) == (0xA700, "spool-failed")
    assert site.row(ds.SOPInstanceUID) is None
    site.spool.prepare()
    assert send(ds).Status == 0


def test_full_disk_asks_for_a_second_sending(open_site: Callable[..., Site]) -> None:
    """Below the mark A700 is answered, never a permanent reject; the association goes on, and nothing is written."""
    site = open_site(spool_full_mb=10**9)
    assoc = associate(site.port)
    with capture_logs() as said:
        for _ in range(3):
            ds = ct_slice()
            answer = offer(assoc, data_set_of(file_of(ds)), ds.SOPInstanceUID)
            assert (answer.Status, answer.ErrorComment.split(":")[0]) == (0xA700, "out-of-resources")
    assoc.release()
    assert site.files() == []
    assert [event["event"] for event in said].count("disk-full") == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO], ids=lambda number: errno.errorcode[number])
def test_disk_that_fills_in_the_middle_asks_for_a_second_sending(
    site: Site, send: Send, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whatever fails while the file is made durable: A700, and nothing is left; later the same slice is taken."""
    ds = ct_slice()

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("node.core.spool.os.fsync", fail)
        answer = send(ds)
    code = "spool-failed" if number == errno.EIO else "out-of-resources"
    assert (answer.Status, answer.ErrorComment.split(":")[0]) == (0xA700, code)
    assert site.files() == []
    assert send(ds).Status == 0
    _assert_ledger_equals_spool(site)


def test_failing_ledger_asks_for_a_second_sending(site: Site, send: Send) -> None:
    """While the ledger cannot be written A700 is answered; later the same slice is taken, and lies there once."""
    ds = ct_slice()
    Base.metadata.drop_all(site.ledger._engine)
    answer = send(ds)
    assert (answer.Status, answer.ErrorComment.split(":")[0]) == (0xA700, "ledger-failed")
    Base.metadata.create_all(site.ledger._engine)
    assert send(ds).Status == 0
    assert len(site.files()) == 1
    _assert_ledger_equals_spool(site)


def test_fault_of_the_program_is_answered_and_survived(
    site: Site, send: Send, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody foresaw is answered C211; the log says where and not what it held; the listener serves on."""

    def fail(_: Intake, offered: Offer) -> None:
        raise ZeroDivisionError(f"SECRET {offered.host}")

    with monkeypatch.context() as patch:
        patch.setattr(Intake, "take", fail)
        assert send(ct_slice()).Status == 0xC211
    assert send(ct_slice()).Status == 0
    logged = "".join(capsys.readouterr())
    assert "ZeroDivisionError" in logged
    assert "test_storage.py" in logged
    assert "SECRET" not in logged


def test_log_holds_no_patient_data(site: Site, send: Send, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither of what is stored nor of what is refused: all carry a name, and one carries it in place of a UID."""
    ds = ct_slice()
    send(ds)
    send(ct_slice(**{name: ds[name].value for name in _UIDS}, PatientID="SECRET-2"))
    send(ct_slice(StudyInstanceUID="SECRET"))
    assoc = associate(site.port)
    offer(assoc, _cut(ds), "SECRET^NAME")
    assoc.release()
    logged = "".join(capsys.readouterr())
    assert "variant-kept" in logged
    assert "uid-invalid" in logged
    assert "SECRET" not in logged
