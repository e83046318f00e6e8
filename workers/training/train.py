"""The training loop: AdamW in bfloat16, a running mean of the weights, a log line every ten steps.

In: a task, seed, number of steps, limit in minutes. Out: the mean weights, and the log. What can go wrong: a machine
too slow for its limit ends with fewer steps (the learning rate follows whichever is further, steps or minutes). The
limit counts the time that the processor worked, so that a busy or paused machine does not cut a run short.
Next: `evaluate`, `export`.

One thread is the default: with two, the threads of one small convolution wait for each other more than they work, and
the second core is free to paint phantoms.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from workers.segmentation.demo.labels import Label
from workers.segmentation.demo.tasks import LEVELS_TASK, STRUCTURES_TASK, Task
from workers.training.loss import segmentation_loss
from workers.training.network import build_network
from workers.training.samples import Pool, Sample, Scene, coarse_sample, coarse_scene, fine_sample, fine_scene

PEAK_RATE = 3e-3
WARM_UP_STEPS = 30
RARITY = {
    LEVELS_TASK.name: (0.6, 0.6, 1.0, 5.0, 2.0, 2.0, *[6.0] * 14),
    STRUCTURES_TASK.name: (1.0, 1.0, 3.0, 2.0, 2.0, 2.0, 2.0),
}
"""Weights of the labels in the cross-entropy at the start, roughly one over the root of their share."""
EMPHASIS_UNTIL = 0.6
"""Part of the run after which all voxels count alike."""
LESION_WEIGHT = 3.0
"""Least weight of a lesion. It stays: a lesion's surface lies within the liver and moves no volume."""
MEAN_OVER_STEPS = 60
"""The running mean forgets a step after about as many."""
LOG_EVERY = 10

Record = dict[str, float | int | str]


@dataclass(frozen=True)
class Run:
    """How to train one network: seed, steps (None: its task's), limit in minutes of a processor, phantoms, threads."""

    seed: int = 0
    steps: int | None = None
    minutes: float = 25.0
    phantoms: int = 320
    threads: int = 1


@dataclass(frozen=True)
class Trained:
    """A network with its mean weights, the steps taken, and the minutes they took."""

    network: nn.Module
    steps: int
    minutes: float


def train(task: Task, run: Run, report: Callable[[Record], None]) -> Trained:
    """Train one network from nothing.

    `report` gets one record every ten steps: seconds since the start, loss, Dice of the soft masks.
    """
    torch.manual_seed(run.seed)
    torch.set_num_threads(run.threads)
    network = build_network(task, deep_supervision=True)
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=1e-4)
    mean = {name: value.detach().clone() for name, value in network.named_parameters()}
    coarse = task is LEVELS_TASK
    pool = Pool(coarse_scene if coarse else fine_scene, run.phantoms, run.seed)
    began, step, worked = time.monotonic(), 0, time.process_time()
    steps = run.steps or task.steps
    recent: list[tuple[float, Tensor]] = []
    try:
        for sample, part in _draws(pool, coarse_sample if coarse else fine_sample, run.seed):
            done = max(step / steps, (time.process_time() - worked) / (60 * run.minutes * run.threads))
            if done >= 1:
                break
            _set_rate(optimiser, step, done)
            recent.append(_step(task, network, optimiser, sample, part, _weights(task, done)))
            step += 1
            _average(mean, network, step)
            if step % LOG_EVERY == 0:
                report(_record(task, step, time.monotonic() - began, recent))
                recent.clear()
    finally:
        pool.close()
    network.load_state_dict(mean, strict=False)  # its dictionary names some parameters twice
    network.eval()
    return Trained(network, step, (time.monotonic() - began) / 60)


def _draws(pool: Pool, draw: Callable[[Scene, np.random.Generator], Sample], seed: int) -> Iterator[tuple[Sample, int]]:
    rng = np.random.default_rng(seed)
    for source in pool.scenes(rng):
        yield draw(source, rng), int(rng.integers(8))


def _weights(task: Task, done: float) -> Tensor:
    """Return the weights of the classes, fading from rarity to equality."""
    weights = torch.tensor(RARITY[task.name]) ** max(0.0, 1 - done / EMPHASIS_UNTIL)
    lesion = task.labels["LESION"]
    weights[lesion] = max(float(weights[lesion]), LESION_WEIGHT)
    return weights


def _step(
    task: Task, network: nn.Module, optimiser: torch.optim.Optimizer, sample: Sample, part: int, weights: Tensor
) -> tuple[float, Tensor]:
    image = torch.from_numpy(sample.image)[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network(image)
    trunk = int(Label.BODY) if task is LEVELS_TASK else 0
    loss, dice = segmentation_loss(outputs, torch.from_numpy(sample.labels), part, weights, trunk=trunk)
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


def _record(task: Task, step: int, seconds: float, recent: list[tuple[float, Tensor]]) -> Record:
    """Sum up ten steps: loss, and mean Dice of each group of labels."""
    dice = torch.stack([values for _, values in recent]).mean(0)
    groups: dict[str, list[float]] = {}
    for label in list(task.labels)[1:]:
        groups.setdefault(label.name.lower().split("_")[0], []).append(float(dice[label]))
    loss = sum(loss for loss, _ in recent) / len(recent)
    means = {name: round(sum(values) / len(values), 3) for name, values in groups.items()}
    return {"network": task.name, "step": step, "seconds": round(seconds, 1), "loss": round(loss, 4), **means}
