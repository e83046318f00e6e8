"""Every kind of object is read by every reader that knows its class, and comes back from an Orthanc as it went."""

from collections.abc import Callable, Iterator
from pathlib import Path

import box_studies
import pytest
import readers
from archive import Archive, instance_path
from pydicom import Dataset, dcmread
from sr_reading import groups, name, walk
from studies import Study

from node.core.peer import Peer
from node.servers import CannotStart, Orthanc

PACS, SENDER = "ORTHANC", "SENDER"
Program = Callable[[str], str]
Harm = Callable[[Dataset], None]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of object, from studies of single slices and of frames, measured, superseded and refused."""
    folder = tmp_path_factory.mktemp("boxes")
    studies: dict[str, Study] = {"slices": box_studies.measured(folder / "slices")}
    studies["narrow slices"] = box_studies.measured(folder / "narrow", columns=63)
    studies["frames"] = box_studies.of_frames(folder / "frames")
    studies["refused"] = box_studies.refused(folder / "refused")
    studies["superseding"] = box_studies.superseding(studies["slices"], folder / "superseding")
    found = {
        f"{product.kind} of {title}": study.path(product.file)
        for title, study in studies.items()
        for product in study.outcome.products
    }
    found["rejection note"] = box_studies.rejected(studies["slices"], studies["superseding"], folder / "note.dcm")
    return found


def test_every_reader_reads_every_object(objects: dict[str, Path], program: Program, tmp_path: Path) -> None:
    """pydicom, highdicom, dcmqi, dcmdump and dsrdump, each where it knows the class; none is left without an object."""
    seen = set()
    for title, path in objects.items():
        scratch = tmp_path / title
        scratch.mkdir()
        seen |= readers.read(path, scratch, program)
    assert seen == set(readers.READERS)


def without_value(ds: Dataset) -> None:
    [item] = [one for one in walk(ds) if one.ValueType == "CODE" and name(one) == "study-refused"]
    del item.ConceptCodeSequence


def without_value_type(ds: Dataset) -> None:
    del groups(ds)[0].ContentSequence[0].ValueType


def without_segments(ds: Dataset) -> None:
    del ds.SegmentSequence


@pytest.mark.parametrize(
    ("title", "harm", "reader"),
    [
        ("sr of refused", without_value, "dsrdump"),
        ("sr of slices", without_value_type, "dsrdump"),
        ("sr of slices", without_value_type, "highdicom srread"),
        ("seg of slices", without_segments, "highdicom segread"),
        ("seg of slices", without_segments, "dcmqi segimage2itkimage"),
        ("sr of slices", without_value_type, "dcmqi tid1500reader"),
    ],
)
def test_a_reader_can_refuse(
    title: str, harm: Harm, reader: str, objects: dict[str, Path], program: Program, tmp_path: Path
) -> None:
    """An object that lacks what it has to have is not read."""
    ds = dcmread(objects[title])
    harm(ds)
    ds.save_as(tmp_path / "bad.dcm")
    with pytest.raises((AssertionError, AttributeError, KeyError, ValueError)):
        readers.READERS[reader][1](readers.Object(tmp_path / "bad.dcm", tmp_path, program))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Orthanc]:
    """A running Orthanc with DICOMweb."""
    if not Orthanc.available():
        lacking("Orthanc")
    try:
        with Orthanc(tmp_path_factory.mktemp("orthanc"), PACS, {}) as server:
            yield server
    except CannotStart as error:
        lacking(str(error))


@pytest.fixture(scope="module")
def archive(orthanc: Orthanc, objects: dict[str, Path]) -> Archive:
    """The Orthanc, when it was sent every object; it knows no label map by C-STORE and takes it by HTTP."""
    found = Archive(orthanc)
    stored = Peer(PACS, "127.0.0.1", orthanc.dicom_port, SENDER).store(list(objects.values()))
    refused = {title for title, one in zip(objects, stored, strict=True) if one.status != 0}
    assert refused == {title for title in objects if title.startswith("seg-labelmap")}
    for title in refused:
        found.add(objects[title])
    return found


def test_qido_finds_every_object(archive: Archive, objects: dict[str, Path]) -> None:
    """In its study and its series, alone there, with class and modality."""
    for path in objects.values():
        ds = dcmread(path, stop_before_pixels=True)
        series = f"studies/{ds.StudyInstanceUID}/series"
        [listed] = archive.qido(f"{series}?SeriesInstanceUID={ds.SeriesInstanceUID}&includefield=SeriesDescription")
        assert Dataset.from_json(listed).Modality == ds.Modality
        assert Dataset.from_json(listed).SeriesDescription == ds.SeriesDescription
        [one] = archive.qido(f"{series}/{ds.SeriesInstanceUID}/instances")
        found = Dataset.from_json(one)
        assert (found.SOPInstanceUID, found.SOPClassUID) == (ds.SOPInstanceUID, ds.SOPClassUID)


def test_wado_tells_every_element(archive: Archive, objects: dict[str, Path]) -> None:
    """The metadata of each object are its elements, each with its value; and where plain pixels are."""
    for title, path in objects.items():
        ds = dcmread(path)
        [told] = archive.qido(f"{_path(ds)}/metadata")
        pixels = told.pop("7FE00010", {})
        if ds.pop("PixelData", None) is not None:
            assert ("BulkDataURI" in pixels) != ds.file_meta.TransferSyntaxUID.is_compressed
        assert Dataset.from_json(told) == ds, title


def test_wado_returns_the_very_object(archive: Archive, objects: dict[str, Path]) -> None:
    """What was sent is returned, byte by byte behind the file's own header."""
    for title, path in objects.items():
        ds = dcmread(path, stop_before_pixels=True)
        returned = archive.wado(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        assert _data_set(returned) == _data_set(path.read_bytes()), title


def test_wado_returns_frames(archive: Archive, objects: dict[str, Path]) -> None:
    """Frame by frame the same pixels; of bits in rows that end within a byte, all frames in one piece."""
    refused = set()
    for title, path in objects.items():
        ds = dcmread(path)
        if "PixelData" not in ds:
            continue
        if ds.BitsAllocated == 1 and ds.Columns % 8:
            refused.add(title)
            with pytest.raises(AssertionError, match=r"400 .*Bad file format"):
                archive.frames(_path(ds), 1)
            frames = archive.parts(f"{_path(ds)}/bulk/7fe00010", 'multipart/related; type="application/octet-stream"')
        else:
            frames = archive.frames(_path(ds), int(ds.NumberOfFrames))
        compressed = ds.file_meta.TransferSyntaxUID.is_compressed
        assert b"".join(frames) == (ds.pixel_array.tobytes() if compressed else ds.PixelData), title
    assert refused == {"seg of narrow slices"}


def _path(ds: Dataset) -> str:
    return instance_path(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)


def _data_set(content: bytes) -> bytes:
    """Return what follows the File Meta Information (PS3.10 section 7.1), whose length stands in its first element."""
    return content[144 + int.from_bytes(content[140:144], "little") :]
