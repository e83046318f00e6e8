"""Intervals: the range of truths that measured errors imply, and none where nothing like it was measured."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, body, geometry, label_map, tilted, volume
from made_validation import DIFFERENCES_HU, PARTS_OF_TRUTH, conditions, validation

from node.core.codes import MEASUREMENTS, Structure
from node.core.reasons import NoteCode
from node.core.records import HeightSource, Instance, Measurement, Note, PatientFacts, computed
from node.core.settings import MeasurementSettings
from workers import measurement
from workers.measurement import doubt
from workers.records import LabelMap, Volume
from workers.validation import Errors, Validation

HU_NAMES = {name for name, coding in MEASUREMENTS.items() if coding.unit == "[hnsf'U]"}
INDICES = {"psoas.pmvi": 3, "psoas.pmi": 2}
TALL = PatientFacts(1.72, HeightSource.SERIES, None, None, "F")
HU = np.random.default_rng(3).normal(100, 10, BODY_SHAPE).astype(np.int16)

values = st.floats(0.01, 5000)
parts = st.lists(st.floats(-0.6, 2.0), min_size=1, max_size=12).map(tuple)
differences = st.lists(st.floats(-80, 80), min_size=1, max_size=12).map(tuple)


def labels(measured: Validation | None = None, **changes: Any) -> LabelMap:
    """Return a segmentation of every structure, by a network of which this was measured."""
    made = label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), body())
    return replace(made, validation=measured or validation(), **changes)


def of(
    drawn: LabelMap,
    seen: Volume | None = None,
    facts: PatientFacts = TALL,
    settings: MeasurementSettings | None = None,
) -> dict[str, Measurement]:
    """Measure a segmentation, by default on a synthetic volume that is like the validated ones."""
    seen = seen or volume(HU, BODY_SPACING_MM, synthetic=True)
    return measurement.measure(seen, drawn, facts, settings or MeasurementSettings()).measurements


def with_interval(found: dict[str, Measurement]) -> set[str]:
    """Return the numbers that have an interval."""
    return {name for name, one in found.items() if one.interval}


ALL = {name for name, one in of(labels()).items() if one.value is not None}


@given(value=values, errors=parts)
def test_every_truth_that_an_error_implies_is_inside(value: float, errors: tuple[float, ...]) -> None:
    """Value / (1 + e) of each measured part, and the ends are two of them: nothing wider than what was seen."""
    low, high = doubt.interval(value, Errors(True, errors))
    truths = [value / (1 + error) for error in errors]
    assert all(low <= truth <= high for truth in truths)
    assert {low, high} <= set(truths)


@given(value=st.floats(-1000, 3000), errors=differences)
def test_every_truth_that_a_difference_implies_is_inside(value: float, errors: tuple[float, ...]) -> None:
    """Value - e of each measured difference, and the ends are two of them."""
    low, high = doubt.interval(value, Errors(False, errors))
    truths = [value - error for error in errors]
    assert all(low <= truth <= high for truth in truths)
    assert {low, high} <= set(truths)


@given(
    low=st.floats(1, 200), width=st.floats(0, 50), height=st.floats(1.0, 2.3), power=st.sampled_from([2, 3]),
    share=st.floats(-1, 1),
)  # fmt: skip
def test_an_index_holds_for_every_height_that_is_written_so(
    low: float, width: float, height: float, power: int, share: float
) -> None:
    """Whatever the height within its last place, the index of the same muscle lies inside."""
    bounds = doubt.widened((low, low + width), power, height, 0.005)
    true_height = height + 0.005 * share
    for end in (low, low + width):
        true = end * (height / true_height) ** power
        assert bounds[0] <= true * (1 + 1e-12)
        assert true <= bounds[1] * (1 + 1e-12)


def test_every_number_of_a_study_like_the_validated_ones_has_its_interval() -> None:
    """Parts for volumes, areas and diameters, differences for attenuations, the height's last place for indices."""
    found = of(labels())
    assert with_interval(found) == ALL
    for name, one in found.items():
        if one.interval is None or not isinstance(one.value, float):
            continue
        if name in HU_NAMES:
            expected = (one.value - max(DIFFERENCES_HU), one.value - min(DIFFERENCES_HU))
        else:
            expected = (one.value / (1 + max(PARTS_OF_TRUTH)), one.value / (1 + min(PARTS_OF_TRUTH)))
        if name in INDICES:
            power = INDICES[name]
            expected = (expected[0] * (1.72 / 1.725) ** power, expected[1] * (1.72 / 1.715) ** power)
        assert one.interval == pytest.approx(expected, rel=1e-12), name


def test_without_a_validation_there_is_none() -> None:
    """A network of which nothing was measured: no number has an interval, and its value is the same."""
    with_, without = of(labels()), of(replace(labels(), validation=None))
    assert with_interval(without) == set()
    assert {name: one.value for name, one in with_.items()} == {name: one.value for name, one in without.items()}


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_patient_is_no_phantom(synthetic: bool) -> None:
    """What was measured on phantoms says nothing of a patient, and the other way round."""
    own = replace(validation(), conditions=replace(conditions(), synthetic=synthetic))
    seen = volume(HU, BODY_SPACING_MM, synthetic=not synthetic)
    assert with_interval(of(labels(own), seen)) == set()


