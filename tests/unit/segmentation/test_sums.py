"""The sums of `resident`: those of torch in half precision to the last bit, for as long as a tile reaches them."""

import importlib.util
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

HEADS, TILE, SHAPE = 7, (4, 6, 5), (11, 9, 12)
BEGINS = ((0, 2, 5, 7), (0, 3), (0, 3, 7))
"""Where tiles begin on each axis: the last are nearer to those before."""


@pytest.fixture(scope="module", autouse=True)
def _libraries(lacking: Callable[[str], None]) -> None:
    """The engine needs what the worker brings."""
    for component in ("torch", "nnunetv2", "numba"):
        if importlib.util.find_spec(component) is None:
            lacking(component)


def test_half_precision_is_torchs() -> None:
    """Every number of half precision is read, and every kind of number rounded, as torch does."""
    import torch
    from numba import vectorize

    from workers.segmentation.resident.sums import _half, _single

    single = vectorize(["float32(int16)"])(_single.py_func)  # type: ignore[attr-defined]  # what numba compiled
    half = vectorize(["int16(float32)"])(_half.py_func)  # type: ignore[attr-defined]
    bits = np.arange(2**16).astype(np.uint16).view(np.int16)
    halves = bits.view(np.float16).astype(np.float32)
    numbers = ~np.isnan(halves)
    np.testing.assert_array_equal(single(bits)[numbers].view(np.int32), halves[numbers].view(np.int32))
    rng = np.random.default_rng(1)
    between = halves[numbers][:-1] / 2 + halves[numbers][1:] / 2
    near = np.nextafter(between, rng.choice([-np.inf, np.inf], len(between)).astype(np.float32))
    any_bits = rng.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([between, near, any_bits])
    values = values[~np.isnan(values)]
    np.testing.assert_array_equal(half(values), torch.from_numpy(values).half().view(torch.int16).numpy())


def run(kind: str, answers: dict[tuple[int, ...], Any], inside: tuple[slice, slice]) -> Any:
    """Add answers in the order of tiles; return labels, or logits, of all slices."""
    import torch

    from workers.segmentation.resident.sums import Sums

    sums, found = Sums(HEADS, TILE, SHAPE[1:], torch.device("cpu")), []
    sums._on_cpu = kind != "GPU"  # what a GPU would do, done here
    for begin, end in pairwise([*BEGINS[0], SHAPE[0]]):
        for row, column in product(*BEGINS[1:]):
            sums.add((begin, row, column), answers[begin, row, column].clone())
        taken = sums.logits(begin, end, inside).numpy() if kind == "logits" else sums.labels(begin, end, inside)
        found.append(taken)
    return np.concatenate(found, axis=-3)


def answered(seed: int) -> dict[tuple[int, ...], Any]:
    """Return what a network might say: of many sizes, some equal, some zero of either sign."""
    import torch

    rng = np.random.default_rng(seed)
    found = {}
    for start in product(*BEGINS):
        logits = rng.normal(size=(HEADS, *TILE)) * 10.0 ** rng.integers(-6, 3, TILE)
        for places, factor in ((rng.random(TILE) < 0.2, 0.0), (rng.random(TILE) < 0.2, 1e-9)):
            logits[:, places] *= factor
            logits[0, places] = -1.0
        found[start] = torch.from_numpy(logits.astype(np.float32))
    return found


@pytest.mark.parametrize("inside", [(slice(0, 9), slice(0, 12)), (slice(2, 8), slice(1, 4))])
def test_sums_are_torchs(inside: tuple[slice, slice]) -> None:
    """Labels and logits are those of one large sum, as nnU-Net keeps it; so are those of a GPU's way."""
    import torch
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    answers = answered(5)
    gaussian = compute_gaussian(TILE, sigma_scale=1.0 / 8, value_scaling_factor=10, device=torch.device("cpu"))
    whole = torch.zeros((HEADS, *SHAPE), dtype=torch.half)
    weights = torch.zeros(SHAPE, dtype=torch.half)
    for start in product(*BEGINS):
        place = tuple(slice(first, first + edge) for first, edge in zip(start, TILE, strict=True))
        whole[(slice(None), *place)] += answers[start] * gaussian
        weights[place] += gaussian
    whole = torch.div(whole, weights)[(slice(None), slice(None), *inside)]
    np.testing.assert_array_equal(run("logits", answers, inside).view(np.int16), whole.view(torch.int16).numpy())
    wanted = whole.argmax(dim=0).numpy()
    assert len(np.unique(wanted)) == HEADS
    for kind in ("CPU", "GPU"):
        np.testing.assert_array_equal(run(kind, answers, inside), wanted, err_msg=kind)


@pytest.mark.parametrize("value", [-1e6, 1e6, float("nan")])
@pytest.mark.parametrize("kind", ["CPU", "GPU"])
def test_what_is_no_number_is_told(kind: str, value: float) -> None:
    """A sum beyond half precision ends the study, as it does in nnU-Net; even where it is not the largest."""
    answers = answered(6)
    answers[5, 3, 3][2] = value
    with pytest.raises(RuntimeError, match="half precision"):
        run(kind, answers, (slice(0, 9), slice(0, 12)))
