"""How much of each voxel a solid covers on planes that lie in any way: what `node.phantom.coverage` is for axial ones.

Beside the ten stages. In: a solid and `Planes`. Out: for windows of the planes, the covered part of each voxel and
whether its centre is inside. A solid that the planes do not show gives no window. Next: `node.phantom.render`.

Each solid has a level function, 1 on its surface. Whether a centre is inside is asked at its true place. The covered
part comes from the level at the centre over its change across the voxel: the root of the sum of squares of the changes
along its three edges, which gives the ramp the spread that the voxel has along the border's normal. A border that is
slightly shifted makes it right on average for a curved one; a column's flat ends cover a part of their own, and both
are multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from node.phantom.planes import Planes
from node.phantom.shapes import Column, Ellipsoid, Floats, Lobe, Stack

CHUNK_VOXELS = 400_000
"""Voxels worked on at once."""
MARGIN_MM = 0.5
"""Added to a solid's box."""
STEEPEST = 3.0
"""A level changes by less than this much per least semi-axis; what is farther from 1 is wholly in or out."""

Fractions = NDArray[np.float32]
Mask = NDArray[np.bool_]
Cover = tuple[tuple[slice, slice, slice], Fractions, Mask]


def plane_covers(solid: Stack | Lobe, planes: Planes) -> Iterator[Cover]:
    """How much of each voxel a solid covers, over windows of the planes that hold all of it."""
    window = _window(solid, planes)
    area = math.prod(part.stop - part.start for part in window[1:])
    if not area:
        return
    size = max(1, CHUNK_VOXELS // area)
    for first in range(window[0].start, window[0].stop, size):
        chunk = (slice(first, min(first + size, window[0].stop)), *window[1:])
        yield chunk, *_cover(solid, planes, chunk)


def _cover(solid: Stack | Lobe, planes: Planes, window: tuple[slice, slice, slice]) -> tuple[Fractions, Mask]:
    x, y, z = _places(planes, window)
    level = _level(solid, x, y, z)
    shape = tuple(part.stop - part.start for part in window)
    level = np.ascontiguousarray(np.broadcast_to(level, shape))
    inside = level < 1
    half = planes.steps / 2
    reach = float(np.linalg.norm(half, axis=1).sum())
    near = np.flatnonzero(np.abs(level - 1).ravel() < STEEPEST * reach / _least_semi_axis(solid))
    cover = inside.astype(np.float32)
    if near.size:
        at = tuple(np.broadcast_to(axis, shape).ravel()[near] for axis in (x, y, z))
        cover.ravel()[near] = _part(solid, level.ravel()[near], at, half)
    if isinstance(solid, Column):
        low, high = solid.z_range
        rise = float(np.abs(half[:, 2]).sum())
        ends = (np.clip(np.minimum(z + rise, high) - np.maximum(z - rise, low), 0, None) / (2 * rise)).astype(
            np.float32
        )
        cover *= np.minimum(ends, 1)
        inside &= (z >= low) & (z < high)
    return cover, inside


def _part(solid: Stack | Lobe, level: Floats, at: tuple[Floats, ...], half: Floats) -> Fractions:
    """Covered part of voxels near the border, from the level at their centres and at those of their faces."""
    x, y, z = at
    squares = np.zeros_like(level)
    for dx, dy, dz in half:
        ahead = _level(solid, x + dx, y + dy, z + dz) - level
        behind = _level(solid, x - dx, y - dy, z - dz) - level
        # the lesser of both sides: at a column's tip the level runs off to infinity on one of them
        squares += 4 * np.minimum(np.abs(ahead), np.abs(behind)) ** 2
    width = np.maximum(np.sqrt(squares), 1e-6)
    # The ramp of a curved border is centred a little within it, so that areas and volumes come out.
    bulge = np.minimum(width * width / 12, 1.0)
    border = np.sqrt(1 - bulge) if isinstance(solid, Column) else 1 - bulge
    most = _most(solid, z, half) if isinstance(solid, Column) else np.ones_like(level)
    return np.clip(0.5 + (border - level) / width, 0, most).astype(np.float32)


def _most(solid: Column, z: Floats, half: Floats) -> Floats:
    """Largest part of a voxel that a thin column can cover: its section's area over that of a pixel."""
    low, high = solid.z_range
    section = solid.sections(np.clip(z, low, high))
    pixel_mm2 = 4 * float(np.linalg.norm(np.cross(half[1], half[2])))
    return np.minimum(math.pi * section.a * section.b / pixel_mm2, 1.0)


def _level(solid: Stack | Lobe, x: Floats, y: Floats, z: Floats) -> Floats:
    """Level of points that broadcast: below 1 inside; of a column as if it had no ends."""
    if isinstance(solid, Lobe):
        u = (x - solid.x) / solid.a
        across, up = solid.reduced(u, y, z)
        return np.sqrt(u * u + across * across + up * up)
    if isinstance(solid, Ellipsoid):
        up = z - solid.z
        dx, dy = x - (solid.x + solid.lean_x * up), y - (solid.y + solid.lean_y * up)
        cos, sin = math.cos(solid.angle), math.sin(solid.angle)
        across, along = (dx * cos + dy * sin) / solid.a, (dy * cos - dx * sin) / solid.b
        return np.sqrt(across * across + along * along + (up / solid.c) ** 2)
    low, high = solid.z_range
    heights = np.array([low]) if _is_even(solid) else np.clip(z, low, high).ravel()
    section = solid.sections(heights)
    centre_x, centre_y, a, b, angle = (axis.reshape(z.shape) if axis.size > 1 else axis for axis in section)
    a, b = np.maximum(a, 1e-3), np.maximum(b, 1e-3)
    dx, dy = x - centre_x, y - centre_y
    if solid.power != 2.0:
        p = solid.power
        return (np.abs(dx / a) ** p + np.abs(dy / b) ** p) ** (1 / p)
    if not angle.any():
        return np.sqrt((dx / a) ** 2 + (dy / b) ** 2)
    turn, aside = np.cos(angle), np.sin(angle)
    return np.sqrt(((dx * turn + dy * aside) / a) ** 2 + ((dy * turn - dx * aside) / b) ** 2)


def _places(planes: Planes, window: tuple[slice, slice, slice]) -> tuple[Floats, Floats, Floats]:
    """Coordinates of a window's centres, each with a length of 1 along the axes on which it does not change."""
    made = []
    for axis in range(3):
        place = np.full((1, 1, 1), planes.origin_mm[axis])
        for number, (part, step) in enumerate(zip(window, planes.steps[:, axis], strict=True)):
            if step:
                shape = [1, 1, 1]
                shape[number] = -1
                place = place + (np.arange(part.start, part.stop, dtype=np.float64) * step).reshape(shape)
        made.append(place)
    return made[0], made[1], made[2]


def _window(solid: Stack | Lobe, planes: Planes) -> tuple[slice, slice, slice]:
    """Slices, rows and columns that a solid may reach."""
    last = np.array(planes.shape) - 1
    ends = np.array([planes.centre(*(last * at)) for at in np.ndindex(2, 2, 2)])
    voxel = np.abs(planes.steps).sum(axis=0)
    low, high = _box(solid, float(ends[:, 2].min() - voxel[2]), float(ends[:, 2].max() + voxel[2]))
    low, high = np.maximum(low, ends.min(axis=0) - voxel), np.minimum(high, ends.max(axis=0) + voxel)
    if (low > high).any():
        return slice(0, 0), slice(0, 0), slice(0, 0)
    corners = np.array([np.where(at, high, low) for at in np.ndindex(2, 2, 2)])
    found = (corners - planes.origin_mm) @ np.linalg.inv(planes.steps)
    first = np.clip(np.floor(found.min(axis=0)).astype(int), 0, planes.shape)
    stop = np.clip(np.ceil(found.max(axis=0)).astype(int) + 1, first, planes.shape)
    slices, rows, columns = (slice(int(one), int(end)) for one, end in zip(first, stop, strict=True))
    return slices, rows, columns


def _box(solid: Stack | Lobe, lowest: float, highest: float) -> tuple[Floats, Floats]:
    """Bounds of a solid [mm], of an endless one between two heights."""
    if isinstance(solid, Lobe):
        box = np.array(solid.box)
        return box[:, 0] - MARGIN_MM, box[:, 1] + MARGIN_MM
    low, high = max(solid.z_range[0], lowest), min(solid.z_range[1], highest)
    knots = [knot.z for knot in solid.knots] if isinstance(solid, Column) else []
    heights = np.unique(np.clip([*np.linspace(low, high, 65), *knots], low, max(low, high)))
    section = solid.sections(heights)
    reach = np.maximum(section.a, section.b) if solid.power == 2.0 else section.a
    deep = reach if solid.power == 2.0 else section.b
    return (
        np.array([(section.x - reach).min(), (section.y - deep).min(), low]) - MARGIN_MM,
        np.array([(section.x + reach).max(), (section.y + deep).max(), high]) + MARGIN_MM,
    )


def _is_even(solid: Column) -> bool:
    """Whether a column is the same at every height."""
    first = solid.knots[0]
    return all(replace(knot, z=first.z) == first for knot in solid.knots)


def _least_semi_axis(solid: Stack | Lobe) -> float:
    if isinstance(solid, Lobe):
        return min(solid.a, solid.b * (1 - solid.taper_y), solid.c * (1 - solid.taper_z))
    if isinstance(solid, Ellipsoid):
        return min(solid.a, solid.b, solid.c)
    section = solid.sections(np.array([knot.z for knot in solid.knots]))
    return max(float(min(section.a.min(), section.b.min())), 1e-3)
