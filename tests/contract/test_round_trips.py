"""Voxel by voxel there and back: random masks become our SEG, and each reader finds them where they were drawn.

A case is a small series on any grid that a scanner gives: axial, rows and columns flipped or exchanged, oblique, of
unequal pixels, as single slices or as frames of two Enhanced CT images. Where a voxel lies is reckoned from the headers
of the CT alone. The masks touch, overlap, fill the picture or are one voxel; most pictures end within a byte.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_enhanced import enhance
from made_series import LAYOUTS, Layout, candidate, instance, request, write_series
from made_series import spool as absolute
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from readers import Object, places_by_dcmqi, places_by_hand

from node.core.codes import MEASUREMENTS, STRUCTURES, Structure
from node.core.reasons import NotComputed
from node.core.records import not_computed
from node.core.settings import MeasurementSettings
from workers import volume
from workers.measured import Burden, Measured
from workers.records import AlgorithmType, LabelMap, Mask, Region, Segment
from workers.report import envelope, seg
from workers.report.document import Findings
from workers.segmentation import imported

SETTINGS = MeasurementSettings(minimum_slices=2)
WHOLE_VOXEL = 0.02
SEGMENTS = (
    Structure.LIVER,
    Structure.ILIOPSOAS_LEFT,
    Structure.PSOAS_MAJOR_RIGHT,
    Structure.L1_CORE,
    Structure.LESION,
    Structure.LESION,
    Structure.LESION,
)
Program = Callable[[str], str]
Folder = Callable[[], Path]


@dataclass(frozen=True)
class Case:
    """What is drawn: masks `(slices, rows, columns)` in the rows and columns of the files, slices as written."""

    layout: Layout
    enhanced: bool
    listed: tuple[int, ...]
    drawn: tuple[tuple[Structure, Mask], ...] = field(repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        slices, rows, columns = self.drawn[0][1].shape
        return slices, rows, columns


@st.composite
def cases(draw: st.DrawFn, base: Layout | None = None, *, enhanced: bool | None = None) -> Case:
    """Draw a case, of a layout or of any."""
    layout = draw(layouts()) if base is None else base
    shape = (draw(st.integers(2, 6)), draw(st.integers(3, 24)), draw(st.integers(3, 20)))
    structures = draw(st.lists(st.sampled_from(range(len(SEGMENTS))), min_size=1, max_size=5, unique=True))
    return Case(
        layout,
        draw(st.booleans()) if enhanced is None else enhanced,
        tuple(draw(st.permutations(range(shape[0])))),
        tuple((SEGMENTS[one], draw(masks(shape))) for one in structures),
    )


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Draw a grid: one of the made ones, turned about all three axes, its slices stepping to either side."""
    millimetres = st.floats(0.4, 5.0).map(lambda value: round(value, 3))
    base = draw(st.sampled_from(sorted(LAYOUTS)))
    degrees = draw(st.just((0, 0, 0)) | st.tuples(*[st.integers(-20, 20)] * 3))
    turned = [_turn(degrees) @ axis for axis in (LAYOUTS[base].row, LAYOUTS[base].column)]
    row, column = ([round(float(value), 8) for value in axis] for axis in turned)
    spacing = (draw(millimetres), draw(millimetres), draw(millimetres))
    step = np.cross(row, column) * spacing[0] * draw(st.sampled_from((1, -1)))
    origin = draw(st.tuples(*[st.floats(-300, 300).map(lambda value: round(value, 2))] * 3))
    return Layout(spacing, origin, _vector(row), _vector(column), _vector(step))


