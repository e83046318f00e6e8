"""From what the network sees to pooled values: the stages of a plain convolutional encoder, in float64.

Comes in: a network, a patch. Goes out: for each channel of each stage its mean over the region, then its SD. Nothing
can go wrong. Next: `embedding`.

    convolution   the 27 neighbours of each voxel of an output slice are the rows of a matrix; weights times it
    instance norm (value - mean) / sqrt(variance + epsilon) * scale + shift, over the whole box
    leaky ReLU    value, or slope * value below 0
    pooling       a voxel weighs as much as it has of the region; a stride of 2 weighs 1, 2, 1 of the stage before

A core works on one slice after the other: so many slices of neighbours are held, and the channels of two convolutions.
The library of products works in one thread meanwhile, for where it shares a product out, its last bits depend on how.
"""

import math
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workers.cores import share_out
from workers.measurement.deep.description import KERNEL, Architecture, convolution
from workers.measurement.deep.folder import Network
from workers.measurement.deep.patch import Patch

_Array = NDArray[np.float64]
_PRODUCTS = Lock()
"""Who sets the number of threads sets it for the process, and sets it back."""


def pooled(network: Network, patch: Patch) -> _Array:
    """Return the pooled values of a region."""
    with _PRODUCTS, threadpool_limits(1, "blas"):
        return _pooled(network, patch)


def _pooled(network: Network, patch: Patch) -> _Array:
    chain, arrays = network.description.architecture, network.arrays
    values, shares = patch.values[None], patch.shares
    means, sds = [], []
    for stage, (stride, count) in enumerate(zip(chain.strides, chain.convolutions, strict=True)):
        for number in range(count):
            name = convolution(stage, number)
            values = _convolved(values, arrays[f"{name}.weight"], (1, 1, 1) if number else stride)
            _activate(values, arrays[f"{name}.scale"], arrays[f"{name}.shift"], chain)
        shares = _halved(shares, stride)
        mean, sd = _over_region(values, shares)
        means.append(mean)
        sds.append(sd)
    return np.concatenate(means + sds)


def _convolved(values: _Array, weight: _Array, stride: tuple[int, int, int]) -> _Array:
    """Return the convolution of channels with zeros around them."""
    around = np.pad(values, ((0, 0), (1, 1), (1, 1), (1, 1)))
    near = np.lib.stride_tricks.sliding_window_view(around, (KERNEL,) * 3, axis=(1, 2, 3))
    near = near[:, :: stride[0], :: stride[1], :: stride[2]]
    channels, slices, rows, columns = near.shape[:4]
    found = np.empty((len(weight), slices, rows, columns))
    matrix = weight.reshape(len(weight), -1)

    def fill(first: int, last: int) -> None:
        for index in range(first, last):
            neighbours = near[:, index].transpose(0, 3, 4, 5, 1, 2).reshape(channels * KERNEL**3, rows * columns)
            found[:, index] = (matrix @ neighbours).reshape(len(weight), rows, columns)

    share_out(fill, slices)
    return found


def _activate(values: _Array, scale: _Array, shift: _Array, chain: Architecture) -> None:
    """Give each channel mean and SD anew, then flatten what is below 0, in place."""
    for channel, own_scale, own_shift in zip(values, scale, shift, strict=True):
        channel -= channel.mean()
        channel *= own_scale / np.sqrt(np.square(channel).mean() + chain.epsilon)
        channel += own_shift
        np.maximum(channel, chain.slope * channel, out=channel)


def _halved(shares: _Array, stride: tuple[int, int, int]) -> _Array:
    """Return the shares on the grid of a convolution with a stride: every voxel counts once in all."""
    for axis, step in enumerate(stride):
        if step == 2:
            first = np.moveaxis(shares, axis, 0)
            around = np.pad(first, ((1, 1), (0, 0), (0, 0)))
            shares = np.moveaxis(around[:-2:2] / 4 + around[1:-1:2] / 2 + around[2::2] / 4, 0, axis)
    return shares


def _over_region(values: _Array, shares: _Array) -> tuple[_Array, _Array]:
    """Return mean and SD of each channel over a region."""
    inside = shares > 0
    weights = shares[inside] / shares[inside].sum()
    found = np.array([_mean_and_sd(channel[inside], weights) for channel in values])
    return found[:, 0], found[:, 1]


def _mean_and_sd(values: _Array, weights: _Array) -> tuple[float, float]:
    mean = float((values * weights).sum())
    return mean, math.sqrt((np.square(values - mean) * weights).sum())
