"""Solids with exact volumes: the geometry of the synthetic abdomen, without voxels.

Beside the ten stages. In: millimetres in the patient's frame (LPS: x to the left, y to the back, z to the head).
Out: three kinds of solid, each with its volume in closed form, an inside test and what the renderer needs to
work out how much of a voxel lies inside. Next: `node.phantom.render`.

`Column` and `Ellipsoid` are stacks of axial ellipses; `Lobe` is a stack of sagittal ellipses. Moving the centre
of the ellipses along the stack is a shear and keeps every area and the volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Sections(NamedTuple):
    """Axial ellipses of one solid at n heights; arrays of shape (n,), millimetres and radians."""

    x: Floats
    y: Floats
    a: Floats
    """Semi-axis along x, before the turn by `angle`."""
    b: Floats
    """Semi-axis along y, before the turn by `angle`."""
    angle: Floats
    """Turn about z, from x towards y."""


@dataclass(frozen=True)
class Knot:
    """One height of a `Column`: where its ellipse lies, and how large it is.

    Attributes
    ----------
    z, x, y : float
        Centre [mm], LPS.
    area_mm2 : float
        Area of the ellipse.
    aspect : float
        Semi-axis along x divided by semi-axis along y.
    angle : float
        Turn of the ellipse about z [rad], from x towards y.
    """

    z: float
    x: float
    y: float
    area_mm2: float
    aspect: float = 1.0
    angle: float = 0.0


@dataclass(frozen=True)
class Column:
    """A stack of axial ellipses between two flat ends.

    Between two knots the centre, aspect and angle change linearly and the area by the smooth step
    3 t^2 - 2 t^3, whose mean is 1/2; so the volume is exactly sum of h_i (A_i + A_{i+1}) / 2.

    Attributes
    ----------
    knots : tuple of Knot
        At least two, z strictly ascending.
    power : float
        2 for ellipses; more for the boxier outline |x/a|^p + |y/b|^p = 1 (only the trunk uses it; `area_mm2`
        of a knot is then still pi a b, and `volume_mm3` allows for the difference).
    """

    knots: tuple[Knot, ...]
    power: float = 2.0

    def __post_init__(self) -> None:
        heights = [knot.z for knot in self.knots]
        if len(heights) < 2 or any(upper <= lower for lower, upper in pairwise(heights)):
            raise ValueError("a column needs two or more knots with ascending z")

    @property
    def z_range(self) -> tuple[float, float]:
        """Lower and upper end [mm]."""
        return self.knots[0].z, self.knots[-1].z

    @property
    def volume_mm3(self) -> float:
        """Exact volume."""
        p = self.power
        fill = 4.0 / math.pi * math.gamma(1 + 1 / p) ** 2 / math.gamma(1 + 2 / p)
        pairs = pairwise(self.knots)
        return fill * sum((up.z - low.z) * (low.area_mm2 + up.area_mm2) / 2 for low, up in pairs)

    def sections(self, z: Floats) -> Sections:
        """Ellipses at heights `z`, shape (n,); heights beyond an end give that end's ellipse."""
        heights = np.array([knot.z for knot in self.knots])
        areas = np.array([knot.area_mm2 for knot in self.knots])
        low = np.clip(np.searchsorted(heights, z, side="right") - 1, 0, len(heights) - 2)
        t = np.clip((z - heights[low]) / (heights[low + 1] - heights[low]), 0.0, 1.0)
        area = areas[low] + (areas[low + 1] - areas[low]) * t * t * (3.0 - 2.0 * t)
        aspect = np.interp(z, heights, [knot.aspect for knot in self.knots])
        a = np.sqrt(area * aspect / math.pi)
        return Sections(
            x=np.interp(z, heights, [knot.x for knot in self.knots]),
            y=np.interp(z, heights, [knot.y for knot in self.knots]),
            a=a,
            b=a / aspect,
            angle=np.interp(z, heights, [knot.angle for knot in self.knots]),
        )

    def moved(self, dx: float, dy: float, dz: float) -> Column:
        """The same column elsewhere."""
        knots = (replace(knot, x=knot.x + dx, y=knot.y + dy, z=knot.z + dz) for knot in self.knots)
        return Column(tuple(knots), self.power)

    def area_mm2(self, z: float) -> float:
        """Exact area of the axial section at height `z`."""
        section = self.sections(np.array([z]))
        return float(math.pi * section.a[0] * section.b[0])


