from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from node.phantom import Anatomy, Grid, Rendering, Structure, covering_grid, render
from node.phantom.noise import noise_slice


def test_shapes_and_types(small_rendering: Rendering, small_grid: Grid) -> None:
    """int16 HU, uint8 labels, bool bodies, all on the grid asked for; labels are known values."""
    assert small_rendering.hu.shape == small_rendering.labels.shape == small_grid.shape
    assert small_rendering.vertebral_bodies.shape == small_grid.shape
    assert (small_rendering.hu.dtype, small_rendering.labels.dtype) == (np.int16, np.uint8)
    assert small_rendering.vertebral_bodies.dtype == np.bool_
    above = {int(Structure.VERTEBRA_T8)}  # this grid ends below it
    assert set(np.unique(small_rendering.labels)) | above == {int(structure) for structure in Structure}


def test_the_same_seed_gives_the_same_picture(standard: Anatomy, small_grid: Grid, small_rendering: Rendering) -> None:
    """Equal voxel by voxel for the same seed; other noise, but the same labels, for another."""
    again = render(standard, small_grid, seed=3, noise_sd_hu=12.0)
    other = render(standard, small_grid, seed=4, noise_sd_hu=12.0)
    assert np.array_equal(again.hu, small_rendering.hu)
    assert np.array_equal(other.labels, small_rendering.labels)
    assert not np.array_equal(other.hu, small_rendering.hu)


def test_a_part_of_the_grid_shows_a_part_of_the_picture(standard: Anatomy) -> None:
    """Without noise, a grid that cuts the anatomy gives the same voxels as a larger one: nothing hangs on its edge."""
    whole = covering_grid(standard, spacing_mm=(4.0, 3.0, 3.0))
    z, y, x = 21, 17, 30
    part = replace(
        whole,
        slices=40,
        rows=33,
        columns=41,
        origin_mm=(float(whole.x[x]), float(whole.y[y]), float(whole.z[z])),
    )
    window = np.s_[z : z + 40, y : y + 33, x : x + 41]
    one, two = render(standard, whole, noise_sd_hu=0), render(standard, part, noise_sd_hu=0)
    assert np.abs(one.hu[window].astype(int) - two.hu).max() <= 1
    assert np.array_equal(one.labels[window], two.labels)
    assert np.array_equal(one.vertebral_bodies[window], two.vertebral_bodies)


def test_left_is_left(standard: Anatomy, small_rendering: Rendering) -> None:
    """LPS: the left muscle, kidney and spleen have larger x than the right ones and the liver; up is superior."""
    grid = small_rendering.grid

    def centre(structure: Structure) -> tuple[float, float, float]:
        z, y, x = ndimage.center_of_mass(small_rendering.labels == structure)
        dz, dy, dx = grid.spacing_mm
        return grid.origin_mm[0] + x * dx, grid.origin_mm[1] + y * dy, grid.origin_mm[2] + z * dz

    middle = standard.vertebra(Structure.VERTEBRA_L3).body.knots[0].x
    for left in (Structure.PSOAS_LEFT, Structure.KIDNEY_LEFT, Structure.LUNG_LEFT, Structure.SPLEEN, Structure.AORTA):
        assert centre(left)[0] > middle + 5
    for right in (Structure.PSOAS_RIGHT, Structure.KIDNEY_RIGHT, Structure.LUNG_RIGHT, Structure.LIVER):
        assert centre(right)[0] < middle - 5
    assert centre(Structure.VERTEBRA_T12)[2] > centre(Structure.VERTEBRA_L3)[2] > centre(Structure.VERTEBRA_S1)[2]
    assert centre(Structure.SPINAL_CANAL)[1] > centre(Structure.AORTA)[1] + 20


def test_bodies_are_vertebrae_without_their_arches(small_rendering: Rendering) -> None:
    """Each body is labelled as its vertebra, and each vertebra has an arch besides, behind the body."""
    bodies, labels = small_rendering.vertebral_bodies, small_rendering.labels
    names = [s for s in Structure if s.name.startswith("VERTEBRA_")]
    assert np.isin(labels[bodies], names).all()
    for name in (Structure.VERTEBRA_L1, Structure.VERTEBRA_L3):
        vertebra = labels == name
        arch = vertebra & ~bodies
        assert arch.any()
        assert np.argwhere(arch)[:, 1].mean() > np.argwhere(vertebra & bodies)[:, 1].mean()
        assert set(np.flatnonzero(arch.any(axis=(1, 2)))) <= set(np.flatnonzero(bodies.any(axis=(1, 2))))


def test_noise_has_exactly_the_sd_asked_for() -> None:
    """Mean 0, SD 15 at every place; neighbours are correlated, averages over blocks scatter as with white noise."""
    rng = np.random.default_rng(5)
    noise = np.stack([noise_slice(rng, 128, 128, 15.0) for _ in range(200)]).astype(np.float64)
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.std() == pytest.approx(15.0, rel=0.005)
    assert noise[:, 0, 0].std() == pytest.approx(15.0, rel=0.15)
    assert (noise[:, :, 1:] * noise[:, :, :-1]).mean() / 225 > 0.2
    blocks = noise.reshape(200, 4, 32, 4, 32).mean(axis=(2, 4))
    assert blocks.std() == pytest.approx(15.0 / 32, rel=0.1)


def test_hu_stay_within_what_is_stored(small_rendering: Rendering) -> None:
    """Air scatters below -1000 but is clipped at -1024; nothing exceeds 12 bits."""
    assert small_rendering.hu.min() == -1024
    assert small_rendering.hu.max() <= 3071
    corner = small_rendering.hu[:, :4, :4]
    assert corner.mean() == pytest.approx(-1000, abs=2)


def test_tissues_have_their_attenuation(standard: Anatomy) -> None:
    """Cortex, trabecular bone, lesions and fat can be told apart in the picture, at a fine spacing."""
    l1 = standard.vertebra(Structure.VERTEBRA_L1)
    x, y = l1.body.knots[0].x, l1.body.knots[0].y
    a, _ = l1.semi_axes_mm
    z = sum(l1.body.z_range) / 2
    grid = Grid(3, 3, 400, (0.4, 0.4, 0.2), (x - 40.0, y, z))
    row = render(standard, grid, noise_sd_hu=0).hu[1, 0]
    assert row[200] == l1.trabecular_hu
    edge = row[np.abs(np.abs(grid.x - x) - a + 0.7) < 0.15]
    assert edge.size >= 2
    assert (edge == l1.cortical_hu).all()
    lesion = standard.lesions[1]
    here = Grid(1, 1, 1, (1.0, 1.0, 1.0), (lesion.solid.x, lesion.solid.y, lesion.solid.z))
    seen = render(standard, here, noise_sd_hu=0)
    assert (seen.hu.item(), seen.labels.item()) == (lesion.hu, Structure.LESION)


def test_a_grid_of_nothing_is_air(standard: Anatomy) -> None:
    """Far above the table the picture is air and the labels are background."""
    seen = render(standard, Grid(2, 3, 4, (1.0, 1.0, 1.0), (0.0, -900.0, 0.0)), noise_sd_hu=0)
    assert (seen.hu == -1000).all()
    assert not seen.labels.any()


@pytest.mark.parametrize("spacing_mm", [(0.0, 1.0, 1.0), (1.0, -1.0, 1.0)])
def test_an_impossible_grid_is_refused(spacing_mm: tuple[float, float, float]) -> None:
    """Spacing must be positive."""
    with pytest.raises(ValueError, match="positive"):
        Grid(1, 1, 1, spacing_mm, (0.0, 0.0, 0.0))
