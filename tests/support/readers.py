"""Readers that nobody here wrote, put to every object: what each finds is held against what pydicom finds.

The matrix is `READERS`: which classes each of them reads. A reader that finds something else fails by an assertion.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import SimpleITK
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SegmentationStorage,
)
from sr_reading import children, every_dataset, evidence, groups, number, tracking_uid, walk

from node.core.kinds import LABEL_MAP_SEGMENTATION_STORAGE

SEG, SR = frozenset({SegmentationStorage}), frozenset({Comprehensive3DSRStorage})
LABEL_MAP, NOTES = frozenset({LABEL_MAP_SEGMENTATION_STORAGE}), frozenset({KeyObjectSelectionDocumentStorage})
PICTURES = frozenset({MultiFrameTrueColorSecondaryCaptureImageStorage})
Program = Callable[[str], str]


@dataclass(frozen=True)
class Object:
    """An object on disk, and where a reader may write."""

    path: Path
    scratch: Path
    program: Program

    @property
    def ds(self) -> Dataset:
        """What pydicom reads."""
        return dcmread(self.path)

    def ask(self, name: str, *words: str) -> str:
        """Run a program that has to end well, without a word of complaint, and return what it printed."""
        done = subprocess.run([self.program(name), *words], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{name}: {done.stderr[-2000:]}"
        return done.stdout


def read(path: Path, scratch: Path, program: Program) -> set[str]:
    """Have every reader that knows the class of an object read it, and return their names."""
    class_ = dcmread(path, specific_tags=["SOPClassUID"]).SOPClassUID
    names = {name for name, (classes, _) in READERS.items() if class_ in classes}
    for name in sorted(names):
        READERS[name][1](Object(path, scratch, program))
    return names


def by_pydicom(one: Object) -> None:
    """Every element of every item has a value of its kind; pixels are as many as the header says."""
    ds = one.ds
    assert all(element.value is not Ellipsis for item in every_dataset(ds) for element in item)
    if "PixelData" in ds:
        assert ds.pixel_array.size == int(ds.NumberOfFrames) * int(ds.Rows) * int(ds.Columns) * int(ds.SamplesPerPixel)


def by_dcmdump(one: Object) -> None:
    """As many elements at the top as pydicom counts, and no complaint."""
    shown = one.ask("dcmdump", str(one.path)).splitlines()
    tops = [line for line in shown if line.startswith("(") and not line.startswith("(fffe")]
    ds = one.ds
    assert len(tops) == len(ds) + len(ds.file_meta)
    assert not any(line.startswith(("W:", "E:")) for line in shown)


def by_dsrdump(one: Object) -> None:
    """Value and unit of every NUM, and every predecessor."""
    shown = one.ask("dsrdump", "+Pl", str(one.path))
    for item in walk(one.ds):
        if item.ValueType == "NUM":
            value = item.MeasuredValueSequence[0].NumericValue
            assert f'="{value}" ({number(item)[1]},UCUM,' in shown
    assert ("Predecessor Docs" in shown) == ("PredecessorDocumentsSequence" in one.ds)


def by_dsrdump_of_a_note(one: Object) -> None:
    """The title of the IHE profile."""
    assert '(113001,DCM,"Rejected for Quality Reasons")' in one.ask("dsrdump", "+Pc", str(one.path))


def by_srread(one: Object) -> None:
    """highdicom finds each group, of whichever of its three kinds, with all of its numbers."""
    content = hd.sr.srread(one.path).content
    found = {
        str(group.tracking_uid): [float(measured.value) for measured in group.get_measurements()]
        for group in (
            *content.get_volumetric_roi_measurement_groups(),
            *content.get_planar_roi_measurement_groups(),
            *content.get_image_measurement_groups(),
        )
    }
    expected = {tracking_uid(group): [number(item)[0] for item in children(group, "NUM")] for group in groups(one.ds)}
    assert found == expected


def by_note(one: Object) -> None:
    """highdicom resolves each object that the note names."""
    note = hd.ko.KeyObjectSelectionDocument.from_dataset(one.ds)
    named = {str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in note.content.get_references()}
    assert named == evidence(one.ds)
    assert {note.resolve_reference(uid)[2] for uid in named} == named


def by_segread(one: Object) -> None:
    """highdicom counts as many voxels of each segment as there are bits; of a tilted stack in all."""
    seg, counts = hd.seg.segread(one.path), voxel_counts(one.ds)
    if is_sheared(one.ds):
        assert int(seg.get_stored_frames().sum()) == sum(counts.values())
        return
    read = seg.get_volume(combine_segments=False).array
    assert {int(number_): int(read[..., at].sum()) for at, number_ in enumerate(seg.segment_numbers)} == counts


def by_segread_of_labels(one: Object) -> None:
    """highdicom finds each label where pydicom does, and a segment for each."""
    seg, labels = hd.seg.segread(one.path), one.ds.pixel_array
    assert set(np.unique(labels).tolist()) == {0, *seg.segment_numbers}
    read_ = seg.get_volume(combine_segments=True).array
    assert np.array_equal(np.bincount(read_.ravel())[1:], np.bincount(labels.ravel())[1:])


def by_imread(one: Object) -> None:
    """highdicom reads the same pixels."""
    frames = hd.imread(one.path).get_frames(apply_icc_profile=False)
    assert np.array_equal(frames, one.ds.pixel_array.reshape(frames.shape))


def by_segimage2itkimage(one: Object) -> None:
    """dcmqi counts as many voxels of each segment as there are bits; a tilted stack is no volume to it either."""
    if is_sheared(one.ds):
        return
    found = {number_: places.shape[1] for number_, places in places_by_dcmqi(one)}
    assert found == voxel_counts(one.ds)


def by_tid1500reader(one: Object) -> None:
    """dcmqi finds each segment's group with its finding, segment and values."""
    target = one.scratch / f"{one.path.stem}.json"
    one.ask("tid1500reader", "--inputDICOM", str(one.path), "--outputMetadata", str(target))
    read_ = {group["TrackingUniqueIdentifier"]: group for group in json.loads(target.read_text())["Measurements"]}
    for group in groups(one.ds):
        if references := children(group, "IMAGE", "121191"):
            theirs = read_[tracking_uid(group)]
            [segment] = {int(item.ReferencedSOPSequence[0].ReferencedSegmentNumber) for item in references}
            assert theirs["ReferencedSegment"] == segment
            values = [float(item["value"]) for item in theirs.get("measurementItems", [])]
            assert values == [number(item)[0] for item in children(group, "NUM")]


