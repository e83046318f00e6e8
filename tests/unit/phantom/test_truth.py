from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from node.phantom import (
    Anatomy,
    Grid,
    Rendering,
    Structure,
    covering_grid,
    lesion_masks,
    random_anatomy,
    render,
    standard_grid,
    truth,
)

UNITS = {
    "liver.volume": "mL",
    "liver.mean_hu": "[hnsf'U]",
    "psoas.left.volume": "mL",
    "psoas.right.volume": "mL",
    "psoas.left.mean_hu": "[hnsf'U]",
    "psoas.right.mean_hu": "[hnsf'U]",
    "psoas.left.area_l3": "cm2",
    "psoas.right.area_l3": "cm2",
    "psoas.pmvi": "cm3/m3",
    "psoas.pmi": "cm2/m2",
    "l1.mean_hu": "[hnsf'U]",
    "l1.median_hu": "[hnsf'U]",
    "l1.sd_hu": "[hnsf'U]",
    "l1.volume": "mL",
    "burden.count": "1",
    "burden.max_diameter": "mm",
    "burden.tbs": "1",
}


def value(anatomy: Anatomy, key: str, noise_sd_hu: float = 0.0) -> float:
    return float(truth(anatomy, noise_sd_hu)[key]["value"])


def counted(rendering: Rendering) -> dict[str, float]:
    """Volumes and areas from the labels alone."""
    labels, grid = rendering.labels, rendering.grid
    _, dy, dx = grid.spacing_mm
    l3 = np.flatnonzero((labels == Structure.VERTEBRA_L3).any(axis=(1, 2)))
    middle = (l3[0] + l3[-1]) // 2
    found = {"liver.volume": np.isin(labels, (Structure.LIVER, Structure.LESION)).sum() * grid.voxel_ml}
    for side, name in (("left", Structure.PSOAS_LEFT), ("right", Structure.PSOAS_RIGHT)):
        found[f"psoas.{side}.volume"] = (labels == name).sum() * grid.voxel_ml
        found[f"psoas.{side}.area_l3"] = (labels[middle] == name).sum() * dy * dx / 100
    return {key: float(number) for key, number in found.items()}


