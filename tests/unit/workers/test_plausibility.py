from dataclasses import replace

import numpy as np
import pytest
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, NO_FACTS, body, box, geometry, label_map, tilted, volume
from numpy.typing import NDArray

from node.core.codes import MEASUREMENTS, Structure
from node.core.grid import Geometry
from node.core.reasons import NotComputed, NoteCode
from node.core.records import HeightSource
from node.core.settings import MeasurementSettings
from node.phantom import random_anatomy
from node.phantom.truth import truth
from workers import measurement
from workers.measurement import plausibility
from workers.measurement.bounds import ROWS
from workers.records import Mask, Region

TALL = replace(NO_FACTS, height_m=1.7, height_source=HeightSource.SERIES)
GRID = geometry(BODY_SHAPE, BODY_SPACING_MM)
LEFT, RIGHT, LIVER = Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT, Structure.LIVER
ON_THE_LEFT = box(BODY_SHAPE, slice(3, 26), slice(2, 28), slice(48, 62))  # where a spleen lies
Masks = dict[Structure, Mask | list[Mask]]


def tissue(value: float = 60.0) -> NDArray[np.int16]:
    return np.full(BODY_SHAPE, value, dtype=np.int16)


def said(masks: Masks, hu: NDArray[np.int16] | None = None, grid: Geometry = GRID) -> dict[Structure, str]:
    """Return the structures that are implausible, each with what is said of it."""
    read = replace(volume(tissue() if hu is None else hu, BODY_SPACING_MM), geometry=grid)
    found = plausibility.doubts(read, label_map(grid, masks))
    assert all(note.code is NoteCode.IMPLAUSIBLE for note in found.values())
    return {structure: note.text for structure, note in found.items()}


def with_air(structure: Structure, value: int = -900) -> NDArray[np.int16]:
    hu = tissue()
    hu[np.asarray(body()[structure])] = value
    return hu


def pieces(first: int, second: int, third: int) -> Mask:
    """Return three bars of so many rows, 14 mm apart, each 10 slices of 20 columns."""
    mask = np.zeros(BODY_SHAPE, dtype=bool)
    for start, rows in ((1, first), (first + 5, second), (first + second + 9, third)):
        mask[2:12, start : start + rows, 2:22] = True
    return mask


def test_a_body_of_usual_parts_is_plausible() -> None:
    """Nothing is said of any of them, nor of what is not there."""
    assert said(body()) == {}
    assert said({}) == {}


@pytest.mark.parametrize(
    ("masks", "structure", "text"),
    [
        (
            {LIVER: box(BODY_SHAPE, slice(3, 8), slice(2, 22), slice(2, 22))},
            LIVER,
            "The liver has 74 mL; plausible are",
        ),
        ({LEFT: box(BODY_SHAPE, slice(3, 5), slice(20, 30), slice(45, 50))}, LEFT, "The left iliopsoas has 3.7 mL"),
        (
            {RIGHT: box(BODY_SHAPE, slice(1, 29), slice(1, 49), slice(1, 30))},
            RIGHT,
            "The right iliopsoas has 1432 mL; plausible are 30 to 1000 mL.",
        ),
        (
            {Structure.VERTEBRA_L1: box(BODY_SHAPE, slice(1, 29), slice(10, 40), slice(20, 50))},
            Structure.VERTEBRA_L1,
            "L1",
        ),
        ({LIVER: ON_THE_LEFT}, LIVER, "Of the liver 0.0% lies to the patient's right of the spine"),
        ({LIVER: pieces(16, 14, 10)}, LIVER, "The liver is in pieces, the largest 40% of it"),
    ],
    ids=["too small", "a scrap of muscle", "half the body", "a vertebra of half the body", "a spleen", "pieces"],
)
def test_what_cannot_be_the_structure_is_told_with_its_figures(masks: Masks, structure: Structure, text: str) -> None:
    """Volume, side of the liver, pieces: that structure and no other, and what was found."""
    found = said(body() | masks)
    assert list(found) == [structure]
    assert found[structure].startswith(text)


@pytest.mark.parametrize("structure", [one for one in ROWS if one in body()])
def test_air_is_no_structure(structure: Structure) -> None:
    """The mean is in the sentence; whatever lies in the same air is told as well, and nothing beside it."""
    found = said({structure: body()[structure]}, with_air(structure))
    assert list(found) == [structure]
    assert "a mean of -900 HU; plausible are" in found[structure]


