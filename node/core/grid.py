"""Slice positions from headers: the grid of a volume, without its voxels.

Comes in: the plane attributes of each slice (PS3.3 C.7.6.2). Goes out: the order of the slices and a `Geometry`.
What can go wrong: mixed orientation, duplicate positions, uneven spacing, a gap, slices that stand too far askew:
`NotAnalysable` with its code. A tilted gantry gives a sheared grid: its slices step along the table, not along their
normal. All vectors are in millimetres in the patient's frame (LPS); arrays are `(slices, rows, columns)`, 0-based,
slices from inferior to superior.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from node.core.dicom import PARSER_FAULTS
from node.core.errors import NotAnalysable
from node.core.reasons import StudyRefusal

Vector = tuple[float, float, float]

_ORIENTATION_TOLERANCE = 1e-3  # of a direction cosine
_SPACING_TOLERANCE_MM = 1e-3  # of the pixel spacing
_LEAST_STEP_MM = 1e-2  # slices nearer than this share a position
_SHIFT_MM = 0.1  # of a slice within its plane, against the usual step from slice to slice
_TILT_DEGREES = 0.5  # a smaller angle moves a 300 mm stack by less than 2.6 mm
_STEEPEST_TILT_DEGREES = 45.0  # gantries tilt by 30 at most; what stands steeper is no axial slice of a body
_AXIAL_COSINE = 0.8  # of the angle between the slice normal and the body's long axis


@dataclass(frozen=True)
class Plane:
    """The plane of one slice, as its header gives it.

    Parameters
    ----------
    position_mm
        Image Position (Patient): centre of the first voxel.
    row_cosines, column_cosines
        Image Orientation (Patient): along a row, along a column.
    pixel_spacing_mm
        Between rows, between columns.
    """

    sop_instance_uid: str
    position_mm: Vector
    row_cosines: Vector
    column_cosines: Vector
    pixel_spacing_mm: tuple[float, float]
    rows: int
    columns: int
    frame_of_reference_uid: str


@dataclass(frozen=True)
class Geometry:
    """A regular grid of voxels in the patient's frame; sheared where the gantry was tilted.

    Parameters
    ----------
    shape
        Slices, rows, columns.
    origin_mm
        Centre of voxel (0, 0, 0).
    slice_step_mm, row_step_mm, column_step_mm
        From a voxel to the next one along each array axis.
    """

    shape: tuple[int, int, int]
    origin_mm: Vector
    slice_step_mm: Vector
    row_step_mm: Vector
    column_step_mm: Vector
    frame_of_reference_uid: str

    @property
    def affine(self) -> NDArray[np.float64]:
        """4 x 4 matrix from homogeneous indices (slice, row, column) to LPS millimetres."""
        matrix = np.eye(4)
        matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = (
            self.slice_step_mm,
            self.row_step_mm,
            self.column_step_mm,
        )
        matrix[:3, 3] = self.origin_mm
        return matrix

    @property
    def spacing_mm(self) -> Vector:
        """Distance between neighbouring slices (perpendicular), rows and columns."""
        row, column = np.asarray(self.row_step_mm), np.asarray(self.column_step_mm)
        normal = np.cross(row, column)
        perpendicular = abs(float(np.dot(self.slice_step_mm, normal / np.linalg.norm(normal))))
        return perpendicular, float(np.linalg.norm(row)), float(np.linalg.norm(column))

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the slices, upwards as they are ordered."""
        across = np.cross(self.row_step_mm, self.column_step_mm)
        unit: NDArray[np.float64] = across / np.linalg.norm(across)
        return unit if float(unit @ self.slice_step_mm) >= 0 else -unit

    @property
    def tilt_degrees(self) -> float:
        """Angle between the way from slice to slice and the normal of the slices: the tilt of the gantry."""
        step = np.asarray(self.slice_step_mm)
        along = float(step @ self.normal)
        return float(np.degrees(np.arctan2(np.linalg.norm(step - along * self.normal), along)))

    @property
    def is_tilted(self) -> bool:
        """Whether the grid is sheared by more than a network, or a reader who takes it for upright, would bear."""
        return self.tilt_degrees > _TILT_DEGREES

    @property
    def voxel_volume_ml(self) -> float:
        """Pixel area times perpendicular slice spacing; right on a sheared grid too."""
        return float(np.prod(self.spacing_mm)) / 1000

    @property
    def pixel_area_cm2(self) -> float:
        """Area of one pixel."""
        return self.spacing_mm[1] * self.spacing_mm[2] / 100

    @property
    def axial_area_cm2(self) -> float:
        """Area that one pixel covers on the plane across the body (LPS x and y): smaller where the slice is askew."""
        return self.pixel_area_cm2 * abs(float(self.normal[2]))


@dataclass(frozen=True)
class Stack:
    """Slices in order and the grid that they make: `order[k]` is the index, in what was given, of slice `k`."""

    geometry: Geometry
    order: tuple[int, ...]


def plane(ds: Dataset) -> Plane | None:
    """Return the plane of a single-frame image, or None where an attribute is missing or not a number."""
    try:
        position = [float(value) for value in ds.ImagePositionPatient]
        cosines = [float(value) for value in ds.ImageOrientationPatient]
        spacing = [float(value) for value in ds.PixelSpacing]
        rows, columns = int(ds.Rows), int(ds.Columns)
        frame_of_reference_uid = str(ds.get("FrameOfReferenceUID", ""))
    except PARSER_FAULTS:
        return None
    sane = len(position) == 3 and len(cosines) == 6 and len(spacing) == 2 and min(*spacing, rows, columns) > 0
    if not sane or not np.isfinite([*position, *cosines, *spacing]).all():
        return None
    return Plane(
        sop_instance_uid=str(ds.SOPInstanceUID),
        position_mm=_vector(position),
        row_cosines=_vector(cosines[:3]),
        column_cosines=_vector(cosines[3:]),
        pixel_spacing_mm=(spacing[0], spacing[1]),
        rows=rows,
        columns=columns,
        frame_of_reference_uid=frame_of_reference_uid,
    )


