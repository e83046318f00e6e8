"""How a stand-in lies on the disk: plans.json, dataset.json and checkpoints of a data set, and the smallest network.

In: a `DataSet`, a network or its weights. Out: its folder. Next: `noisy`, `banded`, `knowing`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from workers.segmentation.data_sets import DataSet

PATCH = (48, 48, 48)
LEAST_SPACING_MM = 1.5
"""The networks see voxels of at least this edge, though the library resamples finer: an abdomen at 0.75 mm would take
minutes. nnU-Net brings the answer back to the library's grid."""
SCALE_HU = 1000.0
"""The networks see HU in this unit."""
PLAIN = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
_IMPORTED = ["conv_op", "norm_op", "dropout_op", "nonlin"]


def outputs(one: DataSet) -> int:
    """Return the number of output channels of a data set, the background included."""
    return 1 + max(one.labels)


def two_stages(features: list[int], kernel: int, leak: float) -> dict[str, Any]:
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


def described(network: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network's class and arguments as plans write them."""
    return {"network_class_name": network, "arch_kwargs": dict(arguments), "_kw_requires_import": _IMPORTED}


def build(arguments: Mapping[str, Any], classes: int) -> Any:
    """Build a PlainConvUNet by nnU-Net's own function."""
    return get_network_from_plans(PLAIN, dict(arguments), _IMPORTED, 1, classes, deep_supervision=False).eval()


def write(weights_dir: Path, one: DataSet, architecture: Mapping[str, Any], network: Any) -> None:
    """Write a network that `two_stages` describes."""
    write_model(weights_dir, one, _plans(one, architecture), network.state_dict())


def write_model(weights_dir: Path, one: DataSet, plans: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> None:
    """Write the folder of a data set."""
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
    intensities = {"mean": 0.0, "median": 0.0, "std": SCALE_HU, "min": -SCALE_HU, "max": 4 * SCALE_HU}
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
            "0": {**intensities, "percentile_00_5": -SCALE_HU, "percentile_99_5": 4 * SCALE_HU}
        },
    }
