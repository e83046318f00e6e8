"""Stand-ins that read the class from the picture: what the library answers is known for every voxel.

In: data sets. Out: their folders and the manifest. Next: the tests, which paint volumes by `hu_of`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from workers.segmentation import data_sets
from workers.segmentation.data_sets import DataSet
from workers.segmentation.weights import write_manifest
from workers.training.standins.layout import PLAIN, SCALE_HU, build, described, outputs, two_stages, write

BAND_HU = 10.0
"""Distance between the bands of two classes; a class holds half of it to either side."""
WIDE = {"body_trunc": (1500.0, 4000.0), "liver_lesions": (2500.0, 2000.0)}
"""Classes that hold more than a band: middle, and the width of what they hold."""
_NEVER = -100.0
"""Logit of an output that no picture may bring forth; nnU-Net adds them up in half precision."""


def write_banded(weights_dir: Path, wanted: Iterable[DataSet], known: Collection[str] | None = None) -> None:
    """Write networks that read the class from the picture, and the manifest.

    Parameters
    ----------
    known
        Names of the classes that are read; the other outputs of a network are never the largest. All, unless said:
        the time that a network takes goes with their square.
    """
    chosen = tuple(wanted)
    for one in chosen:
        bands = {number: _band(name) for number, name in one.labels.items() if known is None or name in known}
        knots = sorted({knot for middle, half in bands.values() for knot in (middle - half, middle, middle + half)})
        shape = two_stages([len(knots), 1], kernel=1, leak=0.0)
        network = build(shape, outputs(one))
        _read_bands(network, bands, knots)
        write(weights_dir, one, described(PLAIN, shape), network)
    write_manifest(weights_dir, chosen)


def hu_of(name: str) -> float:
    """Return the attenuation [HU] that a banded network takes for a class of any of our data sets."""
    return _band(name)[0]


@cache
def class_names() -> list[str]:
    """Return every class of our data sets once, those of `total` first."""
    whole = max(data_sets.all_parts(), key=lambda one: len(one.labels))
    others = (name for one in data_sets.all_parts() for name in one.labels.values())
    return list(dict.fromkeys([*whole.labels.values(), *others]))


@torch.no_grad()
def _read_bands(network: Any, bands: Mapping[int, tuple[float, float]], knots: Sequence[float]) -> None:
    """Set a network to tents over the attenuation: max(0, x - knot) for each knot, then three of them for a class."""
    first = network.encoder.stages[0][0].convs[0].conv
    middle = network.decoder.stages[0].convs[0].conv
    last = network.decoder.seg_layers[-1]
    for layer in (first, middle, last, network.encoder.stages[1][0].convs[0].conv, network.decoder.transpconvs[0]):
        layer.weight.zero_()
        layer.bias.zero_()
    count = len(knots)
    first.weight[:, 0, 0, 0, 0] = 1.0
    first.bias.copy_(-torch.tensor(knots) / SCALE_HU)
    for feature in range(count):
        middle.weight[feature, middle.in_channels - count + feature, 0, 0, 0] = 1.0  # the skip comes second
    last.bias.fill_(_NEVER)
    last.bias[0] = 0.5
    for number, (centre, half) in bands.items():
        last.bias[number] = 0.0
        for knot, share in ((centre - half, 1.0), (centre, -2.0), (centre + half, 1.0)):
            last.weight[number, knots.index(knot), 0, 0, 0] += share * SCALE_HU / half


def _band(name: str) -> tuple[float, float]:
    """Return middle and half width of a class's tent; it beats the background over the inner half."""
    if name in WIDE:
        return WIDE[name]
    return BAND_HU * (1 + class_names().index(name)), BAND_HU
