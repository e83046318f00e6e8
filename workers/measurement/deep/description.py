"""What a network of deep features says of itself: all that another program needs to compute the same values.

Comes in: the fields, from `folder` or from `workers.training.deep`. Goes out: `Description`, frozen and valid once
built, with its digest and the arrays that its weights have to be. What can go wrong: pydantic's `ValidationError`.
Next: `folder`.

Lengths and counts along axes are in the order (slices, rows, columns).
"""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from workers.signature.deep import COUNT
from workers.signature.manifest import Sha256, Slug
from workers.signature.parts import Part, Sealed

KERNEL = 3
Whole = Annotated[int, Field(gt=0)]
Length = Annotated[float, Field(gt=0)]


class Input(Part):
    """What the network sees: a box around the region along the axes of the patient, averaged, clipped, normalised."""

    spacing_mm: tuple[Length, Length, Length] = Field(description="Of its voxels.")
    samples: Whole = Field(
        description="Along each axis of a voxel, between the image's voxels linearly; it is their mean."
    )
    margin_mm: float = Field(ge=0, description="Around the box of the region.")
    least_voxels: tuple[Whole, Whole, Whole] = Field(description="A smaller box is widened to this many, evenly.")
    most_voxels: Whole = Field(description="In all; a region whose box has more is refused.")
    outside_hu: float = Field(description="Where the box reaches beyond the image.")
    clip_hu: tuple[float, float] = Field(description="Least and largest attenuation after averaging.")
    mean_hu: float = Field(description="Subtracted.")
    sd_hu: float = Field(gt=0, description="The difference is divided by it.")


class Architecture(Part):
    """A chain of stages; each convolution (3 x 3 x 3, zeros around, no bias) has an instance norm and a leaky ReLU."""

    kind: Literal["plain-conv-encoder"] = Field("plain-conv-encoder", description="The only one that is known.")
    features: tuple[Whole, ...] = Field(min_length=1, description="Channels of each stage.")
    strides: tuple[tuple[Whole, Whole, Whole], ...] = Field(description="Of the first convolution of each stage.")
    convolutions: tuple[Whole, ...] = Field(description="In each stage.")
    epsilon: float = Field(gt=0, description="Added to the variance by the instance norm.")
    slope: float = Field(ge=0, le=1, description="Of the leaky ReLU below 0.")

    @model_validator(mode="after")
    def _has_stages(self) -> Self:
        if not len(self.features) == len(self.strides) == len(self.convolutions):
            raise ValueError("each stage has features, a stride and a number of convolutions")
        if any(step > 2 for stride in self.strides for step in stride):
            raise ValueError("a stride is 1 or 2")
        return self


class Weights(Part):
    """The file of the weights."""

    bytes: Whole = Field(description="Its size.")
    sha256: Sha256 = Field(description="Its digest.")


class Description(Sealed):
    """A network of deep features."""

    schema_version: Literal["1.0"] = Field("1.0", description="Version of this form.")
    id: Slug = Field(description="Its name, which is that of its folder.")
    version: str = Field(pattern=r"^\d+(\.\d+)*$", description="Version of its numbers.")
    title: str = Field(min_length=1, description="What it is, in one line.")
    trained_for: str = Field(min_length=1, description="What it was trained to do, on what, and what it was not.")
    licence: str = Field(min_length=1, description="Terms under which it may be used.")
    provenance: str = Field(min_length=1, description="How its weights came about.")
    sources: dict[str, Sha256] = Field(description="SHA-256 of the files that they were made from.")
    input: Input = Field(description="What it sees.")
    architecture: Architecture = Field(description="What computes.")
    pooling: Literal["mean-and-sd"] = Field(
        "mean-and-sd",
        description="Of each channel of each stage, in order, the mean over the region; then, likewise, the SD.",
    )
    projection: str = Field(min_length=1, description="What the matrix is that makes 256 values of the pooled ones.")
    weights: Weights = Field(description="Their file.")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays of the weights by name."""
        chain = self.architecture
        found: dict[str, tuple[int, ...]] = {"projection": (COUNT, 2 * sum(chain.features))}
        channels = (1, *chain.features)
        for stage, ((before, after), count) in enumerate(zip(pairwise(channels), chain.convolutions, strict=True)):
            for number in range(count):
                name = convolution(stage, number)
                found[f"{name}.weight"] = (after, after if number else before, KERNEL, KERNEL, KERNEL)
                found |= {f"{name}.{part}": (after,) for part in ("scale", "shift")}
        return found


def convolution(stage: int, number: int) -> str:
    """Return what the arrays of a convolution and its norm are called."""
    return f"stage{stage}.convolution{number}"
