"""The right answer for a phantom, in the demonstration model's label numbers.

In: a phantom's label array and its mask of vertebral bodies. Out: `Label` values (what the first network learns) and
`Kind` values (what the second one learns). Nothing can go wrong here. Next: `samples`.
"""

from __future__ import annotations

import numpy as np

from node.phantom import Rendering, Structure
from workers.segmentation.demo.labels import ARCH_AFTER_BODY, LEVELS, Kind, Label, Labels

_ARCHES = {Structure[f"VERTEBRA_{level}"]: Label[f"ARCH_{level}"] for level in LEVELS}
_SIMPLE = {
    Structure.BACKGROUND: Label.BACKGROUND,
    Structure.LIVER: Label.LIVER,
    Structure.LESION: Label.LESION,
    Structure.PSOAS_LEFT: Label.PSOAS_LEFT,
    Structure.PSOAS_RIGHT: Label.PSOAS_RIGHT,
}
_TO_LABEL = np.array([{**_SIMPLE, **_ARCHES}.get(one, Label.BODY) for one in sorted(Structure)], dtype=np.uint8)
_KINDS = {
    Structure.LIVER: Kind.LIVER,
    Structure.LESION: Kind.LESION,
    Structure.PSOAS_LEFT: Kind.PSOAS_LEFT,
    Structure.PSOAS_RIGHT: Kind.PSOAS_RIGHT,
    **{one: Kind.VERTEBRAL_ARCH for one in Structure if one.name.startswith("VERTEBRA_")},
}
_TO_KIND = np.array([_KINDS.get(one, Kind.BACKGROUND) for one in sorted(Structure)], dtype=np.uint8)


def network_labels(rendering: Rendering) -> Labels:
    """Translate a phantom's labels to `Label`: vertebrae split into body and arch; what has no name is `BODY`."""
    labels: Labels = _TO_LABEL[rendering.labels]
    named = labels >= Label.ARCH_T11
    labels[named & rendering.vertebral_bodies] -= np.uint8(ARCH_AFTER_BODY)
    return labels


def kinds(rendering: Rendering) -> Labels:
    """Translate a phantom's labels to `Kind`: vertebrae of all levels, those that have no `Label` included."""
    labels: Labels = _TO_KIND[rendering.labels]
    labels[(labels == Kind.VERTEBRAL_ARCH) & rendering.vertebral_bodies] = Kind.VERTEBRAL_BODY
    return labels
