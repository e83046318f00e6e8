"""Flat pictures of a volume: where their samples lie in the patient, and what the volume and a mask have there.

Comes in: a grid, and which plane of the patient is wanted. Goes out: a `Plane`, turned as a radiologist expects it: of
an axial picture the patient's left is on the right and the back below; of a sagittal one the front is on the left, of
a coronal one the patient's left on the right, and of both the head above. That holds for flipped, transposed, oblique
and tilted grids, since directions are those of the patient (LPS). An axial picture is the slice itself, not resampled;
the two others are cut along the patient's axes. Nothing can go wrong. Next: `panel`, which draws them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from node.core.grid import Geometry, Vector
from workers.records import Region

Window = tuple[slice, slice]
LEFT, BACK, HEAD = (np.eye(3)[axis] for axis in range(3))
AIR_HU = -1024.0
_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
_SEEN_ASIDE = 0.2  # a direction is also named by an axis that it is turned towards by more than 12 degrees
_EXACT_DIGITS = 9  # of an index: what rounding of products leaves must not fall off the edge of the volume


@dataclass(frozen=True)
class Plane:
    """A flat grid of samples in the patient.

    Parameters
    ----------
    origin_mm
        Where the sample at the upper left lies (LPS).
    right_mm, down_mm
        From a sample to the next one on the right, and to the one below.
    rows, columns
        How many samples there are.
    """

    geometry: Geometry
    origin_mm: Vector
    right_mm: Vector
    down_mm: Vector
    rows: int
    columns: int

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Distance of neighbouring samples: down, right."""
        return float(np.linalg.norm(self.down_mm)), float(np.linalg.norm(self.right_mm))

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What the left, right, upper and lower edge look to: R, L, A, P, H, F, of which an oblique one has several."""
        right, down = np.asarray(self.right_mm), np.asarray(self.down_mm)
        return _toward(-right), _toward(right), _toward(-down), _toward(down)

    def values(self, array: NDArray[Any], start: tuple[int, int, int] = (0, 0, 0), *, outside: float) -> NDArray[Any]:
        """Return an array's values at the samples, `(rows, columns)` float32; `start` is where its first voxel lies.

        Between voxel centres they are interpolated linearly; at voxel centres they are the array's own.
        """
        inverse = np.linalg.inv(self.geometry.affine)
        first = np.round(inverse[:3] @ [*self.origin_mm, 1.0] - start, _EXACT_DIGITS)
        down, right = (np.round(inverse[:3, :3] @ step, _EXACT_DIGITS) for step in (self.down_mm, self.right_mm))
        moved = [*np.flatnonzero(down), *np.flatnonzero(right)]
        if len(moved) == 2:  # down and across go along one axis of the array each
            along = [np.full(1, at) for at in first]
            for axis, step, count in zip(moved, (down, right), (self.rows, self.columns), strict=True):
                along[axis] = first[axis] + step[axis] * np.arange(count)
            flat = np.moveaxis(_on_axes(array, along, outside), moved, (0, 1))[..., 0]
            return np.ascontiguousarray(flat, dtype=np.float32)
        indices = (
            first[:, None, None]
            + down[:, None, None] * np.arange(self.rows)[None, :, None]
            + right[:, None, None] * np.arange(self.columns)[None, None, :]
        )
        found: NDArray[Any] = ndimage.map_coordinates(
            array, indices, output=np.float32, order=1, mode="grid-constant", cval=outside
        )
        return found

    def spot(self, point_mm: Iterable[float]) -> tuple[float, float]:
        """Return where a point of the patient is seen, as row and column of samples."""
        away = np.asarray(list(point_mm)) - self.origin_mm
        down_mm, right_mm = self.spacing_mm
        return float(away @ self.down_mm) / down_mm**2, float(away @ self.right_mm) / right_mm**2

    def window(self, region: Region, margin: int) -> Window | None:
        """Return the rows and columns that a region's box lies in, with a margin of samples; None where in none."""
        ends = [(part.start - 1, part.stop) for part in region.box]
        spots = np.asarray([self.spot(place(self.geometry, corner)) for corner in product(*ends)])
        low = np.floor(spots.min(axis=0)).astype(int) - margin
        high = np.ceil(spots.max(axis=0)).astype(int) + margin + 1
        rows, columns = _within(int(low[0]), int(high[0]), self.rows), _within(int(low[1]), int(high[1]), self.columns)
        return (rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None

    def cropped(self, window: Window) -> "Plane":
        """Return the part of the plane in a window of its rows and columns, as far as it reaches; at least a sample."""
        rows, columns = (
            _within(min(part.start, size - 1), max(part.stop, 1), size)
            for part, size in zip(window, (self.rows, self.columns), strict=True)
        )
        origin = (
            np.asarray(self.origin_mm)
            + rows.start * np.asarray(self.down_mm)
            + columns.start * np.asarray(self.right_mm)
        )
        return replace(
            self, origin_mm=_vector(origin), rows=rows.stop - rows.start, columns=columns.stop - columns.start
        )

    def near(self, points_mm: Iterable[Iterable[float]], margins_mm: tuple[float, float]) -> Window:
        """Return the rows and columns that hold points of the patient, with margins: down and across."""
        spots = np.asarray([self.spot(point) for point in points_mm])
        margin = np.asarray(margins_mm) / self.spacing_mm
        low = np.floor(spots.min(axis=0) - margin).astype(int)
        high = np.ceil(spots.max(axis=0) + margin).astype(int) + 1
        return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def axial(geometry: Geometry, index: int) -> Plane:
    """Return a slice of the volume, turned so that the patient's left is on the right and the back below."""
    steps = {1: np.asarray(geometry.row_step_mm), 2: np.asarray(geometry.column_step_mm)}
    across = max(steps, key=lambda axis: abs(float(steps[axis] @ LEFT)) / float(np.linalg.norm(steps[axis])))
    along = 3 - across
    corner = [float(index), 0.0, 0.0]
    turned = {}
    for axis, wanted in ((across, LEFT), (along, BACK)):
        turned[axis] = steps[axis]
        if float(steps[axis] @ wanted) < 0:
            turned[axis], corner[axis] = -steps[axis], float(geometry.shape[axis] - 1)
    return Plane(
        geometry,
        place(geometry, corner),
        _vector(turned[across]),
        _vector(turned[along]),
        geometry.shape[along],
        geometry.shape[across],
    )


def sagittal(geometry: Geometry, voxel: Iterable[float]) -> Plane:
    """Return the sagittal plane through a voxel, seen from the patient's left: front on the left, head above."""
    return _upright(geometry, voxel, BACK)


def coronal(geometry: Geometry, voxel: Iterable[float]) -> Plane:
    """Return the coronal plane through a voxel, seen from the front: the patient's left on the right, head above."""
    return _upright(geometry, voxel, LEFT)


def corners_mm(region: Region, geometry: Geometry) -> list[Vector]:
    """Return the corners of a region's box: the centres of its outermost voxels."""
    ends = [(part.start, part.stop - 1) for part in region.box]
    return [place(geometry, corner) for corner in product(*ends)]


def place(geometry: Geometry, voxel: Iterable[float]) -> Vector:
    """Return where a voxel lies (LPS)."""
    return _vector(geometry.affine[:3] @ [*voxel, 1.0])


def _upright(geometry: Geometry, voxel: Iterable[float], right: NDArray[np.float64]) -> Plane:
    """Return an upright plane through a voxel that reaches to the ends of the volume; samples lie as voxels do."""
    through = np.asarray(place(geometry, voxel))
    whole = [place(geometry, corner) for corner in product(*((0, size - 1) for size in geometry.shape))]
    axes = {}
    for name, direction in (("right", right), ("down", -HEAD)):
        step = _step_mm(geometry, direction)
        reach = np.asarray([(np.asarray(corner) - through) @ direction for corner in whole]) / step
        axes[name] = direction * step, int(np.ceil(reach.min() - 1e-6)), int(np.floor(reach.max() + 1e-6))
    (across, first_column, last_column), (down, first_row, last_row) = axes["right"], axes["down"]
    return Plane(
        geometry,
        _vector(through + across * first_column + down * first_row),
        _vector(across),
        _vector(down),
        last_row - first_row + 1,
        last_column - first_column + 1,
    )


def _step_mm(geometry: Geometry, direction: NDArray[np.float64]) -> float:
    """Return how far the array axis that runs most along a direction goes along it from voxel to voxel."""
    steps = geometry.affine[:3, :3].T
    along = np.abs(steps @ direction)
    return float(along[int(np.argmax(along / np.linalg.norm(steps, axis=1)))])


def _on_axes(array: NDArray[Any], indices: Sequence[NDArray[np.float64]], outside: float) -> NDArray[Any]:
    """Return an array's values where these indices of its axes meet; a fraction of an index is interpolated."""
    low = [np.floor(along).astype(int) for along in indices]
    start = np.asarray([along.min() for along in low])
    found = _box(array, start, np.asarray([along.max() for along in low]) + 2, outside)
    for axis in range(3):
        near, part = low[axis] - start[axis], indices[axis] - low[axis]
        before = found.take(near, axis)
        if part.any():
            weight = np.expand_dims(part, [other for other in range(3) if other != axis])
            before = before * (1 - weight) + found.take(near + 1, axis) * weight
        found = before
    return found


def _box(array: NDArray[Any], start: NDArray[np.intp], stop: NDArray[np.intp], outside: float) -> NDArray[Any]:
    """Return a part of an array, which may reach beyond it."""
    begin, end = np.clip(start, 0, array.shape), np.clip(stop, 0, array.shape)
    box = np.full(stop - start, outside, dtype=array.dtype)
    box[tuple(map(slice, begin - start, end - start))] = array[tuple(map(slice, begin, end))]
    return box


def _within(begin: int, end: int, size: int) -> slice:
    return slice(max(begin, 0), min(end, size))


def _toward(direction: NDArray[np.float64]) -> str:
    unit = direction / np.linalg.norm(direction)
    named = [axis for axis in np.argsort(-np.abs(unit), kind="stable") if abs(unit[axis]) > _SEEN_ASIDE]
    return "".join(_LETTERS[axis][int(unit[axis] > 0)] for axis in named)


def _vector(values: NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
