import math
from dataclasses import replace
from typing import Any

import pytest
from made_signature import CONTRAST, MEAN, SCORE, VALUES, feature, incomplete, known, requires, signature

from node.core.reasons import NotComputed
from node.core.records import Indication
from node.core.settings import Settings
from workers.signature import folder
from workers.signature.parts import Distribution
from workers.signature.scope import ContrastPhase, Known, KnownMask, MaskOrigin, unmet
from workers.signature.score import Scored, Withheld, refusal, score

LABELS = frozenset({"liver", "tumor"})
OUT, ROI = NotComputed.OUT_OF_SCOPE, NotComputed.ROI_MISMATCH


def scored(values: dict[str, Any]) -> Scored:
    found = score(signature(), values, known())
    assert isinstance(found, Scored)
    return found


def test_of_a_skewed_fact_the_logarithm_counts() -> None:
    """By hand: 0.5 * (ln(1 + 6.389056) - 1) / 0.5 = 1. The value is told as it is; -1 has none."""
    fact = feature("marker", 1.0, 0.5, 0.5, roi=None).model_copy(
        update={"logarithm": True, "training": Distribution.of([0.0, 3.0, 8.0])}
    )
    of_one = signature(features=(*signature().features[:2], fact))
    found = score(of_one, VALUES | {"marker": math.e**2 - 1}, known())
    assert isinstance(found, Scored)
    last = found.contributions[-1]
    assert (last.value, last.standardised, last.points) == pytest.approx((math.e**2 - 1, 2.0, 1.0))
    assert not last.outside
    assert (
        of_one.digest
        != signature(features=(*signature().features[:2], fact.model_copy(update={"logarithm": False}))).digest
    )
    failed = score(of_one, VALUES | {"marker": -1.0}, known())
    assert isinstance(failed, Withheld)
    assert (failed.reason, failed.why) == (NotComputed.FEATURE_FAILED, ("marker: -1.0",))


def test_a_score_is_the_sum_of_its_terms() -> None:
    """By hand: 0.5 * 10/20 - 0.25 * 4/2 + 0.1 * 10/10 = -0.15, above the cut-off of -0.2."""
    found = scored(VALUES)
    assert found.score == pytest.approx(SCORE, abs=1e-12)
    assert found.score == pytest.approx(-0.15, abs=1e-12)
    assert found.group == "high"
    assert [one.points for one in found.contributions] == pytest.approx([0.25, -0.5, 0.1])
    assert [one.standardised for one in found.contributions] == pytest.approx([0.5, 2, 1])
    assert [(one.name, one.roi) for one in found.contributions] == [
        (MEAN, "tumour"),
        (CONTRAST, "tumour"),
        ("age", None),
    ]
    assert found.place == pytest.approx(0.4625)  # -0.15 lies between -1 (0.25) and 0 (0.5)
    assert (found.outside, found.strange) == (False, ())
    named, made = found.signature, signature()
    assert (named.id, named.version, named.digest) == ("made", "1.2", made.digest)


def test_features_outside_training_are_told() -> None:
    """A feature and a score beyond the range of training are computed, and said to be."""
    found = scored({**VALUES, f"tumour:{MEAN}": 260.0})
    assert [one.name for one in found.strange] == [MEAN]
    assert found.score == pytest.approx(4.6)
    assert (found.outside, found.place) == (True, 1.0)
    edge = scored({**VALUES, f"tumour:{MEAN}": 100.0})
    assert edge.strange == ()


