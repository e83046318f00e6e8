"""Small studies, as data sets, as headers, as files of a folder, or received into a spool and a real ledger."""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from postgres import DATABASES, ledger_urls
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.content import Header, header
from node.core.ledger import Ledger, studies
from node.core.ledger.tables import Association
from node.core.records import Instance
from node.core.settings import Settings
from node.core.spool import Spool, digest

Datasets = Callable[..., list[Dataset]]


def _series(
    uid: str = "1.2.3.1", count: int = 12, *, study: str = "1.2.3", step_mm: float = 3.0, **attributes: Any
) -> list[Dataset]:
    """Return an axial CT series of 8 x 8 pixels; an attribute of None is left out, a callable gets the index."""
    made = []
    for index in range(count):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        values = {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": f"{uid}.{index + 1}",
            "StudyInstanceUID": study,
            "SeriesInstanceUID": uid,
            "PatientID": "P1",
            "PatientName": "Doe^Jane",
            "PatientBirthDate": "19600101",
            "PatientSex": "F",
            "PatientSize": "1.75",
            "Modality": "CT",
            "SeriesNumber": 2,
            "SeriesDescription": "portal venous",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "FrameOfReferenceUID": "1.2.3.99",
            "ImagePositionPatient": [0, 0, index * step_mm],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [0.8, 0.8],
            "Rows": 8,
            "Columns": 8,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 1,
            "RescaleIntercept": 0,
            "RescaleSlope": 1,
            "PixelData": bytes([index % 256]) * 128,
        } | attributes
        for keyword, value in values.items():
            chosen = value(index) if callable(value) else value
            if chosen is not None:
                setattr(ds, keyword, chosen)
        made.append(ds)
    return made


def _encode(ds: Dataset) -> bytes:
    buffer = BytesIO()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def series() -> Datasets:
    """Return a function that makes a series."""
    return _series


@pytest.fixture(scope="session")
def headers_of() -> Callable[..., list[Header]]:
    """Return a function that reads data sets as assembly does."""

    def read(datasets: Sequence[Dataset], calling: str = "SCANNER") -> list[Header]:
        return [
            header(
                ds,
                Instance(str(ds.SOPInstanceUID), str(ds.SOPClassUID), ExplicitVRLittleEndian, "aa", "x.dcm"),
                calling,
            )
            for ds in datasets
        ]

    return read


@pytest.fixture(scope="session")
def write_files() -> Callable[[Path, Sequence[Dataset]], list[Path]]:
    """Return a function that writes data sets as files of a folder."""

    def write(folder: Path, datasets: Sequence[Dataset]) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{ds.SOPInstanceUID}.dcm" for ds in datasets]
        for path, ds in zip(paths, datasets, strict=True):
            path.write_bytes(_encode(ds))
        return paths

    return write


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a ledger of this test alone, in SQLite and again in PostgreSQL."""
    yield from ledger_urls(request, tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a home of this test, with times that do not wait."""
    return Settings(home=tmp_path / "home", quiet_time_s=0.001, steward_period_s=0.05, retry_base_s=5)


@pytest.fixture
def spool(settings: Settings) -> Spool:
    """A prepared spool in that home."""
    one = Spool(settings.spool_dir)
    one.prepare()
    return one


@pytest.fixture
def receive(ledger: Ledger, spool: Spool) -> Callable[..., list[Instance]]:
    """Return a function that takes data sets in as intake does: durable in the spool, then in the ledger."""

    def take_in(
        datasets: Sequence[Dataset], *, calling: str = "SCANNER", association: str = "a1", open_: bool = False
    ) -> list[Instance]:
        with ledger.transaction() as session:
            if session.get(Association, association) is None:
                studies.open_association(session, association, calling, "127.0.0.1")
            taken = []
            for ds in datasets:
                uids = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
                content = _encode(ds)
                path = spool.instance_path(*uids)
                (spool.root / path).parent.mkdir(parents=True, exist_ok=True)
                (spool.root / path).write_bytes(content)
                instance = Instance(uids[2], str(ds.SOPClassUID), ExplicitVRLittleEndian, digest(content), path)
                studies.record_instance(
                    session,
                    instance,
                    study_uid=uids[0],
                    series_uid=uids[1],
                    association_id=association,
                    calling_ae_title=calling,
                )
                taken.append(instance)
            if not open_:
                studies.close_association(session, association, "released")
        return taken

    return take_in
