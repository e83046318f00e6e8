from dataclasses import replace

import numpy as np
import pytest
from made_arrays import box, geometry, label_map, places, tilted, volume

from node.core.codes import Structure
from node.core.records import Instance
from workers.measured import Lesion
from workers.measurement import lesions
from workers.records import LabelMap, Mask, Volume

SHAPE = (14, 30, 36)
SPACING = (3.0, 0.8, 0.9)
GRID = geometry(SHAPE, SPACING)
VOXEL_ML = 3.0 * 0.8 * 0.9 / 1000
SEG = Instance("1.2", "1.3", "1.4", "aa", "seg.dcm")
BALL = box(SHAPE, slice(2, 6), slice(2, 8), slice(2, 8))


def labels_of(*masks: Mask) -> LabelMap:
    return label_map(GRID, {Structure.LESION: list(masks)})


def imported(*drawn: tuple[str, Mask]) -> LabelMap:
    """Return segments of an imported SEG under their labels."""
    made = labels_of(*(mask for _, mask in drawn))
    segments = [replace(one, label=label, source=SEG) for one, (label, _) in zip(made.segments, drawn, strict=True)]
    return replace(made, segments=tuple(segments))


def read(hu: np.ndarray | None = None, **facts: object) -> Volume:
    return volume(np.zeros(SHAPE, dtype=np.int16) if hu is None else hu, SPACING, **facts)


def table(labels: LabelMap, of: Volume | None = None) -> tuple[Lesion, ...]:
    return lesions.measure(of or read(), lesions.find(labels))


def test_what_a_lesion_is_measured_by() -> None:
    """Volume, mean, centre, diameters and slice of a box whose numbers can be written down."""
    hu = np.random.default_rng(4).normal(90, 20, SHAPE).astype(np.int16)
    [one] = table(labels_of(BALL), read(hu))
    assert one.volume_ml == pytest.approx(4 * 36 * VOXEL_ML)
    assert one.mean_hu == pytest.approx(hu[BALL].astype(float).mean())
    assert one.centre_mm == pytest.approx((4.5 * 0.9, 4.5 * 0.8, 3.5 * 3.0))
    assert one.axial_diameter_mm == pytest.approx(np.hypot(5 * 0.8, 5 * 0.9))
    assert one.diameter_mm == pytest.approx(np.sqrt((5 * 0.8) ** 2 + (5 * 0.9) ** 2 + 9.0**2))
    assert (one.slice, one.edges, one.parts, one.touches) == (2, (), 1, ())
    assert set(one.ends) in ({(2, 2), (7, 7)}, {(2, 7), (7, 2)})


def test_the_centre_lies_in_the_patient_on_a_sheared_grid() -> None:
    """It is the mean of the places of its voxels."""
    grid = tilted(SHAPE, 3.0, 0.8, 0.9, 18.0, turned=12.0)
    ragged = np.random.default_rng(2).random(SHAPE) > 0.5
    labels = label_map(grid, {Structure.LESION: ragged})
    [one, *_] = lesions.measure(replace(read(), geometry=grid), lesions.find(labels))
    assert one.centre_mm == pytest.approx(places(grid)[:, one.region.full(SHAPE)].mean(axis=1))


def test_padding_is_in_no_mean() -> None:
    """The volume is as drawn, the mean is of the rest; of nothing but padding there is none."""
    hu = np.full(SHAPE, 70, dtype=np.int16)
    hu[:4] = -3000
    [half] = table(labels_of(BALL), read(hu, padding_hu=((-3000.0, -3000.0),)))
    assert (half.mean_hu, half.volume_ml) == (70.0, pytest.approx(4 * 36 * VOXEL_ML))
    [none] = table(labels_of(BALL), read(hu, padding_hu=((-3000.0, 100.0),)))
    assert none.mean_hu is None


def test_the_threshold_is_half_a_tenth_of_a_millilitre() -> None:
    """Of one mask: 50 voxels of 1 mm3 are a lesion, 49 are told as smaller."""
    shape = (10, 20, 40)
    large, small = (
        box(shape, slice(2, 7), slice(2, 4), slice(2, 7)),
        box(shape, slice(2, 9), slice(2, 9), slice(20, 21)),
    )
    found = lesions.find(label_map(geometry(shape, (1.0, 1.0, 1.0)), {Structure.LESION: large | small}))
    assert [region.count for _, region in found.regions] == [50]
    assert (found.smaller, found.drawn) == (1, False)


