import math

import numpy as np
import pytest
from made_arrays import box, geometry, label_map, volume

from node.core.codes import Structure
from node.core.reasons import NotComputed, NoteCode
from workers.measurement import burden
from workers.records import LabelMap, Mask

SHAPE = (14, 30, 36)
SPACING = (3.0, 0.8, 0.9)
LESION = Structure.LESION


def labels_of(*masks: Mask) -> LabelMap:
    return label_map(geometry(SHAPE, SPACING), {LESION: list(masks)})


def measured(labels: LabelMap) -> dict[str, float | str | None]:
    _, found = burden.measure(volume(np.zeros(SHAPE, dtype=np.int16), SPACING), labels)
    return {name: one.value for name, one in found.items()}


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
        table, found = burden.measure(read, labels_of(searched))
        assert table is not None
        assert (table.lesions, table.zone, table.smaller) == ((), None, int(searched.any()))
        assert found["burden.count"].value == 0
        assert found["burden.max_diameter"].reason is NotComputed.LESION_NONE
        assert found["burden.tbs"].reason is NotComputed.LESION_NONE
    table, found = burden.measure(read, label_map(geometry(SHAPE, SPACING), {}))
    assert table is None
    assert {one.reason for one in found.values()} == {NotComputed.STRUCTURE_NOT_FOUND}


@pytest.mark.parametrize(
    ("score", "word"), [(1.0, "<3"), (2.999, "<3"), (3.0, "3 to <9"), (8.999, "3 to <9"), (9.0, ">=9"), (40.0, ">=9")]
)
def test_the_zones_of_the_score_begin_where_sasaki_has_them(score: float, word: str) -> None:
    """Below 3, from 3 to below 9, from 9."""
    assert burden.zone(score) == word


def test_the_zone_is_that_of_the_score() -> None:
    """Four lesions of 3 cm have the score 5; one of 3 cm has 3.16, one of 2.8 cm 2.97."""
    shape = (12, 40, 40)
    grid = geometry(shape, (3.0, 1.0, 1.0))
    long = [box(shape, slice(1 + 2 * n, 3 + 2 * n), slice(3, 4), slice(2, 33)) for n in range(4)]
    short = box(shape, slice(1, 3), slice(3, 4), slice(2, 31))
    for masks, word in ((long, "3 to <9"), (long[:1], "3 to <9"), ([short], "<3")):
        table, _ = burden.measure(volume(np.zeros(shape, dtype=np.int16)), label_map(grid, {LESION: list(masks)}))
        assert table is not None
        assert table.zone == word


def test_a_lesion_at_the_edge_of_the_scan_is_told() -> None:
    """Cut lesions are counted, and the numbers say how many are cut."""
    cut, whole = (
        box(SHAPE, slice(0, 4), slice(5, 12), slice(5, 12)),
        box(SHAPE, slice(6, 9), slice(5, 12), slice(5, 12)),
    )
    table, found = burden.measure(volume(np.zeros(SHAPE, dtype=np.int16), SPACING), labels_of(cut, whole))
    assert table is not None
    assert [one.edges for one in table.lesions] == [("bottom slice",), ()]
    for one in found.values():
        assert [(note.code, note.text[:6]) for note in one.notes] == [(NoteCode.TRUNCATED, "1 of 2")]