def core(rendering: Rendering) -> tuple[np.ndarray, float]:
    """HU and volume [mL] of the L1 core by brute force: distances on the body's mask cut into 0.5 mm."""
    grid = rendering.grid
    mask = (rendering.labels == Structure.VERTEBRA_L1) & rendering.vertebral_bodies
    box = ndimage.find_objects(mask.astype(np.int8))[0]
    mask, hu = mask[box], rendering.hu[box]
    parts = [math.ceil(step / 0.5) // 2 * 2 + 1 for step in grid.spacing_mm]
    fine = mask
    for axis, part in enumerate(parts):
        fine = np.repeat(fine, part, axis=axis)
    steps = [step / part for step, part in zip(grid.spacing_mm, parts, strict=True)]
    distance = ndimage.distance_transform_edt(np.pad(fine, 1), sampling=steps)[1:-1, 1:-1, 1:-1]
    distance = distance[tuple(slice(part // 2, None, part) for part in parts)] - sum(steps) / 6
    height = mask.shape[0]
    central = np.abs(np.arange(height) + 0.5 - height / 2) < height / 4
    chosen = mask & (distance > 5) & central[:, None, None]
    return hu[chosen], float(chosen.sum() * grid.voxel_ml)


def test_ids_and_units_are_those_of_result_json(standard: Anatomy) -> None:
    """All numbers of issue 2's result.json that a phantom can have, in their UCUM units."""
    assert {key: item["unit"] for key, item in truth(standard, 14.0).items()} == UNITS


def test_the_standard_grid_measures_the_truth(standard: Anatomy, standard_rendering: Rendering) -> None:
    """Volumes and areas counted on 0.8 x 0.8 x 3 mm agree with the formulas within 0.5 %."""
    for key, number in counted(standard_rendering).items():
        assert number == pytest.approx(value(standard, key), rel=0.005), key


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fine_grids_measure_the_truth_of_random_anatomies(seed: int) -> None:
    """The same for random anatomies at 1 x 1 x 1.5 mm, wherever their parts lie on the grid."""
    anatomy = random_anatomy(seed)
    rendering = render(anatomy, covering_grid(anatomy, spacing_mm=(1.5, 1.0, 1.0)), noise_sd_hu=0.0)
    for key, number in counted(rendering).items():
        assert number == pytest.approx(value(anatomy, key), rel=0.005), key
    for mask, lesion in zip(lesion_masks(rendering), anatomy.lesions, strict=True):
        volume = lesion.solid.volume_mm3 / 1000
        assert mask.sum() * rendering.grid.voxel_ml == pytest.approx(volume, rel=0.01, abs=0.02)


@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0, 3.0), (6.0, 6.0, 6.0), (5.0, 1.5, 1.5)])
def test_coarse_grids_come_close(standard: Anatomy, spacing_mm: tuple[float, float, float]) -> None:
    """Training grids keep liver and muscle volumes within 2 %."""
    rendering = render(standard, covering_grid(standard, spacing_mm=spacing_mm), noise_sd_hu=0.0)
    for key, number in counted(rendering).items():
        if key.endswith("volume"):
            assert number == pytest.approx(value(standard, key), rel=0.02), key


def test_the_area_at_l3_hangs_on_no_slice(random_anatomies: list[Anatomy]) -> None:
    """Every height of the L3 body gives the same muscle area."""
    for anatomy in random_anatomies:
        low, high = anatomy.vertebra(Structure.VERTEBRA_L3).body.z_range
        for side, muscle in (("left", anatomy.psoas_left), ("right", anatomy.psoas_right)):
            areas = [muscle.area_mm2(float(z)) / 100 for z in np.linspace(low, high, 7)]
            assert areas == pytest.approx([value(anatomy, f"psoas.{side}.area_l3")] * 7, rel=1e-12)


def test_indices_follow_from_volumes_areas_and_height(random_anatomies: list[Anatomy]) -> None:
    """PMVI = (VL + VR) / h^3, PMI = (AL + AR) / h^2, TBS = sqrt(D_cm^2 + n^2)."""
    for anatomy in random_anatomies[:10]:
        h = anatomy.height_m
        sides = ("left", "right")
        volume = sum(value(anatomy, f"psoas.{side}.volume") for side in sides)
        area = sum(value(anatomy, f"psoas.{side}.area_l3") for side in sides)
        assert value(anatomy, "psoas.pmvi") == pytest.approx(volume / h**3)
        assert value(anatomy, "psoas.pmi") == pytest.approx(area / h**2)
        if anatomy.lesions:
            diameter = value(anatomy, "burden.max_diameter")
            expected = math.sqrt((diameter / 10) ** 2 + len(anatomy.lesions) ** 2)
            assert value(anatomy, "burden.tbs") == pytest.approx(expected)


def test_without_lesions_nothing_is_made_up() -> None:
    """No lesion: the count is 0, and there is no diameter, no score, and no liver but liver tissue."""
    anatomy = random_anatomy(4, lesions=0)
    numbers = truth(anatomy, 10.0)
    assert numbers["burden.count"]["value"] == 0
    assert "burden.max_diameter" not in numbers
    assert "burden.tbs" not in numbers
    assert numbers["liver.mean_hu"]["value"] == anatomy.liver_hu


def test_the_largest_diameter_is_seen_in_an_axial_slice(standard: Anatomy, standard_rendering: Rendering) -> None:
    """The widest extent of the largest lesion on any slice is the stated diameter, to a pixel."""
    mask = lesion_masks(standard_rendering)[0]
    widths = [float(np.ptp(np.flatnonzero(plane.any(axis=0))) + 1) * 0.8 for plane in mask if plane.any()]
    assert max(widths) == pytest.approx(value(standard, "burden.max_diameter"), abs=0.81)


def test_mean_attenuation_without_partial_volume(standard: Anatomy) -> None:
    """Away from surfaces, liver and muscles have exactly their HU; the whole liver's mean is a few HU lower.

    The truth is that of the tissue: a mask that reaches to the surface measures partial volume as well.
    """
    rendering = render(standard, covering_grid(standard, spacing_mm=(3.0, 1.5, 1.5)), noise_sd_hu=0.0)
    labels, hu = rendering.labels, rendering.hu
    for name, expected in (
        (Structure.LIVER, standard.liver_hu),
        (Structure.PSOAS_LEFT, standard.psoas_left_hu),
        (Structure.PSOAS_RIGHT, standard.psoas_right_hu),
    ):
        inner = ndimage.binary_erosion(labels == name, np.ones((3, 3, 3)), iterations=2)
        assert inner.sum() > 1000
        assert np.unique(hu[inner]) == pytest.approx([expected])
    liver = hu[np.isin(labels, (Structure.LIVER, Structure.LESION))].mean()
    assert -6 < liver - value(standard, "liver.mean_hu") < 0


def test_the_l1_core_of_the_standard_abdomen(standard: Anatomy, standard_rendering: Rendering) -> None:
    """Under noise of SD 20 the core found by brute force has the stated mean and SD (1 HU) and volume (5 %)."""
    hu, volume = core(standard_rendering)
    assert hu.mean() == pytest.approx(value(standard, "l1.mean_hu"), abs=1.0)
    assert np.median(hu) == pytest.approx(value(standard, "l1.median_hu"), abs=1.5)
    assert hu.std() == pytest.approx(20.0, abs=1.0)
    assert volume == pytest.approx(value(standard, "l1.volume"), rel=0.05)


@pytest.mark.parametrize("seed", [0, 3, 4, 8])
def test_the_l1_core_lies_in_trabecular_bone(seed: int) -> None:
    """On 0.3 mm voxels, without noise: every voxel of the core is trabecular bone, and the volume is right to 2.5 %.

    Slices are an exact part of the body's height, so that its central half is a whole number of them.
    """
    anatomy = random_anatomy(seed, lesions=0)
    l1 = anatomy.vertebra(Structure.VERTEBRA_L1)
    (a, b), spot, low = l1.semi_axes_mm, l1.body.knots[0], l1.body.z_range[0]
    step = l1.height_mm / 64
    origin = (spot.x - a - 2, spot.y - b - 2, low - 1.5 * step)
    rows, columns = (math.ceil((2 * axis + 4) / 0.3) for axis in (b, a))
    rendering = render(anatomy, Grid(68, rows, columns, (step, 0.3, 0.3), origin), noise_sd_hu=0.0)
    hu, volume = core(rendering)
    assert np.unique(hu).tolist() == [value(anatomy, "l1.mean_hu")]
    assert volume == pytest.approx(value(anatomy, "l1.volume"), rel=0.025)


def test_standard_grid_of_a_random_anatomy_reads_as_its_own(random_anatomies: list[Anatomy]) -> None:
    """A random anatomy on its standard grid: volumes within 0.5 %."""
    anatomy = random_anatomies[9]
    rendering = render(anatomy, standard_grid(anatomy), noise_sd_hu=0.0)
    for key, number in counted(rendering).items():
        assert number == pytest.approx(value(anatomy, key), rel=0.005), key
