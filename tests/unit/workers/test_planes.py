"""Pictures are turned as radiologists expect them, in true proportions, and outlines lie on the edges of masks."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_arrays import acquisition, geometry, places, tilted
from made_series import LAYOUTS, header
from scipy import ndimage
from solids import Cylinder, Ellipsoid, mask

from node.core import grid
from node.core.grid import Geometry
from node.core.records import Candidate
from workers.records import Mask, Region, Volume
from workers.report.key_images import planes
from workers.report.key_images.canvas import SIZE, Canvas
from workers.report.key_images.panel import ABDOMEN, Area, Panel
from workers.report.key_images.planes import Plane

PAGE = Area(0, 0, SIZE, SIZE)
GREEN = (0, 255, 0)
SHAPE = (14, 18, 22)
Cut = Callable[[Geometry, list[float]], Plane]
CUTS: dict[str, Cut] = {
    "axial": lambda one, voxel: planes.axial(one, round(voxel[0])),
    "sagittal": planes.sagittal,
    "coronal": planes.coronal,
}
LETTERS = {"axial": ("R", "L", "A", "P"), "sagittal": ("A", "P", "H", "F"), "coronal": ("R", "L", "H", "F")}
# Of each picture, the axis of the patient that goes to the right and the one that goes down, and whether towards +.
AXES = {"axial": ((0, 1), (1, 1)), "sagittal": ((1, 1), (2, -1)), "coronal": ((0, 1), (2, -1))}


def grid_of(layout: str) -> Geometry:
    """Return the grid that the headers of a layout make, or that of a tilted gantry."""
    if layout == "tilted":
        return tilted(SHAPE, 3.0, 0.8, 0.7, 20.0)
    found = [grid.plane(header(LAYOUTS[layout], index, SHAPE)) for index in range(SHAPE[0])]
    return grid.stack([one for one in found if one], spacing_tolerance=0.01, minimum_slices=2).geometry


def volume_of(one: Geometry, hu: np.ndarray | None = None) -> Volume:
    values = np.zeros(one.shape, np.int16) if hu is None else hu
    return Volume(values, one, Candidate("1.2.3.4", "", "", ()), (), acquisition())


def middle(one: Geometry) -> list[float]:
    return [float((size - 1) // 2) for size in one.shape]


@pytest.mark.parametrize(("layout", "cut"), list(product([*LAYOUTS, "tilted"], CUTS)))
def test_the_patients_directions_are_where_a_radiologist_expects_them(layout: str, cut: str) -> None:
    """Marks at the patient's left, back and head are seen on the right, below and above, however the grid lies."""
    one = grid_of(layout)
    plane = CUTS[cut](one, middle(one))
    at = planes.place(one, middle(one))
    here = plane.spot(at)
    (across, right), (along, down) = AXES[cut]
    for axis, wanted, direction in ((across, 1, right), (along, 0, down)):
        moved = list(at)
        moved[axis] += 5.0
        assert (plane.spot(moved)[wanted] - here[wanted]) * direction > 1, (layout, cut, axis)
    assert 0 <= here[0] < plane.rows
    assert 0 <= here[1] < plane.columns


@pytest.mark.parametrize(("layout", "cut"), list(product([*LAYOUTS, "tilted"], CUTS)))
def test_a_mark_in_the_volume_is_seen_where_it_lies(layout: str, cut: str) -> None:
    """The brightest sample of a picture is that of the only bright voxel, at the patient's left, back and head."""
    one = grid_of(layout)
    spots = places(one)
    score = sum((spots[axis] - spots[axis].mean()) / np.ptp(spots[axis]) for axis in range(3))
    inner = np.zeros(one.shape, dtype=bool)
    inner[2:-2, 2:-2, 2:-2] = True
    voxel = np.unravel_index(int(np.where(inner, score, -9).argmax()), one.shape)
    hu = np.zeros(one.shape, np.int16)
    hu[tuple(slice(at - 1, at + 2) for at in voxel)] = 50
    hu[voxel] = 1000
    seen = CUTS[cut](one, [float(at) for at in voxel]).values(hu, outside=0)
    row, column = np.unravel_index(int(seen.argmax()), seen.shape)
    assert seen.max() > 500
    upright = cut != "axial"
    assert column > seen.shape[1] / 2
    assert row < seen.shape[0] / 2 if upright else row > seen.shape[0] / 2


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "oblique"])
def test_letters_name_the_edges(layout: str, cut: str) -> None:
    """R left, L right, A above, P below of an axial picture, whatever the order of rows and columns."""
    one = grid_of(layout)
    assert CUTS[cut](one, middle(one)).letters == LETTERS[cut]


