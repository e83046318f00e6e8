"""Objects of a result, good and with one fault planted in them, held against their CT."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage

from node.review.rules import RULES
from node.review.subject import Beside, Subject, subjects
from node.review.verdict import State, Verdict, judge

if TYPE_CHECKING:
    from studies import Study

Edit = Callable[[Dataset], None]


@dataclass(frozen=True)
class Bench:
    """The objects of the coarse phantom, and of a refused one, with what they are held against."""

    files: dict[str, Path]
    beside: Beside
    folder: Path

    def planted(self, file: str, edit: Edit) -> Subject:
        """Return an object with a change."""
        path = self.files[file]
        ds = dcmread(path)
        edit(ds)
        if "PixelData" in ds:  # which is read from the file
            path = self.folder / file
            ds.save_as(path)
        series = {TAKEN: (Path("another.dcm"),)}
        series[ds.SeriesInstanceUID] = (*series.get(ds.SeriesInstanceUID, ()), path)
        return Subject(path, ds, replace(self.beside, series=series))

    def judged(self, file: str, edit: Edit = lambda _: None) -> list[Verdict]:
        """Return what the rules say of an object with a change."""
        subject = self.planted(file, edit)
        return judge(subject, RULES[subject.kind])


TAKEN = "2.25.123"  # a series that holds another object


def broken(verdicts: list[Verdict]) -> set[str]:
    """Return the ids of the rules that are broken."""
    return {one.rule.id for one in verdicts if one.state is State.BROKEN}


@pytest.fixture(scope="session")
def held_against(coarse_phantom: "Study", coarse_phantom_files: Path) -> Beside:
    """The CT, the SEG that was imported, and the one of the result."""
    own = coarse_phantom.path("seg.dcm")
    return subjects([own], [coarse_phantom_files])[0].beside


@pytest.fixture(scope="session")
def summary(coarse_phantom: "Study", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Secondary Capture of two black frames in true colour, with the patient and the equipment of a result."""
    ds = coarse_phantom.dataset("seg.dcm")
    for tag in [one.tag for one in ds if one.tag.group in (0x0028, 0x0062, 0x5200, 0x7FE0)]:
        del ds[tag]
    for keyword in ("ReferencedSeriesSequence", "SourceImageSequence", "CodingSchemeIdentificationSequence"):
        ds.pop(keyword, None)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    ds.Modality, ds.BurnedInAnnotation, ds.PhotometricInterpretation = "OT", "NO", "RGB"
    ds.SamplesPerPixel, ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 3, 8, 8, 7, 0
    ds.Rows = ds.Columns = 4
    ds.NumberOfFrames, ds.PlanarConfiguration = 2, 0
    ds.add_new("PixelData", "OB", bytes(96))
    path = tmp_path_factory.mktemp("summary") / "summary.dcm"
    ds.save_as(path)
    return path


@pytest.fixture(scope="session")
def few_frames(coarse_phantom: "Study", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SEG of the result with two frames of each segment, so that a fault is soon found."""
    ds = coarse_phantom.dataset("seg.dcm")
    of = [one.SegmentIdentificationSequence[0].ReferencedSegmentNumber for one in ds.PerFrameFunctionalGroupsSequence]
    kept = [index for index, number in enumerate(of) if of[:index].count(number) < 2]
    bits = np.unpackbits(np.frombuffer(ds.PixelData, np.uint8), bitorder="little")
    frames = bits[: len(of) * ds.Rows * ds.Columns].reshape(len(of), -1)[kept]
    pixels = np.packbits(frames, bitorder="little").tobytes()
    ds.PixelData = pixels + bytes(len(pixels) % 2)
    ds.PerFrameFunctionalGroupsSequence = [ds.PerFrameFunctionalGroupsSequence[index] for index in kept]
    ds.NumberOfFrames = len(kept)
    path = tmp_path_factory.mktemp("few") / "seg.dcm"
    ds.save_as(path)
    return path


@pytest.fixture
def bench(
    coarse_phantom: "Study",
    refused_phantom: "Study",
    few_frames: Path,
    summary: Path,
    held_against: Beside,
    tmp_path: Path,
) -> Bench:
    """Where faults are planted."""
    files = {name: coarse_phantom.path(name) for name in ("sr.dcm", "sr-viewer.dcm")}
    files |= {"refusal.dcm": refused_phantom.path("sr.dcm"), "seg.dcm": few_frames, "summary.dcm": summary}
    return Bench(files, held_against, tmp_path)


@pytest.fixture(scope="session")
def strangers(test_data: Path) -> dict[str, Path]:
    """An SR and a SEG that dcmqi wrote."""
    folder = test_data / "sr-seg-samples"
    return {name: folder / f"{name}.dcm" for name in ("sr", "seg", "liver", "partial_overlaps")}


def item_of(ds: Dataset, *concepts: str, kind: str = "") -> Dataset:
    """Return the first content item that is found by concept names, each below the last."""
    for concept in concepts:
        ds = next(one for one in walk(ds) if one is not ds and named(one) == concept and kind in ("", one.ValueType))
    return ds


def walk(ds: Dataset) -> Iterator[Dataset]:
    """Yield a content item and all below it."""
    yield ds
    for one in ds.get("ContentSequence") or ():
        yield from walk(one)


def named(item: Dataset) -> str:
    """Return the code of a concept name; empty where there is none."""
    name = item.get("ConceptNameCodeSequence")
    return str(name[0].get("CodeValue") or name[0].get("LongCodeValue")) if name else ""


def without(item: Dataset, *concepts: str, kind: str = "") -> None:
    """Take the children of some concept names, or of a value type, out of a content item."""
    item.ContentSequence = Sequence(
        one
        for one in item.ContentSequence
        if not (named(one) in concepts or (kind and not concepts and one.ValueType == kind))
    )
