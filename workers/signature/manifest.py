"""The manifest of a signature: all that a score needs, and all that a reader should know of it.

Comes in: the fields, from `folder` or from a training. Goes out: `Signature`, frozen and valid once built, and its
digest. What can go wrong: pydantic's `ValidationError`. A signature of which something was never published names it in
`missing` and has no numbers at all: it refuses every study. Next: `folder`, `score`.

    Score = sum over features of coefficient * (x - mean) / sd, x the value or, where the feature says so, ln(1 + value)
"""

import math
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from node.core.codes import Structure
from node.core.settings import SignatureId
from workers.signature.deep import NAMES, is_deep
from workers.signature.parts import Distribution, Endpoint, Figure, Groups, Part, Sealed, Training
from workers.signature.scope import Requires

SCHEMA_VERSION: Literal["1.0"] = "1.0"
Slug = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Choice(StrEnum):
    """Which part of a structure a region of interest is."""

    WHOLE = "whole"
    LARGEST = "largest"  # of several segments or components the one with most voxels


class Roi(Part):
    """A region of interest that features are computed from; where its mask may come from is in `requires`."""

    id: Slug = Field(description="What features and `requires` call it.")
    structure: Structure = Field(description="The structure that it is, or is a part of.")
    choice: Choice = Field(description="All of it, or of several segments the one with most voxels.")
    without_other_masks: bool = Field(
        False, description="Whether the voxels of every other segment of the segmentation are taken away."
    )
    text: str = Field(min_length=1, description="What it is, for a reader.")


class Extraction(Part):
    """How radiomic features are computed: the parameters in the form that PyRadiomics reads."""

    engine: str = Field(min_length=1, description="What computed the features of training, with its version.")
    image_types: dict[str, dict[str, JsonValue]] = Field(description="`imageType` of the parameters.")
    feature_classes: dict[str, list[str]] = Field(description="`featureClass`; an empty list: all of the class.")
    settings: dict[str, JsonValue] = Field(description="`setting` of the parameters.")


class Feature(Part):
    """One term of the score."""

    name: str = Field(
        min_length=1, description="PyRadiomics' name, deep_000 to deep_255, or that of a fact known before treatment."
    )
    roi: Slug | None = Field(description="The region of interest; null: it is a fact and no feature of an image.")
    text: str = Field("", description="Of a fact: what it is, with unit or coding.")
    logarithm: bool = Field(False, description="Whether ln(1 + value) stands for the value, in mean and SD too.")
    mean: float = Field(description="Subtracted from the value.")
    sd: float = Field(gt=0, description="The difference is divided by it.")
    coefficient: float = Field(description="Weight of the standardised value.")
    training: Distribution = Field(description="The values of the patients in training.")

    @model_validator(mode="after")
    def _is_one_of_the_deep(self) -> Self:
        if self.deep and self.name not in NAMES:
            raise ValueError(f"deep features are {NAMES[0]} to {NAMES[-1]}")
        return self

    @property
    def deep(self) -> bool:
        """Whether a network computes it."""
        return self.roi is not None and is_deep(self.name)

    @property
    def column(self) -> str:
        """What tells it apart from all others of its signature."""
        return f"{self.roi}:{self.name}" if self.roi else self.name

    def standardised(self, value: float) -> float:
        """Return a value on the scale of the score; NaN where it has no logarithm and needs one."""
        if self.logarithm:
            value = math.log1p(value) if value > -1 else math.nan
        return (value - self.mean) / self.sd


class Signature(Sealed):
    """A signature."""

    schema_version: Literal["1.0"] = Field(SCHEMA_VERSION, description="Version of this form.")
    id: SignatureId = Field(description="Its name, which is that of its folder.")
    version: str = Field(pattern=r"^\d+(\.\d+)*$", description="Version of its numbers.")
    title: str = Field(min_length=1, description="What it is, in one line.")
    citation: tuple[str, ...] = Field(min_length=1, description="The publications, each with its doi.")
    licence: str = Field(min_length=1, description="Terms under which its numbers may be used.")
    population: str = Field(min_length=1, description="Whom it was made from.")
    endpoint: Endpoint = Field(description="What the score foretells.")
    intended_use: str = Field(min_length=1, description="What it may be used for, and what not.")
    missing: tuple[str, ...] = Field((), description="What was never published; with any of it there is no score.")
    requires: Requires | None = Field(None, description="What must hold of a study before it is scored.")
    rois: tuple[Roi, ...] = Field((), description="The regions of interest.")
    extraction: Extraction | None = Field(None, description="How radiomic features are computed; null: none are.")
    features: tuple[Feature, ...] = Field((), description="The terms of the score.")
    groups: Groups | None = Field(None, description="How the score is parted into groups.")
    training: Training | None = Field(None, description="Whom the numbers were found on.")
    weights: dict[str, Sha256] = Field(
        default_factory=dict, description="The network behind deep features, by its id: the digest of its description."
    )
    validation: tuple[Figure, ...] = Field((), description="How good it was, each figure with its method.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Require that a signature has all of its numbers, or none and says what is missing."""
        numbers = (self.features, self.groups, self.training, self.requires)
        if self.missing:
            if self.features or self.groups or self.training:
                raise ValueError("a signature with something missing has no numbers")
            return self
        if not all(numbers):
            raise ValueError("features, groups, training and requires belong to a signature that lacks nothing")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Require that features, regions of interest, extraction and `requires` name the same things."""
        ids, used = [roi.id for roi in self.rois], {one.roi for one in self.features if one.roi}
        names = [one.column for one in self.features]
        if len(set(ids)) != len(ids) or len(set(names)) != len(names):
            raise ValueError("each region of interest and each feature is there once")
        if not self.missing and used != set(ids):
            raise ValueError("features are of the regions of interest, and each of those has some")
        if self.extraction is None and any(one.roi and not one.deep for one in self.features):
            raise ValueError("radiomic features need the extraction")
        if not self.missing and len(self.weights) != any(one.deep for one in self.features):
            raise ValueError("deep features are of the one network in weights, which has some")
        if self.requires and set(self.requires.mask_provenance) != set(ids):
            raise ValueError("mask_provenance has each region of interest")
        return self
