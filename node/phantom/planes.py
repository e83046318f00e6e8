"""Planes that lie in any way: the grid of a tilted gantry, of a patient who was turned, of flipped rows and columns.

Beside the ten stages. In: a grid by the steps of its axes, or an axial `Grid` to be tilted, turned or flipped. Out:
`Planes`, geometry without voxels. What can go wrong: axes that span no volume (ValueError). Next:
`node.phantom.plane_coverage`, which shows the anatomy on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from node.phantom.shapes import Floats

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Planes:
    """Centres of voxels on a stack of equal planes, LPS, millimetres.

    Attributes
    ----------
    shape : tuple of int
        (slices, rows, columns).
    origin_mm : tuple of float
        Centre of voxel [0, 0, 0].
    slice_step_mm, row_step_mm, column_step_mm : tuple of float
        From a voxel to the next one along each array axis. The step from slice to slice need not be along the planes'
        normal: that is what a tilted gantry does.
    """

    shape: tuple[int, int, int]
    origin_mm: Vector
    slice_step_mm: Vector
    row_step_mm: Vector
    column_step_mm: Vector

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or abs(np.linalg.det(self.steps)) < 1e-9:
            raise ValueError("planes need at least one voxel, and axes that span a volume")

    @property
    def planes(self) -> Planes:
        """Itself: what a `Grid` gives as well."""
        return self

    @property
    def slices(self) -> int:
        """Number of slices."""
        return self.shape[0]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.shape[1]

    @property
    def columns(self) -> int:
        """Number of columns."""
        return self.shape[2]

    @property
    def steps(self) -> Floats:
        """Steps of slices, rows and columns as the rows of a 3 x 3 matrix [mm]."""
        return np.array([self.slice_step_mm, self.row_step_mm, self.column_step_mm], dtype=np.float64)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel [mL]: area of a pixel times the distance of two planes."""
        return float(abs(np.linalg.det(self.steps))) / 1000.0

    @property
    def normal(self) -> Floats:
        """Unit normal of the planes, on the side of the next slice."""
        _, row, column = self.steps
        across: Floats = np.cross(column, row)
        across /= np.linalg.norm(across)
        return across if across @ self.steps[0] > 0 else -across

    @property
    def spacing_mm(self) -> Vector:
        """Distance of two planes (along the normal), of two rows, of two columns."""
        slice_step, row, column = self.steps
        return float(slice_step @ self.normal), float(np.linalg.norm(row)), float(np.linalg.norm(column))

    @property
    def tilt_degrees(self) -> float:
        """Angle between the step from slice to slice and the normal."""
        cosine = self.spacing_mm[0] / float(np.linalg.norm(self.steps[0]))
        return math.degrees(math.acos(min(1.0, cosine)))

    def centre(self, slice_: float, row: float, column: float) -> Vector:
        """Place of a voxel's centre."""
        place = np.array(self.origin_mm) + np.array([slice_, row, column]) @ self.steps
        return float(place[0]), float(place[1]), float(place[2])

    def flipped(self, *axes: int) -> Planes:
        """The same voxels, counted from the other end along these array axes (0 slices, 1 rows, 2 columns)."""
        last = [size - 1 if axis in axes else 0 for axis, size in enumerate(self.shape)]
        steps = [_vector(-step if axis in axes else step) for axis, step in enumerate(self.steps)]
        return Planes(self.shape, self.centre(*last), *steps)

    def transposed(self) -> Planes:
        """The same voxels, rows for columns."""
        slices, rows, columns = self.shape
        return replace(
            self,
            shape=(slices, columns, rows),
            row_step_mm=self.column_step_mm,
            column_step_mm=self.row_step_mm,
        )


def tilted(straight: Planes, degrees: float) -> Planes:
    """Planes of a gantry that leans back by an angle, while the table moves along z as before.

    Rows are added so that the planes still reach over the trunk, and slices so that they cover it from end to end.
    """
    angle = math.radians(degrees)
    slices, rows, columns = straight.shape
    table, height, _ = (float(np.linalg.norm(step)) for step in straight.steps)
    down = (0.0, height * math.cos(angle), height * math.sin(angle))
    rows = math.ceil(rows / math.cos(angle))
    more = math.ceil(rows / 2 * abs(down[2]) / table)
    middle = np.array(straight.centre((slices - 1) / 2, (straight.rows - 1) / 2, 0))
    slices += 2 * more
    origin = middle - (rows - 1) / 2 * np.array(down) - (slices - 1) / 2 * np.array(straight.slice_step_mm)
    shape = (slices, rows, columns)
    return Planes(shape, _vector(origin.round(3)), straight.slice_step_mm, down, straight.column_step_mm)


def turned(straight: Planes, degrees: Vector) -> Planes:
    """Planes of the same spacing for a patient who lies turned about x, then y, then z; they hold all of the others."""
    turn = _rotation(degrees)
    spacing = np.linalg.norm(straight.steps, axis=1)
    steps = straight.steps @ turn.T
    last = np.array(straight.shape) - 1
    corners = np.array([straight.centre(*(last * at)) for at in np.ndindex(2, 2, 2)])
    middle = corners.mean(axis=0)
    reach = np.abs((corners - middle) @ (steps / spacing[:, None]).T).max(axis=0)
    shape = np.ceil(2 * reach / spacing).astype(int) + 1
    origin = middle - (shape - 1) / 2 @ steps
    return Planes(
        (int(shape[0]), int(shape[1]), int(shape[2])), _vector(origin.round(3)), *(_vector(step) for step in steps)
    )


def _rotation(degrees: Vector) -> Floats:
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one = np.eye(3)
        first, second = [other for other in range(3) if other != axis]
        one[first, first] = one[second, second] = math.cos(angle)
        one[first, second], one[second, first] = -math.sin(angle), math.sin(angle)
        matrix = one @ matrix
    return matrix


def _vector(values: Sequence[float] | Floats) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