def places_by_dcmqi(one: Object) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the segments that dcmqi makes of a SEG: number, and places of voxels [mm, LPS], shape (3, voxels)."""
    folder = one.scratch / f"{one.path.stem}-itk"
    folder.mkdir()
    one.ask("segimage2itkimage", "--inputDICOM", str(one.path), "--outputDirectory", str(folder), "-t", "nrrd")
    for path in folder.glob("*.nrrd"):
        image = SimpleITK.ReadImage(str(path))
        k, j, i = np.nonzero(SimpleITK.GetArrayFromImage(image))
        directions = np.asarray(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        yield int(path.stem), directions @ np.stack([i, j, k]) + np.asarray(image.GetOrigin())[:, None]


def places_by_hand(ds: Dataset) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the same of each frame, from bits and headers alone.

    The pixels of a BINARY segmentation are one stream of bits, the lowest of each byte first (PS3.5 section 8.1.1).
    """
    frames, rows, columns = int(ds.NumberOfFrames), int(ds.Rows), int(ds.Columns)
    bits = np.unpackbits(np.frombuffer(ds.PixelData, dtype=np.uint8), bitorder="little")
    planes = bits[: frames * rows * columns].reshape(frames, rows, columns)
    for plane, own in zip(planes, ds.PerFrameFunctionalGroupsSequence, strict=True):
        groups_ = Dataset()
        for part in (*ds.SharedFunctionalGroupsSequence, own):  # what all frames have in common is said once
            groups_.update(part)
        [corner] = [np.asarray(one.ImagePositionPatient, dtype=float) for one in groups_.PlanePositionSequence]
        [cosines] = [np.asarray(one.ImageOrientationPatient, dtype=float) for one in groups_.PlaneOrientationSequence]
        [spacing] = [np.asarray(one.PixelSpacing, dtype=float) for one in groups_.PixelMeasuresSequence]
        [number_] = [int(one.ReferencedSegmentNumber) for one in groups_.SegmentIdentificationSequence]
        row, column = np.nonzero(plane)
        within = np.outer(cosines[:3], column * spacing[1]) + np.outer(cosines[3:], row * spacing[0])
        yield number_, within + corner[:, None]


def is_sheared(ds: Dataset) -> bool:
    """Say whether the frames step along the table of a tilted gantry and not along their normal."""
    [shared] = ds.SharedFunctionalGroupsSequence
    cosines = np.asarray(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    places = [own.PlanePositionSequence[0].ImagePositionPatient for own in ds.PerFrameFunctionalGroupsSequence]
    steps = np.ptp(np.asarray(places, dtype=float) @ cosines.reshape(2, 3).T, axis=0)
    return bool(steps.max() > 0.1)


def voxel_counts(ds: Dataset) -> dict[int, int]:
    """Return how many voxels each segment has."""
    counts = {int(item.SegmentNumber): 0 for item in ds.SegmentSequence}
    for number_, places in places_by_hand(ds):
        counts[number_] += places.shape[1]
    return counts


READERS: Mapping[str, tuple[frozenset[str], Callable[[Object], None]]] = {
    "pydicom": (SEG | LABEL_MAP | SR | NOTES | PICTURES, by_pydicom),
    "dcmdump": (SEG | LABEL_MAP | SR | NOTES | PICTURES, by_dcmdump),
    "dsrdump": (SR, by_dsrdump),
    "dsrdump of a note": (NOTES, by_dsrdump_of_a_note),
    "highdicom srread": (SR, by_srread),
    "highdicom segread": (SEG, by_segread),
    "highdicom segread of labels": (LABEL_MAP, by_segread_of_labels),
    "highdicom imread": (PICTURES, by_imread),
    "highdicom KeyObjectSelectionDocument": (NOTES, by_note),
    "dcmqi segimage2itkimage": (SEG, by_segimage2itkimage),
    "dcmqi tid1500reader": (SR, by_tid1500reader),
}
