import numpy as np
import pytest
from made_arrays import box, geometry, label_map, volume

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NotComputed, NoteCode
from node.core.records import Candidate
from workers.measurement import liver
from workers.measurement.extent import area_cm2, covered_mm, largest_area_cm2, touched_edges
from workers.records import LabelMap, Region, Volume

SHAPE = (9, 12, 15)
SPACING = (2.5, 0.7, 0.9)


def labels_of(*masks: np.ndarray) -> LabelMap:
    return label_map(geometry(SHAPE, SPACING), {Structure.LIVER: list(masks)})


def test_volume_and_mean_are_plain_counting() -> None:
    """Voxels times voxel volume, and the mean of their HU in double precision."""
    hu = np.random.default_rng(1).normal(60, 15, SHAPE).astype(np.int16)
    mask = box(SHAPE, slice(2, 7), slice(3, 9), slice(2, 11)) & (hu > 55)
    found = liver.measure(volume(hu, SPACING), labels_of(mask))
    assert found["liver.volume"].value == pytest.approx(mask.sum() * 2.5 * 0.7 * 0.9 / 1000, rel=1e-12)
    assert found["liver.mean_hu"].value == pytest.approx(hu[mask].astype(float).mean(), rel=1e-12)
    assert found["liver.volume"].notes == ()


@pytest.mark.parametrize(
    ("part", "edge"),
    [
        ((slice(0, 4), slice(3, 9), slice(2, 11)), "bottom slice"),
        ((slice(5, 9), slice(3, 9), slice(2, 11)), "top slice"),
        ((slice(2, 7), slice(0, 9), slice(2, 11)), "side"),
        ((slice(2, 7), slice(3, 12), slice(2, 11)), "side"),
        ((slice(2, 7), slice(3, 9), slice(0, 11)), "side"),
        ((slice(2, 7), slice(3, 9), slice(2, 15)), "side"),
    ],
)
def test_a_cut_liver_keeps_its_numbers_and_says_so(part: tuple[slice, ...], edge: str) -> None:
    """Whichever face of the volume it meets: value kept, note `truncated` with the face."""
    found = liver.measure(volume(np.zeros(SHAPE, dtype=np.int16), SPACING), labels_of(box(SHAPE, *part)))
    for one in found.values():
        assert one.value is not None
        assert [note.code for note in one.notes] == [NoteCode.TRUNCATED]
        assert edge in one.notes[0].text


def test_no_liver_is_not_found() -> None:
    """An empty mask, or no liver segment: a reason, never a zero."""
    empty = volume(np.zeros(SHAPE, dtype=np.int16), SPACING)
    for labels in (labels_of(np.zeros(SHAPE, dtype=bool)), label_map(geometry(SHAPE, SPACING), {})):
        for one in liver.measure(empty, labels).values():
            assert (one.value, one.reason) == (None, NotComputed.STRUCTURE_NOT_FOUND)


def test_a_sheared_grid_counts_area_times_perpendicular_spacing() -> None:
    """On a grid whose slices shift sideways the volume is not that of the slanted step."""
    grid = Geometry(SHAPE, (0.0, 0.0, 0.0), (0.0, 1.5, 2.5), (0.0, 0.7, 0.0), (0.9, 0.0, 0.0), "1.2.3")
    mask = box(SHAPE, slice(2, 7), slice(3, 9), slice(2, 11))
    plain = volume(np.zeros(SHAPE, dtype=np.int16), SPACING)
    read = Volume(plain.hu, grid, Candidate("1", "", "", ()), (), plain.acquisition)
    found = liver.measure(read, label_map(grid, {Structure.LIVER: mask}))
    assert found["liver.volume"].value == pytest.approx(mask.sum() * 2.5 * 0.7 * 0.9 / 1000, rel=1e-12)


def test_extent_of_a_region() -> None:
    """Area on a slice, largest area, covered length, and the faces that are touched."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3, 2:5, 4:6] = mask[4, 2:5, 4:9] = mask[5, 2, 4] = True
    region = Region.of(mask)
    assert region is not None
    grid = geometry(SHAPE, SPACING)
    assert area_cm2(region, 3, grid) == pytest.approx(6 * 0.63 / 100)
    assert area_cm2(region, 8, grid) == 0
    assert largest_area_cm2(region, grid) == pytest.approx(15 * 0.63 / 100)
    assert covered_mm(region, grid) == 7.5
    assert touched_edges(region, grid) == []
