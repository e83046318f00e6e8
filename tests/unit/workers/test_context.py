from dataclasses import replace
from typing import Any

import pytest
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, NO_FACTS, acquisition, body, geometry, label_map

from node.core.reasons import NotComputed
from node.core.records import Context, computed, not_computed
from node.core.references import REFERENCES
from node.core.settings import MeasurementSettings
from workers.measurement.context import Beside
from workers.records import LabelMap

MAJOR = MeasurementSettings(psoas="psoas_major")


def labels(drawn_by: str = "TotalSegmentator 2.18") -> LabelMap:
    made = label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), body())
    return replace(made, segments=tuple(replace(one, algorithm_name=drawn_by) for one in made.segments))


def beside(
    name: str,
    sex: str = "",
    settings: MeasurementSettings | None = None,
    drawn_by: str = "TotalSegmentator 2.18",
    **acquired: Any,
) -> tuple[Context, ...]:
    study = Beside(
        acquisition(**acquired), labels(drawn_by), replace(NO_FACTS, sex=sex), settings or MeasurementSettings()
    )
    return study.context(name, computed(100.0))


@pytest.mark.parametrize("name", REFERENCES)
def test_every_published_value_is_told_with_all_that_a_reader_needs(name: str) -> None:
    """Text, source, population and protocol are there, and the word that no CT density may be called by is not."""
    assert beside(name)
    for one in beside(name):
        assert all((one.text, one.source, one.population, one.protocol))
        assert "BMD" not in f"{one.text} {one.population} {one.protocol}"


def test_what_was_not_computed_and_what_nobody_published_has_no_context() -> None:
    """A missing PMVI has none; nor has a volume of the liver."""
    study = Beside(acquisition(), labels(), NO_FACTS, MeasurementSettings())
    assert study.context("psoas.pmvi", not_computed(NotComputed.HEIGHT_MISSING)) == ()
    assert study.context("liver.volume", computed(1500.0)) == ()


@pytest.mark.parametrize(
    ("sex", "cut_offs"),
    [("M", ["6.36"]), ("F", ["3.92"]), ("", ["6.36", "3.92"]), ("O", ["6.36", "3.92"])],
)
def test_the_cut_off_of_pmi_is_that_of_the_patients_sex(sex: str, cut_offs: list[str]) -> None:
    """Where the sex is not known, or is neither, both are shown."""
    told = [one.text for one in beside("psoas.pmi", sex)]
    assert len(told) == len(cut_offs)
    assert all(cut_off in text for cut_off, text in zip(cut_offs, told, strict=True))


def test_the_means_of_pmvi_are_called_no_thresholds() -> None:
    """Both group means stand in one sentence that says what they are."""
    [one] = beside("psoas.pmvi")
    assert "113.3" in one.text
    assert "101.3" in one.text
    assert "no thresholds" in one.text
    assert one.outside == ()


@pytest.mark.parametrize(
    ("acquired", "outside"),
    [
        ({}, ()),
        ({"kvp": 80.0}, ("80 kVp",)),
        ({"kvp": None}, ("the tube voltage is not known",)),
        ({"contrast": "Iomeprol"}, ("contrast agent was given",)),
        ({"slice_thickness_mm": 7.0}, ("7 mm slices",)),
        ({"slice_thickness_mm": None}, ("the slice thickness is not known",)),
        (
            {"kvp": 100.0, "contrast": "x", "slice_thickness_mm": 7.5},
            ("100 kVp", "contrast agent was given", "7.5 mm slices"),
        ),
    ],
)
def test_a_density_says_what_is_outside_the_protocol(acquired: dict[str, Any], outside: tuple[str, ...]) -> None:
    """Tube voltage, contrast agent and thickness, each where it differs or is not known."""
    [one] = beside("l1.mean_hu", **acquired)
    assert one.outside == outside


def test_an_index_says_which_muscle_and_who_drew_it() -> None:
    """PMI was published of the psoas major without contrast agent, PMVI of TotalSegmentator's iliopsoas."""
    [pmi] = beside("psoas.pmi", "M", contrast="x")
    assert pmi.outside == ("contrast agent was given", "the iliopsoas was measured, not the psoas major")
    assert beside("psoas.pmi", "M", MAJOR)[0].outside == ()
    assert beside("psoas.pmvi", settings=MAJOR)[0].outside == ("the psoas major was measured, not the iliopsoas",)
    assert beside("psoas.pmvi", drawn_by="A. Reader")[0].outside == ("segmented by A. Reader",)
    assert beside("psoas.pmvi", drawn_by="")[0].outside == ("segmented by someone who is not named",)


def test_the_zones_of_the_burden_score_are_told() -> None:
    """The bounds of Sasaki's three zones."""
    [one] = beside("burden.tbs")
    assert one.text == "zone 1 below 3, zone 2 from 3 to below 9, zone 3 from 9"