@pytest.mark.parametrize(
    ("change", "item", "reason"),
    [
        ({"contrast_phase": ContrastPhase.NATIVE}, "contrast_phase", OUT),
        ({"contrast_phase": None}, "contrast_phase", OUT),
        ({"slice_thickness_mm": 5.5}, "slice_thickness_mm", OUT),
        ({"slice_thickness_mm": 0.9}, "slice_thickness_mm", OUT),
        ({"slice_thickness_mm": None}, "slice_thickness_mm", OUT),
        ({"lossless": False}, "lossless", NotComputed.INPUT_LOSSY),
        ({"lossless": None}, "lossless", OUT),
        ({"masks": {}}, "mask_provenance tumour", ROI),
        ({"masks": {"tumour": KnownMask(MaskOrigin.NETWORK, LABELS)}}, "mask_provenance tumour", ROI),
        ({"masks": {"tumour": KnownMask(MaskOrigin.MANUAL)}}, "mask_provenance tumour", ROI),
        ({"masks": {"tumour": KnownMask(MaskOrigin.MANUAL, LABELS | {"vessels"})}}, "mask_provenance tumour", ROI),
        ({"untreated_tumour": False}, "untreated_tumour", OUT),
        ({"untreated_tumour": None}, "untreated_tumour", OUT),
        ({"indication": Indication.ABLATION}, "indication", OUT),
        ({"indication": None}, "indication", OUT),
    ],
)
def test_each_item_alone_makes_the_score_absent(change: dict[str, Any], item: str, reason: NotComputed) -> None:
    """Not met or not known is the same: no score, with the reason; all else is met."""
    assert unmet(requires(), known()) == ()
    [lacking] = unmet(requires(), known(**change))
    assert (lacking.item, lacking.reason) == (item, reason)
    unknown = None in change.values() or change == {"masks": {}}
    assert lacking.sentence.endswith("not known") == unknown
    found = score(signature(), VALUES, known(**change))
    assert isinstance(found, Withheld)
    assert found.reason is reason
    assert found.why == (lacking.sentence,)


def test_what_is_not_asked_for_need_not_be_known() -> None:
    """A signature that leaves an item open scores a study of which nobody knows it."""
    open_to_all = requires(
        contrast_phase=(), slice_thickness_mm=None, lossless=False, untreated_tumour=False, indication=()
    )
    assert unmet(open_to_all, Known(masks=known().masks)) == ()
    assert unmet(requires(), Known()) != ()


def test_the_bounds_of_thickness_are_inside() -> None:
    """Slices as thin or as thick as the signature says are met."""
    for thickness in (1.0, 5.0):
        assert unmet(requires(), known(slice_thickness_mm=thickness)) == ()


def test_the_first_reason_counts_and_all_are_told() -> None:
    """Images come before masks, masks before the patient."""
    found = refusal(signature(), known(lossless=False, masks={}, indication=None))
    assert found is not None
    assert found.reason is NotComputed.INPUT_LOSSY
    assert [sentence.split(":")[0] for sentence in found.why] == ["lossless", "mask_provenance tumour", "indication"]
    assert refusal(signature(), known()) is None


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_feature_without_a_number_fails_the_score(value: float | None) -> None:
    """Nothing stands in for it: there is no score, and its name is told."""
    found = score(signature(), {**VALUES, f"tumour:{CONTRAST}": value}, known())
    assert isinstance(found, Withheld)
    assert found.reason is NotComputed.FEATURE_FAILED
    assert [CONTRAST in sentence for sentence in found.why] == [True]
    absent = score(signature(), {name: VALUES[name] for name in VALUES if name != "age"}, known())
    assert isinstance(absent, Withheld)
    assert absent.why == ("age: no value",)


def test_what_is_required_comes_before_the_features() -> None:
    """A study out of scope is told so, whatever became of its features."""
    found = score(signature(), {}, known(indication=None))
    assert isinstance(found, Withheld)
    assert found.reason is OUT


def test_a_signature_that_lacks_something_refuses_every_study() -> None:
    """It says what is missing, though the study meets all that it requires."""
    found = score(incomplete(), VALUES, known())
    assert isinstance(found, Withheld)
    assert (found.reason, found.why) == (NotComputed.SIGNATURE_INCOMPLETE, ("not published: its coefficients",))


def test_kha_2026_refuses() -> None:
    """The published signature has no numbers here, says which are missing, and scores nothing."""
    kha = folder.read(Settings().models, "kha-2026")
    assert (kha.features, kha.groups, kha.training) == ((), None, None)
    assert len(kha.missing) == 6
    found = score(kha, VALUES, known())
    assert isinstance(found, Withheld)
    assert found.reason is NotComputed.SIGNATURE_INCOMPLETE
    assert replace(found, why=()) == replace(refusal(kha, Known()) or found, why=())
