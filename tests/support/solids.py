"""Solids with closed formulas, and how they lie on grids of voxels: what stage 8 is held against.

Millimetres in the patient's frame (LPS). Nothing here counts voxels for a truth: a volume, an area, a diameter is a
formula. `places` and `inside` make the masks that a perfect segmenter would give: a voxel is in where its centre is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

from node.core.grid import Geometry

Floats = NDArray[np.float64]
Points = tuple[Floats, Floats, Floats]
Spot = tuple[float, float, float]


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid, turned about z by `degrees`."""

    centre: Spot
    semi_axes: Spot
    degrees: float = 0.0

    @property
    def volume_ml(self) -> float:
        """4/3 pi a b c."""
        return 4 / 3 * pi * float(np.prod(self.semi_axes)) / 1000

    def inside(self, x: Floats, y: Floats, z: Floats) -> NDArray[np.bool_]:
        """Say which points lie inside."""
        turn, (a, b, c) = np.radians(self.degrees), self.semi_axes
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        along, across = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
        inside: NDArray[np.bool_] = ((along / a) ** 2 + (across / b) ** 2) + (dz / c) ** 2 <= 1
        return inside

    def diameter_mm(self, normal: Floats) -> float:
        """Return the longest diameter across `normal`: of the section through the centre, the largest there is."""
        _, _, plane = np.linalg.svd(normal[None, :])
        form = plane[1:] @ np.linalg.inv(self._spread) @ plane[1:].T
        return float(2 / np.sqrt(np.linalg.eigvalsh(form)[0]))

    def lost_mm(self, normal: Floats, off_mm: float) -> float:
        """Return by how much the longest diameter is shorter on a plane that misses the centre by `off_mm`."""
        half_mm = np.sqrt(normal @ self._spread @ normal)  # from the centre to the pole along the normal
        return self.diameter_mm(normal) * float(1 - np.sqrt(1 - (off_mm / half_mm) ** 2))

    def middle(self, normal: Floats, off_mm: float) -> Floats:
        """Return the middle of the section by a plane across `normal` that misses the centre by `off_mm`."""
        middle: Floats = self.centre + self._spread @ normal * off_mm / (normal @ self._spread @ normal)
        return middle

    @property
    def _spread(self) -> Floats:
        """Matrix S with x' S^-1 x = 1 on the surface."""
        turn = np.radians(self.degrees)
        axes = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        spread: Floats = axes @ np.diag(np.square(self.semi_axes)) @ axes.T
        return spread


@dataclass(frozen=True)
class Cylinder:
    """A cylinder along z whose ends are cut askew, by planes that rise by `slope` per mm of x and of y."""

    centre: Spot
    radius_mm: float
    length_mm: float
    slope: tuple[float, float]

    @property
    def volume_ml(self) -> float:
        """Pi r^2 l: what an askew cut takes on one side it leaves on the other."""
        return pi * self.radius_mm**2 * self.length_mm / 1000

    @property
    def area_cm2(self) -> float:
        """Pi r^2, at every height that the ends do not cut."""
        return pi * self.radius_mm**2 / 100

    def inside(self, x: Floats, y: Floats, z: Floats) -> NDArray[np.bool_]:
        """Say which points lie inside."""
        dx, dy, dz = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        rise = self.slope[0] * dx + self.slope[1] * dy
        inside: NDArray[np.bool_] = (dx**2 + dy**2 <= self.radius_mm**2) & (np.abs(dz - rise) <= self.length_mm / 2)
        return inside


@dataclass(frozen=True)
class Cones:
    """Two cones base to base, of axial circles: pointed at `top` and `bottom`, of radius `radius_mm` at `widest`."""

    top: Spot
    widest: Spot
    bottom: Spot
    radius_mm: float

    @property
    def volume_ml(self) -> float:
        """Pi r^2 h / 3, h from point to point; the lean of a cone does not change it."""
        return pi * self.radius_mm**2 * (self.top[2] - self.bottom[2]) / 3 / 1000

    def area_cm2(self, z: float) -> float:
        """Return the area of the circle at height `z`."""
        return pi * float(self._radius_mm(np.asarray(z))) ** 2 / 100

    def inside(self, x: Floats, y: Floats, z: Floats) -> NDArray[np.bool_]:
        """Say which points lie inside."""
        heights, spots = self._knots
        dx, dy = (axis - np.interp(z, heights, [spot[at] for spot in spots]) for at, axis in enumerate((x, y)))
        radius = self._radius_mm(z)
        inside: NDArray[np.bool_] = (dx**2 + dy**2 <= radius**2) & (radius > 0)
        return inside

    @property
    def _knots(self) -> tuple[list[float], list[Spot]]:
        spots = [self.bottom, self.widest, self.top]
        return [spot[2] for spot in spots], spots

    def _radius_mm(self, z: Floats) -> Floats:
        return np.interp(z, self._knots[0], [0.0, self.radius_mm, 0.0])


