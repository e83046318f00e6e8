"""What archives say of a study's completeness: a real Orthanc, and a stand-in for what none does on demand."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive import Archive as Rest
from made_series import ROOT, write_series
from pacs import Pacs, serving
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement
from pydicom.uid import SecondaryCaptureImageStorage
from structlog.testing import capture_logs

from node import counts, inquiry
from node.assembly import Assembly
from node.content import StudyContent
from node.core.ledger.tables import StudyFlag
from node.core.peer import Peer
from node.core.settings import Archive, Settings
from node.core.states import StudyState
from node.counts import Counted, Shortage
from node.inquiry import Respondent
from node.servers import Orthanc

from .conftest import Site

SERIES = f"{ROOT}.1"
PATIENT_TIME_S = 30.0


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Orthanc]:
    """A running Orthanc of this module."""
    if not Orthanc.available():
        lacking("orthanc")
    with Orthanc(tmp_path_factory.mktemp("orthanc"), "PACS", {}) as one:
        yield one


@pytest.fixture
def give(orthanc: Orthanc) -> Callable[[list[Path]], None]:
    """Return a function that stores files in the emptied Orthanc."""
    Rest(orthanc).clear()

    def store(files: list[Path]) -> None:
        stored = Peer("PACS", "127.0.0.1", orthanc.dicom_port, "SCANNER").store(files)
        assert [one.error for one in stored if one.error] == []

    return store


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    """Fourteen slices."""
    return write_series(tmp_path / "ct", np.zeros((14, 8, 8), np.int16))


def respondent(port: int, name: str = "PACS", **values: Any) -> Respondent:
    return Respondent(Archive(ae_title=name, host="127.0.0.1", port=port), Settings(**values))


def uids(files: list[Path]) -> set[str]:
    return {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files}


def capture(slices: list[Path], folder: Path) -> Path:
    """Write a screen capture into the series of the slices, as scanners do."""
    ds = dcmread(slices[0])
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.77"
    ds.save_as(folder / "capture.dcm")
    return folder / "capture.dcm"


def test_an_archive_counts_what_we_would_take(
    orthanc: Orthanc, give: Callable[[list[Path]], None], slices: list[Path], tmp_path: Path
) -> None:
    """Missing slices are counted exactly; captures, other series and what it does not have are no shortage."""
    other = write_series(tmp_path / "other", np.zeros((3, 8, 8), np.int16), series=f"{ROOT}.2")
    give([*slices[:13], capture(slices, tmp_path), *other])
    ask = respondent(orthanc.dicom_port)
    held = uids(slices)
    assert counts.count([ask], ROOT, {SERIES: uids(slices[2:13])}) == Counted((Shortage("PACS", SERIES, 2),))
    assert counts.count([ask], ROOT, {SERIES: uids(slices[:13])}) == Counted()
    assert counts.count([ask], ROOT, {SERIES: held}) == Counted()
    assert counts.count([ask], ROOT, {f"{ROOT}.3": held}) == Counted(silent=("PACS",))
    assert counts.count([ask], f"{ROOT}.4", {SERIES: held}) == Counted(silent=("PACS",))
    assert counts.count([ask], ROOT, {}) == Counted()


def answer(number: int, **values: Any) -> Dataset:
    ds = Dataset()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = "1.2", "1.2.1", f"1.2.1.{number}"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize("value", [None, "", "many"])
def test_an_archive_that_does_not_count_is_asked_image_by_image(free_port: Callable[[], int], value: Any) -> None:
    """The count is an optional attribute of the standard (PS3.4 table C.6-3)."""
    listed = [answer(number) for number in range(1, 6)]
    if value is not None:
        for one in listed:
            one["NumberOfSeriesRelatedInstances"] = DataElement("NumberOfSeriesRelatedInstances", "LO", value)
    with serving(Pacs(free_port(), listed=listed), []) as pacs:
        counted = counts.count([respondent(pacs.port)], "1.2", {"1.2.1": {"1.2.1.1", "1.2.1.2"}})
    assert counted == Counted((Shortage("PACS", "1.2.1", 3),))


def test_an_archive_that_fails_is_left_alone_for_a_while(
    free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its failure is told once, however often it is asked for; after a pause that grows it is asked again."""
    at = 1000.0
    monkeypatch.setattr(inquiry.time, "monotonic", lambda: at)
    with serving(Pacs(free_port(), listed=[answer(1)], find_status=0xA700), []) as pacs, capture_logs() as logs:
        ask = respondent(pacs.port, retry_base_s=10, retry_longest_s=30)
        asked = []
        for _ in range(80):
            before = len(pacs.queries)
            assert counts.count([ask], "1.2", {"1.2.1": {"1.2.1.1"}}) == Counted(silent=("PACS",))
            asked += [at - 1000] if len(pacs.queries) > before else []
            at += 1
        pacs.find_status = 0
        at += 30
        assert counts.count([ask], "1.2", {"1.2.1": {"1.2.1.1"}}) == Counted()
    assert asked == [0, 10, 30, 60]
    assert [one["event"] for one in logs] == ["respondent-away", "respondent-back"]
    assert "A700" in logs[0]["detail"]


