"""What stage 8 knows of a study, and what signatures say of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, NO_FACTS, body, geometry, label_map, volume
from made_signature import MEAN, SCORE, VALUES, incomplete, requires, signature

from node.core.codes import MEASUREMENTS, Structure, rad_names
from node.core.reasons import NotComputed, NoteCode
from node.core.records import ClinicalFacts, Indication, Instance, PatientFacts
from node.core.settings import MeasurementSettings
from workers import measurement
from workers.measured import Extracted, Measured
from workers.measurement import rad_features
from workers.measurement.rad_features import Computed
from workers.measurement.rad_score import known
from workers.records import AlgorithmType, Import, LabelMap, Volume
from workers.signature.manifest import Signature
from workers.signature.scope import ContrastPhase, KnownMask, MaskOrigin, Provenance
from workers.signature.score import Scored, Withheld
from workers.signature.stated import NOTHING, Stated

SEG = Instance("1.2", "1.3", "1.4", "aa", "seg.dcm")
FACTS = replace(NO_FACTS, clinical=ClinicalFacts(untreated_tumour=True, indication=Indication.RESECTION))
NETWORK = requires(mask_provenance={"tumour": Provenance(origins=(MaskOrigin.NETWORK,))})
MASKS = body()


def study(phase: str = "portal-venous", **acquired: Any) -> Volume:
    hu = np.random.default_rng(3).normal(100, 10, BODY_SHAPE).astype(np.int16)
    made = volume(hu, BODY_SPACING_MM, **{"slice_thickness_mm": 5.0, **acquired})
    return replace(made, candidate=replace(made.candidate, phase=phase))


def segmented(*, without: Structure | None = None) -> LabelMap:
    masks = {name: mask for name, mask in MASKS.items() if name is not without}
    return label_map(geometry(BODY_SHAPE, BODY_SPACING_MM), masks)


def named(id_: str = "tcia-crlm-os", **changes: Any) -> Signature:
    return signature(id=id_, **{"requires": NETWORK, **changes})


def measured(
    *signatures: Signature,
    of: Volume | None = None,
    labels: LabelMap | None = None,
    facts: PatientFacts = FACTS,
    values: dict[str, float] | None = None,
) -> Measured:
    def known_already(asked: Sequence[Signature], *_: Any) -> tuple[dict[str, Computed], tuple[Extracted, ...]]:
        assert values is not None, "no feature is asked of a study that does not meet what is required"
        return {one.id: Computed(values) for one in asked}, ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rad_features, "compute", known_already)
        return measurement.measure(of or study(), labels or segmented(), facts, MeasurementSettings(), (), signatures)


def number(found: Measured, part: str) -> Any:
    return found.measurements[f"rad_score.tcia-crlm-os.{part}"]


def test_a_score_is_a_number_of_the_study() -> None:
    """Given its features, a study that meets everything has the score by hand, its group, and the contributions."""
    found = measured(named(), values=VALUES)
    assert number(found, "score").value == pytest.approx(SCORE, abs=1e-12)
    assert (number(found, "group").value, number(found, "score").notes) == ("high", ())
    [answer] = found.rad_scores
    assert isinstance(answer, Scored)
    assert answer.signature == named()
    assert len(answer.contributions) == 3
    assert list(found.measurements) == [*MEASUREMENTS, *rad_names("tcia-crlm-os")]


def test_a_feature_outside_training_is_noted() -> None:
    """The number stays, with a note that names the feature, its value and the range."""
    found = measured(named(), values={**VALUES, f"tumour:{MEAN}": 260.0})
    for part in ("score", "group"):
        [note] = number(found, part).notes
        assert note.code is NoteCode.OUT_OF_TRAINING_RANGE
        assert note.text == f"{MEAN} 260 (training 20 to 100), score 4.600 (training -2.000 to 2.000)."


@pytest.mark.parametrize(
    ("of", "labels", "facts", "reason", "word"),
    [
        (study("native"), None, FACTS, NotComputed.OUT_OF_SCOPE, "contrast_phase"),
        (study("contrast"), None, FACTS, NotComputed.OUT_OF_SCOPE, "contrast_phase"),
        (study(""), None, FACTS, NotComputed.OUT_OF_SCOPE, "contrast_phase"),
        (study(slice_thickness_mm=None), None, FACTS, NotComputed.OUT_OF_SCOPE, "slice_thickness_mm"),
        (study(lossy=True), None, FACTS, NotComputed.INPUT_LOSSY, "lossless"),
        (study(), None, NO_FACTS, NotComputed.OUT_OF_SCOPE, "untreated_tumour"),
        (
            study(),
            None,
            replace(FACTS, clinical=ClinicalFacts(untreated_tumour=True)),
            NotComputed.OUT_OF_SCOPE,
            "indication",
        ),
        (study(), segmented(without=Structure.LESION), FACTS, NotComputed.OUT_OF_SCOPE, "untreated_tumour"),
    ],
)
def test_a_study_that_does_not_meet_it_has_no_score(
    of: Volume, labels: LabelMap | None, facts: PatientFacts, reason: NotComputed, word: str
) -> None:
    """The reason stands as number and in words; no feature is computed."""
    found = measured(named(), of=of, labels=labels, facts=facts)
    assert (number(found, "score").reason, number(found, "group").reason) == (reason, reason)
    [answer] = found.rad_scores
    assert isinstance(answer, Withheld)
    assert answer.why[0].startswith(f"{word}: needs ")


def test_the_mask_of_a_network_is_not_that_of_a_reader() -> None:
    """A signature of hand-drawn tumours is `roi-mismatch` on a network's mask."""
    found = measured(named(requires=requires()), values=VALUES)
    assert number(found, "score").reason is NotComputed.ROI_MISMATCH


