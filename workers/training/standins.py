"""Stand-in weights for TotalSegmentator: small networks in exactly the layout, names, plans and dataset.json it loads.

Beside the ten stages; for tests and for trials without the real weights. In: the library's own tables (by
`workers.segmentation.weights`). Out: a weights folder with its manifest. What can go wrong: ValueError where a class
is not one of the data set's. Three kinds:

- `random`: random convolutions, and a last layer that gives each class a cell of the features which noise brings
  forth, so that the output of `noise` holds every class.
- `banded`: networks that read the class from the picture: a voxel of `hu_of(name)` is that class, and what lies half
  a band away is background. What the library answers is then known for every voxel, whatever the grid.
- `knowing`: the demonstration model's knowledge, its last layer spread over the library's classes (`expand`).

    python -m workers.training.standins DIR [--kind random|banded|knowing] [--seed N] [--model models/demo]

Needs torch and nnunetv2.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from numpy.typing import NDArray

from workers.segmentation import weights
from workers.segmentation.weights import DataSet

PATCH = (48, 48, 48)
LEAST_SPACING_MM = 1.5
"""The networks see voxels of at least this edge, though the library resamples finer: an abdomen at 0.75 mm would take
minutes. nnU-Net brings the answer back to the library's grid."""
BAND_HU = 10.0
"""Distance between the bands of two classes; a class holds half of it to either side."""
WIDE = {"body_trunc": (1500.0, 4000.0), "liver_lesions": (2500.0, 2000.0)}
"""Classes that hold more than a band: middle, and the width of what they hold."""
BACKGROUND_SHARE, KEPT_SHARE = 0.6, 0.5
"""What the background of a random network has of all voxels, and what each class keeps of its cell at least."""
UNUSED_BIAS = -100.0
"""Logit of an output that knows nothing; lower would overflow in half precision."""

SIDES = ("left", "right")

_NETWORK = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
_MERGED = "workers.training.standins.MergedUNet"
_IMPORTED = ["conv_op", "norm_op", "dropout_op", "nonlin"]
_SCALE_HU = 1000.0
_NEVER = -1e4
"""Logit of an output that no picture may bring forth, in single precision."""


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


# --- what is written ----------------------------------------------------------------------------------------------


def write_random(weights_dir: Path, data_sets: Iterable[DataSet], seed: int = 0) -> None:
    """Write random networks for data sets, and the manifest."""
    chosen = tuple(data_sets)
    for one in chosen:
        torch.manual_seed(seed + one.number)
        arguments = _arguments([6, 6], kernel=3, leak=0.2)
        network = _build(arguments, outputs(one))
        _spread(network, torch.from_numpy(_normalised(noise(PATCH, seed + one.number)))[None, None])
        _write(weights_dir, one, _architecture(_NETWORK, arguments), network)
    weights.write_manifest(weights_dir, chosen)


def write_banded(weights_dir: Path, data_sets: Iterable[DataSet]) -> None:
    """Write networks that read the class from the picture, and the manifest."""
    chosen = tuple(data_sets)
    for one in chosen:
        bands = {number: _band(name) for number, name in one.labels.items()}
        knots = sorted({knot for middle, half in bands.values() for knot in (middle - half, middle, middle + half)})
        arguments = _arguments([len(knots), 1], kernel=1, leak=0.0)
        network = _build(arguments, outputs(one))
        _read_bands(network, bands, knots)
        _write(weights_dir, one, _architecture(_NETWORK, arguments), network)
    weights.write_manifest(weights_dir, chosen)


