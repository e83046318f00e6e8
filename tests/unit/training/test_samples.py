"""Training pairs: the labels are the phantom's, the patches are cut where they say, the order hangs on the seed."""

from __future__ import annotations

import numpy as np
import pytest

from node.phantom import Structure, random_anatomy, render
from workers.segmentation.demo.labels import LEVELS, PARTS, Kind, Label, part_mask
from workers.segmentation.demo.tasks import CLIP_HU, LEVELS_TASK, MEAN_HU, SD_HU, STRUCTURES_TASK
from workers.training.hints import KINDS, hints
from workers.training.samples import (
    FIRST_TRAINING_SEED,
    ROOM,
    Pool,
    Scene,
    coarse_sample,
    coarse_scene,
    fine_sample,
    fine_scene,
    scene_grid,
    training_anatomy,
)
from workers.training.truth import kinds, network_labels

SEED = 7
PATCH = LEVELS_TASK.patch


@pytest.fixture(scope="module")
def painted() -> Scene:
    """One scene of the coarse network."""
    return coarse_scene(SEED)


@pytest.fixture(scope="module")
def fine() -> Scene:
    """One scene of the fine network."""
    return fine_scene(SEED)


def test_vertebrae_are_split_into_body_and_arch() -> None:
    """Body and arch of each named vertebra are disjoint, their union is the phantom's label, bodies its bodies."""
    anatomy = random_anatomy(SEED)
    rendering = render(anatomy, scene_grid(anatomy, LEVELS_TASK, 2), noise_sd_hu=0.0)
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
    assert np.array_equal(labels == Label.BACKGROUND, rendering.labels == Structure.BACKGROUND)


def test_to_the_fine_network_all_vertebrae_are_alike() -> None:
    """Kinds agree with labels where there are any; vertebrae without a label are vertebrae, too, the sacrum is not."""
    anatomy = random_anatomy(SEED)
    rendering = render(anatomy, scene_grid(anatomy, LEVELS_TASK, 2), noise_sd_hu=0.0)
    labels, alike = network_labels(rendering), kinds(rendering)
    for name in ("LIVER", "LESION", "PSOAS_LEFT", "PSOAS_RIGHT"):
        assert np.array_equal(alike == Kind[name], labels == Label[name])
    bone = np.isin(alike, (Kind.VERTEBRAL_BODY, Kind.VERTEBRAL_ARCH))
    vertebrae = [structure for structure in Structure if structure.name.startswith("VERTEBRA_")]
    assert np.array_equal(bone, np.isin(rendering.labels, vertebrae))
    assert np.array_equal(alike == Kind.VERTEBRAL_BODY, rendering.vertebral_bodies & bone)
    assert (alike[rendering.labels == Structure.SACRUM] == Kind.BACKGROUND).all()


def test_every_label_is_named_once_in_the_table_of_parts() -> None:
    """Whole structures share no label; only lesion (in the liver) and bodies (in vertebrae) are named again."""
    wholes = [label for name, labels in PARTS.items() if name not in ("lesion", "vertebral_body") for label in labels]
    assert sorted(wholes) == [label for label in Label if label > Label.BODY]


def test_a_coarse_scene_is_the_mean_of_its_eight_parts(painted: Scene) -> None:
    """Image and labels are those of the phantom painted at half the spacing, place by place."""
    anatomy = training_anatomy(SEED)
    grid = scene_grid(anatomy, LEVELS_TASK, 2)
    assert np.allclose(np.multiply(grid.spacing_mm, 2), LEVELS_TASK.spacing_mm)
    whole = render(anatomy, grid, noise_sd_hu=0.0)
    labels = network_labels(whole)
    room = ROOM[LEVELS_TASK.name]
    assert painted.image.shape == room
    assert painted.labels.shape == (8, *room)
    z, y, x = 40, 30, 41
    block = (slice(2 * z, 2 * z + 2), slice(2 * y, 2 * y + 2), slice(2 * x, 2 * x + 2))
    assert painted.image[z, y, x] == round(float(whole.hu[block].mean()))
    assert np.array_equal(painted.labels[:, z, y, x], labels[block].ravel())