def cylinder(
    x: float, y: float, a: float, b: float, z0: float, z1: float, *, angle: float = 0.0, power: float = 2.0
) -> Column:
    """Column with one ellipse all along: centre (x, y), semi-axes a and b, from z0 to z1, in mm."""
    ends = (Knot(z, x, y, math.pi * a * b, a / b, angle) for z in (z0, z1))
    return Column(tuple(ends), power)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with one axis along z, turned about z by `angle` and leaning by a shear.

    Attributes
    ----------
    x, y, z : float
        Centre [mm], LPS.
    a, b, c : float
        Semi-axes along x, y (before the turn) and z [mm].
    angle : float
        Turn about z [rad], from x towards y.
    lean_x, lean_y : float
        Shift of the axial section per mm of height; volume-preserving.
    """

    x: float
    y: float
    z: float
    a: float
    b: float
    c: float
    angle: float = 0.0
    lean_x: float = 0.0
    lean_y: float = 0.0
    power = 2.0

    @property
    def z_range(self) -> tuple[float, float]:
        """Lower and upper pole [mm]."""
        return self.z - self.c, self.z + self.c

    def moved(self, dx: float, dy: float, dz: float) -> Ellipsoid:
        """The same ellipsoid elsewhere."""
        return replace(self, x=self.x + dx, y=self.y + dy, z=self.z + dz)

    @property
    def volume_mm3(self) -> float:
        """Exact volume, 4/3 pi a b c."""
        return 4.0 / 3.0 * math.pi * self.a * self.b * self.c

    @property
    def axial_diameter_mm(self) -> float:
        """Largest diameter within any axial plane, exact."""
        return 2.0 * max(self.a, self.b)

    def sections(self, z: Floats) -> Sections:
        """Ellipses at heights `z`, shape (n,); beyond the poles they have no size."""
        height = z - self.z
        shrink = np.sqrt(np.maximum(1.0 - (height / self.c) ** 2, 0.0))
        return Sections(
            x=self.x + self.lean_x * height,
            y=self.y + self.lean_y * height,
            a=self.a * shrink,
            b=self.b * shrink,
            angle=np.full_like(height, self.angle),
        )


Stack = Column | Ellipsoid
"""Solids whose axial sections are ellipses."""


@dataclass(frozen=True)
class Lobe:
    """An ellipsoid bent and tapered from right to left: the liver.

    With u = (x - x0) / a, each sagittal section is an ellipse with semi-axes b (1 - taper_y u) sqrt(1 - u^2) and
    c (1 - taper_z u) sqrt(1 - u^2), its centre at y0 - sweep u - bow u^2 and z0 + rise u, sheared in z by
    `tilt` times the distance in y. Bending, rise and tilt keep areas, so the volume is exactly
    pi a b c (4/3 + 4/15 taper_y taper_z).

    Attributes
    ----------
    x, y, z : float
        x0, y0, z0 [mm], LPS.
    a, b, c : float
        Semi-axes of the untapered ellipsoid along x, y and z [mm].
    taper_y, taper_z : float
        0 to less than 1; positive makes the patient's right side the large one.
    sweep, bow : float
        Shift of the centre towards the front, over u and over u^2 [mm].
    rise : float
        Shift of the centre towards the head, over u [mm].
    tilt : float
        Shift towards the head per mm towards the back.
    """

    x: float
    y: float
    z: float
    a: float
    b: float
    c: float
    taper_y: float = 0.0
    taper_z: float = 0.0
    sweep: float = 0.0
    bow: float = 0.0
    rise: float = 0.0
    tilt: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.taper_y < 1 and 0 <= self.taper_z < 1):
            raise ValueError("a lobe's tapers lie between 0 and 1")

    @property
    def volume_mm3(self) -> float:
        """Exact volume."""
        return math.pi * self.a * self.b * self.c * (4.0 / 3.0 + 4.0 / 15.0 * self.taper_y * self.taper_z)

    @property
    def box(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """Lower and upper bound along x, y and z [mm]; within 0.1 mm of the tightest."""
        points = self.surface(200, 200)
        low, high = points.min(axis=0) - 0.1, points.max(axis=0) + 0.1
        return (
            (float(low[0]), float(high[0])),
            (float(low[1]), float(high[1])),
            (float(low[2]), float(high[2])),
        )

    def surface(self, across: int, around: int) -> Floats:
        """Points on the surface, shape (across * around, 3), LPS [mm]."""
        u = -np.cos(np.linspace(0.0, math.pi, across))[:, None]
        turn = np.linspace(0.0, 2 * math.pi, around, endpoint=False)[None, :]
        ring = np.sqrt(1.0 - u * u)
        dy = self.b * (1 - self.taper_y * u) * ring * np.cos(turn)
        dz = self.c * (1 - self.taper_z * u) * ring * np.sin(turn) + self.tilt * dy
        y = self.y - self.sweep * u - self.bow * u * u + dy
        z = self.z + self.rise * u + dz
        return np.stack([np.broadcast_to(self.x + self.a * u, y.shape), y, z], axis=-1).reshape(-1, 3)

    def level(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Level function of points: below 1 inside, 1 on the surface; broadcasts."""
        u = (x - self.x) / self.a
        across, up = self.reduced(u, y, z)
        inside = np.abs(u) < 1
        return np.where(inside, np.sqrt(u * u + across * across + up * up), 1.0 + np.abs(u))

    def reduced(self, u: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Coordinates y and z in units of the section's semi-axes (before the factor sqrt(1 - u^2))."""
        dy = y - (self.y - self.sweep * u - self.bow * u * u)
        dz = z - (self.z + self.rise * u) - self.tilt * dy
        return dy / (self.b * (1 - self.taper_y * u)), dz / (self.c * (1 - self.taper_z * u))

    def moved(self, dx: float, dy: float, dz: float) -> Lobe:
        """The same lobe elsewhere."""
        return replace(self, x=self.x + dx, y=self.y + dy, z=self.z + dz)

    def grown(self, margin_mm: float) -> Lobe:
        """The same lobe with each semi-axis longer by `margin_mm` (roughly a layer of that thickness)."""
        return replace(self, a=self.a + margin_mm, b=self.b + margin_mm, c=self.c + margin_mm)
