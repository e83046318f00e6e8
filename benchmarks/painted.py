"""Networks for `segmentation.py`: of any size, and they answer what is painted, whatever their weights.

The plans are those of the real networks: tiles of 128 voxels at the library's spacing, and as many outputs. A network
of `SMALL` does nothing but write its answer, so that what remains is all that is around a network; `FULL` has the size
of TotalSegmentator's and does its work. What they answer comes from the attenuation alone
(`workers.training.standins.banded`), so that crops and structures have a body's size.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from workers.segmentation import data_sets
from workers.segmentation.data_sets import DataSet
from workers.segmentation.weights import write_manifest
from workers.training.standins.banded import BAND_HU, WIDE, hu_of
from workers.training.standins.layout import SCALE_HU, build, described, outputs, two_stages, write

SMALL = two_stages([2, 2], kernel=1, leak=0.0)
FULL = {
    **SMALL,
    "n_stages": 6,
    "features_per_stage": [32, 64, 128, 256, 320, 320],
    "kernel_sizes": [[3] * 3] * 6,
    "strides": [[1] * 3, *[[2] * 3] * 5],
    "n_conv_per_stage": [2] * 6,
    "n_conv_per_stage_decoder": [2] * 5,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "nonlin_kwargs": {"inplace": True},
}
_NEVER = -100.0


class Painted(PlainConvUNet):  # type: ignore[misc]  # its library has no hints
    """A PlainConvUNet that answers by attenuation: output, middle and half width [HU] of each.

    Parameters
    ----------
    bands
        Outputs that answer, and to what.
    works
        Whether it runs its layers first.
    """

    def __init__(self, *, bands: Sequence[tuple[int, float, float]], works: bool, **architecture: Any) -> None:
        super().__init__(**architecture)
        self._bands, self._works, self._outputs = bands, works, architecture["num_classes"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (1, outputs, slices, rows, columns)."""
        logits = super().forward(x) if self._works else x.new_empty((1, self._outputs, *x.shape[2:]))
        logits.fill_(_NEVER)
        logits[:, 0] = 0.5
        for number, middle, half in self._bands:
            logits[:, number] = 1.0 - (x[:, 0] - middle / SCALE_HU).abs() * (SCALE_HU / half)
        return logits


def write_painted(weights_dir: Path, shape: dict[str, Any], names: Sequence[str], tile: int = 128) -> None:
    """Write weights of all data sets of the iliopsoas, whose networks answer these classes in tiles of this edge."""
    wanted = data_sets.required("iliopsoas")
    for one in wanted:
        torch.manual_seed(one.number)
        bands = [(number, *_band(name)) for number, name in one.labels.items() if name in names]
        arguments = {**shape, "bands": bands, "works": shape is FULL}
        architecture = described(f"{__name__}.{Painted.__name__}", arguments)
        write(weights_dir, one, architecture, build(shape, outputs(one)))
        _plan(weights_dir, one, tile)
    write_manifest(weights_dir, wanted)


def _plan(weights_dir: Path, one: DataSet, tile: int) -> None:
    """Give a data set tiles and voxels as the real ones have them."""
    path = weights_dir / one.model / "plans.json"
    plans = json.loads(path.read_text(encoding="utf-8"))
    plans["configurations"][one.configuration] |= {"patch_size": [tile] * 3, "spacing": list(reversed(one.spacing_mm))}
    path.write_text(json.dumps(plans), encoding="utf-8")


def _band(name: str) -> tuple[float, float]:
    return WIDE[name] if name in WIDE else (hu_of(name), BAND_HU)
