"""Stand-ins that know what a trained network of another data set knows: the demonstration model as the library's.

In: a trained network, and which of its labels make which of the library's classes. Out: the folders of data sets and
the manifest. What can go wrong: ValueError where a label belongs to two classes of one data set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet

from workers.segmentation.data_sets import DataSet
from workers.segmentation.demo.folder import DATASET, PLANS, WEIGHTS
from workers.segmentation.demo.model import read_weights
from workers.segmentation.weights import write_manifest
from workers.training.standins.layout import PLAIN, build, described, outputs, write_model

SIDES = ("left", "right")
_CONVOLUTION = 5  # dimensions of its weights
UNUSED_BIAS = -100.0
"""Logit of an output that knows nothing; lower would overflow in half precision."""
_MERGED = f"{__name__}.MergedUNet"


class MergedUNet(PlainConvUNet):  # type: ignore[misc]  # its library has no hints
    """A PlainConvUNet whose outputs are unions of its own labels: each is the largest logit of its group.

    Parameters
    ----------
    groups
        For each output the labels that it stands for; an output without any is never the largest.
    """

    def __init__(self, *, num_classes: int, groups: Sequence[Sequence[int]], **architecture: Any) -> None:
        del num_classes  # what the data set lists; the layer below has one channel for each label
        super().__init__(num_classes=1 + max(label for group in groups for label in group), **architecture)
        self._groups = [torch.tensor(list(group), dtype=torch.long) for group in groups]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (1, outputs, slices, rows, columns)."""
        logits = super().forward(x)
        shape = (logits.shape[0], len(self._groups), *logits.shape[2:])
        merged = torch.full(shape, UNUSED_BIAS, dtype=logits.dtype, device=logits.device)
        for output, group in enumerate(self._groups):
            if len(group):
                merged[:, output] = logits[:, group.to(logits.device)].amax(dim=1)
        return merged


def expand(
    weights_dir: Path,
    wanted: Iterable[DataSet],
    plans: Mapping[str, Any],
    state: Mapping[str, torch.Tensor],
    knows: Mapping[str, Sequence[int]],
) -> None:
    """Write networks that know what a trained network of another data set knows, and the manifest.

    Parameters
    ----------
    plans
        The trained network's plans.json, with one configuration whose network is a PlainConvUNet.
    state
        Its weights, as its checkpoint or its arrays hold them; each parameter by one of its names.
    knows
        For names of the library's classes the labels of the trained network that they are made of. A label that no
        class of a data set is made of is background there.

    Raises
    ------
    ValueError
        A label belongs to two classes of one data set, or weights are missing.
    """
    chosen = tuple(wanted)
    (configuration,) = plans["configurations"].values()
    trained = configuration["architecture"]["arch_kwargs"]
    network = build(trained, _label_count(state))
    if missing := dict(network.named_parameters()).keys() - state.keys():
        raise ValueError(f"no weights for {min(missing)}")
    network.load_state_dict(dict(state), strict=False)  # nnU-Net's own dictionary names some parameters twice
    for one in chosen:
        groups = _groups(one, knows, _label_count(state))
        if all(len(group) <= 1 for group in groups):
            architecture, spread = described(PLAIN, trained), _spread_heads(network.state_dict(), groups)
        else:
            architecture, spread = described(_MERGED, {**trained, "groups": groups}), network.state_dict()
        model = {**plans, "dataset_name": one.folder}
        model["configurations"] = {one.configuration: {**configuration, "architecture": architecture}}
        write_model(weights_dir, one, model, spread)
    write_manifest(weights_dir, chosen)


