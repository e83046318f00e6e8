"""The loss: cross-entropy and Dice, for the coarse network taken between its voxels.

In: logits of a network's grid, labels. Out: one number. Next: `train`.

Logits are brought back to the CT's grid by trilinear interpolation before the largest one is taken. For coarse voxels
the loss does the same: each step moves the logits by a quarter of a voxel to one of the eight parts of each voxel and
compares them there. So the network learns where a surface runs within a voxel.

The full loss is taken in the box around the structures; the rest of the patch, trunk and air, is compared at every
second voxel, which costs little. At first rare classes weigh more in the cross-entropy, or a vertebra would long be
drowned in trunk. Weights move surfaces, so they fade, and in the last part of the run every voxel counts alike.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

COARSER = (0.5, 0.25)
"""Weights of the outputs at twice and four times the spacing (deep supervision)."""
SMOOTH_VOXELS = 10.0
"""Added to both sides of Dice, so that a class that is absent still pulls false voxels down."""
MARGIN = 4
"""Voxels around the box of the structures."""


def at_part(logits: Tensor, part: int) -> Tensor:
    """Interpolate logits (1, classes, slices, rows, columns) a quarter of a voxel towards one of the eight parts."""
    for axis, bit in ((2, 4), (3, 2), (4, 1)):
        size = logits.shape[axis]
        if part & bit:
            beside = torch.cat((logits.narrow(axis, 1, size - 1), logits.narrow(axis, size - 1, 1)), axis)
        else:
            beside = torch.cat((logits.narrow(axis, 0, 1), logits.narrow(axis, 0, size - 1)), axis)
        logits = torch.lerp(logits, beside, 0.25)
    return logits


def segmentation_loss(
    outputs: list[Tensor], labels: Tensor, part: int, weights: Tensor, *, trunk: int = 0
) -> tuple[Tensor, Tensor]:
    """Loss of one patch, and Dice of each class from the probabilities (detached).

    Parameters
    ----------
    outputs : list of Tensor
        Logits (1, classes, slices, rows, columns) at 1, 2, 4... times the spacing.
    labels : uint8 Tensor
        Shape (8, slices, rows, columns), or (1, ...): then the comparison is at the voxels' centres.
    part : int
        Which of the eight parts of each voxel is compared, 0 to 7.
    weights : Tensor
        Of the classes in the cross-entropy, shape (classes,).
    trunk : int
        Labels up to this one are no structures.
    """
    box = _structures(labels[0], trunk)
    logits = outputs[0][(slice(None), slice(None), *box)].float()
    if labels.shape[0] > 1:
        logits = at_part(logits, part)
    here = labels[part % labels.shape[0]]
    target = here[box].long()[None]
    logs = functional.log_softmax(logits, dim=1)
    dice = _dice(logs.exp(), target)
    loss = functional.nll_loss(logs, target, weights) + (1 - dice[1:]).mean()
    middle = slice(part & 1, None, 2)
    loss = loss + _cross_entropy(outputs[0][:, :, middle, middle, middle], here[middle, middle, middle], weights)
    for stride, weight, output in zip((2, 4), COARSER, outputs[1:], strict=False):
        middle = slice(stride // 2 - 1, None, stride)
        loss = loss + weight * _cross_entropy(output, labels[-1][middle, middle, middle], weights)
    return loss, dice.detach()


def _cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    return functional.cross_entropy(logits.float(), target.long()[None], weights)


def _structures(labels: Tensor, trunk: int) -> tuple[slice, slice, slice]:
    """Return the box of the structures with a margin; the whole patch where there are none."""
    inside = labels > trunk
    box = []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        found = inside.any(dim=others[1]).any(dim=others[0]).nonzero()
        if not len(found):
            return slice(None), slice(None), slice(None)
        box.append(slice(max(0, int(found[0]) - MARGIN), int(found[-1]) + 1 + MARGIN))
    return box[0], box[1], box[2]


def _dice(probabilities: Tensor, target: Tensor) -> Tensor:
    """Return Dice of each class, shape (classes,)."""
    flat = probabilities[0].flatten(1)
    place = target.flatten()
    right = flat.gather(0, place[None])[0]
    common = torch.zeros(len(flat)).index_add(0, place, right)
    true = torch.bincount(place, minlength=len(flat))
    return (2 * common + SMOOTH_VOXELS) / (flat.sum(1) + true + SMOOTH_VOXELS)