def test_a_drawn_lesion_is_one_whatever_its_size() -> None:
    """Who draws a speck as a segment of its own means it; a program's second segment is one as well."""
    speck = box(SHAPE, slice(5, 6), slice(20, 22), slice(20, 22))
    for labels in (imported(("Tumor_1", BALL), ("Tumor_2", speck)), labels_of(BALL, speck)):
        found = lesions.find(labels)
        assert (len(found.regions), found.smaller, found.drawn) == (2, 0, True)


def test_a_lone_segment_is_one_lesion_where_it_is_numbered() -> None:
    """`Tumor_1` in two pieces is one lesion of two parts; `Tumours` is a mask, whose components are counted."""
    other = box(SHAPE, slice(8, 11), slice(20, 26), slice(20, 26))
    [one] = table(imported(("Tumor_1", BALL | other)))
    assert (one.label, one.parts) == ("Tumor_1", 2)
    assert one.volume_ml == pytest.approx((4 + 3) * 36 * VOXEL_ML)
    for labels in (imported(("Tumours", BALL | other)), labels_of(BALL | other)):
        assert [lesion.parts for lesion in table(labels)] == [1, 1]


def test_a_number_in_the_label_of_a_network_says_nothing() -> None:
    """Only an imported segment is somebody's decision."""
    other = box(SHAPE, slice(8, 11), slice(20, 26), slice(20, 26))
    made = labels_of(BALL | other)
    numbered = replace(made, segments=tuple(replace(one, label="class 2") for one in made.segments))
    assert len(table(numbered)) == 2


def test_lesions_that_touch_in_one_mask_are_told() -> None:
    """By a corner: one lesion of two parts. By a face: one of one part. A speck at a corner is no part."""
    corner = box(SHAPE, slice(6, 9), slice(8, 14), slice(8, 14))
    face = box(SHAPE, slice(2, 6), slice(2, 8), slice(8, 14))
    speck = box(SHAPE, slice(6, 7), slice(8, 9), slice(8, 9))
    for other, parts in ((corner, 2), (face, 1), (speck, 1)):
        [one] = table(labels_of(BALL | other))
        assert one.parts == parts


def test_drawn_lesions_that_meet_or_overlap_are_told_and_kept_whole() -> None:
    """Each has all of its voxels; by a voxel between them they do not touch."""
    overlapping = box(SHAPE, slice(4, 8), slice(6, 12), slice(6, 12))
    meeting = box(SHAPE, slice(8, 11), slice(12, 18), slice(12, 18))
    apart = box(SHAPE, slice(2, 6), slice(2, 8), slice(9, 15))
    drawn = [BALL, overlapping, meeting, apart]
    found = table(imported(*((f"Tumor_{number}", mask) for number, mask in enumerate(drawn, start=1))))
    assert [one.touches for one in found] == [(2,), (1, 3, 4), (2,), (2,)]
    assert [one.label for one in found] == ["Tumor_1", "Tumor_2", "Tumor_3", "Tumor_4"]
    for one, mask in zip(found, drawn, strict=True):
        assert np.array_equal(one.region.full(SHAPE), mask)


@pytest.mark.parametrize(
    ("part", "edges"),
    [
        ((slice(0, 4), slice(5, 12), slice(5, 12)), ("bottom slice",)),
        ((slice(10, 14), slice(5, 12), slice(5, 12)), ("top slice",)),
        ((slice(0, 14), slice(5, 12), slice(0, 7)), ("bottom slice", "top slice", "side")),
        ((slice(1, 13), slice(1, 29), slice(1, 35)), ()),
    ],
)
def test_edges_that_cut_a_lesion_are_named(part: tuple[slice, slice, slice], edges: tuple[str, ...]) -> None:
    """Each by its name, none where it only comes near."""
    [one] = table(labels_of(box(SHAPE, *part)))
    assert one.edges == edges