def write_knowing(weights_dir: Path, wanted: Iterable[DataSet], model: Path) -> None:
    """Write networks that know what the demonstration model in a folder knows, and the manifest.

    Each data set gets the network of the model that knows most of its classes; of equals the one of finer voxels.

    Parameters
    ----------
    model
        Its networks are its folders with plans.json, dataset.json and fold_0/weights.npz.
    """
    networks = [_trained(path.parent) for path in sorted(model.glob("*/plans.json"))]
    for one in wanted:
        names = set(one.labels.values())
        best = max(networks, key=lambda network: (len(network.knows.keys() & names), -min(network.spacing_mm)))
        expand(weights_dir, [one], best.plans, best.state, best.knows)


@dataclass(frozen=True)
class _Trained:
    """A trained network, and which of its labels make which of the library's classes."""

    plans: Mapping[str, Any]
    state: Mapping[str, torch.Tensor]
    knows: Mapping[str, Sequence[int]]

    @property
    def spacing_mm(self) -> Sequence[float]:
        (configuration,) = self.plans["configurations"].values()
        spacing: Sequence[float] = configuration["spacing"]
        return spacing


def _trained(folder: Path) -> _Trained:
    plans = json.loads((folder / PLANS).read_text(encoding="utf-8"))
    labels: dict[str, int] = json.loads((folder / DATASET).read_text(encoding="utf-8"))["labels"]
    state = _of_ct_alone(plans, read_weights(folder / WEIGHTS))
    levels = [name.removeprefix("body_") for name in labels if name.startswith("body_")]
    made_of = {
        "liver": ["liver", "lesion"],
        "liver_lesions": ["lesion"],
        "vertebrae_body": ["vertebral_body", *(f"body_{level}" for level in levels)],
        "body_trunc": [name for name in labels if name != "background" and "body" in labels],
        **{f"vertebrae_{level.upper()}": [f"body_{level}", f"arch_{level}"] for level in levels},
        **{f"{muscle}_{side}": [f"psoas_{side}"] for muscle in ("iliopsoas", "psoas_major") for side in SIDES},
    }
    numbers = {name: [labels[part] for part in parts if part in labels] for name, parts in made_of.items()}
    return _Trained(plans, state, {name: found for name, found in numbers.items() if found})


def _of_ct_alone(plans: dict[str, Any], state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take the channels beside the CT out of plans and weights: as if nothing were shown in them."""
    (configuration,) = plans["configurations"].values()
    for name in ("normalization_schemes", "use_mask_for_norm"):
        configuration[name] = configuration[name][:1]
    first = "encoder.stages.0.0.convs.0."
    return {
        name: value[:, :1] if name.startswith(first) and value.dim() == _CONVOLUTION else value
        for name, value in state.items()
    }


def _label_count(state: Mapping[str, torch.Tensor]) -> int:
    return int(state[_last_head(state)].shape[0])


def _last_head(state: Mapping[str, torch.Tensor]) -> str:
    return max(name for name in state if name.startswith("decoder.seg_layers.") and name.endswith(".bias"))


def _groups(one: DataSet, knows: Mapping[str, Sequence[int]], count: int) -> list[list[int]]:
    """Return the trained network's labels for each output; those that this data set does not name are background."""
    groups: list[list[int]] = [[] for _ in range(outputs(one))]
    for number, name in one.labels.items():
        groups[number] = list(knows.get(name, ()))
    named = [label for group in groups for label in group]
    if len(set(named)) != len(named):
        raise ValueError(f"{one.folder}: a label belongs to two classes")
    groups[0] = [label for label in range(count) if label not in named]
    return groups


def _spread_heads(state: Mapping[str, torch.Tensor], groups: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Return weights whose last layers have one output for each group; an empty group has weight 0, bias -100."""
    spread = dict(state)
    for name, value in state.items():
        if name.startswith("decoder.seg_layers."):
            fill = UNUSED_BIAS if name.endswith(".bias") else 0.0
            wide = torch.full((len(groups), *value.shape[1:]), fill, dtype=value.dtype)
            for output, group in enumerate(groups):
                if group:
                    wide[output] = value[group[0]]
            spread[name] = wide
    return spread