def test_another_tube_voltage_takes_the_attenuations_alone() -> None:
    """At 100 kV, or where none is known, volumes keep their interval."""
    for kvp in (100.0, None):
        found = with_interval(of(labels(), volume(HU, BODY_SPACING_MM, synthetic=True, kvp=kvp)))
        assert found == ALL - HU_NAMES, kvp


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_another_distance_of_slices_or_pixels_has_none(axis: int) -> None:
    """Two parts in a hundred more on one axis are another grid; what rounding leaves is not."""
    for factor, expected in ((1.02, set()), (1.0005, ALL)):
        spacing = [edge * (factor if index == axis else 1) for index, edge in enumerate(BODY_SPACING_MM)]
        grid = (spacing[0], spacing[1], spacing[2])
        drawn = replace(labels(), geometry=geometry(BODY_SHAPE, grid))
        assert with_interval(of(drawn, volume(HU, grid, synthetic=True))) == expected


def test_lossy_pixels_and_a_tilted_grid_have_none() -> None:
    """Neither was among what was measured."""
    assert with_interval(of(labels(), volume(HU, BODY_SPACING_MM, synthetic=True, lossy=True))) == set()
    grid = tilted(BODY_SHAPE, *BODY_SPACING_MM, 1.0)  # its slices are as far apart, within rounding
    seen = replace(volume(HU, BODY_SPACING_MM, synthetic=True), geometry=grid)
    assert with_interval(of(replace(labels(), geometry=grid), seen))
    assert with_interval(of(replace(labels(seen_upright=True), geometry=grid), seen)) == set()


def test_an_imported_structure_has_none() -> None:
    """As a whole, and where only the liver came with the study."""
    assert with_interval(of(labels(engine="imported"))) == set()
    source = Instance("1.2", "1.3", "1.4", "aa", "x.dcm")
    made = labels()
    mixed = [replace(one, source=source) if one.structure is Structure.LIVER else one for one in made.segments]
    assert with_interval(of(replace(made, segments=tuple(mixed)))) == {
        name for name in ALL if not name.startswith("liver.")
    }


def test_a_cut_structure_has_none() -> None:
    """A liver on the top slice and a muscle on the bottom one: their numbers have no interval, the others keep it."""
    masks = body()
    cut = {structure: np.asarray(mask).copy() for structure, mask in masks.items()}
    cut[Structure.LIVER][-1, 10, 10] = True
    cut[Structure.ILIOPSOAS_LEFT][:2, 20:22, 45:60] = True
    found = of(replace(label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), cut), validation=validation()))
    assert {note.code for note in found["psoas.pmvi"].notes} == {NoteCode.NEARLY_COMPLETE}
    gone = {"liver.volume", "liver.mean_hu", "psoas.left.volume", "psoas.left.mean_hu", "psoas.pmvi"}
    assert with_interval(found) == ALL - gone


def test_what_was_taken_in_another_way_has_none() -> None:
    """Without labels of the bodies the level is that of the whole vertebra: its areas have no interval."""
    made = labels()
    without = tuple(one for one in made.segments if one.structure is not Structure.VERTEBRAL_BODY)
    found = of(replace(made, segments=without))
    assert found["psoas.pmi"].value is not None
    assert with_interval(found) == {
        name for name in ALL if not name.startswith("l1.") and "area" not in name and name != "psoas.pmi"
    }


@pytest.mark.parametrize("code", NoteCode)
def test_notes_that_call_a_number_cut_or_odd_take_its_interval(code: NoteCode) -> None:
    """Those of the table in docs/models.md, and no other note."""
    odd = {"truncated", "nearly-complete", "body-from-label", "level-from-label", "imported", "high-variance"}
    found = {"l1.volume": computed(20.0, Note(code, "x"))}
    seen = volume(HU, BODY_SPACING_MM, synthetic=True)
    [one] = doubt.with_intervals(found, seen, labels(), TALL, MeasurementSettings()).values()
    assert (one.interval is None) == (code in odd)


def test_another_core_has_none() -> None:
    """L1 by other settings than the validated ones; the liver does not mind."""
    for changed in ({"core_erosion_mm": 4.0}, {"core_slab_fraction": 0.6}):
        found = of(labels(), settings=MeasurementSettings(**changed))
        assert found["l1.mean_hu"].value is not None
        assert with_interval(found) == {name for name in ALL if not name.startswith("l1.")}


def test_few_truths_are_none() -> None:
    """Four errors are no range; five are."""
    for count, expected in ((4, set()), (5, {"liver.volume"})):
        own = validation({"liver.volume": (0.01,) * count})
        assert with_interval(of(labels(own))) == expected


@pytest.mark.parametrize(("height_m", "resolution_m"), [(1.7, 0.005), (1.72, 0.005), (1.725, 0.0005), (2.0, 0.005)])
def test_a_height_is_known_to_its_last_place(height_m: float, resolution_m: float) -> None:
    """Whole centimetres by half of one, a finer height by half of its last place; none by nothing."""
    facts = replace(TALL, height_m=height_m)
    assert facts.height_resolution_m == pytest.approx(resolution_m)
    assert replace(TALL, height_m=None).height_resolution_m is None
    low, high = of(labels(), facts=facts)["psoas.pmi"].interval or (0.0, 0.0)
    value = float(of(labels(), facts=facts)["psoas.pmi"].value or 0)
    assert value / low == pytest.approx((1 + max(PARTS_OF_TRUTH)) * (1 + resolution_m / height_m) ** 2)
    assert high / value == pytest.approx((1 + min(PARTS_OF_TRUTH)) ** -1 * (1 - resolution_m / height_m) ** -2)


@pytest.mark.parametrize("source", [*HeightSource, None])
def test_an_index_needs_a_height_that_somebody_wrote(source: HeightSource | None) -> None:
    """A header, an archive or a worklist; a height of another source leaves the indices without an interval."""
    written = {HeightSource.SERIES, HeightSource.STUDY, HeightSource.ARCHIVE, HeightSource.WORKLIST}
    found = with_interval(of(labels(), facts=replace(TALL, height_source=source)))
    assert found == (ALL if source in written else ALL - set(INDICES))