def test_an_implausible_lesion_has_no_score() -> None:
    """Numbers of the tumour are withheld where its mask cannot be one, and the score with them."""
    air = replace(study(), hu=np.full(BODY_SHAPE, -900, dtype=np.int16))
    found = measured(named(), of=air, values=VALUES)
    assert number(found, "score").reason is NotComputed.STRUCTURE_IMPLAUSIBLE
    assert found.burden is None


def test_without_signatures_and_without_numbers() -> None:
    """Nobody asked is no number at all; a signature that is incomplete says so whatever the study is."""
    assert list(measured().measurements) == list(MEASUREMENTS)
    assert measured().rad_scores == ()
    kha = incomplete().model_copy(update={"id": "kha-2026"})
    found = measured(kha, of=study("native"))
    assert found.measurements["rad_score.kha-2026.group"].reason is NotComputed.SIGNATURE_INCOMPLETE


def test_signatures_answer_in_their_order() -> None:
    """Each has its numbers behind all others, a signature of the site too, whoever meets what is required."""
    refusing = named("a-third", requires=requires())
    found = measured(named("of-the-site"), refusing, named("another"), values=VALUES)
    ids = ["of-the-site", "a-third", "another"]
    assert list(found.measurements) == [*MEASUREMENTS, *(name for id_ in ids for name in rad_names(id_))]
    assert [one.signature.id for one in found.rad_scores] == ids
    assert [isinstance(one, Scored) for one in found.rad_scores] == [True, False, True]


def test_what_is_known_comes_from_headers_segmentation_and_facts() -> None:
    """Phase, thickness and loss from the series, the origin of masks from their segments, the rest from the form."""
    labels = segmented()
    found = known(named(), study(), labels, FACTS)
    assert (found.contrast_phase, found.slice_thickness_mm, found.lossless) == (ContrastPhase.PORTAL_VENOUS, 5.0, True)
    assert (found.untreated_tumour, found.indication) == (True, Indication.RESECTION)
    assert found.masks["tumour"].origin is MaskOrigin.NETWORK
    without = known(named(), study(), segmented(without=Structure.LESION), FACTS)
    assert (without.untreated_tumour, without.masks) == (False, {})


@pytest.mark.parametrize("kind", AlgorithmType)
def test_an_imported_mask_has_its_origin_and_the_labels_of_its_seg(kind: AlgorithmType) -> None:
    """Labels are compared without case, separators and numbers; those of other segmentations are none of it."""
    labels = segmented()
    segments = tuple(
        replace(one, label="Tumor 3", algorithm_type=kind, source=SEG) if one.structure is Structure.LESION else one
        for one in labels.segments
    )
    imports = (
        Import(replace(SEG, sop_instance_uid="1.9"), ("Spleen",), None),
        Import(SEG, ("LIVER", "Liver_Remnant", "Tumor 3", "tumor_4"), None),
    )
    found = known(named(), study(), replace(labels, segments=segments, imports=imports), FACTS)
    origin = MaskOrigin(f"imported-{kind.lower()}")
    assert found.masks["tumour"] == KnownMask(origin, frozenset({"tumor", "liver", "liverremnant"}))


@pytest.mark.parametrize(
    ("said", "entered", "tumour", "indication"),
    [
        (Stated(True, Indication.RESECTION), None, True, Indication.RESECTION),
        (NOTHING, ClinicalFacts(untreated_tumour=True), True, None),
        (Stated(True, Indication.ABLATION), ClinicalFacts(indication=Indication.RESECTION), True, None),
        (Stated(True, None), ClinicalFacts(untreated_tumour=False), None, None),
        (
            Stated(None, Indication.RESECTION),
            ClinicalFacts(indication=Indication.RESECTION),
            None,
            Indication.RESECTION,
        ),
    ],
)
def test_headers_and_form_stand_beside_each_other(
    said: Stated, entered: ClinicalFacts | None, tumour: bool | None, indication: Indication | None
) -> None:
    """Either may say it; where they contradict each other it is not known."""
    found = known(named(), replace(study(), stated=said), segmented(), replace(NO_FACTS, clinical=entered))
    assert (found.untreated_tumour, found.indication) == (tumour, indication)


def test_the_demonstration_model_is_no_network_of_patients() -> None:
    """Its masks have an origin of their own."""
    labels = replace(segmented(), engine="DEMONSTRATION MODEL")
    assert known(named(), study(), labels, FACTS).masks["tumour"].origin is MaskOrigin.DEMONSTRATION
