from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset

from node.core.errors import NotAnalysable
from node.core.grid import Plane, is_axial, plane, stack
from node.core.reasons import StudyRefusal

TOLERANCE = 0.05


def rotation(degrees_x: float, degrees_y: float, degrees_z: float) -> NDArray[np.float64]:
    """Return a rotation matrix, about x, then y, then z."""
    x, y, z = np.radians([degrees_x, degrees_y, degrees_z])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def planes(
    count: int,
    step_mm: float = 3.0,
    *,
    turned: NDArray[np.float64] | None = None,
    spacing_mm: tuple[float, float] = (0.7, 0.8),
    origin_mm: tuple[float, float, float] = (-180.0, -200.0, -400.0),
) -> list[Plane]:
    """Return the planes of a perfect series from inferior to superior."""
    row, column, normal = (np.eye(3) if turned is None else turned).T
    return [
        Plane(
            sop_instance_uid=f"1.2.{index + 1}",
            position_mm=tuple(np.asarray(origin_mm) + index * step_mm * normal),
            row_cosines=tuple(row),
            column_cosines=tuple(column),
            pixel_spacing_mm=spacing_mm,
            rows=64,
            columns=48,
            frame_of_reference_uid="1.2.3",
        )
        for index in range(count)
    ]


def code_of(slices: list[Plane], minimum: int = 2) -> StudyRefusal:
    """Return the code that `stack` refuses the slices with."""
    with pytest.raises(NotAnalysable) as caught:
        stack(slices, spacing_tolerance=TOLERANCE, minimum_slices=minimum)
    assert isinstance(caught.value.code, StudyRefusal)
    return caught.value.code


counts = st.integers(2, 60)
steps = st.floats(0.4, 10)
tilts = st.floats(-30, 30)


@given(count=counts, step_mm=steps, x=tilts, y=tilts, z=st.floats(-180, 180), data=st.data())
def test_any_order_of_slices_gives_the_same_stack(
    count: int, step_mm: float, x: float, y: float, z: float, data: st.DataObject
) -> None:
    """Order of arrival, file names and instance numbers do not matter: positions alone make the stack."""
    slices = planes(count, step_mm, turned=rotation(x, y, z))
    shuffled = data.draw(st.permutations(slices))
    one = stack(slices, spacing_tolerance=TOLERANCE, minimum_slices=2)
    other = stack(shuffled, spacing_tolerance=TOLERANCE, minimum_slices=2)
    assert one.geometry == other.geometry
    uids = [slices[index].sop_instance_uid for index in one.order]
    assert uids == [shuffled[index].sop_instance_uid for index in other.order]
    assert uids == [f"1.2.{index + 1}" for index in range(count)]


@given(noise=st.lists(st.floats(-4e-4, 4e-4), min_size=12, max_size=12), data=st.data())
def test_rounded_cosines_give_one_geometry(noise: list[float], data: st.DataObject) -> None:
    """Direction cosines that differ in their last digits are one orientation, the same in any order of slices."""
    slices = [replace(one, row_cosines=(1.0, jitter, 0.0)) for one, jitter in zip(planes(12), noise, strict=True)]
    shuffled = data.draw(st.permutations(slices))
    one = stack(slices, spacing_tolerance=TOLERANCE, minimum_slices=2)
    assert one.geometry == stack(shuffled, spacing_tolerance=TOLERANCE, minimum_slices=2).geometry


@given(count=counts, step_mm=steps, x=tilts, y=tilts, z=st.floats(-180, 180))
def test_the_affine_finds_every_slice(count: int, step_mm: float, x: float, y: float, z: float) -> None:
    """The grid puts voxel (k, 0, 0) where slice k's header says; spacing and volume are those of the slices."""
    slices = planes(count, step_mm, turned=rotation(x, y, z))
    geometry = stack(slices, spacing_tolerance=TOLERANCE, minimum_slices=2).geometry
    for index, one in enumerate(slices):
        corner = geometry.affine @ [index, 0, 0, 1]
        assert np.allclose(corner[:3], one.position_mm, atol=1e-6)
        last = geometry.affine @ [index, 63, 47, 1]
        along = np.asarray(one.column_cosines) * 63 * 0.7 + np.asarray(one.row_cosines) * 47 * 0.8
        assert np.allclose(last[:3], one.position_mm + along, atol=1e-6)
    assert geometry.shape == (count, 64, 48)
    assert geometry.spacing_mm == pytest.approx((step_mm, 0.7, 0.8))
    assert geometry.voxel_volume_ml == pytest.approx(step_mm * 0.7 * 0.8 / 1000)
    assert geometry.pixel_area_cm2 == pytest.approx(0.0056)


