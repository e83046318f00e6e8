"""The Rad scores among the numbers of a study: what signatures say of it, under `rad_score.ID.score` and `.group`.

Comes in: signatures, the volume, its segmentation, the site's facts, and what computes features (`rad_features`). Goes
out: the answer of each signature (`workers.signature.score`), and from it score and group, or the reason why there is
none; features outside the range of training are noted. Nothing can go wrong. Next: the other numbers of stage 8; the
contributions go on in `Measured.rad_scores`.

    Score = sum over features of coefficient * (value - mean) / sd, without a unit
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from node.core.codes import Structure, rad_names
from node.core.reasons import NotComputed, NoteCode
from node.core.records import ClinicalFacts, Measurement, Note, PatientFacts, computed, not_computed
from workers.measurement.plausibility import Doubts
from workers.measurement.rad_features import Computed
from workers.records import LabelMap, Segment, Volume
from workers.signature.manifest import Roi, Signature
from workers.signature.scope import ContrastPhase, Known, KnownMask, MaskOrigin, bare
from workers.signature.score import Answer, Scored, Withheld, refusal, score

Features = Callable[[Sequence[Signature]], Mapping[str, Computed]]
"""Computes the features of signatures on the study at hand, by their ids."""
_Known = TypeVar("_Known")


def numbers(answers: Iterable[Answer]) -> dict[str, Measurement]:
    """Return score and group by each signature."""
    found: dict[str, Measurement] = {}
    for one in answers:
        names = rad_names(one.signature.id)
        if isinstance(one, Withheld):
            found |= dict.fromkeys(names, not_computed(one.reason))
        else:
            notes = _notes(one)
            found |= {names[0]: computed(one.score, *notes), names[1]: computed(one.group, *notes)}
    return found


def _notes(one: Scored) -> list[Note]:
    """Name each feature outside the range of training, with its value and that range, and the score if it is."""
    told = [f"{part.name} {part.value:.4g} (training {part.least:.4g} to {part.most:.4g})" for part in one.strange]
    if one.outside and one.signature.training:
        spread = one.signature.training.score
        told.append(f"score {one.score:.3f} (training {spread.least:.3f} to {spread.most:.3f})")
    return [Note(NoteCode.OUT_OF_TRAINING_RANGE, f"{', '.join(told)}.")] if told else []


def ask(
    signatures: Sequence[Signature],
    volume: Volume,
    labels: LabelMap,
    facts: PatientFacts,
    doubts: Doubts,
    features: Features,
) -> tuple[Answer, ...]:
    """Return what each signature says of a study, in their order.

    Features are computed only where it meets all that is required, and no region of interest is implausible.
    """
    studies = {one.id: known(one, volume, labels, facts) for one in signatures}
    refused = {one.id: why for one in signatures if (why := _refusal(one, studies[one.id], doubts))}
    asked = [one for one in signatures if one.id not in refused]
    computed_of = features(asked) if asked else {}
    return tuple(refused.get(one.id) or _answer(one, computed_of[one.id], studies[one.id]) for one in signatures)


def _refusal(signature: Signature, study: Known, doubts: Doubts) -> Withheld | None:
    if withheld := refusal(signature, study):
        return withheld
    doubted = tuple(doubts[roi.structure].text for roi in signature.rois if roi.structure in doubts)
    return Withheld(signature, NotComputed.STRUCTURE_IMPLAUSIBLE, doubted) if doubted else None


def _answer(signature: Signature, found: Computed, study: Known) -> Answer:
    if found.failed:
        return Withheld(signature, NotComputed.FEATURE_FAILED, found.failed)
    return score(signature, found.values, study)


def known(signature: Signature, volume: Volume, labels: LabelMap, facts: PatientFacts) -> Known:
    """Return what headers, segmentation and the site's facts tell of a study; a tumour that is not there is none.

    Where headers and the site say different things of tumour or indication, neither is known.
    """
    acquired, said, clinical = volume.acquisition, volume.stated, facts.clinical or ClinicalFacts()
    phase = volume.candidate.phase
    tumour = _agreed(said.untreated_tumour, clinical.untreated_tumour) if labels.find(Structure.LESION) else False
    return Known(
        contrast_phase=ContrastPhase(phase) if phase in list(ContrastPhase) else None,
        slice_thickness_mm=acquired.slice_thickness_mm,
        lossless=not acquired.lossy,
        untreated_tumour=tumour,
        masks={roi.id: mask for roi in signature.rois if (mask := _mask(roi, labels))},
        indication=_agreed(said.indication, clinical.indication),
    )


def _agreed(one: _Known | None, other: _Known | None) -> _Known | None:
    """Return what is known from either; None where the two contradict each other."""
    if one is None or other is None:
        return other if one is None else one
    return one if one == other else None


def _mask(roi: Roi, labels: LabelMap) -> KnownMask | None:
    """Return who drew a region of interest, and the labels of its segmentation; None where it is not there."""
    segments = labels.all(roi.structure)
    if not segments:
        return None
    of = max(segments, key=lambda one: one.region.count)
    names = next((one.labels for one in labels.imports if one.source == of.source), ())
    return KnownMask(_origin(of, labels), frozenset(map(bare, names)))


def _origin(segment: Segment, labels: LabelMap) -> MaskOrigin:
    if segment.source is not None:
        return MaskOrigin(f"imported-{segment.algorithm_type.lower()}")
    return MaskOrigin.DEMONSTRATION if labels.demonstration else MaskOrigin.NETWORK
