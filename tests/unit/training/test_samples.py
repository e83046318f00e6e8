"""Training pairs: the labels are the phantom's, the patches are cut where they say, the order hangs on the seed."""

from __future__ import annotations

import numpy as np
import pytest

from node.phantom import Structure, random_anatomy, render
from workers.training.labels import LEVELS, PARTS, Label, network_labels, part_mask
from workers.training.samples import (
    CLIP_HU,
    FIRST_TRAINING_SEED,
    LESIONS,
    MEAN_HU,
    PATCH,
    ROOM,
    SD_HU,
    SPACING_MM,
    Pool,
    Scene,
    draw,
    scene,
    scene_grid,
)

SEED = 7


@pytest.fixture(scope="module")
def painted() -> Scene:
    """One scene."""
    return scene(SEED)


def test_vertebrae_are_split_into_body_and_arch() -> None:
    """Body and arch of each named vertebra are disjoint, their union is the phantom's label, bodies its bodies."""
    anatomy = random_anatomy(SEED)
    rendering = render(anatomy, scene_grid(anatomy), noise_sd_hu=0.0)
    labels = network_labels(rendering)
    for level in LEVELS:
        whole = rendering.labels == Structure[f"VERTEBRA_{level}"]
        assert whole.any()
        assert np.array_equal(part_mask(labels, f"vertebra_{level}"), whole)
        assert np.array_equal(labels == Label[f"BODY_{level}"], whole & rendering.vertebral_bodies)
        assert (labels == Label[f"ARCH_{level}"]).any()
    liver = np.isin(rendering.labels, (Structure.LIVER, Structure.LESION))
    assert np.array_equal(part_mask(labels, "liver"), liver)
    for side in ("LEFT", "RIGHT"):
        muscle = rendering.labels == Structure[f"PSOAS_{side}"]
        assert np.array_equal(part_mask(labels, f"psoas_{side.lower()}"), muscle)
    air = rendering.labels == Structure.BACKGROUND
    assert np.array_equal(labels == Label.BACKGROUND, air)


def test_every_label_is_named_once_in_the_table_of_parts() -> None:
    """Whole structures share no label; only lesion (in the liver) and bodies (in vertebrae) are named again."""
    wholes = [label for name, labels in PARTS.items() if name not in ("lesion", "vertebral_body") for label in labels]
    assert sorted(wholes) == [label for label in Label if label > Label.BODY]


def test_a_scene_is_the_mean_of_its_eight_parts(painted: Scene) -> None:
    """Image and labels are those of the phantom painted at half the spacing, place by place."""
    anatomy = random_anatomy(SEED, lesions=LESIONS[SEED % len(LESIONS)])
    grid = scene_grid(anatomy)
    assert np.allclose(np.multiply(grid.spacing_mm, 2), SPACING_MM)
    fine = render(anatomy, grid, noise_sd_hu=0.0)
    labels = network_labels(fine)
    assert painted.image.shape == ROOM
    assert painted.labels.shape == (8, *ROOM)
    z, y, x = 40, 30, 41
    block = (slice(2 * z, 2 * z + 2), slice(2 * y, 2 * y + 2), slice(2 * x, 2 * x + 2))
    assert painted.image[z, y, x] == round(float(fine.hu[block].mean()))
    assert np.array_equal(painted.labels[:, z, y, x], labels[block].ravel())


def test_a_patch_shows_its_labels(painted: Scene) -> None:
    """The image of a patch is the scene at the labels' place, up to noise, blur and scale; other draws differ."""
    sample = draw(painted, np.random.default_rng(1))
    again, other = draw(painted, np.random.default_rng(1)), draw(painted, np.random.default_rng(2))
    assert sample.image.shape == PATCH
    assert sample.labels.shape == (8, *PATCH)
    assert np.array_equal(sample.image, again.image)
    assert not np.array_equal(sample.image, other.image)
    low, high = ((bound - MEAN_HU) / SD_HU for bound in CLIP_HU)
    assert low <= sample.image.min() < sample.image.max() <= high
    air = (sample.labels == Label.BACKGROUND).all(axis=0)
    liver = (sample.labels == Label.LIVER).all(axis=0)
    assert sample.image[air].mean() < 0.9 * low
    hu = sample.image[liver].mean() * SD_HU + MEAN_HU
    assert abs(hu - random_anatomy(SEED).liver_hu) < 12


def test_a_pool_gives_every_scene_once_and_then_again() -> None:
    """Scenes come from a second process in the order of their seeds, then in the generator's order."""
    pool = Pool(2, seed=0)
    try:
        scenes = pool.scenes(np.random.default_rng(0))
        seen = [next(scenes) for _ in range(4)]
    finally:
        pool.close()
    first = scene(FIRST_TRAINING_SEED)
    assert np.array_equal(seen[0].image, first.image)
    assert np.array_equal(seen[0].labels, first.labels)
    assert not np.array_equal(seen[1].image, first.image)
    assert {id(one) for one in seen[:2]} == {id(one) for one in seen[2:]}


def test_a_short_scan_is_blank_at_both_ends(painted: Scene) -> None:
    """Some patches lose slices as nnU-Net pads short scans: zeros there, no labels, the middle untouched."""
    drawn = [draw(painted, np.random.default_rng(seed)) for seed in range(40)]
    blank = [(sample.image == 0).all(axis=(1, 2)) for sample in drawn]
    short = [index for index, slices in enumerate(blank) if slices.any()]
    assert 1 <= len(short) <= 15
    for index in short:
        (kept,) = np.nonzero(~blank[index])
        assert kept.size == kept[-1] - kept[0] + 1
        assert abs(int(kept[0]) - int(PATCH[0] - 1 - kept[-1])) <= 1
        assert not drawn[index].labels[:, blank[index]].any()
        assert drawn[index].labels[:, kept].any()
