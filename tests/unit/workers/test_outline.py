from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from workers.records import Mask, Region
from workers.report.outline import inside, outline

planes = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7)).filter(np.any)


def trace(plane: Mask, start: tuple[int, int] = (0, 0)) -> np.ndarray:
    region = Region((4, *start), plane[None])
    points = outline(region, 4)
    assert points is not None
    return points


def enclosed(points: np.ndarray) -> float:
    """Area inside a closed polygon, signed, by the shoelace formula: positive clockwise as rows grow downwards."""
    x, y = points[:, 0], points[:, 1]
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def filled_parts(plane: Mask) -> list[Mask]:
    """The parts of a mask whose pixels share edges, without their holes, largest first (before filling)."""
    parts, count = ndimage.label(plane)
    found = [parts == number for number in range(1, count + 1)]
    largest = max(part.sum() for part in found)
    return [ndimage.binary_fill_holes(part) for part in found if part.sum() == largest]


@given(plane=planes, start=st.tuples(st.integers(0, 500), st.integers(0, 500)))
@settings(max_examples=120, deadline=None)
def test_the_polygon_encloses_the_filled_part_pixel_by_pixel(plane: Mask, start: tuple[int, int]) -> None:
    """Its area is the count of pixels of the largest part with holes filled, and each pixel lies on its side."""
    points = trace(plane, start) - [start[1], start[0]]
    part = next(part for part in filled_parts(plane) if part.sum() == enclosed(points))
    for (row, column), within in np.ndenumerate(part):
        x, y = column + 0.5, row + 0.25
        crossings = 0
        for (x0, y0), (x1, y1) in pairwise(points):
            crossings += x0 == x1 and x0 > x and min(y0, y1) < y < max(y0, y1)
        assert crossings % 2 == within


@given(plane=planes)
@settings(max_examples=100, deadline=None)
def test_the_polygon_is_closed_and_long_enough_and_runs_along_pixel_edges(plane: Mask) -> None:
    """First point is last, 6 points or more (OHIF takes 4 or 5 for its own rectangle), each step along an edge."""
    points = trace(plane)
    assert points[0].tolist() == points[-1].tolist()
    assert len(points) >= 6
    steps = np.diff(points, axis=0)
    assert ((steps == 0).sum(axis=1) == 1).all()
    across = np.where(steps == 0, points[:-1], 0.0)
    assert (across == np.rint(across)).all()


def test_a_single_pixel_has_its_four_corners() -> None:
    """The least mask: a unit square at the pixel's own corners, with a point too many so that it stays ours."""
    points = trace(np.ones((1, 1), dtype=bool), start=(7, 3))
    assert enclosed(points) == 1
    assert {tuple(point) for point in points.tolist()} >= {(3, 7), (4, 7), (4, 8), (3, 8)}
    assert len(points) >= 6


@pytest.mark.parametrize(
    ("rows", "area"),
    [
        (["##..", "##..", "..##"], 4),  # two parts that touch by a corner are two parts: the larger counts
        (["###", "#.#", "###"], 9),  # a hole is filled
        (["####", "#.#.", "###."], 10),  # here too, though its neighbour at the corner lies outside
        (["###.", "#..#", "####"], 11),  # a ring that closes by a corner alone encloses its hole too
    ],
)
def test_corners_and_holes(rows: list[str], area: int) -> None:
    """What touches by a corner only, and what is enclosed, by hand."""
    plane = np.array([[sign == "#" for sign in row] for row in rows])
    assert enclosed(trace(plane)) == area


def test_no_outline_where_nothing_is() -> None:
    """A slice outside the region, and one inside without a pixel, have none."""
    mask = np.zeros((3, 2, 2), dtype=bool)
    mask[0, 0, 0] = mask[2, 1, 1] = True
    region = Region((5, 0, 0), mask)
    assert outline(region, 4) is None
    assert outline(region, 6) is None
    assert outline(region, 7) is not None


@given(plane=planes, start=st.tuples(st.integers(0, 500), st.integers(0, 500)))
@settings(max_examples=100, deadline=None)
def test_the_mark_of_a_region_lies_in_the_middle_of_one_of_its_pixels(plane: Mask, start: tuple[int, int]) -> None:
    """`inside` is the centre of a pixel of the mask, as deep as any."""
    found = inside(Region((4, *start), plane[None]), 4)
    assert found is not None
    column, row = found[0] - start[1] - 0.5, found[1] - start[0] - 0.5
    depth = ndimage.distance_transform_edt(np.pad(plane, 1))[1:-1, 1:-1]
    assert (column, row) == (int(column), int(row))
    assert depth[int(row), int(column)] == depth.max()
    assert inside(Region((4, *start), plane[None]), 5) is None