@pytest.mark.parametrize("structure", ROWS)
def test_both_ends_of_a_range_are_plausible_and_a_step_beyond_is_not(structure: Structure) -> None:
    """Of the mean, where it is in whole HU."""
    mask = body().get(structure, box(BODY_SHAPE, slice(2, 16), slice(20, 40), slice(4, 18)))
    bound = ROWS[structure].mean_hu
    for value, plausible in ((bound.low, 1), (bound.high, 1), (bound.low - 1, 0), (bound.high + 1, 0)):
        assert (said({structure: mask}, tissue(value)) == {}) == bool(plausible), value


def test_padding_is_no_part_of_the_mean() -> None:
    """A liver half of which lies outside the field of view has the mean of the other half."""
    hu = tissue()
    hu[:, :, 14:] = -3024
    read = volume(hu, BODY_SPACING_MM, padding_hu=((-3024.0, -3024.0),))
    labels = label_map(GRID, {LIVER: body()[LIVER]})
    assert plausibility.doubts(read, labels) == {}
    assert LIVER in plausibility.doubts(replace(read, acquisition=replace(read.acquisition, padding_hu=())), labels)


def test_what_the_scan_cuts_may_be_small_and_in_pieces() -> None:
    """The lower tips of both lobes, and of a muscle the last slices; too large is too large all the same."""
    tips = box(BODY_SHAPE, slice(28, 30), slice(5, 9), slice(4, 9))
    tips |= box(BODY_SHAPE, slice(28, 30), slice(5, 9), slice(30, 35))
    tips |= box(BODY_SHAPE, slice(28, 30), slice(25, 29), slice(4, 9))
    assert said(body() | {LIVER: tips, LEFT: box(BODY_SHAPE, slice(0, 2), slice(20, 30), slice(45, 50))}) == {}
    assert LIVER in said({LIVER: np.roll(tips, -4, axis=0)}), "the same within the scan"
    assert LEFT in said({LEFT: box(BODY_SHAPE, slice(0, 29), slice(1, 49), slice(1, 30))})


GRIDS = {
    "axial": GRID,
    "columns flipped": Geometry(BODY_SHAPE, (150.0, 0, 0), (0, 0, 3.0), (0, 3.5, 0), (-3.5, 0, 0), "1"),
    "turned round": Geometry(BODY_SHAPE, (150.0, 90.0, 0), (0, 0, 3.0), (0, -3.5, 0), (-3.5, 0, 0), "1"),
    "transposed": Geometry(BODY_SHAPE, (0, 0, 0), (0, 0, 3.0), (3.5, 0, 0), (0, 3.5, 0), "1"),
    "tilted and turned": tilted(BODY_SHAPE, 3.0, 3.5, 3.5, 20.0, 25.0),
}


@pytest.mark.parametrize("name", GRIDS)
def test_left_and_right_are_the_patients_whatever_the_array(name: str) -> None:
    """Two muscles at the ends of the axis that runs to the patient's left; exchanged labels are told of both."""
    grid = GRIDS[name]
    low, high = (
        box(BODY_SHAPE, slice(2, 16), slice(18, 38), slice(4, 18)),
        box(BODY_SHAPE, slice(2, 16), slice(18, 38), slice(46, 60)),
    )
    if name == "transposed":
        low, high = (
            box(BODY_SHAPE, slice(2, 16), slice(2, 16), slice(20, 40)),
            box(BODY_SHAPE, slice(2, 16), slice(34, 48), slice(20, 40)),
        )
    left, right = (low, high) if name in ("columns flipped", "turned round") else (high, low)
    assert said({LEFT: left, RIGHT: right}, grid=grid) == {}
    swapped = said({LEFT: right, RIGHT: left}, grid=grid)
    assert set(swapped) == {LEFT, RIGHT}
    assert "to the patient's right of the right iliopsoas" in swapped[LEFT]
    assert swapped[LEFT] == swapped[RIGHT]


