from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.codes import MEASUREMENTS
from node.core.reasons import NotComputed, NoteCode
from node.core.records import ClinicalFacts, Measurement, Note, RasStatus, computed, not_computed
from workers.measured import Score
from workers.measurement import scores

CUT = Note(NoteCode.TRUNCATED, "cut")
NOT_SEARCHED = not_computed(NotComputed.STRUCTURE_NOT_FOUND)
ALL_KNOWN = ClinicalFacts(True, 6.0, 250.0, RasStatus.KRAS_MUTANT, extrahepatic_disease=True)
NONE_HOLDS = ClinicalFacts(False, 12.0, 19.9, RasStatus.WILD_TYPE, extrahepatic_disease=False)


def numbers(
    count: float | None = None, diameter_mm: float | None = None, tbs: float | None = None, *notes: Note
) -> dict[str, Measurement]:
    """Return measurements whose tumour burden is this; None was not searched for, a count of zero found none."""
    missing = not_computed(NotComputed.LESION_NONE) if count == 0 else NOT_SEARCHED
    burden = {"burden.count": count, "burden.max_diameter": diameter_mm, "burden.tbs": tbs}
    found = {name: missing if value is None else computed(value, *notes) for name, value in burden.items()}
    return dict.fromkeys(MEASUREMENTS, computed(1.0)) | found


SMALL = numbers(1.0, 20.0, 2.2)
LARGE = numbers(8.0, 50.1, 9.4)
NO_LESION = numbers(0.0)


def of(found: Mapping[str, Measurement], clinical: ClinicalFacts | None = None) -> dict[str, Score]:
    return {one.id: one for one in scores.compute(found, clinical)}


def ranges(found: Mapping[str, Measurement], clinical: ClinicalFacts | None = None) -> dict[str, tuple[int, int]]:
    return {name: (one.low, one.high) for name, one in of(found, clinical).items()}


def item(found: Mapping[str, Measurement], clinical: ClinicalFacts | None, score: str, name: str) -> tuple[Any, ...]:
    [one] = [one for one in of(found, clinical)[score].items if one.id == name]
    return one.state, (one.low, one.high), one.value, one.source


@pytest.mark.parametrize(
    ("found", "clinical", "expected"),
    [
        (numbers(), None, {"fong-crs": (0, 5), "ras-mcs": (0, 3), "game": (0, 7)}),
        (numbers(), ClinicalFacts(), {"fong-crs": (0, 5), "ras-mcs": (0, 3), "game": (0, 7)}),
        (SMALL, None, {"fong-crs": (0, 3), "ras-mcs": (0, 2), "game": (0, 5)}),
        (LARGE, None, {"fong-crs": (2, 5), "ras-mcs": (1, 3), "game": (2, 7)}),
        (NO_LESION, None, {"fong-crs": (0, 3), "ras-mcs": (0, 2), "game": (0, 5)}),
        (numbers(), ALL_KNOWN, {"fong-crs": (3, 5), "ras-mcs": (2, 3), "game": (5, 7)}),
        (numbers(), NONE_HOLDS, {"fong-crs": (0, 2), "ras-mcs": (0, 1), "game": (0, 2)}),
        (LARGE, ALL_KNOWN, {"fong-crs": (5, 5), "ras-mcs": (3, 3), "game": (7, 7)}),
        (SMALL, NONE_HOLDS, {"fong-crs": (0, 0), "ras-mcs": (0, 0), "game": (0, 0)}),
    ],
    ids=[
        "nothing known", "an empty form", "small", "large", "no lesion", "facts only", "facts only, none holds",
        "all of it", "none of it",
    ],
)  # fmt: skip
def test_a_score_goes_from_what_is_certain_to_what_is_possible(
    found: dict[str, Measurement], clinical: ClinicalFacts | None, expected: dict[str, tuple[int, int]]
) -> None:
    """What nobody knows is never counted as absent; what is known is counted, and the scale is that of the source."""
    assert ranges(found, clinical) == expected
    assert {name: one.of for name, one in of(found).items()} == {"fong-crs": 5, "ras-mcs": 3, "game": 7}


