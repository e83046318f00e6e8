"""The two networks of the demonstration model, as nnU-Net's low and full resolution: what each sees and tells apart.

In: nothing. Out: `LEVELS_TASK` and `STRUCTURES_TASK`. Nothing can go wrong here. Next: `folder`, `window`.

Vertebrae look alike, so naming them needs the whole abdomen at once, with ribs and pelvis: the first network sees all
of it on coarse voxels. Volumes need surfaces to a fraction of a millimetre: the second network sees a part of it on
fine voxels. Beside the CT it is shown where the first one found liver and psoas muscles, for in a part of a body muscle
is like muscle and left like right; it tells vertebrae from the rest, but not from each other. `inference` joins them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from workers.segmentation.demo.labels import Kind, Label

CLIP_HU = (-160.0, 340.0)
MEAN_HU, SD_HU = 60.0, 80.0
"""nnU-Net's normalisation for CT: clip, subtract, divide. Narrow, so that lesions stand out in the liver."""


@dataclass(frozen=True)
class Task:
    """One network.

    Attributes
    ----------
    name : str
        Its folder.
    labels : type of IntEnum
        Its output channels in order; 0 is the background.
    spacing_mm : tuple of float
        Of its voxels, (z, y, x).
    patch : tuple of int
        What it sees at once (slices, rows, columns).
    features : tuple of int
        Channels of each stage.
    strides : tuple of tuple of int
        From each stage to the next; the first is 1.
    steps : int
        How long it is trained.
    hints : tuple of str
        Names of `PARTS` whose probabilities, as the other network sees them, are channels beside the CT.
    """

    name: str
    labels: type[IntEnum]
    spacing_mm: tuple[float, float, float]
    patch: tuple[int, int, int]
    features: tuple[int, ...]
    strides: tuple[tuple[int, int, int], ...]
    steps: int
    hints: tuple[str, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of its input channels."""
        return ("CT", *self.hints)

    @property
    def label_numbers(self) -> dict[str, int]:
        """Name and number of each label, as dataset.json has them."""
        return {label.name.lower(): int(label) for label in self.labels}


_HALVED = (2, 2, 2)

LEVELS_TASK = Task(
    name="levels",
    labels=Label,
    spacing_mm=(6.0, 5.5, 5.5),
    patch=(80, 56, 72),
    features=(16, 32, 64, 96, 128),
    strides=((1, 1, 1), _HALVED, _HALVED, _HALVED, (2, 1, 1)),
    steps=1500,
)
"""480 x 308 x 396 mm; the lowest stage has voxels of 96 x 44 x 44 mm."""

STRUCTURES_TASK = Task(
    name="structures",
    labels=Kind,
    spacing_mm=(3.0, 3.0, 3.0),
    patch=(64, 64, 64),
    features=(16, 32, 64, 96),
    strides=((1, 1, 1), _HALVED, _HALVED, _HALVED),
    steps=1000,
    hints=("liver", "psoas_left", "psoas_right"),
)
"""192 mm in each direction."""

TASKS = (LEVELS_TASK, STRUCTURES_TASK)