def test_nobody_waits_long_for_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes the connection and says nothing is given up after the limit, and then not tried at all."""
    monkeypatch.setattr(inquiry, "CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ask = respondent(silent.getsockname()[1])
        begin = time.monotonic()
        assert counts.count([ask], "1.2", {"1.2.1": {"1"}}).silent == ("PACS",)
        assert time.monotonic() - begin < 5
        begin = time.monotonic()
        for _ in range(100):
            counts.count([ask], "1.2", {"1.2.1": {"1"}})
        assert time.monotonic() - begin < 0.5


class Endless(Pacs):
    """Answers for ever."""

    def on_find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        """Answer with one series after the other."""
        del event
        for number in range(1_000_000):
            yield 0xFF00, answer(number)


@pytest.mark.parametrize(("seconds", "most"), [(0.3, 1_000_000_000), (1_000_000.0, 20)], ids=["time", "number"])
def test_one_that_answers_without_end_is_cut_off(
    free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch, seconds: float, most: int
) -> None:
    """Time and number of the answers to one question have limits."""
    monkeypatch.setattr(inquiry, "QUESTION_S", seconds)
    monkeypatch.setattr(inquiry, "MOST_ANSWERS", most)
    begin = time.monotonic()
    with serving(Endless(free_port()), []) as pacs:
        assert counts.count([respondent(pacs.port)], "1.2", {"1.2.1": {"1"}}).silent == ("PACS",)
        while not pacs.ended and time.monotonic() < begin + PATIENT_TIME_S:
            time.sleep(0.02)
        assert pacs.ended == ["aborted"]


def test_a_study_waits_for_what_the_archive_has_and_is_complete_when_it_comes(
    open_site: Callable[..., Site],
    orthanc: Orthanc,
    give: Callable[[list[Path]], None],
    slices: list[Path],
) -> None:
    """Received by a real listener, counted by a real Orthanc: shown to wait, and handed on with the last slices."""
    give(slices)
    site = open_site(quiet_time_s=0.2)
    handed: list[StudyContent] = []
    ask = respondent(orthanc.dicom_port)
    assembly = Assembly(site.ledger, site.spool, site.settings, handed.append, [ask])
    site.peer.store(slices[:12])
    until = time.monotonic() + PATIENT_TIME_S
    while not _flags(site) and time.monotonic() < until:
        assembly.round()
        time.sleep(0.05)
    [detail] = _flags(site)
    assert detail.startswith("In series 2, 2 images that PACS holds did not come; without them it is processed at ")
    assert handed == []
    site.peer.store(slices[12:])
    while not handed and time.monotonic() < until:
        assembly.round()
        time.sleep(0.05)
    assert len(handed[0].sop_instance_uids) == 14
    assert handed[0].forced == ""
    study = site.study(ROOT)
    assert study is not None
    assert study.state is StudyState.RECEIVING  # handing off is stage 5's


def _flags(site: Site) -> list[str]:
    with site.ledger.transaction() as session:
        return [one.detail for one in session.query(StudyFlag)]
