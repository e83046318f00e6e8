"""Specks that networks leave: parts far smaller than their structure, lesions too small or outside the liver.

In: `Label` values. Out: the same array, tidied in place. Nothing can go wrong here. Next: `inference` hands it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workers.segmentation.demo.labels import PARTS, Label, Labels

LEAST_LESION_ML = 0.1
"""Smaller lesions are taken for noise: the smallest of a phantom has 0.16 mL."""
LEAST_LIVER_AROUND = 0.5
"""Share of the voxels around a lesion that have to be liver; less, and it is fat beside the liver."""
SPECK_SHARE = 0.05
"""A component below this share of its structure's largest one is a speck."""
_NEIGHBOURS = np.ones((3, 3, 3), dtype=np.bool_)

Box = tuple[slice, ...]


def tidy(labels: Labels, voxel_ml: float) -> None:
    """Take specks away, in place: parts far smaller than their structure become trunk, specks of lesion liver.

    What is called a lesion and is not surrounded by liver becomes trunk.

    A structure is the whole of its labels (a vertebra with its arch, the liver with its lesions), so a lesion outside
    the liver goes with the speck of liver that it makes.
    """
    wholes = [parts for name, parts in PARTS.items() if name not in ("lesion", "vertebral_body")]
    boxes = ndimage.find_objects(labels, max_label=max(Label))
    for parts in wholes:
        box = _union([boxes[part - 1] for part in parts])
        if box is None:
            continue
        view = labels[box]
        components, count = ndimage.label(np.isin(view, parts), structure=_NEIGHBOURS)
        sizes = np.bincount(components.ravel(), minlength=count + 1)
        specks = sizes < SPECK_SHARE * sizes[1:].max()
        specks[0] = False
        view[specks[components]] = Label.BODY
    if (box := boxes[Label.LESION - 1]) is not None:
        view = labels[box]
        components, count = ndimage.label(view == Label.LESION, structure=_NEIGHBOURS)
        specks = np.bincount(components.ravel(), minlength=count + 1) * voxel_ml < LEAST_LESION_ML
        specks[0] = False
        view[specks[components]] = Label.LIVER
    for box, lesion in _lesions(labels):
        around = ndimage.binary_dilation(lesion, _NEIGHBOURS) & ~lesion
        if (labels[box][around] == Label.LIVER).mean() < LEAST_LIVER_AROUND:
            labels[box][lesion] = Label.BODY


def _lesions(labels: Labels) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    """Yield each component of lesion: a box with a voxel around it, and where it lies in there."""
    components, _ = ndimage.label(labels == Label.LESION, structure=_NEIGHBOURS)
    for number, found in enumerate(ndimage.find_objects(components), 1):
        box = tuple(slice(max(one.start - 1, 0), one.stop + 1) for one in found)
        yield box, components[box] == number


def _union(boxes: Sequence[Box | None]) -> Box | None:
    """Return the smallest box around boxes; None where there is none."""
    found = [box for box in boxes if box is not None]
    if not found:
        return None
    return tuple(
        slice(min(one.start for one in axis), max(one.stop for one in axis)) for axis in zip(*found, strict=True)
    )
