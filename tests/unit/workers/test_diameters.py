import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_arrays import box, geometry, places, tilted

from node.core.grid import Geometry
from workers.measurement import diameters
from workers.records import Mask, Region

SHAPE = (14, 30, 36)
SPACING = (3.0, 0.8, 0.9)
UPRIGHT = geometry(SHAPE, SPACING)
OBLIQUE = replace(
    UPRIGHT, row_step_mm=(-0.48, 0.64, 0.0), column_step_mm=(0.72, 0.54, 0.0), slice_step_mm=(0.0, 0.0, 3.0)
)
SHEARED = tilted(SHAPE, 3.0, 0.8, 0.9, 20.0, turned=10.0)
FLIPPED = replace(UPRIGHT, row_step_mm=(0.0, -0.8, 0.0))
vectors = st.tuples(*[st.floats(-3, 3, allow_subnormal=False)] * 3)


def region(mask: Mask) -> Region:
    """Return a mask, uncropped, as a region that does not begin at the first voxel."""
    return Region((2, 3, 4), mask)


def grid(shape: tuple[int, int, int], *steps: tuple[float, float, float]) -> Geometry:
    return Geometry(shape, (5.0, -7.0, 11.0), *steps, "1.2.3")


def longest(points: np.ndarray) -> float:
    """Compare every pair of points."""
    return float(np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1)).max())


@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=7)).filter(np.any), steps=st.data())
@settings(max_examples=200, deadline=None)
def test_diameters_are_those_of_all_pairs(mask: Mask, steps: st.DataObject) -> None:
    """On any grid, sheared ones too, the largest distance between two voxel centres, by comparing every pair."""
    where = grid(mask.shape, *(steps.draw(vectors) for _ in range(3)))
    centres = np.argwhere(mask) @ where.affine[:3, :3].T
    assert diameters.spatial(region(mask), where) == pytest.approx(longest(centres), abs=1e-9)
    on_slices = [longest(np.argwhere(plane) @ where.affine[:3, 1:3].T) if plane.any() else 0.0 for plane in mask]
    found = diameters.axial(region(mask), where)
    assert found.length_mm == pytest.approx(max(on_slices), abs=1e-9)
    assert on_slices[found.slice - 2] == pytest.approx(found.length_mm, abs=1e-9)
    ends = np.asarray(found.ends) - (3, 4)
    assert all(mask[found.slice - 2, row, column] for row, column in ends)
    assert longest(ends @ where.affine[:3, 1:3].T) == pytest.approx(found.length_mm, abs=1e-9)


def random_plane(rng: np.random.Generator) -> Mask:
    """Return voxels of one plane through a small volume: that of any two small steps, seen through its middle."""
    one, other = rng.integers(-2, 3, (2, 3))
    offsets = rng.integers(-2, 3, (12, 2)) @ np.stack([one, other])
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[tuple((offsets + 4)[(np.abs(offsets) <= 4).all(axis=1)].T)] = True
    mask[4, 4, 4] = True
    return mask


@pytest.mark.parametrize("seed", range(40))
def test_what_is_flat_has_its_diameter_too(seed: int) -> None:
    """Voxels of a plane or of a line, at any slant, are no body that a hull could be built of."""
    mask = random_plane(np.random.default_rng(seed))
    centres = np.argwhere(mask) @ SHEARED.affine[:3, :3].T
    assert np.linalg.matrix_rank(np.argwhere(mask) - np.argwhere(mask)[0]) < 3
    assert diameters.spatial(region(mask), SHEARED) == pytest.approx(longest(centres), abs=1e-9)


@pytest.mark.parametrize(
    ("part", "axial_mm", "spatial_mm"),
    [
        ((slice(5, 6), slice(5, 6), slice(5, 6)), 0.0, 0.0),
        ((slice(5, 6), slice(5, 6), slice(5, 15)), 9 * 0.9, 9 * 0.9),
        ((slice(5, 9), slice(5, 6), slice(5, 6)), 0.0, 9.0),
        ((slice(5, 6), slice(5, 15), slice(5, 15)), math.hypot(7.2, 8.1), math.hypot(7.2, 8.1)),
        ((slice(5, 9), slice(5, 15), slice(5, 15)), math.hypot(7.2, 8.1), math.hypot(7.2, 8.1, 9.0)),
    ],
    ids=["voxel", "row", "column of slices", "plane", "box"],
)
@pytest.mark.parametrize("where", [UPRIGHT, OBLIQUE, FLIPPED], ids=["upright", "oblique", "flipped"])
def test_boxes_are_as_long_as_their_diagonals(
    part: tuple[slice, slice, slice], axial_mm: float, spatial_mm: float, where: Geometry
) -> None:
    """From centre to centre, however the grid lies in the patient."""
    boxed = Region.of(box(SHAPE, *part))
    assert boxed is not None
    assert diameters.axial(boxed, where).length_mm == pytest.approx(axial_mm)
    assert diameters.spatial(boxed, where) == pytest.approx(spatial_mm)


@pytest.mark.parametrize("where", [UPRIGHT, OBLIQUE, SHEARED], ids=["upright", "oblique", "sheared"])
def test_a_ball_is_as_wide_as_it_is(where: Geometry) -> None:
    """24 mm in the patient, whatever the grid: short by less than the diagonal of a voxel, and never too long."""
    at = places(where)
    centre = at.reshape(3, -1).mean(axis=1)
    ball = Region.of(((at - centre[:, None, None, None]) ** 2).sum(axis=0) <= 12.0**2)
    assert ball is not None
    diagonal_mm = math.hypot(*SPACING[1:])
    assert 24 - diagonal_mm <= diameters.axial(ball, where).length_mm <= 24
    assert 24 - math.hypot(*SPACING) <= diameters.spatial(ball, where) <= 24


def test_the_axial_diameter_is_that_of_the_widest_slice_and_never_across_slices() -> None:
    """A lesion that leans over many slices is as wide as its widest slice; in space it is longer."""
    mask = np.zeros(SHAPE, dtype=bool)
    for index in range(2, 12):
        mask[index, 10:14, index : index + (6 if index == 5 else 4)] = True
    leaning = Region.of(mask)
    assert leaning is not None
    found = diameters.axial(leaning, UPRIGHT)
    assert (found.length_mm, found.slice) == (pytest.approx(math.hypot(3 * 0.8, 5 * 0.9)), 5)
    assert set(found.ends) in ({(10, 5), (13, 10)}, {(13, 5), (10, 10)})
    assert diameters.spatial(leaning, UPRIGHT) == pytest.approx(math.hypot(9 * 3.0, 3 * 0.8, 12 * 0.9))
