from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from node.phantom import Anatomy, Structure, conflicts, covering_grid, random_anatomy, standard_grid
from node.phantom.anatomy import Lesion
from node.phantom.coverage import covers
from node.phantom.grid import Grid
from node.phantom.shapes import Ellipsoid, Lobe, Stack


def inside(solid: Stack | Lobe, grid: Grid) -> np.ndarray:
    mask = np.zeros(grid.shape, dtype=bool)
    for window, _, within in covers(solid, grid):
        mask[window] |= within
    return mask


def test_every_anatomy_is_sound(standard: Anatomy, random_anatomies: list[Anatomy]) -> None:
    """No anatomy breaks a rule that its truth rests on."""
    assert [conflicts(anatomy) for anatomy in [standard, *random_anatomies]] == [[]] * 41


def test_structures_with_a_truth_share_no_voxel(standard: Anatomy, random_anatomies: list[Anatomy]) -> None:
    """Counted by solid, not by label: liver, muscles and vertebrae are disjoint, lesions too, and inside the liver."""
    for anatomy in [standard, *random_anatomies[:6]]:
        grid = covering_grid(anatomy, spacing_mm=(2.0, 2.0, 2.0))
        owners = np.zeros(grid.shape, dtype=np.uint8)
        liver = inside(anatomy.liver, grid)
        for mask in (liver, inside(anatomy.psoas_left, grid), inside(anatomy.psoas_right, grid)):
            owners += mask
        for vertebra in anatomy.vertebrae:
            owners += np.logical_or.reduce([inside(solid, grid) for solid in vertebra.solids])
        assert owners.max() == 1
        lesions = [inside(lesion.solid, grid) for lesion in anatomy.lesions]
        assert all(mask.any() and (mask <= liver).all() for mask in lesions)
        assert sum((mask.astype(int) for mask in lesions), np.zeros(grid.shape, int)).max() <= 1


def test_a_planted_conflict_is_named(standard: Anatomy) -> None:
    """Each rule is seen to be broken when it is broken."""
    lesion = standard.lesions[0]
    at = lesion.solid
    planted = {
        "psoas left": replace(standard, psoas_left=standard.psoas_left.moved(-8, 0, 0)),
        "psoas muscles": replace(standard, psoas_left=standard.psoas_right),
        "liver and VERTEBRA": replace(standard, liver=standard.liver.moved(30, 40, 0)),
        "liver and psoas right": replace(standard, liver=standard.liver.moved(0, 30, -40)),
        "leaves the liver": replace(standard, lesions=(Lesion(at.moved(-40, 0, 0), 50.0),)),
        "too close": replace(standard, lesions=(lesion, Lesion(Ellipsoid(at.x + 28, at.y, at.z, 5, 5, 5), 50.0))),
        "changes along L3": replace(standard, psoas_right=standard.psoas_right.moved(0, 0, 12)),
    }
    for word, anatomy in planted.items():
        assert any(word in conflict for conflict in conflicts(anatomy)), word


def test_the_same_seed_gives_the_same_anatomy(random_anatomies: list[Anatomy]) -> None:
    """Equal in every parameter; and no two seeds give the same."""
    assert random_anatomy(5) == random_anatomies[5]
    assert len({anatomy.liver.volume_mm3 for anatomy in random_anatomies}) == len(random_anatomies)


@pytest.mark.parametrize("count", range(7))
def test_lesions_as_many_as_asked_for(count: int) -> None:
    """0 to 6 lesions, largest first."""
    lesions = random_anatomy(11, lesions=count).lesions
    diameters = [lesion.solid.axial_diameter_mm for lesion in lesions]
    assert len(lesions) == count
    assert diameters == sorted(diameters, reverse=True)


@pytest.mark.parametrize("count", [-1, 7])
def test_too_many_lesions_are_refused(count: int) -> None:
    """More than a liver is sure to hold is the caller's mistake."""
    with pytest.raises(ValueError, match="0 to 6"):
        random_anatomy(1, lesions=count)


def test_anatomies_vary(random_anatomies: list[Anatomy]) -> None:
    """Both sexes, with and without contrast, and a wide range of sizes are among forty seeds."""
    assert {anatomy.sex for anatomy in random_anatomies} == {"F", "M"}
    assert {anatomy.contrast for anatomy in random_anatomies} == {True, False}
    heights = [anatomy.height_m for anatomy in random_anatomies]
    livers = [anatomy.liver.volume_mm3 for anatomy in random_anatomies]
    assert max(heights) - min(heights) > 0.2
    assert max(livers) > 1.4 * min(livers)
    assert all(1.4 < height < 2.0 for height in heights)


def test_the_standard_grid_holds_all(standard: Anatomy, random_anatomies: list[Anatomy]) -> None:
    """512 x 512, 150 slices or more; liver, muscles, lesions and skin lie wholly within."""
    for anatomy in [standard, *random_anatomies]:
        grid = standard_grid(anatomy)
        assert (grid.rows, grid.columns) == (512, 512)
        assert grid.slices >= 150
        boxes = [anatomy.liver.box[2], anatomy.psoas_left.z_range, anatomy.psoas_right.z_range]
        assert grid.z[0] + 10 < min(low for low, _ in boxes)
        assert grid.z[-1] - 10 > max(high for _, high in boxes)
        skin = anatomy.skin.sections(np.array([0.0]))
        assert grid.x[0] < skin.x[0] - skin.a[0]
        assert grid.x[-1] > skin.x[0] + skin.a[0]
        assert grid.y[0] < skin.y[0] - skin.b[0]
        assert grid.y[-1] > skin.y[0] + skin.b[0]


def test_liver_and_muscles_lie_under_the_skin(standard: Anatomy, random_anatomies: list[Anatomy]) -> None:
    """Nothing with a truth comes out of the body."""
    for anatomy in [standard, *random_anatomies]:
        skin = anatomy.skin.sections(np.array([0.0]))
        p = anatomy.skin.power
        points = anatomy.liver.surface(60, 60)
        for muscle in (anatomy.psoas_left, anatomy.psoas_right):
            section = muscle.sections(np.linspace(*muscle.z_range, 60))
            edges = [np.stack([section.x + dx * section.a, section.y + dy * section.b, section.x], axis=1)
                     for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]  # fmt: skip
            points = np.concatenate([points, *edges])
        level = np.abs((points[:, 0] - skin.x) / skin.a) ** p + np.abs((points[:, 1] - skin.y) / skin.b) ** p
        assert level.max() < 1


def test_standard_vertebrae_fit_slices_of_3_mm(standard: Anatomy) -> None:
    """End plates of the standard abdomen's L1 and L3 lie between slices, so a mask has exactly their height."""
    grid = standard_grid(standard)
    for structure in (Structure.VERTEBRA_L1, Structure.VERTEBRA_L3):
        for end in standard.vertebra(structure).body.z_range:
            assert (end - grid.z[0]) / 3.0 % 1.0 == pytest.approx(0.5)