@pytest.mark.parametrize(
    ("score", "name", "clinical", "state"),
    [
        ("fong-crs", "node-positive-primary", {"node_positive_primary": True}, "yes"),
        ("fong-crs", "node-positive-primary", {"node_positive_primary": False}, "no"),
        ("fong-crs", "disease-free-interval-below-12-months", {"disease_free_interval_months": 0.0}, "yes"),
        ("fong-crs", "disease-free-interval-below-12-months", {"disease_free_interval_months": 11.9}, "yes"),
        ("fong-crs", "disease-free-interval-below-12-months", {"disease_free_interval_months": 12.0}, "no"),
        ("fong-crs", "cea-above-200", {"cea_ng_ml": 200.0}, "no"),
        ("fong-crs", "cea-above-200", {"cea_ng_ml": 200.1}, "yes"),
        ("game", "cea-20-or-more", {"cea_ng_ml": 20.0}, "yes"),
        ("game", "cea-20-or-more", {"cea_ng_ml": 19.9}, "no"),
        ("game", "extrahepatic-disease", {"extrahepatic_disease": True}, "yes"),
        ("game", "extrahepatic-disease", {"extrahepatic_disease": False}, "no"),
        ("ras-mcs", "ras-mutated", {"ras": RasStatus.WILD_TYPE}, "no"),
        ("ras-mcs", "ras-mutated", {"ras": RasStatus.NRAS_MUTANT}, "yes"),
        ("ras-mcs", "ras-mutated", {"ras": RasStatus.MUTANT}, "yes"),
        ("game", "kras-mutated", {"ras": RasStatus.KRAS_MUTANT}, "yes"),
        ("game", "kras-mutated", {"ras": RasStatus.WILD_TYPE}, "no"),
        ("game", "kras-mutated", {"ras": RasStatus.NRAS_MUTANT}, "no"),
        ("game", "kras-mutated", {"ras": RasStatus.MUTANT}, "unknown"),
        ("game", "kras-mutated", {}, "unknown"),
    ],
)
def test_an_item_of_the_form(score: str, name: str, clinical: dict[str, Any], state: str) -> None:
    """At each limit as the source has it, with the value and where it came from; alone, it decides no other item."""
    found = item(SMALL, ClinicalFacts(**clinical), score, name)
    assert found[0] == state
    assert found[2:] == (next(iter(clinical.values()), None), "patient-facts")
    assert item(SMALL, None, score, name)[0] == "unknown"


@pytest.mark.parametrize(
    ("found", "score", "name", "expected"),
    [
        (numbers(1.0), "fong-crs", "more-than-1-lesion", ("no", (0, 0), 1.0, "burden.count")),
        (numbers(2.0), "fong-crs", "more-than-1-lesion", ("yes", (1, 1), 2.0, "burden.count")),
        (numbers(0.0), "fong-crs", "more-than-1-lesion", ("no", (0, 0), 0.0, "burden.count")),
        (numbers(), "fong-crs", "more-than-1-lesion", ("unknown", (0, 1), None, "burden.count")),
        (numbers(1.0, 50.0), "fong-crs", "larger-than-5-cm", ("no", (0, 0), 50.0, "burden.max_diameter")),
        (numbers(1.0, 50.1), "ras-mcs", "larger-than-5-cm", ("yes", (1, 1), 50.1, "burden.max_diameter")),
        (numbers(0.0), "fong-crs", "larger-than-5-cm", ("no", (0, 0), None, "burden.max_diameter")),
        (numbers(), "ras-mcs", "larger-than-5-cm", ("unknown", (0, 1), None, "burden.max_diameter")),
        (numbers(1.0, 1.0, 2.99), "game", "tumour-burden", ("no", (0, 0), 2.99, "burden.tbs")),
        (numbers(1.0, 1.0, 3.0), "game", "tumour-burden", ("yes", (1, 1), 3.0, "burden.tbs")),
        (numbers(1.0, 1.0, 8.99), "game", "tumour-burden", ("yes", (1, 1), 8.99, "burden.tbs")),
        (numbers(1.0, 1.0, 9.0), "game", "tumour-burden", ("yes", (2, 2), 9.0, "burden.tbs")),
        (numbers(0.0), "game", "tumour-burden", ("no", (0, 0), None, "burden.tbs")),
        (numbers(), "game", "tumour-burden", ("unknown", (0, 2), None, "burden.tbs")),
    ],
)
def test_an_item_of_the_ct(found: dict[str, Measurement], score: str, name: str, expected: tuple[Any, ...]) -> None:
    """At each limit; a search that found nothing is a no, one that was not made is not."""
    assert item(found, None, score, name) == expected


