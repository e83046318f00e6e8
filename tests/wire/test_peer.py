"""Our one client: what it sends, what it reads from every answer, and how it says what went wrong."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pacs import Pacs, serving
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    SegmentationStorage,
)
from pynetdicom import build_context, evt
from pynetdicom.association import Association
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import Verification

from node.core.errors import Unavailable
from node.core.peer import Peer, Stored
from node.core.reasons import DoorRefusal, Outage

from .conftest import Site
from .sender import ct_slice, data_set_of, file_of

CT_ANY = [build_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless])]


@pytest.fixture
def pacs(free_port: Callable[[], int]) -> Iterator[Pacs]:
    """A PACS that takes CT images."""
    with serving(Pacs(free_port()), CT_ANY) as running:
        yield running


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a slice to a file."""

    def write_it(**changes: object) -> Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir())):04}.dcm"
        path.write_bytes(file_of(ct_slice(**changes)))
        return path

    return write_it


def _peer(pacs: Pacs, **changes: object) -> Peer:
    return Peer(**({"ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port, "calling_ae_title": "US"} | changes))


def _error(caught: pytest.ExceptionInfo[Unavailable]) -> tuple[Outage, str]:
    assert isinstance(caught.value.code, Outage)
    return caught.value.code, caught.value.detail.split(": ", 1)[1]


def test_stored_bytes_are_the_bytes_of_the_file(pacs: Pacs, write: Callable[..., Path]) -> None:
    """The data set arrives as it lies in the file, neither decoded nor encoded anew, in the file's transfer syntax."""
    files = [write() for _ in range(3)]
    outcomes = _peer(pacs).store(files)
    assert pacs.received == [(ExplicitVRLittleEndian, data_set_of(path.read_bytes())) for path in files]
    assert outcomes == [Stored(path, 0, "", None) for path in files]
    assert pacs.associations == 1


def test_progress_is_told_file_by_file(pacs: Pacs, write: Callable[..., Path]) -> None:
    """The callback hears of each file when it is done."""
    heard: list[tuple[Path, int]] = []
    files = [write() for _ in range(3)]
    _peer(pacs).store(files, lambda outcome: heard.append((outcome.path, len(pacs.received))))
    assert heard == [(path, number + 1) for number, path in enumerate(files)]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xA700, "A700, out of resources"),
        (0xA900, "A900, data set does not match SOP class"),
        (0xC123, "C123, cannot understand"),
        (0x0122, "0122, SOP class not supported: a matter of its configuration"),
        (0x0124, "0124, not authorised: a matter of its configuration"),
        (0x0111, "0111, it holds another object of this SOP Instance UID"),
        (0x0210, "0210, failure"),
    ],
)
def test_failure_status_is_read(pacs: Pacs, write: Callable[..., Path], status: int, words: str) -> None:
    """A file that is answered a failure has its status and comment; the error leaves out the peer's own words."""
    pacs.statuses, pacs.comment = [status, 0], "SECRET^NAME is wrong"
    failed, stored = _peer(pacs).store([write(), write()])
    assert (failed.status, failed.comment) == (status, "SECRET^NAME is wrong")
    assert failed.error is not None
    never = status in (0x0122, 0x0124)
    code = Outage.SOP_CLASS_REFUSED if never else Outage.DESTINATION_REFUSED
    assert (failed.error.code, failed.error.detail) == (code, f"C-STORE answered {words}")
    assert (stored.status, stored.error) == (0, None)


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0x0107])
def test_warning_is_kept_and_no_error(pacs: Pacs, write: Callable[..., Path], status: int) -> None:
    """A warning means stored; the status stays readable."""
    pacs.statuses = [status]
    (outcome,) = _peer(pacs).store([write()])
    assert (outcome.status, outcome.error) == (status, None)


def test_unreadable_files_are_told_and_others_sent(pacs: Pacs, write: Callable[..., Path], tmp_path: Path) -> None:
    """A truncated file, one that is none, and one whose two headers differ are not sent, each with its code."""
    truncated, nothing, other, good = write(), tmp_path / "x.dcm", write(), write()
    truncated.write_bytes(truncated.read_bytes()[:-3])
    nothing.write_bytes(b"x" * 500)
    uid = dcmread(other).SOPInstanceUID.encode()
    other.write_bytes(other.read_bytes().replace(uid, uid[:-1] + (b"1" if uid[-1:] == b"2" else b"2"), 1))
    outcomes = {outcome.path: outcome for outcome in _peer(pacs).store([truncated, nothing, other, good])}
    codes = {path: outcome.error.code if outcome.error else None for path, outcome in outcomes.items()}
    assert codes == {
        truncated: DoorRefusal.DATASET_TRUNCATED,
        nothing: DoorRefusal.DATASET_UNREADABLE,
        other: DoorRefusal.UID_MISMATCH,
        good: None,
    }
    assert len(pacs.received) == 1


