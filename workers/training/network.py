"""The demonstration networks: small PlainConvUNets of nnU-Net, described once for training and for the plans.

In: a `Task`. Out: the architecture as nnU-Net's plans write it, and the network built from it. Next: `train`.
"""

from __future__ import annotations

from typing import Any

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from workers.segmentation.demo.tasks import Task

NETWORK_CLASS = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
IMPORTED = ("conv_op", "norm_op", "dropout_op", "nonlin")
"""Arguments that the plans write as names of classes."""


def architecture(task: Task) -> dict[str, Any]:
    """Arguments of PlainConvUNet as nnU-Net's plans write them."""
    stages = len(task.features)
    return {
        "n_stages": stages,
        "features_per_stage": list(task.features),
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [list(stride) for stride in task.strides],
        "n_conv_per_stage": [1] + [2] * (stages - 1),
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def build_network(task: Task, *, deep_supervision: bool) -> nn.Module:
    """Build a network with nnU-Net's own function; weights are drawn from torch's generator."""
    network: nn.Module = get_network_from_plans(
        NETWORK_CLASS,
        architecture(task),
        list(IMPORTED),
        len(task.channels),
        len(task.labels),
        deep_supervision=deep_supervision,
    )
    return network
