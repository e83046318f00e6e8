"""The demonstration model's label numbers, and the structures that they make.

In: nothing. Out: `Label` values (the model's answer, and what its first network tells apart), `Kind` values (what its
second one tells apart), and masks of structures. Nothing can go wrong here. Next: `tasks`.

nnU-Net gives one label to each voxel, so a vertebra has two: its body and its arch. The whole vertebra is their union,
"body" is the first of them, and the liver is `LIVER` with `LESION`.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint8]


class Label(IntEnum):
    """What the model tells apart."""

    BACKGROUND = 0
    BODY = 1
    LIVER = 2
    LESION = 3
    PSOAS_LEFT = 4
    PSOAS_RIGHT = 5
    BODY_T11 = 6
    BODY_T12 = 7
    BODY_L1 = 8
    BODY_L2 = 9
    BODY_L3 = 10
    BODY_L4 = 11
    BODY_L5 = 12
    ARCH_T11 = 13
    ARCH_T12 = 14
    ARCH_L1 = 15
    ARCH_L2 = 16
    ARCH_L3 = 17
    ARCH_L4 = 18
    ARCH_L5 = 19


class Kind(IntEnum):
    """What the fine network tells apart: vertebrae of all levels are alike to it."""

    BACKGROUND = 0
    LIVER = 1
    LESION = 2
    PSOAS_LEFT = 3
    PSOAS_RIGHT = 4
    VERTEBRAL_BODY = 5
    VERTEBRAL_ARCH = 6


LEVELS = ("T11", "T12", "L1", "L2", "L3", "L4", "L5")
"""The vertebrae that the model names, from the head down."""

PARTS: dict[str, tuple[Label, ...]] = {
    "liver": (Label.LIVER, Label.LESION),
    "lesion": (Label.LESION,),
    "psoas_left": (Label.PSOAS_LEFT,),
    "psoas_right": (Label.PSOAS_RIGHT,),
    **{f"vertebra_{level}": (Label[f"BODY_{level}"], Label[f"ARCH_{level}"]) for level in LEVELS},
    "vertebral_body": tuple(Label[f"BODY_{level}"] for level in LEVELS),
}
"""The structures that measurements speak of, as unions of labels."""

ARCH_AFTER_BODY = int(Label.ARCH_T11 - Label.BODY_T11)
"""Number of an arch minus that of its body."""


def part_mask(labels: Labels, name: str) -> NDArray[np.bool_]:
    """Where one of `PARTS` lies, whole vertebrae and the liver with its lesions included."""
    return np.isin(labels, PARTS[name])
