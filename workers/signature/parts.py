"""The smaller parts of a manifest: what values were like in training, what is foretold, and how well.

Comes in: plain values. Goes out: frozen records, valid once built. What can go wrong: pydantic's `ValidationError`.
Next: `manifest`.
"""

import hashlib
import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LEVELS = (0.0, 0.01, 0.025, *(step / 20 for step in range(1, 20)), 0.975, 0.99, 1.0)
"""The parts of training at which a distribution is kept: least and largest, percentiles at the ends, each twentieth."""


class Part(BaseModel):
    """A part of a manifest: frozen, without anything that it does not know, and without NaN."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )


class Sealed(Part):
    """A whole that is named by the digest of its content."""

    @property
    def digest(self) -> str:
        """SHA-256 of the content: sorted keys, no spaces, whatever the file's own layout is."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


class Distribution(Part):
    """How the values of the patients in training are spread: quantiles from the least to the largest."""

    levels: tuple[float, ...] = Field(min_length=2, description="Parts of the patients, from 0 to 1, ascending.")
    values: tuple[float, ...] = Field(min_length=2, description="The quantile of each level (Hyndman and Fan, type 7).")

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if len(self.levels) != len(self.values):
            raise ValueError("each level has one value")
        if (self.levels[0], self.levels[-1]) != (0.0, 1.0) or len(set(self.levels)) != len(self.levels):
            raise ValueError("levels go from 0 to 1, each once")
        if list(self.levels) != sorted(self.levels) or list(self.values) != sorted(self.values):
            raise ValueError("levels and values ascend")
        return self

    @classmethod
    def of(cls, sample: Sequence[float]) -> Self:
        """Return the quantiles of a sample at `LEVELS`: between two ordered values in proportion (type 7).

        Raises
        ------
        ValueError
            The sample is empty.
        """
        ordered = sorted(float(value) for value in sample)
        if not ordered:
            raise ValueError("an empty sample has no quantiles")
        values = []
        for level in LEVELS:
            place = level * (len(ordered) - 1)
            below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
            values.append(min(below + (above - below) * (place - math.floor(place)), above))
        return cls(levels=LEVELS, values=tuple(values))

    @property
    def least(self) -> float:
        """Smallest value of training."""
        return self.values[0]

    @property
    def most(self) -> float:
        """Largest value of training."""
        return self.values[-1]

    def holds(self, value: float) -> bool:
        """Say whether a value lies in the range of training."""
        return self.least <= value <= self.most

    def place(self, value: float) -> float:
        """Return the part of training that lies below a value, in proportion between quantiles; 0 or 1 outside.

        Where several quantiles equal the value it is the middle of their levels.
        """
        first, last = bisect_left(self.values, value), bisect_right(self.values, value)
        if first < last:
            return (self.levels[first] + self.levels[last - 1]) / 2
        if first in (0, len(self.values)):
            return 0.0 if first == 0 else 1.0
        share = (value - self.values[first - 1]) / (self.values[first] - self.values[first - 1])
        return self.levels[first - 1] + share * (self.levels[first] - self.levels[first - 1])


class Endpoint(Part):
    """What a score foretells."""

    name: str = Field(min_length=1, description="As `overall survival`.")
    text: str = Field(min_length=1, description="From when it counts, in which unit, and what a higher score means.")


class Training(Part):
    """Whom a score was trained on."""

    text: str = Field(min_length=1, description="Who they were, and how the numbers were found.")
    patients: int = Field(gt=0, description="Patients in training.")
    events: int = Field(gt=0, description="Those of them that had the event.")
    score: Distribution = Field(description="The scores of the patients in training, by the final numbers.")
    data: dict[str, str] = Field(
        default_factory=dict, description="SHA-256 of the files that it was trained on, by their names."
    )


class Figure(Part):
    """One figure of validation, with how it was found."""

    name: str = Field(min_length=1, description="What it is, as `C-index`.")
    value: float = Field(description="The figure.")
    low: float | None = Field(None, description="Lower end of its interval.")
    high: float | None = Field(None, description="Upper end of its interval.")
    patients: int | None = Field(None, gt=0, description="Patients that it was found on.")
    method: str = Field(min_length=1, description="How it was found: on whom, and what the interval is.")

    @model_validator(mode="after")
    def _interval_is_whole(self) -> Self:
        if (self.low is None) != (self.high is None) or (
            self.low is not None and self.high is not None and self.low > self.high
        ):
            raise ValueError("an interval has a lower and an upper end")
        return self


class Groups(Part):
    """The groups that a score is parted into: a score above a cut-off belongs to the next group."""

    names: tuple[str, ...] = Field(min_length=2, description="From the lowest scores to the highest.")
    cut_offs: tuple[float, ...] = Field(min_length=1, description="Ascending; one fewer than groups.")
    method: str = Field(min_length=1, description="How the cut-offs were chosen.")

    @model_validator(mode="after")
    def _parts_all(self) -> Self:
        if len(self.names) != len(self.cut_offs) + 1 or len(set(self.names)) != len(self.names):
            raise ValueError("there is one group more than cut-offs, each with a name of its own")
        if list(self.cut_offs) != sorted(set(self.cut_offs)):
            raise ValueError("cut-offs ascend")
        return self

    def of(self, score: float) -> str:
        """Return the group of a score; one that equals a cut-off belongs to the group below."""
        return self.names[bisect_left(self.cut_offs, score)]