def test_context_that_is_not_accepted_is_told(pacs: Pacs, write: Callable[..., Path]) -> None:
    """Of two SOP classes one is not taken: its file says so, the other is stored."""
    outcomes = _peer(pacs).store([write(SOPClassUID=SegmentationStorage), write()])
    assert outcomes[0].status is None
    assert outcomes[0].error is not None
    assert outcomes[0].error.code is Outage.SOP_CLASS_REFUSED
    assert outcomes[0].error.detail == "context not accepted: Segmentation Storage in Explicit VR Little Endian"
    assert outcomes[1].error is None


def test_no_context_at_all_is_told(pacs: Pacs, write: Callable[..., Path]) -> None:
    """Where nothing is accepted there is no association, and the reason names the class."""
    with pytest.raises(Unavailable) as caught:
        _peer(pacs).store([write(SOPClassUID=MRImageStorage)])
    code, detail = _error(caught)
    assert code is Outage.DESTINATION_REFUSED
    assert detail == "no presentation context accepted: MR Image Storage: abstract syntax not supported"


def test_uncompressed_file_is_encoded_anew_only_where_it_must(
    free_port: Callable[[], int], write: Callable[..., Path]
) -> None:
    """A destination that takes implicit VR alone gets the same data set in implicit VR."""
    with serving(Pacs(free_port()), [build_context(CTImageStorage, ImplicitVRLittleEndian)]) as pacs:
        path = write()
        (outcome,) = _peer(pacs).store([path])
    assert outcome.error is None
    ((syntax, content),) = pacs.received
    assert syntax == ImplicitVRLittleEndian
    assert content != data_set_of(path.read_bytes())
    assert b"SECRET^NAME" in content


def test_compressed_file_is_never_encoded_anew(free_port: Callable[[], int], tmp_path: Path) -> None:
    """Where its transfer syntax is not accepted, a compressed file is told to be so and not sent."""
    ds = ct_slice(JPEG2000Lossless)
    ds.PixelData = encapsulate([b"\xff\x4f" + bytes(30)])
    path = tmp_path / "j2k.dcm"
    path.write_bytes(file_of(ds))
    plain = tmp_path / "plain.dcm"
    plain.write_bytes(file_of(ct_slice()))
    with serving(Pacs(free_port()), [build_context(CTImageStorage, ExplicitVRLittleEndian)]) as pacs:
        refused, stored = _peer(pacs).store([path, plain])
    assert refused.error is not None
    assert (
        refused.error.detail == "context not accepted: CT Image Storage in JPEG 2000 Image Compression (Lossless Only)"
    )
    assert stored.error is None


def test_more_contexts_than_an_association_holds(free_port: Callable[[], int], write: Callable[..., Path]) -> None:
    """70 SOP classes need 140 contexts: they go in two associations, and all arrive."""
    classes = [context.abstract_syntax for context in AllStoragePresentationContexts][:70]
    files = [write(SOPClassUID=sop_class) for sop_class in classes]
    supported = [build_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]) for sop_class in classes]
    with serving(Pacs(free_port()), supported) as pacs:
        outcomes = _peer(pacs).store(files)
    assert [outcome.error for outcome in outcomes] == [None] * 70
    assert (len(pacs.received), pacs.associations) == (70, 2)


def test_nothing_to_send_opens_no_association(pacs: Pacs) -> None:
    """Without a readable file nobody is called."""
    assert _peer(pacs).store([]) == []
    assert pacs.associations == 0


def test_association_that_breaks_is_told_of_the_files_it_concerns(pacs: Pacs, write: Callable[..., Path]) -> None:
    """After an abort the files that were answered are stored, and the others say that they are not."""
    pacs.abort_after = 2
    outcomes = _peer(pacs).store([write() for _ in range(5)])
    assert [outcome.status for outcome in outcomes] == [0, 0, None, None, None]
    errors = [outcome.error for outcome in outcomes[2:]]
    assert {error.code for error in errors if error} == {Outage.DESTINATION_UNREACHABLE}
    assert len(errors) == 3


def test_nobody_listens(free_port: Callable[[], int]) -> None:
    """A closed port: connection refused."""
    with pytest.raises(Unavailable) as caught:
        Peer("PACS", "127.0.0.1", free_port(), "US").echo()
    assert _error(caught) == (Outage.DESTINATION_UNREACHABLE, "connection refused")


def test_host_that_does_not_exist() -> None:
    """A name that cannot be resolved says so."""
    with pytest.raises(Unavailable) as caught:
        Peer("PACS", "no.such.host.invalid", 104, "US").echo()
    code, detail = _error(caught)
    assert code is Outage.DESTINATION_UNREACHABLE
    assert "name" in detail.lower()