def test_slices_run_from_inferior_to_superior_also_when_the_columns_are_flipped() -> None:
    """A prone patient's or a flipped image's normal points down; the stack still goes up."""
    flipped = planes(8, turned=rotation(180, 0, 0))
    result = stack(flipped, spacing_tolerance=TOLERANCE, minimum_slices=2)
    heights = [flipped[index].position_mm[2] for index in result.order]
    assert heights == sorted(heights)
    assert result.geometry.slice_step_mm[2] == pytest.approx(3.0)


@given(x=tilts, y=tilts)
def test_oblique_slices_are_stacked_along_their_normal(x: float, y: float) -> None:
    """An oblique series is a volume: the step is along the slice normal, not along z."""
    turned = rotation(x, y, 0)
    result = stack(planes(20, 2.5, turned=turned), spacing_tolerance=TOLERANCE, minimum_slices=2)
    assert np.allclose(result.geometry.slice_step_mm, 2.5 * turned[:, 2], atol=1e-9)


@given(count=st.integers(4, 40), data=st.data())
def test_a_missing_slice_is_found(count: int, data: st.DataObject) -> None:
    """A gap anywhere but at the ends is `uneven-spacing`, never a stretched volume."""
    slices = planes(count)
    del slices[data.draw(st.integers(1, count - 2))]
    if len(slices) > 2:
        assert code_of(slices) is StudyRefusal.UNEVEN_SPACING


@given(count=st.integers(2, 40), data=st.data())
def test_a_position_held_twice_is_found(count: int, data: st.DataObject) -> None:
    """Two slices at one place (two phases in one series, an instance sent under two UIDs) are refused."""
    slices = planes(count)
    twin = replace(data.draw(st.sampled_from(slices)), sop_instance_uid="1.2.999")
    assert code_of([*slices, twin]) is StudyRefusal.DUPLICATE_POSITIONS


@given(share=st.floats(0.002, 0.4), count=st.integers(5, 40), data=st.data())
def test_uneven_steps_are_refused_beyond_the_tolerance(share: float, count: int, data: st.DataObject) -> None:
    """One slice moved by a share of the step is taken within the tolerance and refused beyond it."""
    slices = planes(count, 4.0)
    index = data.draw(st.integers(1, count - 2))
    x, y, z = slices[index].position_mm
    slices[index] = replace(slices[index], position_mm=(x, y, z + 4.0 * share))
    if share > TOLERANCE * 1.001:
        assert code_of(slices) is StudyRefusal.UNEVEN_SPACING
    elif share < TOLERANCE * 0.999:
        stack(slices, spacing_tolerance=TOLERANCE, minimum_slices=2)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"rows": 63}, StudyRefusal.MIXED_ORIENTATION),
        ({"columns": 63}, StudyRefusal.MIXED_ORIENTATION),
        ({"pixel_spacing_mm": (0.7, 0.81)}, StudyRefusal.MIXED_ORIENTATION),
        ({"row_cosines": (0.0, 1.0, 0.0), "column_cosines": (0.0, 0.0, -1.0)}, StudyRefusal.MIXED_ORIENTATION),
        ({"row_cosines": (-1.0, 0.0, 0.0)}, StudyRefusal.MIXED_ORIENTATION),
        ({"frame_of_reference_uid": "1.2.4"}, StudyRefusal.MIXED_FRAME_OF_REFERENCE),
        ({"position_mm": (-179.0, -200.0, -391.0)}, StudyRefusal.UNEVEN_SPACING),
    ],
    ids=["rows", "columns", "pixel-spacing", "coronal", "mirrored", "frame-of-reference", "beside-the-others"],
)
@pytest.mark.parametrize("index", [0, 3, 9])
def test_one_slice_that_does_not_belong_is_found(change: dict[str, object], code: StudyRefusal, index: int) -> None:
    """A slice of another size, orientation, frame or place makes the series refused, wherever it stands."""
    slices = planes(10)
    x, y, z = slices[index].position_mm
    if "position_mm" in change:
        change = {"position_mm": (x + 1.0, y, z)}
    slices[index] = replace(slices[index], **change)
    assert code_of(slices) is code


def test_cosines_that_are_no_unit_vectors_are_refused() -> None:
    """Direction cosines of another length would scale every volume."""
    assert code_of([replace(one, row_cosines=(1.1, 0.0, 0.0)) for one in planes(5)]) is StudyRefusal.MIXED_ORIENTATION