def _turn(degrees: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one, two = (index for index in range(3) if index != axis)
        about = np.eye(3)
        about[one, one] = about[two, two] = np.cos(angle)
        about[one, two], about[two, one] = -np.sin(angle), np.sin(angle)
        matrix = about @ matrix
    return matrix


def _vector(values: Iterable[float]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


@st.composite
def masks(draw: st.DrawFn, shape: tuple[int, int, int]) -> Mask:
    """Draw a mask of a few boxes, often of one voxel, whole or ragged; never empty."""
    mask = np.zeros(shape, dtype=bool)
    for _ in range(draw(st.integers(1, 3))):
        first = [draw(st.integers(0, size - 1)) for size in shape]
        last = [draw(st.just(low) | st.integers(low, size - 1)) for low, size in zip(first, shape, strict=True)]
        mask[tuple(slice(low, high + 1) for low, high in zip(first, last, strict=True))] = True
        if draw(st.booleans()):
            ragged = mask & (np.random.default_rng(draw(st.integers(0, 99))).random(shape) < 0.6)
            mask = ragged if ragged.any() else mask
    return mask


class Trip:
    """A case that went there: the CT, and our SEG of it."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        slices = write_series(folder / "slices", np.full(case.shape, 1024, dtype=np.uint16), layout=case.layout)
        headers = [dcmread(path, stop_before_pixels=True) for path in slices]
        self.affine, self.uids = _affine(headers), [str(ds.SOPInstanceUID) for ds in headers]
        self.files = [slices[index] for index in case.listed]
        if case.enhanced:
            halves = (self.files[::2], self.files[1::2])
            self.files = [enhance(half, folder / f"{n}.dcm", number=n) for n, half in enumerate(halves, start=1)]
        self.volume = volume.read(candidate(self.files), absolute(), SETTINGS)
        # Of each slice of the volume, which slice of the case it is.
        self.order = [self._written(index) for index in range(case.shape[0])]
        findings = self._findings()
        ds = seg.build(findings, envelope.sources(findings, absolute()), [])
        assert ds is not None
        self.path = folder / "seg.dcm"
        ds.save_as(self.path, enforce_file_format=True)
        self.seg = dcmread(self.path)
        self.labels = {int(item.SegmentNumber): str(item.SegmentLabel) for item in self.seg.SegmentSequence}

    def _written(self, index: int) -> int:
        one = self.volume.instances[index]
        if not self.volume.frames:
            return self.uids.index(one.sop_instance_uid)
        part = self.files.index(Path(one.path))
        return self.case.listed[part + 2 * (self.volume.frames[index] - 1)]

    def _findings(self) -> Findings:
        """Return the masks as what was segmented, and no number."""
        regions = [(structure, Region.of(mask[self.order])) for structure, mask in self.case.drawn]
        segments = tuple(
            Segment(structure, "", region, AlgorithmType.AUTOMATIC, "made")
            for structure, region in regions
            if region is not None and structure is not Structure.L1_CORE
        )
        core = next((region for structure, region in regions if structure is Structure.L1_CORE), None)
        measured = Measured(
            {name: not_computed(NotComputed.NOT_REQUESTED) for name in MEASUREMENTS},
            core,
            None,
            Burden((), drawn=True, smaller=0, zone=None),
        )
        searched = frozenset(structure for structure, _ in self.case.drawn)
        labels = LabelMap(self.volume.geometry, self.volume.candidate.series_instance_uid, "made", searched, segments)
        return Findings(request(self.files), self.volume, labels, measured, None)

    @property
    def drawn(self) -> dict[str, Mask]:
        """The masks by the labels of their segments."""
        found, lesions = {}, 0
        for structure, mask in self.case.drawn:
            label = STRUCTURES[structure].label
            if structure is Structure.LESION:
                lesions += 1
                label = f"{label} {lesions}"
            found[label] = mask
        return found

    def laid(self, points: Iterable[tuple[int, NDArray[np.float64]]]) -> dict[str, Mask]:
        """Return masks by label from segment numbers and places of voxels [mm, LPS], shape (3, voxels)."""
        found = {label: np.zeros(self.case.shape, dtype=bool) for label in self.labels.values()}
        inverse = np.linalg.inv(self.affine)
        for number, places in points:
            voxels = inverse[:3, :3] @ places + inverse[:3, 3:]
            whole = np.rint(voxels).astype(int)
            assert np.abs(voxels - whole).max(initial=0.0) < WHOLE_VOXEL
            assert (whole >= 0).all()
            mask = found[self.labels[number]]
            assert not mask[tuple(whole)].any()  # no voxel is told twice
            mask[tuple(whole)] = True
        return found

    def is_found(self, found: dict[str, Mask]) -> bool:
        """Say whether these are the masks that were drawn, each under its own label."""
        assert found.keys() == self.drawn.keys()
        return all(np.array_equal(found[label], mask) for label, mask in self.drawn.items())


def _affine(headers: list[Dataset]) -> NDArray[np.float64]:
    """Return the matrix from slice, row and column to LPS [mm] that the headers of a series say (PS3.3 C.7.6.2.1)."""
    first, last = headers[0], headers[-1]
    cosines = np.asarray(first.ImageOrientationPatient, dtype=float)
    origin = np.asarray(first.ImagePositionPatient, dtype=float)
    matrix = np.eye(4)
    matrix[:3, 0] = (np.asarray(last.ImagePositionPatient, dtype=float) - origin) / (len(headers) - 1)
    matrix[:3, 1] = cosines[3:] * float(first.PixelSpacing[0])
    matrix[:3, 2] = cosines[:3] * float(first.PixelSpacing[1])
    matrix[:3, 3] = origin
    return matrix


def by_volume(path: Path) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield what highdicom makes of a SEG as one volume in space: segment number and places of voxels."""
    opened = hd.seg.segread(path)
    read = opened.get_volume(combine_segments=False)
    for index, number in enumerate(opened.segment_numbers):
        voxels = np.stack(np.nonzero(read.array[..., index]))
        yield int(number), read.affine[:3, :3] @ voxels + read.affine[:3, 3:]


def by_source(trip: Trip) -> dict[str, Mask]:
    """Return what highdicom finds of each source image, or of each of its frames, as masks of the case."""
    opened = hd.seg.segread(trip.path)
    numbers = [int(one) for one in opened.segment_numbers]
    found = {number: np.zeros(trip.case.shape, dtype=bool) for number in numbers}
    if trip.case.enhanced:
        for part, path in enumerate(trip.files):
            uid, listed = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID), trip.case.listed[part::2]
            frames = list(range(1, len(listed) + 1))
            read = opened.get_pixels_by_source_frame(uid, frames, assert_missing_frames_are_empty=True)
            for index, number in enumerate(numbers):
                found[number][list(listed)] = read[..., index]
    else:
        read = opened.get_pixels_by_source_instance(trip.uids, assert_missing_frames_are_empty=True)
        found = {number: read[..., index].astype(bool) for index, number in enumerate(numbers)}
    return {trip.labels[number]: mask for number, mask in found.items()}


def by_import(trip: Trip) -> dict[str, Mask]:
    """Return what this product takes from its own SEG; the L1 core, never an input, as it was drawn."""
    asked = request(trip.files, segmentations=[instance(trip.path)])
    labels = imported.segment(trip.volume, asked, absolute())
    found = {}
    for one in labels.segments if labels else ():
        mask = np.zeros(trip.case.shape, dtype=bool)
        mask[trip.order] = one.region.full(trip.volume.geometry.shape)
        found[one.label] = mask
    core = STRUCTURES[Structure.L1_CORE].label
    return found | {label: mask for label, mask in trip.drawn.items() if label == core}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a function that makes an empty folder, one for each example."""
    made: list[Path] = []

    def new() -> Path:
        made.append(tmp_path / str(len(made)))
        made[-1].mkdir()
        return made[-1]

    return new


fixtures_last = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(case=cases())
@settings(fixtures_last, max_examples=30)
def test_every_voxel_comes_back(case: Case, folder: Folder) -> None:
    """By highdicom, as one volume and by source image; from the bits by hand; and by this product itself."""
    trip = Trip(case, folder())
    assert trip.is_found(trip.laid(by_volume(trip.path)))
    assert trip.is_found(by_source(trip))
    assert trip.is_found(trip.laid(places_by_hand(trip.seg)))
    assert trip.is_found(by_import(trip))


@pytest.mark.parametrize("enhanced", [False, True], ids=["slices", "frames"])
@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.data())
@settings(fixtures_last, max_examples=1)
def test_dcmqi_finds_every_voxel(
    data: st.DataObject, layout: str, enhanced: bool, folder: Folder, program: Program
) -> None:
    """In each layout, of unequal pixels, one case of single slices and one of frames."""
    unequal = replace(LAYOUTS[layout], spacing_mm=(3.0, 3.6, 3.4))
    trip = Trip(data.draw(cases(unequal, enhanced=enhanced)), folder())
    assert trip.is_found(trip.laid(places_by_dcmqi(Object(trip.path, folder(), program))))


@given(case=cases())
@settings(fixtures_last, max_examples=5)
def test_the_comparison_can_fail(case: Case, folder: Folder) -> None:
    """One bit of a frame changed, or a frame moved by a pixel, is seen."""
    trip = Trip(case, folder())
    flipped = bytearray(trip.seg.PixelData)
    flipped[0] ^= 1
    trip.seg.PixelData = bytes(flipped)
    assert not trip.is_found(trip.laid(places_by_hand(trip.seg)))
    flipped[0] ^= 1
    trip.seg.PixelData = bytes(flipped)
    assert trip.is_found(trip.laid(places_by_hand(trip.seg)))
    trip.affine[:3, 3] += trip.affine[:3, 2]
    with pytest.raises((AssertionError, IndexError)):
        assert trip.is_found(trip.laid(places_by_hand(trip.seg)))
