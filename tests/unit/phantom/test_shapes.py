from __future__ import annotations

import math

import numpy as np
import pytest

from node.phantom.anatomy import apart, clear_of, holds, separate
from node.phantom.coverage import covers
from node.phantom.grid import Grid
from node.phantom.shapes import Column, Ellipsoid, Knot, Lobe, Stack, cylinder
from node.phantom.truth import covered_volume_mm3, perimeter_mm

WAVY = Column((Knot(-40, 3, 2, 0, 0.8), Knot(-10, 9, -4, 900, 0.9, 0.4), Knot(25, -6, 5, 500, 1.4), Knot(50, 0, 0, 40)))
LEANING = Ellipsoid(4, -3, 2, 21, 33, 40, angle=0.6, lean_x=0.3, lean_y=-0.2)
BENT = Lobe(2, -1, 3, 60, 35, 45, taper_y=0.5, taper_z=0.3, sweep=20, bow=5, rise=10, tilt=0.4)


def box_around(half_mm: float, spacing_mm: tuple[float, float, float]) -> Grid:
    counts = [math.ceil(2 * half_mm / step) + 1 for step in spacing_mm]
    return Grid(counts[0], counts[1], counts[2], spacing_mm, (-half_mm, -half_mm, -half_mm))


@pytest.mark.parametrize("solid", [WAVY, LEANING, BENT], ids=["column", "ellipsoid", "lobe"])
def test_the_closed_form_of_a_volume_is_what_counting_finds(solid: Stack | Lobe) -> None:
    """Voxel centres inside, on a fine grid, fill the volume that the formula states (0.2 %)."""
    grid = box_around(100.0, (0.9, 0.7, 0.8))
    counted = sum(int(inside.sum()) for _, _, inside in covers(solid, grid)) * grid.voxel_ml
    assert counted == pytest.approx(solid.volume_mm3 / 1000, rel=0.002)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (3.0, 0.8, 0.8), (6.0, 6.0, 6.0), (5.0, 3.0, 2.0)])
@pytest.mark.parametrize("solid", [WAVY, LEANING, BENT], ids=["column", "ellipsoid", "lobe"])
def test_partial_volume_adds_up_to_the_whole(solid: Stack | Lobe, spacing_mm: tuple[float, float, float]) -> None:
    """Covered parts of voxels sum to the exact volume even on coarse grids: the ramp has no bias."""
    grid = box_around(102.0, spacing_mm)
    total = sum(float(cover.sum(dtype=np.float64)) for _, cover, _ in covers(solid, grid)) * grid.voxel_ml
    assert total == pytest.approx(solid.volume_mm3 / 1000, rel=0.01 if min(spacing_mm) > 5 else 0.003)


def test_cover_is_exact_for_a_flat_end_and_a_straight_border() -> None:
    """A voxel cut by a flat end, or by a border along y, is covered by exactly the part that lies inside."""
    slab = cylinder(0.0, 0.0, 1e4, 1e4, -10.0, 3.25)
    grid = Grid(8, 1, 1, (3.0, 1.0, 1.0), (0.0, 0.0, -12.0))
    column = np.zeros(grid.shape)
    for window, cover, _ in covers(slab, grid):
        column[window] = cover
    assert column[:, 0, 0] == pytest.approx([0, 2.5 / 3, 1, 1, 1, 1.75 / 3, 0, 0], abs=1e-5)
    wall = cylinder(-1e5, 0.0, 1e5 + 0.3, 1e6, -50.0, 50.0)
    row = np.zeros((1, 1, 5))
    for window, cover, _ in covers(wall, Grid(1, 1, 5, (1.0, 1.0, 1.0), (-2.0, 0.0, 0.0))):
        row[window] = cover
    assert row[0, 0] == pytest.approx([1, 1, 0.8, 0, 0], abs=0.01)


def test_a_part_of_a_column_has_an_exact_volume() -> None:
    """Parts add up to the whole, and a part agrees with a fine sum of areas."""
    parts = covered_volume_mm3(WAVY, -100, 7.0) + covered_volume_mm3(WAVY, 7.0, 100)
    assert parts == pytest.approx(WAVY.volume_mm3, rel=1e-12)
    heights = np.arange(-22.0, 31.0, 0.01) + 0.005
    summed = float((WAVY.sections(heights).a * WAVY.sections(heights).b).sum() * math.pi * 0.01)
    assert covered_volume_mm3(WAVY, -22.0, 31.0) == pytest.approx(summed, rel=1e-5)


def test_perimeter_of_an_ellipse() -> None:
    """A circle's is 2 pi r; an ellipse's agrees with Ramanujan's second approximation, which is good to 1e-8 here."""
    assert perimeter_mm(7.0, 7.0) == pytest.approx(14 * math.pi, rel=1e-14)
    a, b = 22.0, 16.0
    h = ((a - b) / (a + b)) ** 2
    ramanujan = math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
    assert perimeter_mm(a, b) == pytest.approx(ramanujan, rel=1e-7)


def test_what_touches_is_told_from_what_does_not() -> None:
    """The tests of distance see a gap that is too small, one inside the other, and a lesion that pokes out."""
    one = cylinder(0, 0, 20, 10, 0, 30)
    assert apart(one, cylinder(41.5, 0, 20, 10, 0, 30), 1.0)
    assert not apart(one, cylinder(40.5, 0, 20, 10, 0, 30), 1.0)
    assert apart(one, cylinder(40.5, 0, 20, 10, 31, 60), 1.0)
    assert not apart(one, cylinder(0, 0, 2, 2, 0, 30), 1.0)
    assert not apart(cylinder(0, 0, 2, 2, 0, 30), one, 1.0)
    assert not clear_of(BENT, cylinder(0, 0, 3, 3, -10, 10), 1.0)
    assert clear_of(BENT, cylinder(90, 0, 3, 3, -10, 10), 1.0)
    assert holds(BENT, Ellipsoid(0, 0, 0, 9, 9, 9), 3.0)
    assert not holds(BENT, Ellipsoid(0, 30, 0, 9, 9, 9), 3.0)
    assert not separate(Ellipsoid(0, 0, 0, 9, 9, 9), Ellipsoid(20, 0, 0, 8, 8, 8), 8.0)


@pytest.mark.parametrize("knots", [(Knot(0, 0, 0, 1),), (Knot(0, 0, 0, 1), Knot(0, 0, 0, 1))])
def test_a_column_without_height_is_refused(knots: tuple[Knot, ...]) -> None:
    """One knot, or two at the same height, enclose nothing."""
    with pytest.raises(ValueError, match="ascending"):
        Column(knots)
