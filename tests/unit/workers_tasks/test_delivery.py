import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from archive import Archive
from pydicom import dcmread

from node.core.errors import Unavailable
from node.core.ledger import Ledger, studies
from node.core.ledger.tables import Delivery, Job
from node.core.peer import Peer
from node.core.reasons import Outage
from node.core.settings import FolderDestination, PacsDestination, Settings, WebDestination
from node.core.spool import Spool
from node.core.states import DeliveryState
from node.phantom import PhantomFiles
from node.servers import Orthanc
from workers import delivery

Deliveries = Callable[[str], dict[str, Delivery]]
Reported = Callable[..., str]

STUDY = "1.2.3"
OPEN, SENT, PROVEN, FAILED = (
    DeliveryState.PENDING,
    DeliveryState.SENT,
    DeliveryState.PROVEN,
    DeliveryState.FAILED,
)


@pytest.fixture
def deliver(settings: Settings, spool: Spool, ledger: Ledger) -> Callable[..., None]:
    """Return a function that delivers a job to a destination, as a worker does when its time has come."""

    def run(key: str, destination: str = "folder", chosen: Settings = settings) -> None:
        time.sleep(0.05)  # the longest pause of these settings
        delivery.deliver(key, destination, chosen, spool, ledger)

    return run


def to_pacs(settings: Settings, ae_title: str, port: int) -> Settings:
    pacs = PacsDestination(kind="dicom", name="pacs", ae_title=ae_title, host="127.0.0.1", port=port)
    return settings.model_copy(update={"destinations": (pacs,)})


def to_web(settings: Settings, server: Orthanc, **changes: object) -> Settings:
    web = WebDestination(kind="dicomweb", name="web", url=f"{server.url}/dicom-web", **changes)
    return settings.model_copy(update={"destinations": (web,)})


def time_over(settings: Settings) -> Settings:
    """Return settings by which every attempt is the last."""
    return settings.model_copy(update={"delivery_days": 1e-9})


def states(rows: dict[str, Delivery]) -> dict[str, tuple[DeliveryState, str | None, int]]:
    return {kind: (row.state, row.reason, row.attempts) for kind, row in rows.items()}


# --- a folder -------------------------------------------------------------------------------------------------------


def test_a_folder_gets_the_stored_bytes(
    deliver: Callable[..., None], settings: Settings, reported: Reported, delivery_rows: Deliveries, ledger: Ledger
) -> None:
    """Written whole under study and SOP Instance UID, read back, proven; each move is an event; nothing else stays."""
    key = reported()
    deliver(key)
    folder = settings.destinations[0]
    assert isinstance(folder, FolderDestination)
    rows = delivery_rows(key)
    assert states(rows) == dict.fromkeys(("seg", "sr"), (PROVEN, None, 0))
    assert {row.proof for row in rows.values()} == {"read back from the folder"}
    written = {path.name: path.read_bytes() for path in (folder.path / STUDY).iterdir()}
    assert written == {
        f"{rows['seg'].sop_instance_uid}.dcm": b"a SEG",
        f"{rows['sr'].sop_instance_uid}.dcm": b"an SR",
    }
    with ledger.transaction() as session:
        events = studies.events_of(session, "delivery", f"{rows['sr'].sop_instance_uid}@folder")
        assert [event.new for event in events] == ["pending", "sent", "proven"]


def test_a_delivery_told_again_does_nothing(
    deliver: Callable[..., None], settings: Settings, reported: Reported, delivery_rows: Deliveries
) -> None:
    """What is proven is not written again."""
    key = reported()
    deliver(key)
    folder = settings.destinations[0]
    assert isinstance(folder, FolderDestination)
    for path in (folder.path / STUDY).iterdir():
        path.unlink()
    deliver(key)
    assert list((folder.path / STUDY).iterdir()) == []
    assert {row.state for row in delivery_rows(key).values()} == {PROVEN}


def test_a_folder_that_cannot_be_written_is_tried_again_then_fails(
    deliver: Callable[..., None], settings: Settings, reported: Reported, delivery_rows: Deliveries
) -> None:
    """A file is where the folder should be: tried until the days are over; once it is gone, others are delivered."""
    folder = settings.destinations[0]
    assert isinstance(folder, FolderDestination)
    folder.path.write_text("in the way")
    key = reported()
    for attempt in (1, 2, 3, 4):
        deliver(key)
        assert states(delivery_rows(key))["sr"] == (OPEN, "destination-unreachable", attempt)
    folder.path.unlink()
    deliver(key)
    assert states(delivery_rows(key))["sr"] == (PROVEN, None, 4)

    folder.path.rename(folder.path.with_name("moved"))
    folder.path.write_text("in the way")
    late = reported("1.2.4")
    deliver(late, chosen=time_over(settings))
    assert states(delivery_rows(late)) == dict.fromkeys(("seg", "sr"), (FAILED, "destination-unreachable", 1))


