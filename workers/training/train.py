"""The training loop: AdamW in bfloat16 on two cores, a running mean of the weights, a log line every ten steps.

In: seed, number of steps, limit in minutes. Out: the mean weights, and the log. What can go wrong: a machine too slow
for its limit ends with fewer steps (the learning rate follows whichever is further, steps or minutes).
Next: `evaluate`, `export`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from workers.training.labels import LEVELS, Label
from workers.training.loss import segmentation_loss
from workers.training.network import build_network
from workers.training.samples import Pool, Sample, Scene, draw

PEAK_RATE = 3e-3
WARM_UP_STEPS = 30
EMPHASIS_UNTIL = 0.6
"""Part of the run after which all voxels count alike."""
MEAN_OVER_STEPS = 60
"""The running mean forgets a step after about as many."""
LOG_EVERY = 10

Record = dict[str, float | int]


@dataclass(frozen=True)
class Run:
    """What to train: seed, steps, limit in minutes, number of phantoms, threads."""

    seed: int = 0
    steps: int = 1500
    minutes: float = 50.0
    phantoms: int = 320
    threads: int = 1


def train(run: Run, report: Callable[[Record], None]) -> tuple[nn.Module, int]:
    """Train from nothing and return the network with its mean weights, and the steps taken.

    `report` gets one record every ten steps: step, seconds since the start, loss, Dice of the soft masks.
    """
    torch.manual_seed(run.seed)
    torch.set_num_threads(run.threads)
    network = build_network(deep_supervision=True)
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=1e-4)
    mean = {name: value.detach().clone() for name, value in network.named_parameters()}
    pool = Pool(run.phantoms, run.seed)
    began, step = time.monotonic(), 0
    recent: list[tuple[float, Tensor]] = []
    try:
        for sample, part in _draws(pool, run.seed):
            done = max(step / run.steps, (time.monotonic() - began) / (60 * run.minutes))
            if done >= 1:
                break
            _set_rate(optimiser, step, done)
            emphasis = max(0.0, 1 - done / EMPHASIS_UNTIL)
            recent.append(_step(network, optimiser, sample, part, emphasis))
            step += 1
            _average(mean, network, step)
            if step % LOG_EVERY == 0:
                report(_record(step, time.monotonic() - began, recent))
                recent.clear()
    finally:
        pool.close()
    network.load_state_dict(mean, strict=False)  # its dictionary names some parameters twice
    network.eval()
    return network, step


def _draws(pool: Pool, seed: int) -> Iterator[tuple[Sample, int]]:
    rng = np.random.default_rng(seed)
    scenes: Iterator[Scene] = pool.scenes(rng)
    for source in scenes:
        yield draw(source, rng), int(rng.integers(8))


def _step(
    network: nn.Module, optimiser: torch.optim.Optimizer, sample: Sample, part: int, emphasis: float
) -> tuple[float, Tensor]:
    image = torch.from_numpy(sample.image)[None, None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network(image)
    loss, dice = segmentation_loss(outputs, torch.from_numpy(sample.labels), part, emphasis=emphasis)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach()), dice


def _set_rate(optimiser: torch.optim.Optimizer, step: int, done: float) -> None:
    """Rise over the first steps, then fall along half a cosine to a hundredth."""
    rise = min(1.0, (step + 1) / WARM_UP_STEPS)
    fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
    for group in optimiser.param_groups:
        group["lr"] = PEAK_RATE * rise * fall


def _average(mean: dict[str, Tensor], network: nn.Module, step: int) -> None:
    keep = min(1 - 1 / MEAN_OVER_STEPS, step / (step + 10))
    for name, value in network.named_parameters():
        mean[name].lerp_(value.detach(), 1 - keep)


def _record(step: int, seconds: float, recent: list[tuple[float, Tensor]]) -> Record:
    dice = torch.stack([values for _, values in recent]).mean(0)
    bodies = [float(dice[Label[f"BODY_{level}"]]) for level in LEVELS]
    return {
        "step": step,
        "seconds": round(seconds, 1),
        "loss": round(sum(loss for loss, _ in recent) / len(recent), 4),
        "liver": round(float(dice[Label.LIVER]), 3),
        "lesion": round(float(dice[Label.LESION]), 3),
        "psoas": round(float(dice[[Label.PSOAS_LEFT, Label.PSOAS_RIGHT]].mean()), 3),
        "bodies": round(sum(bodies) / len(bodies), 3),
        "worst_body": round(min(bodies), 3),
    }
