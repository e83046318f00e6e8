"""Training pairs: phantoms painted at the networks' resolutions, then cut and given noise afresh each time.

In: a seed. Out: `Scene` (a phantom without noise, kept in memory) and `Sample` (what one step of training sees).
What can go wrong: nothing that a phantom can; a seed without a sound anatomy raises ValueError. Next: `train`.

The coarse scenes are painted at half the network's spacing. The mean of eight voxels is the image (the network, too,
is shown box averages, see `inference`); the eight labels are kept apart, so that the loss can be taken between the
voxels. The fine scenes have one label a voxel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.phantom import Anatomy, Grid, random_anatomy, render
from workers.segmentation.demo.labels import Labels
from workers.segmentation.demo.tasks import CLIP_HU, LEVELS_TASK, MEAN_HU, SD_HU, STRUCTURES_TASK, Task
from workers.training.hints import hints
from workers.training.truth import kinds, network_labels

ROOM = {LEVELS_TASK.name: (92, 66, 80), STRUCTURES_TASK.name: (172, 92, 112)}
"""Shapes of scenes; patches are cut from them at random places."""
BELOW_MM = 45.0
"""How far a scene reaches below the psoas muscles."""
BEHIND_MM = 8.0
"""How far a scene's middle lies behind the trunk's: the box of the trunk and the table has its middle at twice that."""
LESIONS = (0, 2, 3, 4, 5, 6, 2, 3, 4)
"""How many lesions the phantoms have in turn: more than chance gives, as a lesion is small and hard to learn."""
NOISE_HU = {LEVELS_TASK.name: (0.5, 4.0), STRUCTURES_TASK.name: (1.0, 9.0)}
"""SD of the noise that is left after averaging."""
PADDED_SHARE, PADDED_SLICES = 0.15, 24
"""How many coarse patches lose slices at both ends, and at most how many: nnU-Net pads short scans with zeros."""
CENTRED_SHARE = 0.7
"""How many fine patches lie around a voxel of a structure; the others lie anywhere."""
FIRST_TRAINING_SEED = 100_000
"""Seeds below this are never trained on."""


@dataclass(frozen=True)
class Scene:
    """A phantom at a network's resolution, without noise.

    Attributes
    ----------
    image : int16 array
        Attenuation [HU], shape (slices, rows, columns), slices from the feet to the head.
    labels : uint8 array
        Fine: shape (1, slices, rows, columns). Coarse: of the eight parts of each voxel, shape (8, ...); part
        4 i + 2 j + k lies a quarter of a voxel before (0) or behind (1) the centre along slices (i), rows (j) and
        columns (k).
    """

    image: NDArray[np.int16]
    labels: Labels


@dataclass(frozen=True)
class Sample:
    """One patch: image as the network takes it, float32 (channels, ...), and labels with the scene's first axis."""

    image: NDArray[np.float32]
    labels: Labels


def scene_grid(anatomy: Anatomy, task: Task, parts: int) -> Grid:
    """Grid around the trunk's axis, from below the psoas muscles upwards, `parts` voxels to one of the network's."""
    step = (task.spacing_mm[0] / parts, task.spacing_mm[1] / parts, task.spacing_mm[2] / parts)
    outline = anatomy.skin.sections(np.array([0.0]))
    slices, rows, columns = (parts * size for size in ROOM[task.name])
    low = min(anatomy.psoas_left.z_range[0], anatomy.psoas_right.z_range[0]) - BELOW_MM
    x = float(outline.x[0]) - step[2] * (columns - 1) / 2
    y = float(outline.y[0]) + BEHIND_MM - step[1] * (rows - 1) / 2
    return Grid(slices, rows, columns, step, (x, y, low))


def training_anatomy(seed: int) -> Anatomy:
    """Return the random phantom of this seed, with the number of lesions that is its turn."""
    return random_anatomy(seed, lesions=LESIONS[seed % len(LESIONS)])


def coarse_scene(seed: int) -> Scene:
    """Paint a phantom for the coarse network."""
    anatomy = training_anatomy(seed)
    rendering = render(anatomy, scene_grid(anatomy, LEVELS_TASK, 2), noise_sd_hu=0.0)
    image = np.rint(_places(rendering.hu.astype(np.float32)).mean(axis=0)).astype(np.int16)
    return Scene(image, _places(network_labels(rendering)))


def fine_scene(seed: int) -> Scene:
    """Paint a phantom for the fine network."""
    anatomy = training_anatomy(seed)
    rendering = render(anatomy, scene_grid(anatomy, STRUCTURES_TASK, 1), noise_sd_hu=0.0)
    return Scene(rendering.hu, kinds(rendering)[None])