def test_letters_of_an_oblique_slice_name_every_direction_that_it_is_turned_to() -> None:
    """A slice that is turned about two axes says so; one that is turned by less than 12 degrees does not."""
    left, right, top, bottom = planes.axial(grid_of("oblique"), 3).letters
    assert (left, right) == ("RA", "LP")
    assert (top[0], bottom[0]) == ("A", "P")
    assert set(top) == {"A", "L", "F"}
    assert set(bottom) == {"P", "R", "H"}
    assert planes.axial(tilted(SHAPE, 3.0, 0.8, 0.7, 10.0), 3).letters == ("R", "L", "A", "P")


@pytest.mark.parametrize("layout", [*LAYOUTS, "tilted"])
def test_an_axial_picture_is_the_slice_itself(layout: str) -> None:
    """No value is made: the samples are the slice's own, turned and flipped."""
    one = grid_of(layout)
    hu = np.random.default_rng(3).integers(-1000, 1000, one.shape).astype(np.int16)
    seen = planes.axial(one, 4).values(hu, outside=0)
    turned = [np.rot90(side, times) for side in (hu[4], hu[4].T) for times in range(4)]
    assert any(seen.shape == side.shape and (seen == side).all() for side in turned)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("spacing_mm", [(5.0, 0.8, 0.8), (1.0, 1.4, 0.7), (2.5, 0.6, 1.1)])