def test_listener_that_never_answers() -> None:
    """Something takes the connection and says nothing: the time-out is told, in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            Peer("PACS", "127.0.0.1", silent.getsockname()[1], "US", connect_timeout_s=0.5).echo()
    assert time.monotonic() - begun < 9
    assert _error(caught) == (
        Outage.DESTINATION_UNREACHABLE,
        "it took the connection and did not answer the association request",
    )


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (
            {"calling_ae_title": "STRANGER"},
            "association rejected: Calling AE title not recognised (rejected permanent)",
        ),
        ({"ae_title": "OTHER"}, "association rejected: Called AE title not recognised (rejected permanent)"),
    ],
)
def test_rejection_is_told_in_words(site: Site, wrong: dict[str, str], reason: str) -> None:
    """Which title was not recognised decides what a person has to correct."""
    with pytest.raises(Unavailable) as caught:
        Peer(
            **({"ae_title": "NODE", "host": "127.0.0.1", "port": site.port, "calling_ae_title": "TESTER"} | wrong)
        ).echo()
    assert _error(caught) == (Outage.DESTINATION_REFUSED, reason)


def test_a_rejection_that_is_looked_at_late_is_told(site: Site) -> None:
    """It is no unreachable destination where the connection is closed again before our own thread comes to look."""
    stranger = Peer("NODE", "127.0.0.1", site.port, "STRANGER")
    late = (evt.EVT_REQUESTED, lambda _: time.sleep(0.5))
    with (
        pytest.raises(Unavailable, match="association rejected"),
        stranger.associated([build_context(Verification)], late),
    ):
        pass


def test_error_names_the_destination(free_port: Callable[[], int]) -> None:
    """AE title, host and port stand before the reason."""
    port = free_port()
    with pytest.raises(Unavailable) as caught:
        Peer("PACS", "127.0.0.1", port, "US").find("STUDY", {})
    assert caught.value.detail.startswith(f"PACS@127.0.0.1:{port}: ")


def _listed(study: str, series: str, uid: str) -> Dataset:
    ds = Dataset()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study, series, uid
    return ds


def test_find_returns_what_is_listed(pacs: Pacs) -> None:
    """The query carries level and keys; each pending answer is returned."""
    pacs.listed = [_listed("1.2", "1.3", "1.4"), _listed("1.2", "1.3", "1.5"), _listed("9.2", "9.3", "9.4")]
    keys = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3", "SOPInstanceUID": ""}
    found = _peer(pacs).find("IMAGE", keys)
    assert [ds.SOPInstanceUID for ds in found] == ["1.4", "1.5"]
    (query,) = pacs.queries
    assert query.QueryRetrieveLevel == "IMAGE"
    assert {key: query[key].value or "" for key in keys} == keys


def test_instances_of_a_study_over_its_series(pacs: Pacs) -> None:
    """All series are asked, and no other study's instances come back; an unknown study has none."""
    pacs.listed = [_listed("1.2", "1.3", "1.4"), _listed("1.2", "1.6", "1.7"), _listed("9.2", "9.3", "9.4")]
    assert _peer(pacs).instances_of("1.2") == {"1.4", "1.7"}
    assert _peer(pacs).instances_of("7.7") == set()
    assert pacs.associations == 2


def test_query_that_fails_is_no_empty_answer(pacs: Pacs) -> None:
    """A failure status of a query is an error: nothing found must not be read from it."""
    pacs.find_status = 0xA700
    with pytest.raises(Unavailable) as caught:
        _peer(pacs).instances_of("1.2")
    assert caught.value.code is Outage.DESTINATION_REFUSED
    assert caught.value.detail == "C-FIND answered A700, out of resources"


def test_no_answer_goes_to_the_thread_of_pynetdicom(
    pacs: Pacs, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An association's own thread that wakes late, as on a busy machine, takes no answer that we wait for."""
    make = Association.__init__

    class LateEvent(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            passed = super().wait(timeout)
            time.sleep(0.02)
            return passed

    def make_late(self: Association, *args: object) -> None:
        make(self, *args)
        if self.is_requestor:
            self._reactor_checkpoint = LateEvent()
            self._reactor_checkpoint.set()

    monkeypatch.setattr(Association, "__init__", make_late)
    outcomes = _peer(pacs, answer_timeout_s=1.0).store([write()] * 20)
    assert [outcome.error for outcome in outcomes] == [None] * 20


def test_connection_sends_at_once(pacs: Pacs) -> None:
    """TCP_NODELAY is set: no pause of Nagle's algorithm comes before an answer."""
    with _peer(pacs).associated([build_context(Verification)]) as assoc:
        connection = assoc.dul.socket.socket
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
