"""The eight bands of a stationary wavelet transform of one level, of the box of a region.

Comes in: the domain, the box, the settings. Goes out: names and values, band by band, in PyRadiomics' order. What can
go wrong: nothing. Next: `discretise`, the classes of features.

A band is what pywt.swtn gives of the whole domain, bit for bit, and only the box is computed: along each axis the
samples that the filter reaches are taken, round the end of the domain as there. A domain with an odd number of samples
along an axis is lengthened by its first one (pywt needs an even number). The first letter of a name is the filter along
the last axis (L low, H high). An output is `sum over j of taps[j] * x[o + 3 - j]` with six taps, summed from the first
tap on, but where the filter reaches past the end of the domain: there the wrapped samples come first, the first one of
the domain before the others, as pywt has them.

Low and high are filtered in one pass, columns, rows, slices: no more than eight arrays of the size of the box are held.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pywt
from numpy.typing import NDArray

from workers.compiled import compiled
from workers.measurement.radiomics.domain import Box, Domain
from workers.measurement.radiomics.parameters import WAVELET, Settings

_TAPS = 6
_AHEAD = _TAPS // 2  # how far the filter reaches beyond its output
BEFORE, AFTER = _TAPS - 1 - _AHEAD, _AHEAD  # voxels that a band needs around a box


def bands(domain: Domain, box: Box, settings: Settings) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the name and the values of each band in a box; four bands of planes where `force2d` is set."""
    axes = [axis for axis in (2, 1, 0) if not (settings.force2d and axis == settings.force2d_dimension)]
    block = domain.take(*(_reached(domain, box, axis, filtered=axis in axes) for axis in range(3)))
    if block.dtype != np.float32:
        block = block.astype(np.float64)
    lowest = None
    for name, values in _tree("", block, axes, [(domain.values.shape[axis], box[axis]) for axis in axes]):
        if lowest is None:
            lowest = name, values  # PyRadiomics gives the approximation last
        else:
            yield f"wavelet-{name}", values
    if lowest is not None:
        yield f"wavelet-{lowest[0]}", lowest[1]


def _tree(
    name: str, block: NDArray[Any], axes: list[int], spans: list[tuple[int, slice]]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield all bands of a block, low before high along each axis."""
    if not axes:
        yield name, block
        return
    halves = _halves(block, axes[0], *spans[0])
    del block
    for letter in "LH":
        yield from _tree(name + letter, halves.pop(letter), axes[1:], spans[1:])


def _reached(domain: Domain, box: Box, axis: int, *, filtered: bool) -> NDArray[np.intp]:
    """Return the samples of the domain along an axis that are read for the outputs in a box."""
    size = domain.values.shape[axis]
    if not filtered:
        return np.arange(box[axis].start, box[axis].stop)
    found = np.arange(box[axis].start - BEFORE, box[axis].stop + AFTER) % _even(size)
    return np.where(found == size, 0, found)


def _even(size: int) -> int:
    return size + size % 2


def _taps(kind: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the low-pass and the high-pass taps with which pywt filters values of a type: its answer to an impulse.

    Its float32 taps are not the float64 ones rounded.
    """
    impulse = np.zeros(2 * _TAPS, dtype=kind)
    impulse[_AHEAD] = 1
    low, high = pywt.swt(impulse, WAVELET, level=1)[0]
    return np.ascontiguousarray(low[:_TAPS]), np.ascontiguousarray(high[:_TAPS])


def _halves(block: NDArray[Any], axis: int, size: int, outputs: slice) -> dict[str, NDArray[Any]]:
    """Return the outputs of both filters along an axis of a block that begins with the first sample they reach."""
    count = outputs.stop - outputs.start
    shape = tuple(count if one == axis else length for one, length in enumerate(block.shape))
    low, high = np.empty(shape, dtype=block.dtype), np.empty(shape, dtype=block.dtype)
    taps = _taps(block.dtype)
    outer, inner = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    lines = np.ascontiguousarray(block).reshape(outer, -1, inner)
    if inner == 1:
        _along(lines[:, :, 0], *taps, low.reshape(outer, count), high.reshape(outer, count))
    else:
        _across(lines, *taps, low.reshape(outer, count, inner), high.reshape(outer, count, inner))
    for output in range(max(outputs.start, _even(size) - _AHEAD), outputs.stop):
        at, past = output - outputs.start, output + _AHEAD - _even(size)
        order = [*range(past, -1, -1), *range(past + 1, _TAPS)]
        for filter_, target in zip(taps, (low, high), strict=True):
            target.reshape(outer, count, inner)[:, at] = _in_order(lines[:, at : at + _TAPS], filter_, order)
    return {"L": low, "H": high}


def _in_order(samples: NDArray[Any], taps: NDArray[Any], order: list[int]) -> NDArray[Any]:
    """Return the sum of six samples of each line by their taps, taken in an order."""
    found: NDArray[Any] = samples[:, _TAPS - 1 - order[0]] * taps[order[0]]
    for tap in order[1:]:
        found += samples[:, _TAPS - 1 - tap] * taps[tap]
    return found


@compiled(*(f"({of}[:,:,::1], {of}[::1], {of}[::1], {of}[:,:,::1], {of}[:,:,::1])" for of in ("float64", "float32")))
def _across(
    lines: NDArray[Any], low: NDArray[Any], high: NDArray[Any], lows: NDArray[Any], highs: NDArray[Any]
) -> None:
    """Filter along the middle axis of (lines, samples, columns): all columns of an output at once."""
    l0, l1, l2, l3, l4, l5 = low[0], low[1], low[2], low[3], low[4], low[5]
    h0, h1, h2, h3, h4, h5 = high[0], high[1], high[2], high[3], high[4], high[5]
    for line in range(lows.shape[0]):
        for at in range(lows.shape[1]):
            x0, x1, x2 = lines[line, at + 5], lines[line, at + 4], lines[line, at + 3]
            x3, x4, x5 = lines[line, at + 2], lines[line, at + 1], lines[line, at]
            one, other = lows[line, at], highs[line, at]
            for k in range(one.size):
                one[k] = l0 * x0[k] + l1 * x1[k] + l2 * x2[k] + l3 * x3[k] + l4 * x4[k] + l5 * x5[k]
                other[k] = h0 * x0[k] + h1 * x1[k] + h2 * x2[k] + h3 * x3[k] + h4 * x4[k] + h5 * x5[k]


@compiled(*(f"({of}[:,::1], {of}[::1], {of}[::1], {of}[:,::1], {of}[:,::1])" for of in ("float64", "float32")))
def _along(lines: NDArray[Any], low: NDArray[Any], high: NDArray[Any], lows: NDArray[Any], highs: NDArray[Any]) -> None:
    """Filter along the lines of (lines, samples)."""
    l0, l1, l2, l3, l4, l5 = low[0], low[1], low[2], low[3], low[4], low[5]
    h0, h1, h2, h3, h4, h5 = high[0], high[1], high[2], high[3], high[4], high[5]
    for line in range(lows.shape[0]):
        x, one, other = lines[line], lows[line], highs[line]
        for k in range(one.size):
            one[k] = l0 * x[k + 5] + l1 * x[k + 4] + l2 * x[k + 3] + l3 * x[k + 2] + l4 * x[k + 1] + l5 * x[k]
            other[k] = h0 * x[k + 5] + h1 * x[k + 4] + h2 * x[k + 3] + h3 * x[k + 2] + h4 * x[k + 1] + h5 * x[k]
