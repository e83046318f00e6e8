from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_arrays import NO_FACTS, box, geometry, label_map, places, tilted, volume

from node.core.codes import Structure
from node.core.reasons import NotComputed, NoteCode
from node.core.records import HeightSource, Measurement, PatientFacts
from node.core.settings import MeasurementSettings
from workers.measurement import psoas, vertebra
from workers.measurement.psoas.muscles import Completeness, inspect
from workers.records import LabelMap, Mask, Region

SHAPE = (20, 24, 40)
SPACING = (3.0, 0.75, 0.8)
LEFT, RIGHT, L3 = Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT, Structure.VERTEBRA_L3
TALL = PatientFacts(1.82, HeightSource.SERIES, None, None, "M")


def muscle(columns: slice, slices: slice = slice(2, 18)) -> Mask:
    mask = box(SHAPE, slices, slice(4, 20), columns)
    return mask & (np.random.default_rng(4).random(SHAPE) > 0.2)


def standard() -> dict[Structure, Mask | list[Mask]]:
    vertebra = box(SHAPE, slice(7, 12), slice(8, 16), slice(16, 24))
    return {RIGHT: muscle(slice(3, 14)), LEFT: muscle(slice(26, 37)), L3: vertebra}


def hu_of(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(6).normal(50, 20, shape).astype(np.int16)


def labels_of(masks: dict[Structure, Mask | list[Mask]], *searched: Structure) -> LabelMap:
    return label_map(geometry(SHAPE, SPACING), masks, *searched)


def measured(
    labels: LabelMap, facts: PatientFacts = TALL, settings: MeasurementSettings | None = None
) -> dict[str, Measurement]:
    level = vertebra.level(labels, L3)
    return psoas.measure(volume(hu_of(), SPACING), labels, facts, settings or MeasurementSettings(), level)


def test_the_eight_numbers_are_plain_counting() -> None:
    """Volumes, means, areas and both indices, recomputed voxel by voxel without the product's own classes."""
    masks = standard()
    found = measured(labels_of(masks))
    millilitres, areas = {}, {}
    for side, structure in (("left", LEFT), ("right", RIGHT)):
        mask = np.asarray(masks[structure])
        millilitres[side] = mask.sum() * 3.0 * 0.75 * 0.8 / 1000
        areas[side] = mask[9].sum() * 0.75 * 0.8 / 100
        assert found[f"psoas.{side}.volume"].value == pytest.approx(millilitres[side], rel=1e-12)
        assert found[f"psoas.{side}.mean_hu"].value == pytest.approx(hu_of()[mask].astype(float).mean(), rel=1e-12)
        assert found[f"psoas.{side}.area_l3"].value == pytest.approx(areas[side], rel=1e-12)
    assert found["psoas.pmvi"].value == pytest.approx(sum(millilitres.values()) / 1.82**3, rel=1e-12)
    assert found["psoas.pmi"].value == pytest.approx(sum(areas.values()) / 1.82**2, rel=1e-12)


@given(
    largest=st.integers(1, 400),
    share=st.floats(0, 0.4),
    spacing=st.tuples(st.floats(0.3, 6), st.floats(0.3, 2), st.floats(0.3, 2)),
)
@settings(max_examples=200, deadline=None)
def test_completeness_turns_at_fifteen_percent_whatever_the_pixels(
    largest: int, share: float, spacing: tuple[float, float, float]
) -> None:
    """Nothing on the bottom slice is complete, up to 15 % of the largest area nearly complete, more is truncated."""
    bottom = round(largest * share)
    mask = np.zeros((3, 3, 500), dtype=bool)
    mask[1, 1, 1 : 1 + largest] = True
    mask[0, 1, 1 : 1 + bottom] = True
    region = Region.of(mask)
    assert region is not None
    judged = inspect("left", region, geometry(mask.shape, spacing), MeasurementSettings())
    expected = Completeness.TRUNCATED
    if bottom * 100 <= 15 * largest:
        expected = Completeness.NEARLY if bottom else Completeness.COMPLETE
    assert judged.completeness is expected


@pytest.mark.parametrize(("bottom", "largest"), [(3, 20), (15, 100), (9, 60), (21, 140), (33, 220), (57, 380)])
@pytest.mark.parametrize("pixel", [0.5, 0.7, 0.703125, 0.8, 0.976562])
def test_exactly_fifteen_percent_is_nearly_complete(bottom: int, largest: int, pixel: float) -> None:
    """The border itself belongs to nearly complete; one pixel more does not."""
    for extra, expected in ((0, Completeness.NEARLY), (1, Completeness.TRUNCATED)):
        mask = np.zeros((3, 3, 500), dtype=bool)
        mask[1, 1, 1 : 1 + largest] = True
        mask[0, 1, 1 : 1 + bottom + extra] = True
        region = Region.of(mask)
        assert region is not None
        judged = inspect("left", region, geometry(mask.shape, (3.0, pixel, pixel)), MeasurementSettings())
        assert judged.completeness is expected


def test_a_nearly_complete_muscle_gives_a_lower_bound() -> None:
    """The note names both areas; PMVI is computed and carries the notes of both sides; PMI does not."""
    masks = standard()
    low = muscle(slice(26, 37), slice(0, 18))
    low[0] = False
    low[0, 10, 26:36] = True
    masks[LEFT] = low
    found = measured(labels_of(masks))
    largest = low.sum(axis=(1, 2)).max() * 0.006
    note = next(note for note in found["psoas.pmvi"].notes if note.code is NoteCode.NEARLY_COMPLETE)
    assert f"{10 * 0.006:.2f} cm²" in note.text
    assert f"{largest:.2f} cm²" in note.text
    assert found["psoas.pmvi"].value is not None
    assert NoteCode.NEARLY_COMPLETE in {note.code for note in found["psoas.left.volume"].notes}
    assert NoteCode.NEARLY_COMPLETE not in {note.code for note in found["psoas.right.volume"].notes}
    assert NoteCode.NEARLY_COMPLETE not in {note.code for note in found["psoas.pmi"].notes}


@pytest.mark.parametrize(
    ("part", "edge"),
    [
        ((slice(0, 18), slice(4, 20), slice(26, 37)), "bottom slice"),
        ((slice(2, 20), slice(4, 20), slice(26, 37)), "top slice"),
        ((slice(2, 18), slice(4, 20), slice(26, 40)), "side"),
    ],
)
def test_a_cut_muscle_gives_no_pmvi(part: tuple[slice, ...], edge: str) -> None:
    """Cut below by more than the border, above at all, or at the side: volume with its extent, PMI, and no PMVI."""
    mask = box(SHAPE, *part)
    found = measured(labels_of(standard() | {LEFT: mask}))
    assert found["psoas.pmvi"].value is None
    assert found["psoas.pmvi"].reason is NotComputed.STRUCTURE_TRUNCATED
    note = next(note for note in found["psoas.left.volume"].notes if note.code is NoteCode.TRUNCATED)
    assert edge in note.text
    assert f"{(part[0].stop - part[0].start) * 3} mm" in note.text
    assert found["psoas.left.volume"].value is not None
    assert found["psoas.pmi"].value is not None


def test_the_border_of_completeness_is_a_setting() -> None:
    """With a border of one half the same cut muscle is nearly complete."""
    masks = standard()
    low = box(SHAPE, slice(0, 18), slice(4, 20), slice(26, 37))
    low[0, :, 31:] = False
    labels = labels_of(masks | {LEFT: low})
    assert measured(labels)["psoas.pmvi"].value is None
    assert measured(labels, settings=MeasurementSettings(nearly_complete_fraction=0.5))["psoas.pmvi"].value is not None


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (NO_FACTS, NotComputed.HEIGHT_MISSING),
        (replace(NO_FACTS, height_reason=NotComputed.HEIGHT_IMPLAUSIBLE), NotComputed.HEIGHT_IMPLAUSIBLE),
    ],
)
def test_without_a_height_there_are_no_indices(facts: PatientFacts, reason: NotComputed) -> None:
    """Volumes and areas stay, PMVI and PMI say why they are missing."""
    found = measured(labels_of(standard()), facts)
    assert (found["psoas.pmvi"].reason, found["psoas.pmi"].reason) == (reason, reason)
    assert found["psoas.left.volume"].value is not None
    assert found["psoas.right.area_l3"].value is not None


