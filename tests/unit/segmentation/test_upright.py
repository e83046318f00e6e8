"""A tilted volume shown upright to a network, and what it found brought back to the source slices."""

from dataclasses import replace

import numpy as np
import pytest
from made_arrays import places, tilted, volume
from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.grid import Geometry
from workers.records import Mask, Region
from workers.segmentation.upright import brought_back, upright

TURNS = [(-20.0, 0.0), (20.0, 0.0), (30.0, 0.0), (20.0, 15.0)]


def grid_of(degrees: float, turned: float) -> Geometry:
    return tilted((50, 70, 60), 2.5, 1.0, 1.2, degrees, turned)


def picture(grid: Geometry) -> NDArray[np.int16]:
    """A smooth picture of the patient's frame, on any grid."""
    x, y, z = places(grid)
    return np.rint(200 * np.sin(x / 9) + 150 * np.cos(y / 11) + 3 * z).astype(np.int16)


def egg(grid: Geometry) -> Mask:
    """An egg that lies askew in the patient, on any grid."""
    x, y, z = places(grid)
    inside: Mask = (x / 18) ** 2 + ((y - 0.3 * z) / 14) ** 2 + (z / 22) ** 2 < 1
    return inside


@pytest.mark.parametrize(("degrees", "turned"), TURNS)
def test_the_upright_picture_is_that_of_the_patient(degrees: float, turned: float) -> None:
    """Slices lie across the table on a rectangular grid that holds the source; each value is that of its place."""
    source = grid_of(degrees, turned)
    hu, seen = upright(picture(source), source)
    assert seen.tilt_degrees == pytest.approx(0, abs=1e-6)
    steps = np.stack([seen.slice_step_mm, seen.row_step_mm, seen.column_step_mm])
    square = steps @ steps.T
    assert np.allclose(square, np.diag(np.diag(square)), atol=1e-9)
    assert seen.slice_step_mm == pytest.approx(source.slice_step_mm)
    assert hu.dtype == np.int16
    shown = hu != -1024
    assert 0.55 < shown.mean() < 1
    errors = np.abs(hu.astype(float) - picture(seen))[shown & (np.abs(places(seen)[2]) < 30)]
    assert np.percentile(errors, 99) < 12  # linear between voxels of 2.5 mm; at the edge, mixed with air


@pytest.mark.parametrize(("degrees", "turned"), TURNS)
def test_what_was_found_comes_back_to_its_place(degrees: float, turned: float) -> None:
    """An egg labelled on the upright grid is the egg of the source grid, but for voxels at its surface."""
    source = grid_of(degrees, turned)
    _, seen = upright(picture(source), source)
    region = Region.of(egg(seen))
    assert region is not None
    back = brought_back({Structure.LIVER: region}, seen, source)[Structure.LIVER]
    assert all(type(index) is int for index in back.start)  # it is written as JSON
    found = back.full(source.shape)
    expected = egg(source)
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.97
    assert found.sum() == pytest.approx(expected.sum(), rel=0.01)


def test_what_lies_beside_the_source_does_not_come_back() -> None:
    """A network that finds something in the air around a tilted volume has found nothing."""
    source = grid_of(20.0, 0.0)
    _, seen = upright(picture(source), source)
    corner = np.zeros(seen.shape, dtype=bool)
    corner[0, -3:, :5] = True
    other = np.zeros(seen.shape, dtype=bool)
    other[0, :3, :5] = True
    regions = {Structure.LIVER: Region.of(corner), Structure.LESION: Region.of(other)}
    back = brought_back({name: one for name, one in regions.items() if one}, seen, source)
    assert len(back) < 2


def test_a_volume_of_floats_keeps_its_kind() -> None:
    """A volume that whole numbers do not hold is resampled as what it is."""
    source = grid_of(20.0, 0.0)
    made = replace(volume(picture(source).astype(np.float32) + 0.25), geometry=source)
    assert upright(made.hu, source)[0].dtype == np.float32