def test_a_destination_that_the_settings_do_not_name_any_more(
    deliver: Callable[..., None], reported: Reported, delivery_rows: Deliveries
) -> None:
    """It is tried again, since settings may be mended, and says which destination it is."""
    key = reported(destination="gone")
    deliver(key, "gone")
    assert states(delivery_rows(key))["sr"] == (OPEN, "destination-unreachable", 1)
    assert delivery_rows(key)["sr"].detail == "no destination is called gone"


def test_a_stored_object_that_was_changed_is_never_sent(
    deliver: Callable[..., None], settings: Settings, spool: Spool, reported: Reported, delivery_rows: Deliveries
) -> None:
    """One byte of one object differs from what was made: nothing of the job is sent, and it fails at once."""
    key = reported()
    spool.work(key).write("sr.dcm", b"AN SR")
    deliver(key)
    assert states(delivery_rows(key)) == dict.fromkeys(("seg", "sr"), (FAILED, "input-untrusted", 1))
    folder = settings.destinations[0]
    assert isinstance(folder, FolderDestination)
    assert not folder.path.exists()


def test_two_workers_with_the_same_message(
    deliver: Callable[..., None],
    ledger: Ledger,
    reported: Reported,
    delivery_rows: Deliveries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second proves the objects while the first still writes: the first neither fails nor undoes that."""
    key = reported()
    real = delivery.folder.deliver

    def overtaken(*args: object) -> object:
        monkeypatch.setattr(delivery.folder, "deliver", real)
        worker = threading.Thread(target=deliver, args=(key,))
        worker.start()
        worker.join()
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(delivery.folder, "deliver", overtaken)
    deliver(key)
    rows = delivery_rows(key)
    assert states(rows) == dict.fromkeys(("seg", "sr"), (PROVEN, None, 0))
    with ledger.transaction() as session:
        events = studies.events_of(session, "delivery", f"{rows['sr'].sop_instance_uid}@folder")
        assert [event.new for event in events] == ["pending", "sent", "proven"]


def test_a_worker_that_fails_late_does_not_undo_a_proof(
    deliver: Callable[..., None], reported: Reported, delivery_rows: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker meets a full disk after the second has proven the objects: proven they stay."""
    key = reported()
    real = delivery.folder.deliver

    def overtaken(*_: object) -> object:
        monkeypatch.setattr(delivery.folder, "deliver", real)
        deliver(key)
        raise Unavailable(Outage.DESTINATION_UNREACHABLE, "no space")

    monkeypatch.setattr(delivery.folder, "deliver", overtaken)
    deliver(key)
    assert states(delivery_rows(key)) == dict.fromkeys(("seg", "sr"), (PROVEN, None, 0))


# --- a real Orthanc ---------------------------------------------------------------------------------------------------

_FORGETFUL = "function ReceivedInstanceFilter(dicom, origin, info)\n  return false\nend\n"


class Forgetful(Orthanc):
    """An Orthanc that answers success and keeps nothing."""

    def configuration(self) -> dict[str, object]:
        """Return its settings."""
        script = self.folder / "forget.lua"
        script.write_text(_FORGETFUL)
        return super().configuration() | {"LuaScripts": [str(script)]}


@pytest.fixture(scope="module")
def running_orthanc(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Orthanc]:
    """A running Orthanc."""
    if not Orthanc.available():
        lacking("Orthanc")
    with Orthanc(tmp_path_factory.mktemp("orthanc"), "ORTHANC", {}) as server:
        yield server


@pytest.fixture
def orthanc(running_orthanc: Orthanc) -> Orthanc:
    """An Orthanc that holds nothing; a test that stops it starts it again."""
    Archive(running_orthanc).clear()
    return running_orthanc


@pytest.fixture
def dicom_job(real_job: Callable[[str], str]) -> str:
    """A job for a PACS with two real DICOM objects of one study."""
    return real_job("pacs")


@pytest.fixture
def real_job(reported: Reported, small_phantom: PhantomFiles) -> Callable[[str], str]:
    """Return a function that makes a job for a destination with two real DICOM objects of one study."""
    files = {"seg": small_phantom.seg, "sr": small_phantom.ct[0]}
    headers = {kind: dcmread(path, stop_before_pixels=True) for kind, path in files.items()}
    objects = {kind: (str(headers[kind].SOPInstanceUID), path.read_bytes()) for kind, path in files.items()}
    return lambda destination: reported(str(headers["seg"].StudyInstanceUID), destination, objects)


def test_a_pacs_is_asked_before_proven_is_said(
    deliver: Callable[..., None],
    settings: Settings,
    orthanc: Orthanc,
    dicom_job: str,
    delivery_rows: Deliveries,
    job_row: Callable[[str], Job],
) -> None:
    """Stored by C-STORE, found by C-FIND in the study, and the proof says where."""
    deliver(dicom_job, "pacs", to_pacs(settings, "ORTHANC", orthanc.dicom_port))
    rows = delivery_rows(dicom_job)
    assert states(rows) == dict.fromkeys(("seg", "sr"), (PROVEN, None, 0))
    assert {row.proof for row in rows.values()} == {"found by C-FIND at ORTHANC"}
    listed = Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port, "TEST").instances_of(job_row(dicom_job).study_uid)
    assert listed == {row.sop_instance_uid for row in rows.values()}


