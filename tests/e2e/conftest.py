"""One site for the whole tier, and the studies that travel through it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import browser, chromium
from playwright.sync_api import Browser
from pydicom import DataElement, Dataset, dcmread

from node.phantom import covering_grid, standard_anatomy, write_phantom
from node.servers import CannotStart, Orthanc

from .stack import READER, SCANNER, Stack, View

NAME, ID = "Secretname^Jane", "SECRET-4711"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Stack]:
    """A running site."""
    if not Orthanc.available():
        lacking("Orthanc")
    site = Stack(tmp_path_factory.mktemp("site"))
    try:
        site.start()
        yield site
    except CannotStart as error:
        lacking(str(error))
    finally:
        site.stop()


@dataclass(frozen=True)
class Sent:
    """A study of the synthetic abdomen under UIDs of its own: slices, segmentation, Study Instance UID."""

    uid: str
    slices: tuple[Path, ...]
    seg: Path

    @property
    def folder(self) -> Path:
        """Folder of the slices."""
        return self.slices[0].parent


@pytest.fixture(scope="package")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the standard synthetic abdomen on a grid of 6 x 5 x 5 mm."""
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, grid=covering_grid(standard_anatomy(), spacing_mm=(6.0, 5.0, 5.0)))
    return folder


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the pictures: the one that CRLM_TEST_SCREENSHOTS names, else one of pytest's own."""
    named = os.environ.get("CRLM_TEST_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def chrome(lacking: Callable[[str], None]) -> Iterator[Browser]:
    """The running browser."""
    program = chromium()
    if program is None:
        lacking("Chromium")
    with browser(str(program)) as running:
        yield running


@pytest.fixture
def study(phantom: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Sent:
    """A study of this test alone."""
    return renamed(phantom, tmp_path / "study", request.node.name)


def renamed(phantom: Path, out: Path, name: str) -> Sent:
    """Copy the abdomen with other UIDs, made from `name`, and a patient whom nobody may find in a log."""
    slices = tuple(_copy(path, out / "ct" / path.name, name) for path in sorted((phantom / "ct").iterdir()))
    seg = _copy(phantom / "seg.dcm", out / "seg" / "seg.dcm", name)
    return Sent(str(dcmread(seg, stop_before_pixels=True).StudyInstanceUID), slices, seg)


def _copy(source: Path, target: Path, name: str) -> Path:
    ds = dcmread(source)

    def rename(_: Dataset, element: DataElement) -> None:
        if element.VR == "UI" and isinstance(element.value, str) and element.value.startswith("2.25."):
            number = hashlib.sha256(f"{element.value} {name}".encode()).digest()[:16]
            element.value = f"2.25.{int.from_bytes(number)}"

    ds.walk(rename)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.PatientName, ds.PatientID = NAME, ID
    target.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(target)
    return target


@pytest.fixture
def measured(stack: Stack, study: Sent) -> Callable[[], View]:
    """Return a function that sends the test's study with its segmentation and waits until its results are proven."""

    def run() -> View:
        send_all(stack, study)
        return stack.wait(study.uid)

    return run


def send_all(stack: Stack, study: Sent) -> None:
    """Send the segmentation from the reader, whose segmentations are imported, then the slices from the scanner."""
    stack.give([study.seg], READER)
    stack.give(study.slices, SCANNER)