def _places(fine: NDArray[Any]) -> NDArray[Any]:
    """Take voxels of half size apart into their eight places, shape (8, slices, rows, columns)."""
    places = [fine[i::2, j::2, k::2] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return np.stack(places)


def normalise(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """HU as nnU-Net's CTNormalization gives them to the network."""
    return ((np.clip(hu, *CLIP_HU) - MEAN_HU) / SD_HU).astype(np.float32)


def coarse_sample(source: Scene, rng: np.random.Generator) -> Sample:
    """Cut a patch of the whole abdomen; some lose slices at both ends."""
    free = [room - size for room, size in zip(source.image.shape, LEVELS_TASK.patch, strict=True)]
    sample = _cut(source, LEVELS_TASK, [int(rng.integers(0, most + 1)) for most in free], rng)
    if rng.random() < PADDED_SHARE:
        return _shortened(sample, int(rng.integers(1, PADDED_SLICES + 1)))
    return sample


def fine_sample(source: Scene, rng: np.random.Generator) -> Sample:
    """Cut a patch, mostly around a voxel of a random structure."""
    labels, patch = source.labels[0], STRUCTURES_TASK.patch
    free = [room - size for room, size in zip(labels.shape, patch, strict=True)]
    start = [int(rng.integers(0, most + 1)) for most in free]
    if rng.random() < CENTRED_SHARE:
        present = np.unique(labels)[1:]
        among = np.flatnonzero(labels == rng.choice(present))
        middle = np.unravel_index(int(rng.choice(among)), labels.shape)
        shift = [int(rng.integers(-size // 3, size // 3 + 1)) for size in patch]
        wanted = [int(at) - size // 2 + by for at, size, by in zip(middle, patch, shift, strict=True)]
        start = [min(max(first, 0), most) for first, most in zip(wanted, free, strict=True)]
    sample = _cut(source, STRUCTURES_TASK, start, rng)
    return Sample(np.concatenate((sample.image, hints(sample.labels[0], rng))), sample.labels)


def _cut(source: Scene, task: Task, start: list[int], rng: np.random.Generator) -> Sample:
    """Cut a patch; add noise, a little blur along the slices, and an error of the HU scale."""
    window = tuple(slice(first, first + size) for first, size in zip(start, task.patch, strict=True))
    hu = source.image[window].astype(np.float32)
    blur = float(rng.uniform(0.0, 0.15))
    padded = np.pad(hu, ((1, 1), (0, 0), (0, 0)), mode="edge")
    hu = (1 - 2 * blur) * hu + blur * (padded[:-2] + padded[2:])
    low, high = NOISE_HU[task.name]
    hu += math.exp(rng.uniform(math.log(low), math.log(high))) * rng.standard_normal(hu.shape, dtype=np.float32)
    hu = hu * np.float32(rng.uniform(0.97, 1.03)) + np.float32(rng.uniform(-6.0, 6.0))
    return Sample(normalise(hu)[None], source.labels[(slice(None), *window)])


def _shortened(sample: Sample, slices: int) -> Sample:
    """Blank slices at both ends as nnU-Net pads a scan that is too short: zeros, without labels."""
    kept = slice(slices // 2, sample.image.shape[1] - (slices - slices // 2))
    image, labels = np.zeros_like(sample.image), np.zeros_like(sample.labels)
    image[:, kept], labels[:, kept] = sample.image[:, kept], sample.labels[:, kept]
    return Sample(image, labels)


def _paint(paint: Callable[[int], Scene], seeds: list[int], queue: Queue[Scene]) -> None:
    for seed in seeds:
        queue.put(paint(seed))


class Pool:
    """Scenes painted by a second process while the network trains, and kept.

    The order in which they are drawn hangs on the seed alone, not on how fast they come: each is seen once as it
    comes, then all of them in ever new order.
    """

    def __init__(self, paint: Callable[[int], Scene], count: int, seed: int) -> None:
        """Start to paint `count` scenes."""
        first = FIRST_TRAINING_SEED * (1 + seed)
        context = get_context("spawn")
        self._queue: Queue[Scene] = context.Queue(maxsize=4)
        self._count, self._scenes = count, list[Scene]()
        seeds = list(range(first, first + count))
        self._process = context.Process(target=_paint, args=(paint, seeds, self._queue), daemon=True)
        self._process.start()

    def scenes(self, rng: np.random.Generator) -> Iterator[Scene]:
        """All scenes, again and again; waits while the next one is being painted.

        Raises
        ------
        queue.Empty
            If none comes within ten minutes: the painting process has died.
        """
        while len(self._scenes) < self._count:
            self._scenes.append(self._queue.get(timeout=600))
            yield self._scenes[-1]
        while True:
            for index in rng.permutation(self._count):
                yield self._scenes[index]

    def close(self) -> None:
        """End the painting process."""
        self._process.terminate()
        self._process.join()