def test_a_number_that_is_not_plausible_is_unknown() -> None:
    """Any other reason than that none was found leaves the item open."""
    found = numbers() | {"burden.max_diameter": not_computed(NotComputed.STRUCTURE_IMPLAUSIBLE)}
    assert item(found, None, "fong-crs", "larger-than-5-cm")[0] == "unknown"


@pytest.mark.parametrize("cut", ["lesion", "liver"])
def test_what_the_edge_of_the_scan_cuts_is_at_least_what_was_seen(cut: str) -> None:
    """What is met stays met, what is not may be: also that there is no lesion, where the liver is cut."""

    def seen(*burden: float) -> dict[str, Measurement]:
        if cut == "lesion":
            return numbers(*burden, *(None,) * (3 - len(burden)), CUT)
        return numbers(*burden) | {"liver.volume": computed(1.0, CUT)}

    assert ranges(seen(1.0, 20.0, 2.2))["fong-crs"] == (0, 5)
    assert ranges(seen(2.0, 60.0, 6.3))["fong-crs"] == (2, 5)
    assert item(seen(2.0, 60.0, 6.3), None, "game", "tumour-burden")[:2] == ("unknown", (1, 2))
    assert item(seen(8.0, 60.0, 10.0), None, "game", "tumour-burden")[:2] == ("yes", (2, 2))
    if cut == "liver":
        assert ranges(seen(0.0))["fong-crs"] == (0, 5)
    assert ranges(seen(1.0, 20.0, 2.2), NONE_HOLDS)["fong-crs"] == (0, 2)


def test_each_score_says_whose_it_is() -> None:
    """Source with its DOI, population, how the size was taken; without a lesion that it was not made for that."""
    for one in scores.compute(SMALL, None):
        assert "doi 10." in one.source
        assert "resection" in one.population
        assert any("axial" in note.sentence for note in one.notes)
        assert not any("No liver lesion" in note.sentence for note in one.notes)
        assert sum(item.high for item in one.items if item.state == "unknown") > 0
    assert all(any("No liver lesion" in note.sentence for note in one.notes) for one in scores.compute(NO_LESION, None))


facts = st.builds(
    ClinicalFacts,
    node_positive_primary=st.none() | st.booleans(),
    disease_free_interval_months=st.none() | st.floats(0, 60),
    cea_ng_ml=st.none() | st.floats(0, 500),
    ras=st.none() | st.sampled_from(RasStatus),
    extrahepatic_disease=st.none() | st.booleans(),
)
burdens = st.one_of(
    st.just(numbers()),
    st.just(NO_LESION),
    st.builds(
        lambda count, diameter_mm, notes: numbers(
            float(count), diameter_mm, (count**2 + diameter_mm**2 / 100) ** 0.5, *notes
        ),
        st.integers(1, 12),
        st.floats(0, 150),
        st.lists(st.just(CUT), max_size=1),
    ),
)


@given(found=burdens, known=facts, gone=st.sets(st.sampled_from([one.name for one in fields(ClinicalFacts)])))
def test_a_fact_more_never_widens_a_range(found: dict[str, Measurement], known: ClinicalFacts, gone: set[str]) -> None:
    """With fewer facts the range holds that with more, and every range lies on the scale."""
    less = ranges(found, replace(known, **dict.fromkeys(gone)))
    for name, (low, high) in ranges(found, known).items():
        assert 0 <= less[name][0] <= low <= high <= less[name][1] <= of(found)[name].of


@given(found=burdens, known=facts)
def test_a_measurement_more_never_widens_a_range(found: dict[str, Measurement], known: ClinicalFacts) -> None:
    """What the CT tells, cut or whole, lies within what is possible without a CT."""
    without = ranges(numbers(), known)
    for name, (low, high) in ranges(found, known).items():
        assert without[name][0] <= low <= high <= without[name][1]
