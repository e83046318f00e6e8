"""How much speaks for a volume: a sum of weighted criteria and preferences, each of which can be shown.

Inside stage 4. Comes in: `Traits` and `Rules`. Goes out: `Score`. What can go wrong: nothing. Next:
`node.selection.ranking` puts the highest first.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from node.selection.rules import Curve, Rules
from node.selection.traits import Traits

_UNKNOWN_SIZE_SHARE = 0.5


@dataclass(frozen=True)
class Score:
    """Points by criterion, and those of each preference that holds, by its reason."""

    criteria: Mapping[str, float]
    preferences: Mapping[str, float]

    @property
    def total(self) -> float:
        """All points; to a tenth, which is what a reader sees, so that what looks equal is equal."""
        return round(sum(self.criteria.values()) + sum(self.preferences.values()), 1)


def score(traits: Traits, rules: Rules) -> Score:
    """Return the points of a volume."""
    weights, curves, shares = rules.weights, rules.curves, rules.shares
    return Score(
        {
            "coverage": weights.coverage * _share(traits.coverage_mm, curves.coverage_mm),
            "phase": weights.phase * shares.phase[traits.phase],
            "kernel": weights.kernel * shares.kernel[traits.kernel],
            "thickness": weights.thickness * _share(traits.depth_mm, curves.thickness_mm),
            "field of view": weights.field_of_view * _share(traits.field_of_view_mm, curves.field_of_view_mm),
            "pixels": weights.pixels * shares.pixels[traits.pixels],
        },
        {one.why: one.points for one in rules.prefer.values() if one.holds(traits.texts)},
    )


def _share(size_mm: float | None, curve: Curve) -> float:
    if size_mm is None:
        return _UNKNOWN_SIZE_SHARE
    sizes, shares = zip(*curve, strict=True)
    return float(np.interp(size_mm, sizes, shares))
