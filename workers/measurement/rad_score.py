"""The Rad scores among the numbers of a study: what signatures say of it, under the ids of `MEASUREMENTS`.

Comes in: signatures, the volume, its segmentation, the site's facts, and what computes features. Goes out: the answer
of each signature (`workers.signature.score`), and from it score and group, or the reason why there is none; features
outside the range of training are noted. Nothing can go wrong. Next: the other numbers of stage 8; the contributions go
on in `Measured.rad_scores`.

    Score = sum over features of coefficient * (value - mean) / sd, without a unit
"""

import re
from collections.abc import Callable, Iterable, Mapping

from node.core.codes import MEASUREMENTS, Structure
from node.core.reasons import NotComputed, NoteCode
from node.core.records import ClinicalFacts, Measurement, Note, PatientFacts, computed, not_computed
from workers.measurement.plausibility import Doubts
from workers.records import LabelMap, Segment, Volume
from workers.signature.manifest import Roi, Signature
from workers.signature.scope import ContrastPhase, Known, KnownMask, MaskOrigin
from workers.signature.score import Answer, Scored, Withheld, refusal, score

PREFIX = "rad_score."
Features = Callable[[Signature], Mapping[str, float | None]]
"""Computes the features of a signature on the study at hand, by `Feature.column`."""


def numbers(answers: Iterable[Answer]) -> dict[str, Measurement]:
    """Return score and group by each signature that the table of measurements knows."""
    found: dict[str, Measurement] = {}
    for one in answers:
        names = [f"{PREFIX}{one.signature.id}.{part}" for part in ("score", "group")]
        if isinstance(one, Withheld):
            found |= dict.fromkeys(names, not_computed(one.reason))
        else:
            notes = _notes(one)
            found |= {names[0]: computed(one.score, *notes), names[1]: computed(one.group, *notes)}
    return {name: one for name, one in found.items() if name in MEASUREMENTS}


def _notes(one: Scored) -> list[Note]:
    """Name each feature outside the range of training, with its value and that range, and the score if it is."""
    told = [f"{part.name} {part.value:.4g} (training {part.least:.4g} to {part.most:.4g})" for part in one.strange]
    if one.outside and one.signature.training:
        spread = one.signature.training.score
        told.append(f"score {one.score:.3f} (training {spread.least:.3f} to {spread.most:.3f})")
    return [Note(NoteCode.OUT_OF_TRAINING_RANGE, f"{', '.join(told)}.")] if told else []


def ask(
    signatures: Iterable[Signature],
    volume: Volume,
    labels: LabelMap,
    facts: PatientFacts,
    doubts: Doubts,
    features: Features | None,
) -> tuple[Answer, ...]:
    """Return what each signature says of a study.

    Features are computed only where it meets all that is required, and no region of interest is implausible.
    """
    answers: list[Answer] = []
    for one in signatures:
        study = known(one, volume, labels, facts)
        if withheld := refusal(one, study):
            answers.append(withheld)
        elif doubted := tuple(doubts[roi.structure].text for roi in one.rois if roi.structure in doubts):
            answers.append(Withheld(one, NotComputed.STRUCTURE_IMPLAUSIBLE, doubted))
        elif features is None:
            answers.append(Withheld(one, NotComputed.NOT_BUILT, ("features are not computed here yet",)))
        else:
            answers.append(score(one, features(one), study))
    return tuple(answers)


def known(signature: Signature, volume: Volume, labels: LabelMap, facts: PatientFacts) -> Known:
    """Return what headers, segmentation and the site's facts tell of a study; a tumour that is not there is none."""
    acquired, clinical = volume.acquisition, facts.clinical or ClinicalFacts()
    phase = volume.candidate.phase
    tumour = clinical.untreated_tumour if labels.find(Structure.LESION) else False
    return Known(
        contrast_phase=ContrastPhase(phase) if phase in list(ContrastPhase) else None,
        slice_thickness_mm=acquired.slice_thickness_mm,
        lossless=not acquired.lossy,
        untreated_tumour=tumour,
        masks={roi.id: mask for roi in signature.rois if (mask := _mask(roi, labels))},
        indication=clinical.indication,
    )


def _mask(roi: Roi, labels: LabelMap) -> KnownMask | None:
    """Return who drew a region of interest, and the labels of its segmentation; None where it is not there."""
    segments = labels.all(roi.structure)
    if not segments:
        return None
    of = max(segments, key=lambda one: one.region.count)
    return KnownMask(_origin(of, labels), frozenset(_label(one) for one in labels.segments if one.source == of.source))


def _origin(segment: Segment, labels: LabelMap) -> MaskOrigin:
    if segment.source is not None:
        return MaskOrigin(f"imported-{segment.algorithm_type.lower()}")
    return MaskOrigin.DEMONSTRATION if labels.demonstration else MaskOrigin.NETWORK


def _label(segment: Segment) -> str:
    """Return a segment's label in lower case, words joined by `_`, without a number at the end."""
    return re.sub(r"_?\d+$", "", re.sub(r"[^a-z0-9]+", "_", segment.label.lower()).strip("_"))
