"""What the tiles of a picture said, added up: for the depth of a tile, until no tile reaches a slice any more.

In: the answer of a network to one tile, and where the tile lies. Out: labels of slices that are done, or their logits.
What can go wrong: a sum that is no number in half precision, which ends the engine process as it ends nnU-Net's
prediction. Next: `forward`.

The numbers are nnU-Net's, which adds in half precision: an answer by the weight of its place in the tile is rounded to
single precision, the sum to single and then to half; in the end a sum by the sum of its weights is rounded to half, and
of equals the first class is the largest. torch does each of these in a pass of its own, and is slow between precisions.
On a CPU one compiled loop does the adding and one the choosing, on the bits of the numbers.

Slice z of the picture lies in row z modulo the depth of a tile: nothing is moved when tiles go on.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from numpy.typing import NDArray

from workers.compiled import compiled
from workers.cores import share_out

_INFINITE = 0x7C00  # bits of infinity in half precision; those of what is no number lie above
_LARGEST, _CLASSES = -(2**31), 256


class Sums:
    """Sums of logits, and of the weights that they were multiplied by.

    Parameters
    ----------
    heads
        Outputs of the network.
    tile
        Edges of a tile: z, y, x.
    area
        Rows and columns of the picture.
    """

    def __init__(self, heads: int, tile: tuple[int, ...], area: tuple[int, ...], device: torch.device) -> None:
        if heads > _CLASSES:
            raise ValueError(f"{heads} outputs")
        self._depth = tile[0]
        self._gaussian = compute_gaussian(tile, sigma_scale=1.0 / 8, value_scaling_factor=10, device=device)
        shape = (heads, self._depth, *area)
        self._on_cpu = device.type == "cpu"
        if not self._on_cpu:
            self._sums = torch.zeros(shape, dtype=torch.half, device=device)
            self._weights = torch.zeros(shape[1:], dtype=torch.half, device=device)
            return
        self._bits, self._weight_bits = np.zeros(shape, dtype=np.int16), np.zeros(shape[1:], dtype=np.int16)
        self._sums, self._weights = (
            torch.from_numpy(bits).view(torch.half) for bits in (self._bits, self._weight_bits)
        )
        self._shares = self._gaussian.float().numpy()

    def add(self, start: tuple[int, int, int], answer: torch.Tensor) -> None:
        """Add the answer to the tile that starts there."""
        if self._on_cpu:
            values = answer.contiguous().numpy()
            share_out(
                lambda first, last: _add(self._bits, self._weight_bits, values, self._shares, start, first, last),
                self._depth,
            )
            return
        (begin, row, column), (_, depth, height, width) = start, answer.shape
        answer *= self._gaussian.to(answer.dtype)
        for some, rows in self._rows(begin, begin + depth):
            place = (rows, slice(row, row + height), slice(column, column + width))
            self._sums[(slice(None), *place)] += answer[:, some]
            self._weights[place] += self._gaussian[some]

    def labels(self, first: int, last: int, inside: Sequence[slice]) -> NDArray[np.uint8]:
        """Return the labels of slices that are done, in a part of their rows and columns, and forget their sums."""
        if not self._on_cpu:
            logits = self.logits(first, last, inside)
            if not torch.isfinite(logits).all():
                raise _not_finite()
            return logits.argmax(dim=0).to(torch.uint8).cpu().numpy()
        labels = np.empty((last - first, *(part.stop - part.start for part in inside)), dtype=np.uint8)
        start = (first, inside[0].start, inside[1].start)
        finite = share_out(
            lambda begin, end: _choose(self._bits, self._weight_bits, start, labels, begin, end), last - first
        )
        if not all(finite):
            raise _not_finite()
        return labels

    def logits(self, first: int, last: int, inside: Sequence[slice]) -> torch.Tensor:
        """Return the logits of slices that are done, in half precision, and forget their sums."""
        found = []
        for _, rows in self._rows(first, last):
            sums, weights = self._sums[(slice(None), rows, *inside)], self._weights[(rows, *inside)]
            found.append(torch.div(sums, weights))
            sums.zero_()
            weights.zero_()
        return torch.cat(found, dim=1) if len(found) > 1 else found[0]

    def _rows(self, first: int, last: int) -> Iterator[tuple[slice, slice]]:
        """Yield which of some slices lie where: one piece, or two where they go over the end."""
        at, count = first % self._depth, last - first
        before = min(count, self._depth - at)
        yield slice(0, before), slice(at, at + before)
        if before < count:
            yield slice(before, count), slice(0, count - before)


def _not_finite() -> RuntimeError:
    return RuntimeError("a logit is no finite number in half precision")


@compiled()
def _single(bits: np.int16) -> np.float32:
    """Return a number by its bits in half precision."""
    size = np.int32(bits) & 0x7FFF
    small = np.float32(size) * np.float32(2.0**-24)
    large = np.int32((size << 13) + 0x38000000).view(np.float32)
    value = small if size < 0x400 else large
    value = np.float32(np.inf) if size >= _INFINITE else value
    return -value if bits < 0 else value


@compiled()
def _half(value: np.float32) -> np.int16:
    """Return the bits of a number in half precision: the nearest, of two the even one."""
    word = np.float32(value).view(np.int32)
    size = np.int32(word & 0x7FFFFFFF)
    large = np.int32(size - 0x38000000 + 0xFFF + ((size >> 13) & 1)) >> 13
    small = np.int32(np.float32(size.view(np.float32) + np.float32(0.5)).view(np.int32) - 0x3F000000)
    bits = small if size < 0x38800000 else large
    bits = np.int32(_INFINITE if size >= 0x477FF000 else bits)
    return np.int16(bits | ((word >> 16) & 0x8000))


@compiled()
def _add(
    sums: NDArray[np.int16],
    weights: NDArray[np.int16],
    answer: NDArray[np.float32],
    shares: NDArray[np.float32],
    start: tuple[int, int, int],
    first: int,
    last: int,
) -> None:
    """Add slices of the answer to a tile that starts there, each by the share of its place in the tile."""
    heads, _, height, width = answer.shape
    column = start[2]
    for k in range(first, last):
        place = (start[0] + k) % sums.shape[1]
        for number in range(heads):
            for j in range(height):
                values, share = answer[number, k, j], shares[k, j]
                row = sums[number, place, start[1] + j][column : column + width]
                for i in range(width):
                    row[i] = _half(_single(row[i]) + values[i] * share[i])
        for j in range(height):
            share = shares[k, j]
            row = weights[place, start[1] + j][column : column + width]
            for i in range(width):
                row[i] = _half(_single(row[i]) + share[i])


@compiled()
def _choose(
    sums: NDArray[np.int16],
    weights: NDArray[np.int16],
    start: tuple[int, int, int],
    labels: NDArray[np.uint8],
    first: int,
    last: int,
) -> bool:
    """Write which class of a slice is the largest, of equals the first; say whether all are finite; clear the sums."""
    column, width = start[2], labels.shape[2]
    best, by = np.empty(width, dtype=np.int32), np.empty(width, dtype=np.float32)
    largest = np.int32(0)
    for k in range(first, last):
        place = (start[0] + k) % sums.shape[1]
        for j in range(labels.shape[1]):
            row = weights[place, start[1] + j][column : column + width]
            for i in range(width):
                by[i] = _single(row[i])
            row[:] = 0
            best[:] = _LARGEST
            for number in range(sums.shape[0]):
                row = sums[number, place, start[1] + j][column : column + width]
                largest = max(largest, _outdo(row, by, np.int32(number), best))
                row[:] = 0
            for i in range(width):
                labels[k, j, i] = 255 - (best[i] & 255)
    return bool(largest < _INFINITE)


@compiled()
def _outdo(row: NDArray[np.int16], by: NDArray[np.float32], number: np.int32, best: NDArray[np.int32]) -> np.int32:
    """Let a class take the voxels of a row where it is larger than those before; return the bits of its largest size.

    The bits of numbers in half precision stand in the order of the numbers, those of negative ones in the opposite.
    Above the class, counted from the end, they make one number: the largest is the first of the largest.
    """
    largest = np.int32(0)
    for i in range(best.size):
        word = np.int32(_half(np.divide(_single(row[i]), by[i])))  # divided without a look at whether by zero
        size = np.int32(word & 0x7FFF)
        largest = max(largest, size)
        order = word if word >= 0 else -size
        best[i] = max(best[i], np.int32(order * 256 + (255 - number)))
    return largest
