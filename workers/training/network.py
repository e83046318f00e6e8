"""The demonstration network: a small PlainConvUNet of nnU-Net, described once for training and for the plans.

In: nothing. Out: the architecture as nnU-Net's plans write it, and the network built from it. Next: `train`.

Five stages on voxels of 6 x 5.5 x 5.5 mm: those of the lowest have 96 x 44 x 44 mm, so each position sees the whole
abdomen, and a vertebra gets its name from ribs, sacrum and pelvis.
"""

from __future__ import annotations

from typing import Any

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from workers.training.labels import Label

NETWORK_CLASS = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
IMPORTED = ("conv_op", "norm_op", "dropout_op", "nonlin")
"""Arguments that the plans write as names of classes."""


def architecture() -> dict[str, Any]:
    """Arguments of PlainConvUNet as nnU-Net's plans write them."""
    features = [16, 32, 64, 96, 128]
    return {
        "n_stages": len(features),
        "features_per_stage": features,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * len(features),
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2], [2, 1, 1]],
        "n_conv_per_stage": [1, 2, 2, 2, 2],
        "n_conv_per_stage_decoder": [1] * (len(features) - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def build_network(*, deep_supervision: bool) -> nn.Module:
    """Build the network with nnU-Net's own function; weights are drawn from torch's generator."""
    network: nn.Module = get_network_from_plans(
        NETWORK_CLASS, architecture(), list(IMPORTED), 1, len(Label), deep_supervision=deep_supervision
    )
    return network