@dataclass(frozen=True)
class Box:
    """A box along the axes of the patient."""

    low: Spot
    high: Spot

    def inside(self, x: Floats, y: Floats, z: Floats) -> NDArray[np.bool_]:
        """Say which points lie inside."""
        inside = np.True_
        for axis, low, high in zip((x, y, z), self.low, self.high, strict=True):
            inside = inside & ((axis > low) & (axis < high))
        return np.asarray(inside)

    def shrunk(self, by_mm: Spot) -> "Box":
        """Return the box within this one whose faces lie so much deeper."""
        low = (self.low[0] + by_mm[0], self.low[1] + by_mm[1], self.low[2] + by_mm[2])
        high = (self.high[0] - by_mm[0], self.high[1] - by_mm[1], self.high[2] - by_mm[2])
        return Box(low, high)

    @property
    def volume_ml(self) -> float:
        """Width x depth x height."""
        return float(np.prod(np.subtract(self.high, self.low))) / 1000


Solid = Ellipsoid | Cylinder | Cones | Box


@dataclass(frozen=True)
class Sampling:
    """A way to put voxels on the patient.

    Parameters
    ----------
    spacing_mm
        From slice to slice (along the table, where the gantry is tilted), between rows, between columns.
    turned_degrees
        The whole grid turned, about x and then about z: a patient who lies obliquely.
    tilt_degrees
        The slices alone turned about x: a tilted gantry, a sheared grid.
    """

    name: str
    spacing_mm: Spot
    turned_degrees: tuple[float, float] = (0.0, 0.0)
    tilt_degrees: float = 0.0

    @property
    def steps_mm(self) -> Floats:
        """Columns: the way to the next slice, row and column, [mm, LPS]."""
        slices, rows, columns = self.spacing_mm
        tilt = np.radians(self.tilt_degrees)
        straight = np.array([[0, 0, columns], [0, rows * np.cos(tilt), 0], [slices, -rows * np.sin(tilt), 0]])
        about_x, about_z = np.radians(self.turned_degrees)
        first = np.array([[1, 0, 0], [0, np.cos(about_x), -np.sin(about_x)], [0, np.sin(about_x), np.cos(about_x)]])
        second = np.array([[np.cos(about_z), -np.sin(about_z), 0], [np.sin(about_z), np.cos(about_z), 0], [0, 0, 1]])
        steps: Floats = second @ first @ straight
        return steps

    def grid(self, field: Box, offset: Spot) -> Geometry:
        """Return the smallest grid that holds a field of view, three voxels to spare; `offset` is in voxels."""
        steps = self.steps_mm
        corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
        corners = np.where(corners, field.high, field.low) @ np.linalg.inv(steps).T - offset
        first, last = np.floor(corners.min(axis=0)) - 3, np.ceil(corners.max(axis=0)) + 3
        origin = steps @ (first + offset)
        shape = tuple(int(size) for size in last - first + 1)
        vectors = (tuple(one.tolist()) for one in (origin, *steps.T))
        return Geometry(shape, *vectors, "1.2.3")  # type: ignore[arg-type]


def places(grid: Geometry, shift_mm: Floats | None = None) -> Points:
    """Return x, y and z of the voxel centres, moved by `shift_mm`; arrays of shapes that broadcast to the grid's."""
    axes = np.ix_(*(np.arange(size, dtype=float) for size in grid.shape))
    moved = np.zeros(3) if shift_mm is None else shift_mm
    x, y, z = (
        sum((step * axis for step, axis in zip(row[:3], axes, strict=True) if step), np.full((1, 1, 1), row[3] + more))
        for row, more in zip(grid.affine, moved, strict=False)
    )
    return x, y, z


def mask(solid: Solid, grid: Geometry) -> NDArray[np.bool_]:
    """Return the voxels whose centres lie inside."""
    whole: NDArray[np.bool_] = np.broadcast_to(solid.inside(*places(grid)), grid.shape)
    return whole


def with_partial_volume(hu: Callable[[Floats, Floats, Floats], Floats], grid: Geometry) -> Floats:
    """Return the mean of a picture over each voxel: pixel by pixel, over the thickness across the slice.

    Three points along rows and columns, and across the slice one per millimetre or more; odd, so that halves cannot
    be rounded either way.
    """
    thick = grid.spacing_mm[0]
    counts = (2 * int(np.ceil(thick / 2)) + 1, 3, 3)
    ways = (grid.normal * thick, np.asarray(grid.row_step_mm), np.asarray(grid.column_step_mm))
    total = np.zeros(grid.shape)
    parts = [(np.arange(count) - count // 2) / count for count in counts]
    for across in parts[0]:
        for down in parts[1]:
            for along in parts[2]:
                total += hu(*places(grid, across * ways[0] + down * ways[1] + along * ways[2]))
    mean: Floats = total / np.prod(counts)
    return mean
