"""`requires`: what must hold of a study before a signature scores it, and what is known of a study.

Comes in: `Requires` of a manifest, `Known` of a study. Goes out: each item that is not met, with what was asked for,
what is known, and the coded reason. What is not known counts as not met. Nothing can go wrong. Next: `score`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import Field

from node.core.reasons import NotComputed
from node.core.records import Indication
from workers.signature.parts import Part


class ContrastPhase(StrEnum):
    """When after contrast agent the CT was taken; the words are those of the ranking of series."""

    NATIVE = "native"
    ARTERIAL = "arterial"
    PORTAL_VENOUS = "portal-venous"
    LATE = "late"


class MaskOrigin(StrEnum):
    """Who drew a mask: the first three came with the study as a SEG, the others are networks run here."""

    MANUAL = "imported-manual"
    SEMIAUTOMATIC = "imported-semiautomatic"
    AUTOMATIC = "imported-automatic"
    NETWORK = "network"
    DEMONSTRATION = "demonstration-model"


class Provenance(Part):
    """Where the mask of a region of interest may come from."""

    origins: tuple[MaskOrigin, ...] = Field(min_length=1, description="Who may have drawn it.")
    labels: tuple[str, ...] = Field(
        (),
        description="Labels that the segmentation must have, all of them and no others, lower case, separators and "
        "numbers left out; empty: any.",
    )


class Requires(Part):
    """What must hold of a study before it is scored; what is not known counts as not met."""

    contrast_phase: tuple[ContrastPhase, ...] = Field((), description="One of these; empty: any, known or not.")
    slice_thickness_mm: tuple[float, float] | None = Field(
        None, description="Thinnest and thickest slices, both included; null: any."
    )
    lossless: bool = Field(description="Pixels that were never compressed with loss.")
    untreated_tumour: bool = Field(description="A tumour in the liver that was not yet resected or ablated.")
    mask_provenance: dict[str, Provenance] = Field(
        default_factory=dict, description="Where the mask of each region of interest may come from, by its id."
    )
    indication: tuple[Indication, ...] = Field((), description="One of these; empty: any, known or not.")


def bare(label: str) -> str:
    """Return the label of a segment as labels are compared: lower case, without separators and numbers."""
    return re.sub(r"[^a-z]", "", label.lower())


@dataclass(frozen=True)
class KnownMask:
    """Who drew a mask, and the labels of the segmentation that it is from, in the form of `Provenance.labels`."""

    origin: MaskOrigin
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Known:
    """What is known of a study; None where it is not. `masks` are by the ids of the regions of interest."""

    contrast_phase: ContrastPhase | None = None
    slice_thickness_mm: float | None = None
    lossless: bool | None = None
    untreated_tumour: bool | None = None
    masks: Mapping[str, KnownMask] = field(default_factory=dict)
    indication: Indication | None = None


_UNKNOWN = "not known"


@dataclass(frozen=True)
class Unmet:
    """An item of `requires` that a study does not meet.

    Parameters
    ----------
    item
        Its name in the manifest.
    wanted, found
        What the signature asks for and what is known of the study, in words.
    """

    item: str
    wanted: str
    found: str
    reason: NotComputed

    @property
    def sentence(self) -> str:
        """What a person reads."""
        return f"{self.item}: needs {self.wanted}, {self.found}"


def unmet(requires: Requires, known: Known) -> tuple[Unmet, ...]:
    """Return every item that a study does not meet: first what is known to be otherwise, then what is not known.

    Both are in the order of the manifest.
    """
    found = [*_of_the_images(requires, known), *_of_the_masks(requires, known), *_of_the_patient(requires, known)]
    return tuple(sorted(found, key=lambda one: one.found == _UNKNOWN))


def _of_the_images(requires: Requires, known: Known) -> Iterator[Unmet]:
    phase, thickness = known.contrast_phase, known.slice_thickness_mm
    if requires.contrast_phase and phase not in requires.contrast_phase:
        yield _outside("contrast_phase", " or ".join(requires.contrast_phase), phase)
    if requires.slice_thickness_mm:
        least, most = requires.slice_thickness_mm
        if thickness is None or not least <= thickness <= most:
            yield _outside("slice_thickness_mm", f"{least:g} to {most:g}", None if thickness is None else thickness)
    if requires.lossless and not known.lossless:
        reason = NotComputed.OUT_OF_SCOPE if known.lossless is None else NotComputed.INPUT_LOSSY
        yield Unmet("lossless", "true", _UNKNOWN if known.lossless is None else "is false", reason)


def _of_the_masks(requires: Requires, known: Known) -> Iterator[Unmet]:
    for roi, wanted in requires.mask_provenance.items():
        mask, item = known.masks.get(roi), f"mask_provenance {roi}"
        if mask is None or mask.origin not in wanted.origins:
            found = _UNKNOWN if mask is None else f"is {mask.origin}"
            yield Unmet(item, " or ".join(wanted.origins), found, NotComputed.ROI_MISMATCH)
        elif wanted.labels and mask.labels != set(wanted.labels):
            found = f"has {', '.join(sorted(mask.labels)) or 'none'}"
            yield Unmet(item, f"the labels {', '.join(wanted.labels)}", found, NotComputed.ROI_MISMATCH)


def _of_the_patient(requires: Requires, known: Known) -> Iterator[Unmet]:
    if requires.untreated_tumour and not known.untreated_tumour:
        yield _outside("untreated_tumour", "true", "false" if known.untreated_tumour is False else None)
    if requires.indication and known.indication not in requires.indication:
        yield _outside("indication", " or ".join(requires.indication), known.indication)


def _outside(item: str, wanted: str, found: str | float | None) -> Unmet:
    shown = f"{found:g}" if isinstance(found, float) else found
    return Unmet(item, wanted, _UNKNOWN if found is None else f"is {shown}", NotComputed.OUT_OF_SCOPE)