def test_a_coarse_patch_shows_its_labels(painted: Scene) -> None:
    """The image of a patch is the scene at the labels' place, up to noise, blur and scale; other draws differ."""
    sample = coarse_sample(painted, np.random.default_rng(1))
    again, other = (coarse_sample(painted, np.random.default_rng(seed)) for seed in (1, 2))
    assert sample.image.shape == (1, *PATCH)
    assert sample.labels.shape == (8, *PATCH)
    assert np.array_equal(sample.image, again.image)
    assert not np.array_equal(sample.image, other.image)
    low, high = ((bound - MEAN_HU) / SD_HU for bound in CLIP_HU)
    assert low <= sample.image.min() < sample.image.max() <= high
    liver = (sample.labels == Label.LIVER).all(axis=0)
    hu = sample.image[0, liver].mean() * SD_HU + MEAN_HU
    assert abs(hu - training_anatomy(SEED).liver_hu) < 12


def test_fine_patches_show_every_structure_in_turn(fine: Scene) -> None:
    """Patches fit, show what their labels say, and all kinds turn up within thirty draws."""
    rng = np.random.default_rng(0)
    seen: set[int] = set()
    for _ in range(30):
        sample = fine_sample(fine, rng)
        assert sample.image.shape == (len(STRUCTURES_TASK.channels), *STRUCTURES_TASK.patch)
        assert sample.labels.shape == (1, *STRUCTURES_TASK.patch)
        seen |= set(np.unique(sample.labels).tolist())
        liver = sample.labels[0] == Kind.LIVER
        if liver.sum() > 5000:
            hu = sample.image[0, liver].mean() * SD_HU + MEAN_HU
            assert abs(hu - training_anatomy(SEED).liver_hu) < 15
    assert seen == {int(kind) for kind in Kind}


def test_hints_are_the_truth_spoiled(fine: Scene) -> None:
    """Each hint lies where its structure is, never quite, and no two draws spoil it alike."""
    labels = fine.labels[0][60:124, 20:84, 24:88]
    drawn = [hints(labels, np.random.default_rng(seed)) for seed in range(12)]
    assert {one.shape for one in drawn} == {(len(STRUCTURES_TASK.hints), *labels.shape)}
    assert all(one.min() >= 0 and one.max() <= 1 for one in drawn)
    for number, name in enumerate(STRUCTURES_TASK.hints):
        true = np.isin(labels, KINDS[name])
        assert true.any(), name
        found = [one[number] > 0.5 for one in drawn]
        agreement = [2 * (one & true).sum() / (one.sum() + true.sum()) for one in found]
        assert 0.6 < np.median(agreement) < 0.99, name
        assert len({one.tobytes() for one in found}) == len(found)


def test_a_pool_gives_every_scene_once_and_then_again() -> None:
    """Scenes come from a second process in the order of their seeds, then in the generator's order."""
    pool = Pool(coarse_scene, 2, seed=0)
    try:
        scenes = pool.scenes(np.random.default_rng(0))
        seen = [next(scenes) for _ in range(4)]
    finally:
        pool.close()
    first = coarse_scene(FIRST_TRAINING_SEED)
    assert np.array_equal(seen[0].image, first.image)
    assert np.array_equal(seen[0].labels, first.labels)
    assert not np.array_equal(seen[1].image, first.image)
    assert {id(one) for one in seen[:2]} == {id(one) for one in seen[2:]}


def test_a_short_scan_is_blank_at_both_ends(painted: Scene) -> None:
    """Some patches lose slices as nnU-Net pads short scans: zeros there, no labels, the middle untouched."""
    drawn = [coarse_sample(painted, np.random.default_rng(seed)) for seed in range(40)]
    blank = [(sample.image[0] == 0).all(axis=(1, 2)) for sample in drawn]
    short = [index for index, slices in enumerate(blank) if slices.any()]
    assert 1 <= len(short) <= 15
    for index in short:
        (kept,) = np.nonzero(~blank[index])
        assert kept.size == kept[-1] - kept[0] + 1
        assert abs(int(kept[0]) - int(PATCH[0] - 1 - kept[-1])) <= 1
        assert not drawn[index].labels[:, blank[index]].any()
        assert drawn[index].labels[:, kept].any()