def expand(
    weights_dir: Path,
    data_sets: Iterable[DataSet],
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
    chosen = tuple(data_sets)
    (configuration,) = plans["configurations"].values()
    trained = configuration["architecture"]["arch_kwargs"]
    network = _build(trained, _label_count(state))
    if missing := dict(network.named_parameters()).keys() - state.keys():
        raise ValueError(f"no weights for {min(missing)}")
    network.load_state_dict(dict(state), strict=False)  # nnU-Net's own dictionary names some parameters twice
    for one in chosen:
        groups = _groups(one, knows, _label_count(state))
        if all(len(group) <= 1 for group in groups):
            architecture, spread = _architecture(_NETWORK, trained), _spread_heads(network.state_dict(), groups)
        else:
            architecture, spread = _architecture(_MERGED, {**trained, "groups": groups}), network.state_dict()
        model = {**plans, "dataset_name": one.folder}
        model["configurations"] = {one.configuration: {**configuration, "architecture": architecture}}
        _write_model(weights_dir, one, model, spread)
    weights.write_manifest(weights_dir, chosen)


def write_knowing(weights_dir: Path, data_sets: Iterable[DataSet], model: Path) -> None:
    """Write networks that know what the demonstration model in a folder knows, and the manifest.

    Each data set gets the network of the model that knows most of its classes; of equals the one of finer voxels.

    Parameters
    ----------
    model
        Its networks are its folders with plans.json, dataset.json and fold_0/weights.npz.
    """
    networks = [_trained(path.parent) for path in sorted(model.glob("*/plans.json"))]
    for one in data_sets:
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
    plans = json.loads((folder / "plans.json").read_text(encoding="utf-8"))
    labels: dict[str, int] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["labels"]
    with np.load(folder / "fold_0" / "weights.npz", allow_pickle=False) as file:
        state = {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files}
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


def hu_of(name: str) -> float:
    """Return the attenuation [HU] that a banded network takes for a class of any of our data sets."""
    return _band(name)[0]


def noise(shape: tuple[int, int, int], seed: int) -> NDArray[np.int16]:
    """Return a picture [HU] of soft tissue with structure of several sizes: every random network's classes in one."""
    rng = np.random.default_rng(seed)
    picture = np.zeros(shape)
    for size in (1, 2, 4, 8):
        coarse = rng.standard_normal([-(-length // size) for length in shape])
        picture += np.kron(coarse, np.ones((size, size, size)))[tuple(slice(length) for length in shape)]
    return np.rint(picture * 120).astype(np.int16)


def outputs(one: DataSet) -> int:
    """Return the number of output channels of a data set, the background included."""
    return 1 + max(one.labels)


# --- networks -----------------------------------------------------------------------------------------------------


def _arguments(features: list[int], kernel: int, leak: float) -> dict[str, Any]:
    """Return PlainConvUNet's arguments as plans write them: two stages, nothing normalised."""
    return {
        "n_stages": 2,
        "features_per_stage": features,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[kernel] * 3] * 2,
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": None,
        "norm_op_kwargs": None,
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"negative_slope": leak, "inplace": True},
    }


def _architecture(network: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"network_class_name": network, "arch_kwargs": dict(arguments), "_kw_requires_import": _IMPORTED}


def _build(arguments: Mapping[str, Any], classes: int) -> Any:
    return get_network_from_plans(_NETWORK, dict(arguments), _IMPORTED, 1, classes, deep_supervision=False).eval()


def _normalised(hu: NDArray[Any]) -> NDArray[np.float32]:
    """HU as nnU-Net gives them to the network by the plans written here."""
    return (hu / _SCALE_HU).astype(np.float32)


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
    first.bias.copy_(-torch.tensor(knots) / _SCALE_HU)
    for feature in range(count):
        middle.weight[feature, middle.in_channels - count + feature, 0, 0, 0] = 1.0  # the skip comes second
    last.bias.fill_(_NEVER)
    last.bias[0] = 0.5
    for number, (centre, half) in bands.items():
        last.bias[number] = 0.0
        for knot, share in ((centre - half, 1.0), (centre, -2.0), (centre + half, 1.0)):
            last.weight[number, knots.index(knot), 0, 0, 0] += share * _SCALE_HU / half


def _band(name: str) -> tuple[float, float]:
    """Return middle and half width of a class's tent; it beats the background over the inner half."""
    if name in WIDE:
        return WIDE[name]
    return BAND_HU * (1 + _names().index(name)), BAND_HU


@cache
def _names() -> list[str]:
    """Return every class of our data sets once, those of `total` first."""
    whole = max(weights.all_parts(), key=lambda one: len(one.labels))
    others = (name for one in weights.all_parts() for name in one.labels.values())
    return list(dict.fromkeys([*whole.labels.values(), *others]))


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


# --- files --------------------------------------------------------------------------------------------------------


def _write(weights_dir: Path, one: DataSet, architecture: Mapping[str, Any], network: Any) -> None:
    _write_model(weights_dir, one, _plans(one, architecture), network.state_dict())


def _write_model(weights_dir: Path, one: DataSet, plans: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> None:
    model = weights_dir / one.model
    dataset = {
        "name": one.folder,
        "description": "STAND-IN: not the weights that TotalSegmentator publishes.",
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **{name: number for number, name in one.labels.items()}},
        "numTraining": 0,
        "file_ending": ".nii.gz",
    }
    for fold in one.folds:
        (model / f"fold_{fold}").mkdir(parents=True, exist_ok=True)
        checkpoint = {
            "network_weights": dict(state),
            "trainer_name": one.trainer,
            "init_args": {"configuration": one.configuration, "fold": fold},
            "inference_allowed_mirroring_axes": None,
        }
        torch.save(checkpoint, model / f"fold_{fold}" / "checkpoint_final.pth")
    for name, content in (("plans.json", plans), ("dataset.json", dataset)):
        (model / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _plans(one: DataSet, architecture: Mapping[str, Any]) -> dict[str, Any]:
    spacing = [max(edge, LEAST_SPACING_MM) for edge in reversed(one.spacing_mm)]  # nnU-Net counts z, y, x
    resampling = {"force_separate_z": False, "num_threads": 2}
    configuration = {
        "data_identifier": f"nnUNetPlans_{one.configuration}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(PATCH),
        "median_image_size_in_voxels": list(PATCH),
        "spacing": spacing,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_torch_fornnunet",
        "resampling_fn_seg": "resample_torch_fornnunet",
        "resampling_fn_data_kwargs": {"is_seg": False, **resampling},
        "resampling_fn_seg_kwargs": {"is_seg": True, **resampling},
        "resampling_fn_probabilities": "resample_torch_fornnunet",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, **resampling},
        "batch_dice": False,
        "architecture": dict(architecture),
    }
    intensities = {"mean": 0.0, "median": 0.0, "std": _SCALE_HU, "min": -_SCALE_HU, "max": 4 * _SCALE_HU}
    return {
        "dataset_name": one.folder,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": list(PATCH),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {one.configuration: configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {**intensities, "percentile_00_5": -_SCALE_HU, "percentile_99_5": 4 * _SCALE_HU}
        },
    }


def main() -> None:
    """Write stand-in weights as the arguments say."""
    parser = argparse.ArgumentParser(description="Write stand-in weights in the layout that TotalSegmentator loads.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=("random", "banded", "knowing"), default="random")
    parser.add_argument("--seed", type=int, default=0, help="of the random networks")
    parser.add_argument("--model", type=Path, help="folder of the demonstration model, for the knowing networks")
    arguments = parser.parse_args()
    if arguments.kind == "random":
        write_random(arguments.folder, weights.all_parts(), arguments.seed)
    elif arguments.kind == "banded":
        write_banded(arguments.folder, weights.all_parts())
    elif arguments.model:
        write_knowing(arguments.folder, weights.all_parts(), arguments.model)
    else:
        parser.error("knowing networks need --model")


if __name__ == "__main__":
    main()
