"""Training pairs: phantoms painted at the network's resolution, then cut and given noise afresh each time.

In: a seed. Out: `Scene` (a phantom without noise, kept in memory) and `Sample` (what one step of training sees).
What can go wrong: nothing that a phantom can; a seed without a sound anatomy raises ValueError. Next: `train`.

A scene is painted at half the network's spacing. The mean of eight voxels is the image (the network, too, is shown
box averages, see `inference`); the eight labels are kept apart, so that the loss can be taken between the voxels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.phantom import Anatomy, Grid, random_anatomy, render
from workers.training.labels import Labels, network_labels

SPACING_MM = (6.0, 5.5, 5.5)
"""Edges of the network's voxels (z, y, x)."""
PATCH = (80, 56, 72)
"""What the network sees at once (slices, rows, columns): 480 x 308 x 396 mm, the whole abdomen."""
ROOM = (92, 66, 80)
"""A scene's shape; patches are cut from it at random places."""
BELOW_MM = 45.0
"""How far a scene reaches below the psoas muscles."""
BEHIND_MM = 8.0
"""How far a scene's middle lies behind the trunk's: the box of the trunk and the table has its middle at twice that."""
CLIP_HU = (-160.0, 340.0)
MEAN_HU, SD_HU = 60.0, 80.0
"""nnU-Net's normalisation for CT: clip, subtract, divide. Narrow, so that lesions stand out in the liver."""
LESIONS = (0, 2, 3, 4, 5, 6, 2, 3, 4)
"""How many lesions the phantoms have in turn: more than chance gives, as a lesion is small and hard to learn."""
PADDED_SHARE, PADDED_SLICES = 0.15, 24
"""How many patches lose slices at both ends, and at most how many: nnU-Net pads short scans with zeros."""
FIRST_TRAINING_SEED = 100_000
"""Seeds below this are never trained on."""


@dataclass(frozen=True)
class Scene:
    """A phantom at the network's resolution, without noise.

    Attributes
    ----------
    image : int16 array
        Attenuation [HU], shape `ROOM`, slices from the feet to the head.
    labels : uint8 array
        `Label` values of the eight parts of each voxel, shape (8, *ROOM); part 4 i + 2 j + k lies a quarter of a
        voxel before (0) or behind (1) the centre along slices (i), rows (j) and columns (k).
    """

    image: NDArray[np.int16]
    labels: Labels


@dataclass(frozen=True)
class Sample:
    """One patch: image as the network takes it, float32 of shape `PATCH`, and labels of shape (8, *PATCH)."""

    image: NDArray[np.float32]
    labels: Labels


def scene_grid(anatomy: Anatomy) -> Grid:
    """Grid of half the network's spacing around the trunk's axis, from below the psoas muscles upwards."""
    fine = (SPACING_MM[0] / 2, SPACING_MM[1] / 2, SPACING_MM[2] / 2)
    outline = anatomy.skin.sections(np.array([0.0]))
    slices, rows, columns = (2 * size for size in ROOM)
    low = min(anatomy.psoas_left.z_range[0], anatomy.psoas_right.z_range[0]) - BELOW_MM
    x = float(outline.x[0]) - fine[2] * (columns - 1) / 2
    y = float(outline.y[0]) + BEHIND_MM - fine[1] * (rows - 1) / 2
    return Grid(slices, rows, columns, fine, (x, y, low))


def scene(seed: int) -> Scene:
    """Paint the random phantom of this seed."""
    anatomy = random_anatomy(seed, lesions=LESIONS[seed % len(LESIONS)])
    rendering = render(anatomy, scene_grid(anatomy), noise_sd_hu=0.0)
    image = np.rint(_parts(rendering.hu.astype(np.float32)).mean(axis=0)).astype(np.int16)
    return Scene(image, _parts(network_labels(rendering)))


def _parts(fine: NDArray[Any]) -> NDArray[Any]:
    """Take voxels of half size apart into their eight places, shape (8, slices, rows, columns)."""
    places = [fine[i::2, j::2, k::2] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    return np.stack(places)


def normalise(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """HU as nnU-Net's CTNormalization gives them to the network."""
    return ((np.clip(hu, *CLIP_HU) - MEAN_HU) / SD_HU).astype(np.float32)


def draw(source: Scene, rng: np.random.Generator) -> Sample:
    """Cut a patch at a random place; add noise, a little blur along the slices, and an error of the HU scale."""
    start = [int(rng.integers(0, room - size + 1)) for room, size in zip(ROOM, PATCH, strict=True)]
    window = tuple(slice(first, first + size) for first, size in zip(start, PATCH, strict=True))
    hu = source.image[window].astype(np.float32)
    blur = float(rng.uniform(0.0, 0.15))
    padded = np.pad(hu, ((1, 1), (0, 0), (0, 0)), mode="edge")
    hu = (1 - 2 * blur) * hu + blur * (padded[:-2] + padded[2:])
    sd = math.exp(rng.uniform(math.log(0.5), math.log(4.0)))
    hu += sd * rng.standard_normal(hu.shape, dtype=np.float32)
    hu = hu * np.float32(rng.uniform(0.97, 1.03)) + np.float32(rng.uniform(-6.0, 6.0))
    image, labels = normalise(hu), source.labels[(slice(None), *window)]
    if rng.random() < PADDED_SHARE:
        image, labels = _shortened(image, labels, int(rng.integers(1, PADDED_SLICES + 1)))
    return Sample(image, labels)


def _shortened(image: NDArray[np.float32], labels: Labels, slices: int) -> tuple[NDArray[np.float32], Labels]:
    """Blank slices at both ends as nnU-Net pads a scan that is too short: zeros, without labels."""
    kept = slice(slices // 2, PATCH[0] - (slices - slices // 2))
    short, bare = np.zeros_like(image), np.zeros_like(labels)
    short[kept], bare[:, kept] = image[kept], labels[:, kept]
    return short, bare


def _paint(seeds: list[int], queue: Queue[Scene]) -> None:
    for seed in seeds:
        queue.put(scene(seed))


class Pool:
    """Scenes painted by a second process while the network trains, and kept.

    The order in which they are drawn hangs on the seed alone, not on how fast they come: each is seen once as it
    comes, then all of them in ever new order.
    """

    def __init__(self, count: int, seed: int) -> None:
        """Start to paint `count` scenes."""
        first = FIRST_TRAINING_SEED * (1 + seed)
        context = get_context("spawn")
        self._queue: Queue[Scene] = context.Queue(maxsize=4)
        self._count, self._scenes = count, list[Scene]()
        seeds = list(range(first, first + count))
        self._process = context.Process(target=_paint, args=(seeds, self._queue), daemon=True)
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