def shifted(degrees: float) -> list[Plane]:
    """Return slices that lie aside from one to the next, as a gantry tilted by so much leaves them."""
    shift = 3.0 * np.tan(np.radians(degrees))
    slices = []
    for index, one in enumerate(planes(30)):
        x, y, z = one.position_mm
        slices.append(replace(one, position_mm=(x, y + index * shift, z)))
    return slices


@pytest.mark.parametrize("degrees", [0.0, 0.2, -0.4, 0.7, -15.0, 20.0, 30.0])
def test_a_tilted_gantry_is_measured(degrees: float) -> None:
    """The grid is sheared by the angle; spacing is across the slices, and voxels keep their volume."""
    found = stack(shifted(degrees), spacing_tolerance=TOLERANCE, minimum_slices=2).geometry
    assert found.tilt_degrees == pytest.approx(abs(degrees), abs=1e-6)
    assert found.is_tilted == (abs(degrees) > 0.5)
    assert found.spacing_mm == pytest.approx((3.0, 0.7, 0.8))
    assert found.slice_step_mm == pytest.approx((0.0, 3.0 * np.tan(np.radians(degrees)), 3.0))


def test_slices_that_stand_too_steep_are_refused() -> None:
    """No gantry tilts by 50 degrees."""
    assert code_of(shifted(50.0)) is StudyRefusal.GANTRY_TILT


def test_a_pixel_covers_less_of_the_axial_plane_where_the_slice_is_askew() -> None:
    """Seen along the body, an oblique pixel is smaller by the cosine; an axial one is as it is."""
    straight = stack(planes(9), spacing_tolerance=TOLERANCE, minimum_slices=2).geometry
    askew = stack(planes(9, turned=rotation(20, 0, 0)), spacing_tolerance=TOLERANCE, minimum_slices=2).geometry
    assert straight.axial_area_cm2 == straight.pixel_area_cm2
    assert askew.axial_area_cm2 == pytest.approx(askew.pixel_area_cm2 * np.cos(np.radians(20)))


@pytest.mark.parametrize(("missing", "words"), [(1, "1 slice was missing"), (3, "3 slices were missing")])
def test_a_gap_is_told_as_one(missing: int, words: str) -> None:
    """The reason says how many slices are not there."""
    slices = planes(20)
    del slices[5 : 5 + missing]
    with pytest.raises(NotAnalysable, match=words):
        stack(slices, spacing_tolerance=TOLERANCE, minimum_slices=2)


def test_too_few_slices_are_no_volume() -> None:
    """Below the site's minimum the answer is `too-few-slices`; at the minimum the stack is made."""
    assert code_of(planes(9), minimum=10) is StudyRefusal.TOO_FEW_SLICES
    assert stack(planes(10), spacing_tolerance=TOLERANCE, minimum_slices=10).geometry.shape[0] == 10


@pytest.mark.parametrize(
    ("turned", "axial"),
    [
        (rotation(0, 0, 0), True),
        (rotation(30, 0, 0), True),
        (rotation(180, 0, 0), True),
        (rotation(90, 0, 0), False),
        (rotation(0, 90, 0), False),
        (rotation(45, 0, 0), False),
    ],
    ids=["axial", "30-degrees", "flipped", "coronal", "sagittal", "45-degrees"],
)
def test_axial_is_by_the_normal(turned: NDArray[np.float64], axial: bool) -> None:
    """Axial is said of slices across the body up to a moderate obliquity, whatever their description says."""
    assert is_axial(planes(1, turned=turned)[0]) is axial


def slice_dataset() -> Dataset:
    """Return a data set with all plane attributes."""
    ds = Dataset()
    ds.SOPInstanceUID = "1.2.1"
    ds.ImagePositionPatient = [-10.5, 20, 30]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [0.7, 0.8]
    ds.Rows, ds.Columns = 64, 48
    return ds


def test_a_header_gives_its_plane() -> None:
    """The plane holds what the header says; Pixel Spacing is between rows first (PS3.3 10.7.1.3)."""
    one = plane(slice_dataset())
    assert one == Plane("1.2.1", (-10.5, 20.0, 30.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.7, 0.8), 64, 48, "")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImagePositionPatient", None),
        ("ImagePositionPatient", [1, 2]),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1]),
        ("PixelSpacing", [0, 0.8]),
        ("PixelSpacing", 0.7),
        ("Rows", None),
    ],
)
def test_a_header_without_a_plane_gives_none(keyword: str, value: object) -> None:
    """A missing, short or impossible plane attribute gives None, not a guess."""
    ds = slice_dataset()
    setattr(ds, keyword, value)
    assert plane(ds) is None
    del ds[keyword]
    assert plane(ds) is None