def test_a_missing_muscle_takes_the_indices_with_it() -> None:
    """One side alone is measured, but never doubled into an index."""
    masks = standard()
    del masks[RIGHT]
    found = measured(labels_of(masks, RIGHT))
    for name in ("psoas.right.volume", "psoas.right.mean_hu", "psoas.right.area_l3", "psoas.pmvi", "psoas.pmi"):
        assert found[name].reason is NotComputed.STRUCTURE_NOT_FOUND, name
    assert found["psoas.left.volume"].value is not None


@pytest.mark.parametrize(("first", "last", "middle"), [(7, 12, 9), (7, 11, 9), (8, 8, 8), (6, 13, 9)])
def test_the_level_is_the_floor_of_the_middle(first: int, last: int, middle: int) -> None:
    """Mid-height is floor((first + last) / 2) of the slices, counted from the lowest, noted as from the label."""
    masks = standard() | {L3: box(SHAPE, slice(first, last + 1), slice(8, 16), slice(16, 24))}
    found = measured(labels_of(masks))
    area = np.asarray(masks[LEFT])[middle].sum() * 0.006
    assert found["psoas.left.area_l3"].value == pytest.approx(area)
    assert NoteCode.LEVEL_FROM_LABEL in {note.code for note in found["psoas.pmi"].notes}