def test_a_pacs_that_was_down_gets_it_later(
    deliver: Callable[..., None],
    settings: Settings,
    orthanc: Orthanc,
    dicom_job: str,
    delivery_rows: Deliveries,
) -> None:
    """Nobody listens: the reason is kept and shown; when the PACS is back, the next attempt proves the objects."""
    chosen = to_pacs(settings, "ORTHANC", orthanc.dicom_port)
    orthanc.stop()
    try:
        deliver(dicom_job, "pacs", chosen)
    finally:
        orthanc.start()
    assert states(delivery_rows(dicom_job))["sr"] == (OPEN, "destination-unreachable", 1)
    assert "connection refused" in str(delivery_rows(dicom_job)["sr"].detail)
    deliver(dicom_job, "pacs", chosen)
    assert states(delivery_rows(dicom_job)) == dict.fromkeys(("seg", "sr"), (PROVEN, None, 1))


def test_a_pacs_that_does_not_know_its_name(
    deliver: Callable[..., None], settings: Settings, orthanc: Orthanc, dicom_job: str, delivery_rows: Deliveries
) -> None:
    """A wrong AE title in the settings: the association is rejected, which is said as it is."""
    deliver(dicom_job, "pacs", to_pacs(settings, "OTHER", orthanc.dicom_port))
    row = delivery_rows(dicom_job)["sr"]
    assert (row.state, row.reason) == (OPEN, "destination-refused")
    assert "called ae title" in str(row.detail).lower()


def test_success_without_the_object_is_no_proof(
    deliver: Callable[..., None],
    settings: Settings,
    dicom_job: str,
    delivery_rows: Deliveries,
    ledger: Ledger,
    orthanc: Orthanc,
    tmp_path: Path,
) -> None:
    """A PACS answers 0000 and drops the objects: sent, not proven, sent again, and failed when the days are over."""
    with Forgetful(tmp_path / "forgetful", "FORGETFUL", {}) as forgetful:
        chosen = to_pacs(settings, "FORGETFUL", forgetful.dicom_port)
        for _ in range(2):
            deliver(dicom_job, "pacs", chosen)
        deliver(dicom_job, "pacs", time_over(chosen))
    row = delivery_rows(dicom_job)["sr"]
    assert (row.state, row.reason, row.attempts) == (FAILED, "destination-lost", 3)
    with ledger.transaction() as session:
        events = studies.events_of(session, "delivery", f"{row.sop_instance_uid}@pacs")
        assert [event.new for event in events] == ["pending", *["sent", "pending"] * 2, "sent", "failed"]


def test_a_dicomweb_server_gets_the_stored_bytes(
    deliver: Callable[..., None],
    settings: Settings,
    orthanc: Orthanc,
    real_job: Callable[[str], str],
    delivery_rows: Deliveries,
    spool: Spool,
) -> None:
    """Stored by STOW-RS, found by QIDO-RS, and what WADO-RS brings back is what was made."""
    key = real_job("web")
    deliver(key, "web", to_web(settings, orthanc))
    rows = delivery_rows(key)
    assert states(rows) == dict.fromkeys(("seg", "sr"), (PROVEN, None, 0))
    assert {row.proof for row in rows.values()} == {"found by QIDO-RS at web"}
    for row in rows.values():
        made = dcmread(BytesIO(spool.work(key).read(row.file)))
        uids = (made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID)
        assert dcmread(BytesIO(Archive(orthanc).wado(*uids))) == made


def test_a_dicomweb_server_that_was_down_gets_it_later(
    deliver: Callable[..., None],
    settings: Settings,
    orthanc: Orthanc,
    real_job: Callable[[str], str],
    delivery_rows: Deliveries,
) -> None:
    """Nobody listens: the reason is kept; when the server is back, the next attempt proves the objects."""
    chosen, key = to_web(settings, orthanc), real_job("web")
    orthanc.stop()
    try:
        deliver(key, "web", chosen)
    finally:
        orthanc.start()
    row = delivery_rows(key)["sr"]
    assert (row.state, row.reason, row.detail) == (OPEN, "destination-unreachable", "STOW-RS: no connection")
    deliver(key, "web", chosen)
    assert states(delivery_rows(key)) == dict.fromkeys(("seg", "sr"), (PROVEN, None, 1))


def test_a_dicomweb_server_that_forgets_is_caught(
    deliver: Callable[..., None],
    settings: Settings,
    real_job: Callable[[str], str],
    delivery_rows: Deliveries,
    lacking: Callable[[str], None],
    tmp_path: Path,
) -> None:
    """What it answers to STOW-RS is no proof: what it does not list is not there."""
    if not Orthanc.available():
        lacking("Orthanc")
    key = real_job("web")
    with Forgetful(tmp_path / "forgetful", "FORGETFUL", {}) as forgetful:
        deliver(key, "web", to_web(settings, forgetful))
    assert {row.state for row in delivery_rows(key).values()} == {OPEN}
    assert {row.reason for row in delivery_rows(key).values()} <= {"destination-lost", "destination-refused"}