def test_two_labels_of_one_muscle_are_no_pair() -> None:
    """Centres 14 mm apart are told, as is a swap of the other muscle that the site may ask for."""
    left = np.asarray(body()[LEFT])
    found = said({LEFT: left, RIGHT: np.roll(left, -4, axis=2)})
    assert found[LEFT].startswith("The left iliopsoas lies 14 mm to the patient's left of the right iliopsoas")
    major = {Structure.PSOAS_MAJOR_LEFT: body()[RIGHT], Structure.PSOAS_MAJOR_RIGHT: left}
    assert set(said(major)) == set(major)


@pytest.mark.parametrize("landmarks", [(Structure.VERTEBRA_L3,), (Structure.VERTEBRA_L1,), (LEFT, RIGHT), ()])
def test_a_spleen_is_known_by_any_landmark_of_the_spine(landmarks: tuple[Structure, ...]) -> None:
    """A vertebra, or the middle between the muscles; without a landmark nothing is said."""
    masks = body()
    found = said({LIVER: ON_THE_LEFT} | {one: masks[one] for one in landmarks})
    assert list(found) == ([LIVER] if landmarks else [])


def test_a_liver_of_situs_inversus_is_plausible() -> None:
    """Its larger lobe lies on the left, its smaller one across the spine."""
    mirrored = np.zeros(BODY_SHAPE, dtype=bool)
    mirrored[3:26, 2:18, 36:62] = True
    mirrored[3:10, 2:18, 26:36] = True
    assert said(body() | {LIVER: mirrored}) == {}


def test_numbers_that_rest_on_an_implausible_structure_are_withheld() -> None:
    """Swapped muscles take the indices with them, an L3 of air the areas alone, a lesion of air all of the burden."""
    masks, hu = body(), tissue()
    everything = list(MEASUREMENTS)
    lung = box(BODY_SHAPE, slice(20, 23), slice(40, 45), slice(2, 12))
    hu[lung] = -800
    hu[np.asarray(masks[Structure.VERTEBRA_L3])] = -500
    whole = masks[Structure.LESION]
    cases: list[tuple[Masks, tuple[str, ...]]] = [
        (
            {LEFT: masks[RIGHT], RIGHT: masks[LEFT], Structure.VERTEBRA_L3: np.zeros(BODY_SHAPE, dtype=bool)},
            ("psoas.",),
        ),
        ({}, ("psoas.left.area_l3", "psoas.right.area_l3", "psoas.pmi")),
        (
            {Structure.LESION: [np.asarray(whole), lung], Structure.VERTEBRA_L3: np.zeros(BODY_SHAPE, dtype=bool)},
            ("burden.",),
        ),
    ]
    for changed, withheld in cases:
        labels = label_map(GRID, masks | changed)
        found = measurement.measure(volume(hu, BODY_SPACING_MM), labels, TALL, MeasurementSettings()).measurements
        for name in everything:
            implausible = name.startswith(withheld)
            assert (found[name].reason is NotComputed.STRUCTURE_IMPLAUSIBLE) == implausible, name
            notes = [note for note in found[name].notes if note.code is NoteCode.IMPLAUSIBLE]
            assert len(notes) == implausible, name


def test_pieces_of_a_hand_are_one_and_of_a_finger_apart() -> None:
    """Two halves with a gap of 2 mm are one piece, with one of 12 mm two; on fine and on coarse grids."""
    for spacing in ((1.0, 0.7, 0.7), (5.0, 1.5, 1.5)):
        grid = geometry((20, 60, 60), spacing)
        for gap_mm, share in ((2.0, 1.0), (12.0, 0.5)):
            mask = box(grid.shape, slice(2, 18), slice(5, 50), slice(3, 57))
            gap = round(gap_mm / spacing[1])
            mask[:, 28 - gap // 2 : 28 - gap // 2 + gap] = False
            region = Region.of(mask)
            assert region is not None
            assert plausibility.largest_piece(region, grid) == pytest.approx(share, abs=0.1)


@pytest.mark.parametrize("seed", range(21, 26))
def test_the_random_abdomens_are_plausible(seed: int) -> None:
    """Their exact volumes and means lie within the table."""
    exact = {name: float(one["value"]) for name, one in truth(random_anatomy(seed), 14.0).items()}
    for name, structure in (("liver", LIVER), ("psoas.left", LEFT), ("psoas.right", RIGHT)):
        row = ROWS[structure]
        assert row.volume_ml.low < exact[f"{name}.volume"] < row.volume_ml.high
        assert row.mean_hu.low < exact[f"{name}.mean_hu"] < row.mean_hu.high
