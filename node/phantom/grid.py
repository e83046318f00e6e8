"""The sampling grid of a phantom: axial, slices from the feet to the head.

Beside the ten stages. In: a grid as asked for, or an anatomy to be covered. Out: `Grid`, geometry without voxels.
A grid whose planes lie in any other way is `node.phantom.planes.Planes`. Next: `node.phantom.render`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from node.phantom.anatomy import Anatomy
from node.phantom.planes import Planes
from node.phantom.shapes import Floats
from node.phantom.structures import Structure


@dataclass(frozen=True)
class Grid:
    """Centres of voxels on an axial grid.

    Attributes
    ----------
    slices, rows, columns : int
        Shape of every array on this grid.
    spacing_mm : tuple of float
        (z, y, x), all positive: slices run towards the head, rows to the back, columns to the patient's left.
    origin_mm : tuple of float
        (x, y, z) in LPS of the centre of voxel [0, 0, 0].
    """

    slices: int
    rows: int
    columns: int
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or min(self.spacing_mm) <= 0:
            raise ValueError("a grid needs at least one voxel and positive spacing")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return self.slices, self.rows, self.columns

    @property
    def planes(self) -> Planes:
        """The same grid by the steps of its axes."""
        dz, dy, dx = self.spacing_mm
        return Planes(self.shape, self.origin_mm, (0.0, 0.0, dz), (0.0, dy, 0.0), (dx, 0.0, 0.0))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel [mL]."""
        return math.prod(self.spacing_mm) / 1000.0

    @property
    def x(self) -> Floats:
        """Coordinate x of the columns' centres [mm], shape (columns,)."""
        return self.origin_mm[0] + self.spacing_mm[2] * np.arange(self.columns, dtype=np.float64)

    @property
    def y(self) -> Floats:
        """Coordinate y of the rows' centres [mm], shape (rows,)."""
        return self.origin_mm[1] + self.spacing_mm[1] * np.arange(self.rows, dtype=np.float64)

    @property
    def z(self) -> Floats:
        """Coordinate z of the slices' centres [mm], shape (slices,)."""
        return self.origin_mm[2] + self.spacing_mm[0] * np.arange(self.slices, dtype=np.float64)


def covering_grid(
    anatomy: Anatomy,
    *,
    spacing_mm: tuple[float, float, float],
    size: int | None = None,
    least_slices: int = 1,
    margin_mm: float = 15.0,
) -> Grid:
    """Grid of this spacing around the trunk, from below the psoas' end to above the liver.

    The lower end plate of L1 lies on the border between two slices, so that a body whose height is a whole
    number of slices is cut into exactly that many.

    Parameters
    ----------
    anatomy : Anatomy
        What to cover.
    spacing_mm : tuple of float
        (z, y, x).
    size : int, optional
        Rows and columns; by default what the skin and 10 mm around it need.
    least_slices : int
        More slices than needed are added at the upper end.
    margin_mm : float
        Least distance of psoas and liver to the first and last slice's centre.
    """
    dz, dy, dx = spacing_mm
    outline = anatomy.skin.sections(np.array([0.0]))
    x, y = float(outline.x[0]), float(outline.y[0])
    columns = size or math.ceil((2 * float(outline.a[0]) + 20.0) / dx)
    rows = size or math.ceil((2 * float(outline.b[0]) + 20.0) / dy)
    low = min(anatomy.psoas_left.z_range[0], anatomy.psoas_right.z_range[0]) - margin_mm
    high = anatomy.liver.box[2][1] + margin_mm
    anchor = anatomy.vertebra(Structure.VERTEBRA_L1).body.z_range[0] + dz / 2
    first = anchor - dz * math.ceil((anchor - low) / dz)
    slices = max(least_slices, math.ceil((high - first) / dz) + 1)
    origin = (x - dx * (columns - 1) / 2, y - dy * (rows - 1) / 2, first)
    return Grid(slices, rows, columns, spacing_mm, (round(origin[0], 1), round(origin[1], 1), round(first, 3)))


FIELDS_OF_VIEW_MM = (0.8, 0.9, 0.976562)
"""Pixel sizes of the standard grid: fields of view of 410, 461 and 500 mm."""


def standard_grid(anatomy: Anatomy) -> Grid:
    """512 x 512 x 160 or more at 3 mm; 0.8 mm pixels, larger ones only for a trunk that would not fit."""
    needed = covering_grid(anatomy, spacing_mm=(3.0, 1.0, 1.0))
    for pixel in FIELDS_OF_VIEW_MM[:-1]:
        if needed.columns <= 512 * pixel:
            break
    else:
        pixel = FIELDS_OF_VIEW_MM[-1]
    return covering_grid(anatomy, spacing_mm=(3.0, pixel, pixel), size=512, least_slices=160)
