"""The score of one study by a signature, or the reason why it has none.

Comes in: a signature, the values of its features by `Feature.column`, what is known of the study. Goes out: `Scored`
with its group and contributions, or `Withheld` with a code of the closed list. `refusal` answers before any feature is
computed. Nothing can go wrong. Next: the command, a result.

    Score = sum over features of coefficient * (x - mean) / sd, x the value or its logarithm (`Feature.standardised`)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from node.core.reasons import NotComputed
from workers.signature.manifest import Feature, Signature
from workers.signature.scope import Known, unmet


@dataclass(frozen=True)
class Contribution:
    """What one feature gives to a score.

    Parameters
    ----------
    name, roi
        The feature, and its region of interest; None where it is a fact.
    standardised
        (value - mean) / sd, or that of its logarithm.
    points
        coefficient * standardised.
    least, most
        The range of training.
    """

    name: str
    roi: str | None
    value: float
    standardised: float
    points: float
    least: float
    most: float

    @property
    def outside(self) -> bool:
        """Whether the value lies outside the range of training."""
        return not self.least <= self.value <= self.most


@dataclass(frozen=True)
class Scored:
    """A score.

    Parameters
    ----------
    place
        The part of the patients in training whose score is lower, from 0 to 1.
    outside
        Whether the score itself lies outside the range of training.
    contributions
        In the order of the manifest; their points sum up to the score.
    """

    signature: Signature
    score: float
    group: str
    place: float
    outside: bool
    contributions: tuple[Contribution, ...]

    @property
    def strange(self) -> tuple[Contribution, ...]:
        """The contributions of features outside the range of training."""
        return tuple(one for one in self.contributions if one.outside)


@dataclass(frozen=True)
class Withheld:
    """Why there is no score: the code of the first reason, and each in words."""

    signature: Signature
    reason: NotComputed
    why: tuple[str, ...]


Answer = Scored | Withheld


def refusal(signature: Signature, known: Known) -> Withheld | None:
    """Return why a study gets no score whatever its features are; None where it meets all that is required."""
    if signature.missing or signature.requires is None:
        why = tuple(f"not published: {what}" for what in signature.missing)
        return Withheld(signature, NotComputed.SIGNATURE_INCOMPLETE, why)
    if lacking := unmet(signature.requires, known):
        return Withheld(signature, lacking[0].reason, tuple(one.sentence for one in lacking))
    return None


def score(signature: Signature, values: Mapping[str, float | None], known: Known) -> Answer:
    """Return the score of a study, or why there is none: a feature that is absent or not finite fails it as a whole."""
    if withheld := refusal(signature, known):
        return withheld
    contributions = []
    failed = []
    for feature in signature.features:
        value = values.get(feature.column)
        if value is None or not math.isfinite(feature.standardised(value)):
            failed.append(f"{feature.column}: {'no value' if value is None else value}")
        else:
            contributions.append(_contribution(feature, value))
    if failed or signature.groups is None or signature.training is None:
        return Withheld(signature, NotComputed.FEATURE_FAILED, tuple(failed))
    total = math.fsum(one.points for one in contributions)
    spread = signature.training.score
    return Scored(
        signature,
        total,
        signature.groups.of(total),
        spread.place(total),
        not spread.holds(total),
        tuple(contributions),
    )


def _contribution(feature: Feature, value: float) -> Contribution:
    standardised = feature.standardised(value)
    return Contribution(
        feature.name,
        feature.roi,
        value,
        standardised,
        feature.coefficient * standardised,
        feature.training.least,
        feature.training.most,
    )
