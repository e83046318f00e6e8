"""Planes that lie in any way show the same anatomy as axial ones, at the true places of their voxels."""

import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from node.phantom import Anatomy, covering_grid, render
from node.phantom.awkward import Kind, write_awkward
from node.phantom.plane_coverage import plane_covers
from node.phantom.planes import Planes, tilted, turned
from node.phantom.shapes import Column, Lobe, Stack

SPACING_MM = (6.0, 4.0, 3.0)
FINE = 6


@pytest.fixture(scope="module")
def axial(standard: Anatomy) -> Planes:
    """A coarse axial grid, by its steps."""
    return covering_grid(standard, spacing_mm=SPACING_MM).planes


def test_axial_planes_are_the_axial_grid(standard: Anatomy) -> None:
    """The same labels but for a rounding at the border, the same HU on average; two ways to the same picture."""
    grid = covering_grid(standard, spacing_mm=SPACING_MM)
    one, two = (render(standard, where, noise_sd_hu=0) for where in (grid, grid.planes))
    assert np.count_nonzero(one.labels != two.labels) <= 1e-5 * one.labels.size
    assert np.array_equal(one.vertebral_bodies, two.vertebral_bodies)
    assert abs((two.hu.astype(int) - one.hu).mean()) < 1.5


@pytest.mark.parametrize("lie", ["axial", "tilted", "turned"])
def test_covers_are_what_finer_points_count(lie: str, standard: Anatomy, axial: Planes) -> None:
    """Muscle, liver, lesion and vertebra against 6 x 6 x 6 points in each voxel, asked one by one.

    Inside is the same at every centre; covers are off by 4 % of the solid at most, and together by 0.5 %.
    """
    planes = {"axial": axial, "tilted": tilted(axial, 20), "turned": turned(axial, (12, 8, 10))}[lie]
    solids = (standard.psoas_left, standard.liver, standard.lesions[0].solid, standard.vertebrae[5].body)
    for solid in solids:
        covered, off, whole = 0.0, 0.0, 0.0
        for window, cover, inside in plane_covers(solid, planes):
            counted = counts(solid, planes, window)
            assert np.array_equal(inside, holds(solid, *places(planes, window)))
            off += float(np.abs(cover - counted).sum())
            whole += float(counted.sum())
            covered += float(cover.sum(dtype=float))
        assert off < 0.04 * whole
        assert covered * planes.voxel_ml == pytest.approx(solid.volume_mm3 / 1000, rel=0.005)


def places(planes: Planes, window: tuple[slice, slice, slice]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the coordinates of a window's centres, by the definition."""
    index = np.stack(np.meshgrid(*(np.arange(part.start, part.stop) for part in window), indexing="ij"), axis=-1)
    found = np.array(planes.origin_mm) + index @ planes.steps
    return found[..., 0], found[..., 1], found[..., 2]


def holds(solid: Stack | Lobe, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Say which points a solid holds, from its sections."""
    if isinstance(solid, Lobe):
        return solid.level(x, y, z) < 1
    low, high = solid.z_range
    section = solid.sections(np.clip(z, low, high).ravel())
    cx, cy, a, b, angle = (axis.reshape(z.shape) for axis in section)
    across = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    along = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    within = (across / np.maximum(a, 1e-3)) ** 2 + (along / np.maximum(b, 1e-3)) ** 2 < 1
    return within & (z >= low) & (z < high if isinstance(solid, Column) else z <= high)


def counts(solid: Stack | Lobe, planes: Planes, window: tuple[slice, slice, slice]) -> np.ndarray:
    """Return the part of the points within each voxel that a solid holds."""
    x, y, z = places(planes, window)
    total = np.zeros(x.shape)
    for at in np.ndindex(FINE, FINE, FINE):
        dx, dy, dz = ((np.array(at) + 0.5) / FINE - 0.5) @ planes.steps
        total += holds(solid, x + dx, y + dy, z + dz)
    return total / FINE**3


def test_a_tilt_shears_the_slices(axial: Planes) -> None:
    """Rows lean by the angle, the table's step stays, planes come nearer by the cosine, and so do voxels."""
    planes = tilted(axial, 20)
    assert planes.slice_step_mm == axial.slice_step_mm
    assert planes.tilt_degrees == pytest.approx(20)
    assert planes.spacing_mm == pytest.approx((6 * math.cos(math.radians(20)), 4, 3))
    assert planes.row_step_mm[2] == pytest.approx(4 * math.sin(math.radians(20)))
    assert planes.voxel_ml == pytest.approx(math.prod(planes.spacing_mm) / 1000)
    assert tilted(axial, -20).row_step_mm[2] == pytest.approx(-planes.row_step_mm[2])


def test_turned_planes_stay_upright_and_hold_all(axial: Planes) -> None:
    """Steps stay perpendicular and as long; the corners of the straight grid lie within."""
    planes = turned(axial, (12, 8, 10))
    assert planes.tilt_degrees == pytest.approx(0, abs=1e-5)
    assert planes.spacing_mm == pytest.approx(axial.spacing_mm)
    last = np.array(axial.shape) - 1
    for at in np.ndindex(2, 2, 2):
        found = (np.array(axial.centre(*(last * at))) - planes.origin_mm) @ np.linalg.inv(planes.steps)
        assert (found > -0.6).all(), at
        assert (found < np.array(planes.shape) - 0.4).all(), at


def test_flipped_and_transposed_planes_hold_the_same_voxels(axial: Planes) -> None:
    """A voxel keeps its place under its new number."""
    flipped = axial.flipped(0, 2)
    slices, rows, columns = axial.shape
    assert flipped.centre(0, 3, 0) == pytest.approx(axial.centre(slices - 1, 3, columns - 1))
    assert flipped.flipped(0, 2).steps == pytest.approx(axial.steps)
    turned_over = axial.transposed()
    assert turned_over.shape == (slices, columns, rows)
    assert turned_over.centre(2, 5, 7) == pytest.approx(axial.centre(2, 7, 5))


def test_planes_without_a_volume_are_refused(axial: Planes) -> None:
    """Rows along the columns."""
    with pytest.raises(ValueError, match="span a volume"):
        replace(axial, row_step_mm=axial.column_step_mm)


@pytest.mark.parametrize("kind", [Kind.ENHANCED_CT, Kind.COMPANIONS])
def test_objects_that_are_no_ct_slices_are_valid(kind: Kind, tmp_path: Path, lacking: Callable[[str], None]) -> None:
    """dciodvfy finds no error in the Enhanced CT image, the localizers, the dose report and the screen capture."""
    judge = shutil.which("dciodvfy")
    if judge is None:
        lacking("dciodvfy")
    made = write_awkward(tmp_path, kind)
    for path in made.first[:5]:
        said = subprocess.run([judge or "", path], capture_output=True, text=True, errors="replace", check=False)
        assert not [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")], path


def test_a_folder_that_holds_a_study_is_refused(tmp_path: Path) -> None:
    """Two studies in one folder would be read as one."""
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "0001.dcm").touch()
    with pytest.raises(FileExistsError):
        write_awkward(tmp_path, Kind.STRAIGHT)


def test_an_edit_of_one_slice_stays_there(tmp_path: Path) -> None:
    """Of two patients the first half keeps the first, and every slice of the other half has the same second one."""
    made = write_awkward(tmp_path, Kind.TWO_PATIENTS)
    patients = [str(dcmread(path, stop_before_pixels=True).PatientID) for path in made.first]
    middle = len(patients) // 2
    assert set(patients[:middle]) == {"PHANTOM-STANDARD"}
    assert set(patients[middle:]) == {"PHANTOM-STANDARD-OTHER"}