def upward_normal(one: Plane) -> NDArray[np.float64]:
    """Return the unit vector across a slice that points to superior (or to posterior, or left)."""
    normal = np.cross(one.row_cosines, one.column_cosines)
    unit: NDArray[np.float64] = normal / np.linalg.norm(normal) * (-1 if normal[np.argmax(np.abs(normal))] < 0 else 1)
    return unit


def is_axial(one: Plane) -> bool:
    """Say whether the plane lies across the body."""
    return abs(float(np.cross(one.row_cosines, one.column_cosines)[2])) > _AXIAL_COSINE


def stack(planes: Sequence[Plane], *, spacing_tolerance: float, minimum_slices: int) -> Stack:
    """Order slices from inferior to superior and return their grid.

    Parameters
    ----------
    spacing_tolerance
        Allowed deviation of each step from the median step, as a share of it.

    Returns
    -------
    Stack
        Its geometry is sheared where the slices step aside evenly (`Geometry.tilt_degrees`).

    Raises
    ------
    NotAnalysable
        `too-few-slices`, `mixed-frame-of-reference`, `mixed-orientation`, `duplicate-positions`, `uneven-spacing`,
        `gantry-tilt`.
    """
    if len(planes) < minimum_slices:
        raise NotAnalysable(StudyRefusal.TOO_FEW_SLICES, f"{len(planes)} slices, at least {minimum_slices} needed")
    first = min(planes, key=lambda one: one.sop_instance_uid)  # whatever the order in which they come
    _require_one_orientation(planes)
    row, column = np.asarray(first.row_cosines), np.asarray(first.column_cosines)
    normal = upward_normal(first)
    positions = np.asarray([one.position_mm for one in planes])
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    _require_even_steps(np.diff(heights[order]), spacing_tolerance)
    step = (positions[order[-1]] - positions[order[0]]) / (len(planes) - 1)
    _require_one_line(positions[order], normal)
    geometry = Geometry(
        shape=(len(planes), first.rows, first.columns),
        origin_mm=_vector(positions[order[0]]),
        slice_step_mm=_vector(step),
        row_step_mm=_vector(column * first.pixel_spacing_mm[0]),
        column_step_mm=_vector(row * first.pixel_spacing_mm[1]),
        frame_of_reference_uid=first.frame_of_reference_uid,
    )
    if geometry.tilt_degrees > _STEEPEST_TILT_DEGREES:
        raise NotAnalysable(StudyRefusal.GANTRY_TILT, f"{geometry.tilt_degrees:.1f} degrees")
    return Stack(geometry, tuple(int(index) for index in order))


def _require_one_orientation(planes: Sequence[Plane]) -> None:
    first = planes[0]
    if any(one.frame_of_reference_uid != first.frame_of_reference_uid for one in planes):
        raise NotAnalysable(StudyRefusal.MIXED_FRAME_OF_REFERENCE)
    if any((one.rows, one.columns) != (first.rows, first.columns) for one in planes):
        raise NotAnalysable(StudyRefusal.MIXED_ORIENTATION, "slices differ in rows or columns")
    cosines = np.asarray([one.row_cosines + one.column_cosines for one in planes])
    spacings = np.asarray([one.pixel_spacing_mm for one in planes])
    if np.ptp(cosines, axis=0).max() > _ORIENTATION_TOLERANCE:
        raise NotAnalysable(StudyRefusal.MIXED_ORIENTATION, "slices differ in orientation")
    if np.ptp(spacings, axis=0).max() > _SPACING_TOLERANCE_MM:
        raise NotAnalysable(StudyRefusal.MIXED_ORIENTATION, "slices differ in pixel spacing")
    row, column = cosines[0, :3], cosines[0, 3:]
    if max(abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column)) > 1e-2:
        raise NotAnalysable(StudyRefusal.MIXED_ORIENTATION, "the direction cosines are not perpendicular unit vectors")


def _require_even_steps(steps: NDArray[np.float64], tolerance: float) -> None:
    if steps.min() < _LEAST_STEP_MM:
        count = int((steps < _LEAST_STEP_MM).sum())
        raise NotAnalysable(StudyRefusal.DUPLICATE_POSITIONS, f"{count} slices share the position of another")
    middle = float(np.median(steps))
    worst = float(steps[np.argmax(np.abs(steps - middle))])
    if abs(worst - middle) > tolerance * middle:
        missing = round(worst / middle) - 1
        gap = missing > 0 and abs(worst / middle - missing - 1) <= tolerance * (missing + 1)
        why = f", as if {missing} slice{'s were' if missing > 1 else ' was'} missing" if gap else ""
        detail = f"a step of {worst:.2f} mm among steps of {middle:.2f} mm{why}"
        raise NotAnalysable(StudyRefusal.UNEVEN_SPACING, detail)


def _require_one_line(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    """Refuse slices that lie beside the others: two acquisitions put together, or a table that was moved."""
    steps = np.diff(positions, axis=0)
    sideways = steps - np.outer(steps @ normal, normal)
    worst_mm = float(np.linalg.norm(sideways - np.median(sideways, axis=0), axis=1).max())
    if worst_mm > _SHIFT_MM:
        raise NotAnalysable(
            StudyRefusal.UNEVEN_SPACING, f"a slice lies {worst_mm:.2f} mm beside the line of the others"
        )


def _vector(values: Sequence[float] | NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
