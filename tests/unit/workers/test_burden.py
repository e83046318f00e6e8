import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_arrays import box, geometry, label_map, volume

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NotComputed, NoteCode
from workers.measurement import burden
from workers.records import LabelMap, Mask, Region

SHAPE = (14, 30, 36)
SPACING = (3.0, 0.8, 0.9)
LESION = Structure.LESION


def labels_of(*masks: Mask) -> LabelMap:
    return label_map(geometry(SHAPE, SPACING), {LESION: list(masks)})


def measured(labels: LabelMap) -> dict[str, float | str | None]:
    _, found = burden.measure(volume(np.zeros(SHAPE, dtype=np.int16), SPACING), labels)
    return {name: one.value for name, one in found.items()}


@given(
    plane=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)).filter(np.any),
    spacing=st.tuples(st.floats(0.3, 3), st.floats(0.3, 3)),
)
@settings(max_examples=150, deadline=None)
def test_the_axial_diameter_is_that_of_all_pairs(plane: Mask, spacing: tuple[float, float]) -> None:
    """The largest distance between two voxel centres of a slice, by comparing every pair."""
    grid = geometry((1, *plane.shape), (3.0, *spacing))
    centres = np.argwhere(plane) * spacing
    longest = max(math.dist(one, other) for one in centres for other in centres)
    assert burden.lesion(Region((0, 0, 0), plane[None]), grid).diameter_mm == pytest.approx(longest)


def test_the_diameter_is_read_on_the_widest_slice_and_never_across_slices() -> None:
    """A lesion that leans over many slices is as wide as its widest slice."""
    mask = np.zeros(SHAPE, dtype=bool)
    for index in range(2, 12):
        mask[index, 10:14, index : index + (6 if index == 5 else 4)] = True
    largest, found = burden.measure(volume(np.zeros(SHAPE, dtype=np.int16), SPACING), labels_of(mask))
    assert largest is not None
    assert largest.slice == 5
    assert found["burden.max_diameter"].value == pytest.approx(math.hypot(3 * 0.8, 5 * 0.9))


def test_the_diameter_is_measured_in_millimetres_on_an_oblique_grid() -> None:
    """Rows and columns that do not run along the axes of the patient change nothing."""
    mask = box(SHAPE, slice(3, 6), slice(4, 20), slice(5, 9))
    grid = geometry(SHAPE, SPACING)
    turned: Geometry = replace(grid, row_step_mm=(-0.48, 0.64, 0.0), column_step_mm=(0.72, 0.54, 0.0))
    region = Region.of(mask)
    assert region is not None
    assert burden.lesion(region, turned).diameter_mm == pytest.approx(burden.lesion(region, grid).diameter_mm)


def test_one_mask_is_counted_by_its_components() -> None:
    """Parts that share a corner are one lesion; a part below 0.05 mL is none."""
    mask = box(SHAPE, slice(2, 6), slice(2, 8), slice(2, 8))
    mask |= box(SHAPE, slice(6, 9), slice(8, 13), slice(8, 13))  # touches the first by a corner
    mask |= box(SHAPE, slice(2, 6), slice(20, 26), slice(20, 26))
    mask[11, 5:9, 30:35] = True  # 20 voxels of 2.16 mm3: 0.043 mL
    found = measured(labels_of(mask))
    assert found["burden.count"] == 2
    diameter = math.hypot(5 * 0.8, 5 * 0.9)
    assert found["burden.max_diameter"] == pytest.approx(diameter)
    assert found["burden.tbs"] == pytest.approx(math.sqrt((diameter / 10) ** 2 + 4))


def test_several_drawn_lesions_are_counted_as_drawn() -> None:
    """Each tumour segment is one lesion, though it touches another or falls into two parts."""
    one = box(SHAPE, slice(2, 6), slice(2, 8), slice(2, 8))
    other = box(SHAPE, slice(2, 6), slice(2, 8), slice(8, 14))
    other |= box(SHAPE, slice(8, 11), slice(20, 26), slice(20, 26))
    assert measured(labels_of(one, other))["burden.count"] == 2


def test_a_score_of_the_paper() -> None:
    """TBS = sqrt(D_cm^2 + n^2): four lesions of at most 3 cm give 5 (Sasaki 2018)."""
    grid = geometry((12, 40, 40), (3.0, 1.0, 1.0))
    masks = [box((12, 40, 40), slice(1 + 2 * n, 3 + 2 * n), slice(3, 4), slice(2, 33)) for n in range(4)]
    _, found = burden.measure(volume(np.zeros((12, 40, 40), dtype=np.int16)), label_map(grid, {LESION: list(masks)}))
    assert (found["burden.count"].value, found["burden.max_diameter"].value) == (4, 30)
    assert found["burden.tbs"].value == pytest.approx(5.0)


def test_searched_and_none_is_a_zero_and_not_searched_is_none() -> None:
    """An empty search counts 0 without diameter and score; without a search there is no count either."""
    empty = np.zeros(SHAPE, dtype=bool)
    speck = box(SHAPE, slice(5, 6), slice(5, 8), slice(5, 8))
    read = volume(np.zeros(SHAPE, dtype=np.int16), SPACING)
    for searched in (empty, speck):
        largest, found = burden.measure(read, labels_of(searched))
        assert largest is None
        assert found["burden.count"].value == 0
        assert found["burden.max_diameter"].reason is NotComputed.LESION_NONE
        assert found["burden.tbs"].reason is NotComputed.LESION_NONE
    _, found = burden.measure(read, label_map(geometry(SHAPE, SPACING), {}))
    assert {one.reason for one in found.values()} == {NotComputed.STRUCTURE_NOT_FOUND}


def test_a_lesion_at_the_edge_of_the_scan_is_told() -> None:
    """Cut lesions are counted, and the numbers say how many are cut."""
    cut, whole = (
        box(SHAPE, slice(0, 4), slice(5, 12), slice(5, 12)),
        box(SHAPE, slice(6, 9), slice(5, 12), slice(5, 12)),
    )
    _, found = burden.measure(volume(np.zeros(SHAPE, dtype=np.int16), SPACING), labels_of(cut, whole))
    for one in found.values():
        assert [(note.code, note.text[:6]) for note in one.notes] == [(NoteCode.TRUNCATED, "1 of 2")]