def test_a_body_mask_moves_the_level_to_the_body() -> None:
    """With a label of bodies the level is that of the body alone, and needs no note."""
    masks = standard()
    masks[L3] = box(SHAPE, slice(7, 14), slice(8, 16), slice(16, 24))
    masks[Structure.VERTEBRAL_BODY] = box(SHAPE, slice(11, 14), slice(8, 12), slice(16, 24))
    found = measured(labels_of(masks))
    assert found["psoas.left.area_l3"].value == pytest.approx(np.asarray(masks[LEFT])[12].sum() * 0.006)
    assert NoteCode.LEVEL_FROM_LABEL not in {note.code for note in found["psoas.left.area_l3"].notes}


def test_a_level_that_is_not_there_has_its_reason() -> None:
    """L3 searched and not found, or cut by the scan: not covered; never searched: not found."""
    without = {structure: mask for structure, mask in standard().items() if structure is not L3}
    cut = standard() | {L3: box(SHAPE, slice(15, 20), slice(8, 16), slice(16, 24))}
    for labels, reason in (
        (labels_of(without, L3), NotComputed.LEVEL_NOT_COVERED),
        (labels_of(cut), NotComputed.LEVEL_NOT_COVERED),
        (labels_of(without), NotComputed.STRUCTURE_NOT_FOUND),
    ):
        found = measured(labels)
        for name in ("psoas.left.area_l3", "psoas.right.area_l3", "psoas.pmi"):
            assert (found[name].value, found[name].reason) == (None, reason), name
        assert found["psoas.pmvi"].value is not None


def test_a_muscle_that_does_not_reach_the_level_has_no_area() -> None:
    """No voxel at mid-L3 is no area of zero: the number is missing, and PMI with it."""
    found = measured(labels_of(standard() | {LEFT: muscle(slice(26, 37), slice(2, 8))}))
    assert found["psoas.left.area_l3"].reason is NotComputed.STRUCTURE_NOT_FOUND
    assert found["psoas.pmi"].reason is NotComputed.STRUCTURE_NOT_FOUND
    assert found["psoas.pmvi"].value is not None


def test_psoas_major_is_measured_where_the_site_asks_for_it() -> None:
    """The setting changes which labels are measured; the iliopsoas then counts for nothing."""
    masks = standard()
    masks[Structure.PSOAS_MAJOR_LEFT] = muscle(slice(28, 34))
    masks[Structure.PSOAS_MAJOR_RIGHT] = muscle(slice(5, 12))
    found = measured(labels_of(masks), settings=MeasurementSettings(psoas="psoas_major"))
    expected = np.asarray(masks[Structure.PSOAS_MAJOR_LEFT]).sum() * 0.0018
    assert found["psoas.left.volume"].value == pytest.approx(expected)
    alone = measured(labels_of(standard()), settings=MeasurementSettings(psoas="psoas_major"))
    assert alone["psoas.left.volume"].reason is NotComputed.STRUCTURE_NOT_FOUND


@pytest.mark.parametrize("degrees", [0.0, -20.0, 20.0])
def test_a_tilted_gantry_changes_no_number(degrees: float) -> None:
    """Two upright cylinders on sheared slices: volumes and areas are theirs, as on straight slices."""
    grid = tilted((60, 100, 120), 2.0, 0.8, 0.8, degrees)
    x, y, z = places(grid)
    radius_mm, half_mm = 14.0, 30.0
    masks: dict[Structure, Mask | list[Mask]] = {
        structure: (np.hypot(x - side * 24.3, y - 0.17) < radius_mm) & (np.abs(z) < half_mm)
        for structure, side in ((LEFT, 1), (RIGHT, -1))
    }
    masks[L3] = (np.hypot(x, y) < 8) & (np.abs(z - 3) < 12)
    seen, labels = replace(volume(hu_of(grid.shape)), geometry=grid), label_map(grid, masks)
    found = psoas.measure(seen, labels, TALL, MeasurementSettings(), vertebra.level(labels, L3))
    millilitres = np.pi * radius_mm**2 * 2 * half_mm / 1000
    for side in ("left", "right"):
        assert found[f"psoas.{side}.volume"].value == pytest.approx(millilitres, rel=0.005)
        assert found[f"psoas.{side}.area_l3"].value == pytest.approx(np.pi * radius_mm**2 / 100, rel=0.01)
    assert found["psoas.pmvi"].value == pytest.approx(2 * millilitres / 1.82**3, rel=0.005)