def test_a_ball_is_round_and_as_large_as_it_is(cut: str, spacing_mm: tuple[float, float, float]) -> None:
    """Whatever the spacing, its outline is as high as wide, and has its diameter in millimetres."""
    radius_mm = 30.0
    shape = tuple(int(2 * (radius_mm + 12) / step) for step in spacing_mm)
    one = geometry(shape, spacing_mm)  # type: ignore[arg-type]
    centre = [(size - 1) / 2 * step for size, step in zip(shape, spacing_mm, strict=True)]
    ball = Region.of(mask(Ellipsoid((centre[2], centre[1], centre[0]), (radius_mm,) * 3), one))
    assert ball is not None
    canvas = Canvas()
    panel = Panel(canvas, PAGE, CUTS[cut](one, [float(size // 2) for size in shape]), volume_of(one), ABDOMEN)
    assert panel.outline(ball, GREEN)
    rows, columns = np.nonzero((np.asarray(canvas.image) == GREEN).all(axis=-1))
    sample = max(panel.plane.spacing_mm) * panel.scale
    for extent in (np.ptp(rows), np.ptp(columns)):
        assert extent == pytest.approx(2 * radius_mm * panel.scale, abs=sample + 3)
    assert panel.area.width / panel.area.height == pytest.approx(
        panel.plane.columns * panel.plane.spacing_mm[1] / (panel.plane.rows * panel.plane.spacing_mm[0]), rel=0.01
    )


def test_a_column_stands_upright_in_a_tilted_scan() -> None:
    """Slices of a tilted gantry are sheared: what stands along the body is upright in both upright pictures."""
    one = tilted((40, 60, 60), 2.0, 1.0, 1.0, 25.0)
    hu = np.where(mask(Cylinder((0, 0, 0), 8, 60, (0, 0)), one), 1000, 0).astype(np.int16)
    for cut in ("sagittal", "coronal"):
        plane = CUTS[cut](one, [19.5, 29.5, 29.5])
        seen = plane.values(hu, outside=0) > 500
        centres = [float(np.flatnonzero(row).mean()) for row in seen if row.any()][2:-2]
        assert len(centres) > 20
        assert np.ptp(centres) * plane.spacing_mm[1] < 1.5


def edge_distance(inside: Mask, scale: int) -> np.ndarray:
    """Return how far each page pixel is from the edge between samples inside and outside, in samples."""
    fine = np.kron(inside, np.ones((scale, scale), dtype=bool))
    into, out_of = ndimage.distance_transform_edt(fine), ndimage.distance_transform_edt(~fine)
    away: np.ndarray = np.maximum(into, out_of) / scale - 0.5 / scale
    return away


SPOTTED = hnp.arrays(bool, (8, 9)).filter(np.any)
SMOOTH = hnp.arrays(np.float64, (3, 3), elements=st.floats(0, 1)).map(
    lambda heights: ndimage.zoom(heights, (4, 5), order=1) > np.median(heights)
).filter(np.any)  # fmt: skip


@given(inside=st.one_of(SPOTTED, SMOOTH))
@settings(max_examples=50, deadline=None)
def test_an_outline_lies_on_the_edge_of_its_mask(inside: Mask) -> None:
    """No pixel of a line is more than one sample from the edge, and no edge is without a line nearby.

    Of a corner voxel that smoothing takes off, the outer corner is the diagonal of a sample away.
    """
    scale, margin = 16, 4
    whole = np.pad(inside, margin)[None]
    one = geometry(whole.shape, (1.0, 1.0, 1.0))
    region = Region.of(whole)
    assert region is not None
    canvas = Canvas(texts=[])
    panel = Panel(canvas, Area(0, 0, whole.shape[2] * scale, whole.shape[1] * scale), planes.axial(one, 0),
                  volume_of(one), ABDOMEN)  # fmt: skip
    assert panel.outline(region, GREEN)
    colours = np.asarray(canvas.image).astype(int)[: panel.area.height, : panel.area.width]
    drawn = colours[..., 1] - colours[..., 0] > 150
    away = edge_distance(whole[0], scale)
    assert away[drawn].max() <= 1.0
    from_line = ndimage.distance_transform_edt(~drawn) / scale
    assert from_line[away <= 1 / scale].max() <= 1.5


@given(at=st.tuples(st.integers(1, 15), st.integers(1, 19)), scale=st.sampled_from([1, 2, 5]))
@settings(max_examples=20, deadline=None)
def test_a_single_voxel_has_an_outline(at: tuple[int, int], scale: int) -> None:
    """The least lesion is not lost, not even on a picture of one pixel for each voxel."""
    whole = np.zeros((1, 17, 21), dtype=bool)
    whole[0, at[0], at[1]] = True
    one = geometry(whole.shape, (1.0, 1.0, 1.0))
    region, canvas = Region.of(whole), Canvas()
    assert region is not None
    panel = Panel(canvas, Area(0, 0, 21 * scale, 17 * scale), planes.axial(one, 0), volume_of(one), ABDOMEN)
    before = np.asarray(canvas.image).copy()
    assert panel.outline(region, GREEN)
    changed = np.asarray(canvas.image).astype(int)[..., 1] - before.astype(int)[..., 1]
    rows, columns = np.nonzero(changed > 30)
    assert rows.size
    assert np.hypot(rows.mean() / scale - at[0] - 0.5, columns.mean() / scale - at[1] - 0.5) < 1


def test_what_a_plane_does_not_meet_has_no_outline() -> None:
    """A region beside the plane draws nothing and says so."""
    one = geometry((6, 10, 10), (2.0, 1.0, 1.0))
    whole = np.zeros(one.shape, dtype=bool)
    whole[5, 2:5, 2:5] = True
    region, canvas = Region.of(whole), Canvas()
    assert region is not None
    panel = Panel(canvas, PAGE, planes.axial(one, 1), volume_of(one), ABDOMEN)
    before = canvas.image.tobytes()
    assert not panel.outline(region, GREEN)
    assert canvas.image.tobytes() == before
