"""Stand-ins of random convolutions whose output of `noise` holds every class.

In: data sets, a seed. Out: their folders and the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workers.segmentation.data_sets import DataSet
from workers.segmentation.weights import write_manifest
from workers.training.standins.layout import PATCH, PLAIN, SCALE_HU, build, described, outputs, two_stages, write

BACKGROUND_SHARE, KEPT_SHARE = 0.6, 0.5
"""What the background has of all voxels, and what each class keeps of its cell at least."""


def write_random(weights_dir: Path, wanted: Iterable[DataSet], seed: int = 0) -> None:
    """Write random networks for data sets, and the manifest."""
    chosen = tuple(wanted)
    for one in chosen:
        torch.manual_seed(seed + one.number)
        shape = two_stages([6, 6], kernel=3, leak=0.2)
        network = build(shape, outputs(one))
        _spread(network, torch.from_numpy(_normalised(noise(PATCH, seed + one.number)))[None, None])
        write(weights_dir, one, described(PLAIN, shape), network)
    write_manifest(weights_dir, chosen)


def noise(shape: tuple[int, int, int], seed: int) -> NDArray[np.int16]:
    """Return a picture [HU] of soft tissue with structure of several sizes: every random network's classes in one."""
    rng = np.random.default_rng(seed)
    picture = np.zeros(shape)
    for size in (1, 2, 4, 8):
        coarse = rng.standard_normal([-(-length // size) for length in shape])
        picture += np.kron(coarse, np.ones((size, size, size)))[tuple(slice(length) for length in shape)]
    return np.rint(picture * 120).astype(np.int16)


def _normalised(hu: NDArray[Any]) -> NDArray[np.float32]:
    """HU as nnU-Net gives them to the network by the plans written here."""
    return (hu / SCALE_HU).astype(np.float32)


@torch.no_grad()
def _spread(network: Any, picture: torch.Tensor) -> None:
    """Set the last layer so that each class is a cell of the features that a picture brings forth.

    The logit of a class with prototype p is p . f - |p|^2 / 2: the largest is that of the nearest prototype. The
    background's is the middle of all features; those of the classes divide what is far from it (Lloyd's algorithm).
    Then the background is raised as far as each class keeps a part of its cell, so that networks whose labels are
    laid over each other leave each other room.
    """
    caught: list[torch.Tensor] = []
    last = network.decoder.seg_layers[-1]
    hook = last.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    network(picture)
    hook.remove()
    features = caught[0][0].flatten(1).T
    middle = features.mean(dim=0)
    distance = (features - middle).norm(dim=1)
    outer = features[distance > distance.quantile(BACKGROUND_SHARE)].unique(dim=0)
    outer = outer[torch.randperm(len(outer))[: 50 * last.out_channels]]
    prototypes = outer[: last.out_channels - 1]
    for _ in range(4):
        nearest = torch.cdist(outer, prototypes).argmin(dim=1)
        cells = [outer[nearest == index] for index in range(len(prototypes))]
        prototypes = torch.stack([cell.mean(dim=0) for cell in cells])  # an empty cell would show as NaN in the answer
    weight = torch.cat([middle[None], prototypes])
    bias = -weight.pow(2).sum(dim=1) / 2
    leads = [
        cell @ (one - middle) + shift - bias[0] for cell, one, shift in zip(cells, weight[1:], bias[1:], strict=True)
    ]
    bias[0] += min(float(lead.quantile(1 - KEPT_SHARE)) for lead in leads)
    sharpness = 1.0 / float(weight.pow(2).sum(dim=1).mean())
    last.weight.copy_(weight[:, :, None, None, None] * sharpness)
    last.bias.copy_(bias * sharpness)
