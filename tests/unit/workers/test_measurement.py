from dataclasses import replace
from typing import Any

import numpy as np
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, NO_FACTS, body, box, geometry, label_map, volume

from node.core.codes import MEASUREMENTS, Structure
from node.core.reasons import NotComputed, NoteCode
from node.core.records import HeightSource, Instance, PatientFacts
from node.core.settings import MeasurementSettings
from workers import measurement
from workers.measured import Measured
from workers.measurement.catalogue import CATALOGUE
from workers.records import AlgorithmType, LabelMap, Mask

TALL = PatientFacts(1.7, HeightSource.SERIES, None, None, "F")
MASKS = body()
# Codes that a signature alone brings out, and those of numbers that this version has not got or was not asked for.
LATER = {
    NotComputed.NOT_BUILT,
    NotComputed.INPUT_LOSSY,
    NotComputed.NOT_REQUESTED,
    NotComputed.NOT_AVAILABLE,
    NotComputed.OUT_OF_SCOPE,
    NotComputed.ROI_MISMATCH,
    NotComputed.SIGNATURE_INCOMPLETE,
    NotComputed.FEATURE_FAILED,
}


def measured(masks: dict[Structure, Mask | list[Mask]], facts: PatientFacts = TALL, **acquired: Any) -> Measured:
    return of(label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), masks), facts, **acquired)


def of(labels: LabelMap, facts: PatientFacts = TALL, **acquired: Any) -> Measured:
    hu = np.random.default_rng(3).normal(100, 10, BODY_SHAPE).astype(np.int16)
    return measurement.measure(volume(hu, BODY_SPACING_MM, **acquired), labels, facts, MeasurementSettings())


def test_every_id_is_there_and_none_is_missing() -> None:
    """A study with every structure gets every number; of a Rad score nobody was asked."""
    found = measured(MASKS)
    assert list(found.measurements) == list(MEASUREMENTS)
    assert not {name for name, one in found.measurements.items() if one.value is None}
    assert found.l1_core is not None
    assert found.l3_slice == 6
    assert found.largest_lesion is not None
    assert found.largest_lesion[1] in range(20, 24)


def test_without_any_structure_every_id_still_answers() -> None:
    """An empty segmentation gives no number at all, and a reason for each."""
    found = measured({})
    assert list(found.measurements) == list(MEASUREMENTS)
    assert all(one.reason for one in found.measurements.values())
    assert (found.l1_core, found.l3_slice, found.largest_lesion) == (None, None, None)


def every_case() -> list[Measured]:
    """Return studies that bring each reason out, of each number that can have it."""
    without = [{name: mask for name, mask in MASKS.items() if name is not gone} for gone in MASKS]
    empty = np.zeros(BODY_SHAPE, dtype=bool)
    small = box(BODY_SHAPE, slice(3, 29), slice(20, 23), slice(40, 43))
    return [
        *(measured(masks) for masks in without),
        *(measured(MASKS | {gone: empty}) for gone in MASKS),
        measured(MASKS, NO_FACTS),
        measured(MASKS, replace(NO_FACTS, height_reason=NotComputed.HEIGHT_IMPLAUSIBLE)),
        measured(MASKS | {Structure.ILIOPSOAS_LEFT: box(BODY_SHAPE, slice(2, 30), slice(20, 40), slice(45, 60))}),
        measured(MASKS | {Structure.VERTEBRA_L1: box(BODY_SHAPE, slice(17, 30), slice(18, 32), slice(38, 52))}),
        measured(MASKS | {Structure.VERTEBRAL_BODY: small}),
        measured(MASKS, lossy=True),
        measured(MASKS, padding_hu=((0.0, 200.0),)),
    ]


def test_every_reason_that_stage_8_knows_can_be_reached() -> None:
    """A code that joins the list is either reachable here or named as later."""
    reached = {one.reason for case in every_case() for one in case.measurements.values()} - {None}
    assert reached == set(NotComputed) - LATER


def test_the_catalogue_tells_of_each_reason_and_note() -> None:
    """Each number has the reasons that its definition names, all of them, and no note that it does not name.

    Any number may rest on an implausible structure: the page says so once.
    """
    anyones = {None, NotComputed.STRUCTURE_IMPLAUSIBLE}
    assert list(CATALOGUE) == list(MEASUREMENTS)
    cases = [case.measurements for case in every_case()]
    for name, definition in CATALOGUE.items():
        assert {case[name].reason for case in cases} - anyones == set(definition.reasons) - anyones, name
        notes = {note.code for case in cases for note in case[name].notes}
        assert notes - {NoteCode.IMPLAUSIBLE} <= set(definition.notes), name


def test_numbers_of_lossy_pixels_are_as_of_others() -> None:
    """Loss is told with the acquisition, and forbids a Rad score; all other numbers are as they would be without."""
    assert measured(MASKS, lossy=True).measurements == measured(MASKS).measurements


def test_padding_is_in_no_mean_and_in_every_volume() -> None:
    """A mask that reaches padding: its mean is of the rest, its volume and areas are as drawn."""
    hu = np.random.default_rng(3).normal(100, 10, BODY_SHAPE).astype(np.int16)
    padded = hu.copy()
    padded[:, :, 30:50] = -3024  # through liver, muscles and vertebrae
    labels = label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), MASKS)
    ranges, defaults = ((-3024.0, -3024.0), (-2000.0, -2000.0)), MeasurementSettings()
    found, plain, kept = (
        measurement.measure(volume(one, BODY_SPACING_MM, padding_hu=pads), labels, TALL, defaults).measurements
        for one, pads in ((padded, ranges), (hu, ()), (padded, ()))
    )
    means = [name for name in found if name.endswith(("_hu", "sd_hu"))]
    assert any(kept[name].value != plain[name].value for name in means)
    for name in found:
        if name not in means:
            assert found[name] == plain[name], name
    for structure, name in ((Structure.LIVER, "liver.mean_hu"), (Structure.ILIOPSOAS_LEFT, "psoas.left.mean_hu")):
        values = padded[np.asarray(MASKS[structure])]
        assert found[name].value == values[values > -2000].astype(float).mean()


def test_nothing_but_padding_has_no_mean() -> None:
    """The mean is not computed, the volume is."""
    found = measured(MASKS, padding_hu=((0.0, 200.0),)).measurements
    assert found["liver.mean_hu"].reason is NotComputed.STRUCTURE_IMPLAUSIBLE
    assert found["l1.mean_hu"].reason is NotComputed.STRUCTURE_IMPLAUSIBLE
    assert found["liver.volume"].value is not None


def test_numbers_of_imported_structures_say_whose_they_are() -> None:
    """The note goes to every number of an imported structure and to no other."""
    labels = label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), MASKS)
    source = Instance("1.2", "1.3", "1.4", "aa", "x.dcm")
    drawn = tuple(
        replace(one, source=source, algorithm_type=AlgorithmType.MANUAL, algorithm_name="")
        if one.structure is Structure.LIVER
        else one
        for one in labels.segments
    )
    found = of(replace(labels, segments=drawn)).measurements
    for name, one in found.items():
        texts = [note.text for note in one.notes if note.code is NoteCode.IMPORTED]
        assert texts == (["Imported segmentation (manual, no name given)."] if name.startswith("liver.") else []), name
