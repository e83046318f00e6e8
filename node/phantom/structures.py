"""Names and label values of everything that the synthetic abdomen shows.

Beside the ten stages. In: nothing. Out: `Structure`, the values of a phantom's label array. Nothing can go
wrong here. Next: `node.phantom.anatomy`, which gives each structure its solids.
"""

from __future__ import annotations

from enum import IntEnum


class Structure(IntEnum):
    """Label values, uint8. Where solids nest, the most specific label wins (lesion over liver)."""

    BACKGROUND = 0
    BODY = 1
    LIVER = 2
    PSOAS_LEFT = 3
    PSOAS_RIGHT = 4
    VERTEBRA_T11 = 5
    VERTEBRA_T12 = 6
    VERTEBRA_L1 = 7
    VERTEBRA_L2 = 8
    VERTEBRA_L3 = 9
    VERTEBRA_L4 = 10
    VERTEBRA_L5 = 11
    VERTEBRA_S1 = 12
    LESION = 13
    KIDNEY_LEFT = 14
    KIDNEY_RIGHT = 15
    SPLEEN = 16
    AORTA = 17
    INFERIOR_VENA_CAVA = 18
    STOMACH = 19
    BOWEL = 20
    LUNG_LEFT = 21
    LUNG_RIGHT = 22
    HEART = 23
    RIB = 24
    PELVIS = 25
    SACRUM = 26
    FEMUR = 27
    BLADDER = 28
    SPINAL_CANAL = 29
    DISC = 30
    MUSCLE = 31
    VERTEBRA_T10 = 32
    VERTEBRA_T9 = 33
    VERTEBRA_T8 = 34


VERTEBRAE = (
    Structure.VERTEBRA_T8,
    Structure.VERTEBRA_T9,
    Structure.VERTEBRA_T10,
    Structure.VERTEBRA_T11,
    Structure.VERTEBRA_T12,
    Structure.VERTEBRA_L1,
    Structure.VERTEBRA_L2,
    Structure.VERTEBRA_L3,
    Structure.VERTEBRA_L4,
    Structure.VERTEBRA_L5,
    Structure.VERTEBRA_S1,
)
"""All vertebrae of the phantom, from the head down."""
