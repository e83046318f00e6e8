"""SEG and label map: what highdicom would write from whole matrices, and that a reader finds the masks in them."""

from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from made_series import LAYOUTS, ROOT, Layout, header, request
from pydicom import Dataset
from pydicom.uid import EnhancedCTImageStorage
from whole_seg import labels_of, whole

from node.core.codes import Structure
from node.core.grid import Geometry
from workers.measured import Measured
from workers.records import IMPORTED, AlgorithmType, LabelMap, Mask, Region, Segment
from workers.report import seg
from workers.report.document import Findings
from workers.report.envelope import encoded
from workers.report.frames import Source

SHAPES = [(9, 8, 16), (10, 7, 9), (8, 10, 11), (7, 5, 3)]  # 128, 63, 110 and 15 pixels
LIVER, LESION, LEFT, RIGHT = Structure.LIVER, Structure.LESION, Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT
Drawn = list[tuple[Structure, Mask]]


def blobs(shape: tuple[int, int, int], seed: int = 1) -> Drawn:
    """A liver with an empty slice in its middle, two muscles that touch, a lesion across its edge, one inside it."""
    rng = np.random.default_rng(seed)
    liver, left, right, over, inside = (np.zeros(shape, dtype=bool) for _ in range(5))
    liver[1:6, 1:-1, 1:] = rng.random((5, shape[1] - 2, shape[2] - 1)) < 0.7
    liver[3] = False
    left[2:, : shape[1] // 2], right[2:, shape[1] // 2 :] = True, True
    over[5:7, -3:, :2] = True
    inside[1, 1, 1] = liver[1, 1, 1] = True
    return [(LIVER, liver), (LEFT, left), (RIGHT, right), (LESION, over), (LESION, inside)]


def findings(drawn: Drawn, core: Mask | None = None) -> Findings:
    geometry = Geometry(drawn[0][1].shape, (0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), "1.2")
    cropped = [(structure, Region.of(mask)) for structure, mask in drawn]
    segments = tuple(
        Segment(structure, str(structure), region, AlgorithmType.AUTOMATIC, "made")
        for structure, region in cropped
        if region
    )
    labels = LabelMap(geometry, ROOT, IMPORTED, frozenset(Structure), segments)
    measured = Measured({}, Region.of(core) if core is not None else None, None, None)
    return Findings(request(), None, labels, measured, None)


def slices(shape: tuple[int, int, int], layout: Layout = LAYOUTS["axial"], instances: int = 0) -> list[Source]:
    """The slices as images of their own, or as frames of so many images whose frames interleave."""
    made = []
    for index in range(shape[0]):
        ds = header(layout, index, shape)
        if instances:
            ds.SOPClassUID, ds.SOPInstanceUID = EnhancedCTImageStorage, f"{ROOT}.9{index % instances}"
        made.append(Source(ds, index // instances + 1 if instances else None))
    return made


def built(kind: str, found: Findings, sources: list[Source]) -> Dataset:
    ds = (seg.build if kind == "seg" else seg.label_map)(found, sources, [])
    assert ds is not None
    return ds


def read(ds: Dataset) -> hd.seg.Segmentation:
    return hd.seg.segread(BytesIO(encoded(ds)))


@pytest.mark.parametrize("kind", ["seg", "seg-labelmap"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_what_highdicom_writes_of_whole_matrices(shape: tuple[int, int, int], kind: str) -> None:
    """Byte for byte: header, segments, order of frames, their groups, pixels; whatever bit a frame begins on."""
    found, sources = findings(blobs(shape)), slices(shape)
    assert encoded(built(kind, found, sources)) == encoded(whole(found, sources, kind))


@pytest.mark.parametrize("kind", ["seg", "seg-labelmap"])
@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"axial"}))
def test_it_is_so_in_every_layout(layout: str, kind: str) -> None:
    """Flipped, turned and oblique slices: frames come in highdicom's order, each at its place."""
    shape = (8, 10, 11)
    found, sources = findings(blobs(shape)), slices(shape, LAYOUTS[layout])
    assert encoded(built(kind, found, sources)) == encoded(whole(found, sources, kind))


@pytest.mark.parametrize("kind", ["seg", "seg-labelmap"])
@pytest.mark.parametrize("instances", [1, 3])
def test_it_is_so_of_multi_frame_images(instances: int, kind: str) -> None:
    """Each frame names the frame that it was made from; each instance is listed once."""
    shape = (8, 10, 11)
    found, sources = findings(blobs(shape)), slices(shape, instances=instances)
    ds = built(kind, found, sources)
    assert encoded(ds) == encoded(whole(found, sources, kind))
    assert len(ds.SourceImageSequence) == instances


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("layout", ["axial", "rows flipped"])
def test_it_is_so_of_a_single_segment(layout: str, count: int) -> None:
    """What frames tell apart is then the slice alone: the segment is said once for all, even slices are called 3D."""
    shape = (6, 10, 11)
    mask = np.zeros(shape, dtype=bool)
    mask[1 : 1 + count, 2:5, 3:7] = True
    found, sources = findings([(LIVER, mask)]), slices(shape, LAYOUTS[layout])
    ds = built("seg", found, sources)
    assert encoded(ds) == encoded(whole(found, sources))
    assert ds.get("DimensionOrganizationType") == ("3D" if count > 1 else None)


def test_uneven_slices_are_not_called_3d() -> None:
    """A single segment with a hole of a slice: highdicom says nothing of the organization, and so do we."""
    mask = np.ones((6, 8, 8), dtype=bool)
    mask[2] = False
    found, sources = findings([(LIVER, mask)]), slices((6, 8, 8))
    ds = built("seg", found, sources)
    assert encoded(ds) == encoded(whole(found, sources))
    assert "DimensionOrganizationType" not in ds


def test_segments_that_touch_do_not_overlap() -> None:
    """Segments Overlap is YES for one voxel in common, NO for boxes that overlap and for faces that meet."""
    shape = (6, 8, 8)
    drawn = dict(blobs(shape)[1:3])
    assert built("seg", findings(list(drawn.items())), slices(shape)).SegmentsOverlap == "NO"
    drawn[LEFT] = drawn[LEFT].copy()
    drawn[LEFT][5, 5, 5] = True
    assert built("seg", findings(list(drawn.items())), slices(shape)).SegmentsOverlap == "YES"


@pytest.mark.parametrize("instances", [0, 2])
@pytest.mark.parametrize("layout", ["axial", "turned round", "oblique"])
def test_a_label_map_is_the_seg_with_the_last_segment_on_top(layout: str, instances: int) -> None:
    """highdicom reads both: each voxel has the number of the last segment there, so lesions lie on top."""
    shape = (8, 10, 11)
    drawn = blobs(shape)
    core = np.zeros(shape, dtype=bool)
    core[3:5, 4:6, 4:6] = True
    found, sources = findings(drawn, core), slices(shape, LAYOUTS[layout], instances)
    segments, labels = (read(built(kind, found, sources)) for kind in ("seg", "seg-labelmap"))
    stack = segments.get_volume().array.astype(bool)
    numbers = labels.get_volume(combine_segments=True).array
    np.testing.assert_array_equal(numbers, labels_of(list(np.moveaxis(stack, -1, 0))))
    assert (numbers[stack[..., -1]] == stack.shape[-1]).all()
    assert (stack.sum(axis=-1) > 1).any()
    ours = {one.SegmentNumber: (one.SegmentLabel, one.TrackingUID) for one in segments.SegmentSequence}
    theirs = {one.SegmentNumber: (one.SegmentLabel, one.get("TrackingUID")) for one in labels.SegmentSequence}
    assert theirs == ours | {0: ("Background", None)}


def test_a_segment_that_others_cover_is_not_in_the_label_map() -> None:
    """It would have no voxel; the numbers of the others stay those of the SEG."""
    shape = (6, 8, 8)
    liver, hidden, lesion = (np.zeros(shape, dtype=bool) for _ in range(3))
    liver[1:5, 1:6], hidden[2:4, 2:4], lesion[2:4, 2:5] = True, True, True
    ds = built("seg-labelmap", findings([(LIVER, liver), (LEFT, hidden), (LESION, lesion)]), slices(shape))
    assert [int(one.SegmentNumber) for one in ds.SegmentSequence] == [0, 1, 3]
    assert set(np.unique(read(ds).get_volume(combine_segments=True).array)) == {0, 1, 3}


def test_nothing_segmented_gives_neither() -> None:
    """No segment, no object."""
    nothing = findings([(LIVER, np.zeros((6, 8, 8), dtype=bool))])
    assert seg.build(nothing, slices((6, 8, 8)), []) is None
    assert seg.label_map(nothing, slices((6, 8, 8)), []) is None
