"""How much of each voxel a solid covers: partial volume without voxels finer than the grid.

Beside the ten stages. In: a solid and a `Grid` (`Planes` go on to `node.phantom.plane_coverage`). Out: for windows of
the grid, the covered part of each voxel and whether its centre is inside. A solid that the grid does not show gives no
window. Next: `node.phantom.render`.

In the slice's plane the covered part comes from the distance to the outline over the voxel's width along its normal
(exact for a straight border, and right on average for a curved one); along z, sections at every millimetre or finer
are averaged. The liver's comes from its distance in space. Everything is worked out in chunks that fit a core's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from node.phantom.grid import Grid
from node.phantom.plane_coverage import plane_covers
from node.phantom.planes import Planes
from node.phantom.shapes import Floats, Lobe, Sections, Stack

CHUNK_VOXELS = 400_000
"""Samples worked on at once: small enough to stay in a core's cache, large enough to hide Python."""

Fractions = NDArray[np.float32]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice, slice]
Cover = tuple[Window, Fractions, Mask]
"""A part of the grid, how much of each of its voxels a solid covers, and where a centre is inside."""


def covers(solid: Stack | Lobe, grid: Grid | Planes) -> Iterator[Cover]:
    """How much of each voxel a solid covers, over windows of the grid that hold all of it."""
    if isinstance(grid, Planes):
        yield from plane_covers(solid, grid)
        return
    yield from _lobe_covers(solid, grid) if isinstance(solid, Lobe) else _stack_covers(solid, grid)


def _stack_covers(solid: Stack, grid: Grid) -> Iterator[Cover]:
    dz = grid.spacing_mm[0]
    low, high = solid.z_range
    heights = grid.z
    touched = np.flatnonzero((heights + dz / 2 > low) & (heights - dz / 2 < high))
    if not touched.size:
        return
    count = max(1, math.ceil(dz - 1e-6))
    count += 1 - count % 2
    step = dz / count
    offsets: Floats = (np.arange(count, dtype=np.float64) - count // 2) * step
    for first, last in _chunks(solid, grid, touched, count):
        z = heights[first:last]
        sub = z[:, None] + offsets
        weights = np.clip(np.minimum(sub + step / 2, high) - np.maximum(sub - step / 2, low), 0, step) / dz
        rows, columns = _window(solid, grid, sub)
        if rows.start == rows.stop or columns.start == columns.stop:
            continue
        cover, inside = _stack_cover(solid, grid, np.clip(sub, low, high), weights, rows, columns)
        inside &= ((z >= low) & (z < high))[:, None, None]
        yield (slice(first, last), rows, columns), cover, inside


def _chunks(solid: Stack, grid: Grid, touched: NDArray[np.intp], count: int) -> Iterator[tuple[int, int]]:
    """Runs of slices whose samples fit `CHUNK_VOXELS`."""
    first, end = int(touched[0]), int(touched[-1]) + 1
    rows, columns = _window(solid, grid, grid.z[first:end, None])
    area = max(1, (rows.stop - rows.start) * (columns.stop - columns.start))
    size = max(1, CHUNK_VOXELS // (area * count))
    for start in range(first, end, size):
        yield start, min(start + size, end)


def _window(solid: Stack, grid: Grid, z: Floats) -> tuple[slice, slice]:
    """Rows and columns that the sections at heights `z` reach, with a voxel to spare."""
    low, high = solid.z_range
    section = solid.sections(np.clip(z.ravel(), low, high))
    reach_x: Floats = section.a
    reach_y: Floats = section.b
    if solid.power == 2.0:
        cos, sin = np.cos(section.angle), np.sin(section.angle)
        reach_x, reach_y = np.hypot(reach_x * cos, reach_y * sin), np.hypot(reach_x * sin, reach_y * cos)
    columns = _span(section.x, reach_x, grid.origin_mm[0], grid.spacing_mm[2], grid.columns)
    rows = _span(section.y, reach_y, grid.origin_mm[1], grid.spacing_mm[1], grid.rows)
    return rows, columns


def _span(centre: Floats, reach: Floats, origin: float, step: float, count: int) -> slice:
    first = math.floor((float((centre - reach).min()) - origin) / step)
    last = math.ceil((float((centre + reach).max()) - origin) / step) + 1
    first, last = min(max(first, 0), count), min(max(last, 0), count)
    return slice(first, max(first, last))


def _stack_cover(
    solid: Stack, grid: Grid, sub: Floats, weights: Floats, rows: slice, columns: slice
) -> tuple[Fractions, Mask]:
    """Cover of shape (slices, rows, columns) from sections at `sub` (slices, samples), averaged by weight."""
    n, count = sub.shape
    section = solid.sections(sub.ravel())
    dx = (grid.x[columns][None, :] - section.x[:, None]).astype(np.float32)[:, None, :]
    dy = (grid.y[rows][None, :] - section.y[:, None]).astype(np.float32)[:, :, None]
    _, sy, sx = grid.spacing_mm
    level, width = (
        _ellipse(section, dx, dy, sx, sy) if solid.power == 2.0 else _box(section, dx, dy, sx, sy, solid.power)
    )
    inside = (level < 1).reshape(n, count, *level.shape[1:])[:, count // 2].copy()
    spread = _mean_square_width(section, sx, sy)
    cover = _ramp(level, width, np.sqrt(np.maximum(1 - spread / 12, 0.0)), np.sqrt(spread))
    most = np.minimum(math.pi * section.a * section.b / (sx * sy), 1.0)[:, None, None]
    np.clip(cover, 0, most.astype(np.float32), out=cover)
    cover *= weights.astype(np.float32).reshape(-1, 1, 1)
    summed: Fractions = cover.reshape(n, count, *cover.shape[1:]).sum(axis=1)
    return summed, inside


def _ellipse(section: Sections, dx: Fractions, dy: Fractions, sx: float, sy: float) -> tuple[Fractions, Fractions]:
    """Level (1 on the outline) and level times the change of level across a voxel, for ellipses."""
    a, b = _axes(section)
    if section.angle.any():
        cos = np.cos(section.angle).astype(np.float32)[:, None, None]
        sin = np.sin(section.angle).astype(np.float32)[:, None, None]
        turned_x: Fractions = dx * cos + dy * sin
        turned_y: Fractions = dy * cos - dx * sin
        across, along = turned_x / a, turned_y / b
        width_x: Fractions = np.abs(across * (cos / a) - along * (sin / b)) * np.float32(sx)
        width_y: Fractions = np.abs(across * (sin / a) + along * (cos / b)) * np.float32(sy)
    else:
        across, along = dx / a, dy / b
        width_x, width_y = np.abs(across) * (np.float32(sx) / a), np.abs(along) * (np.float32(sy) / b)
    level = across * across + along * along
    return np.sqrt(level, out=level), width_x + width_y


def _box(
    section: Sections, dx: Fractions, dy: Fractions, sx: float, sy: float, power: float
) -> tuple[Fractions, Fractions]:
    """The same for the boxier outline of the trunk, |x/a|^p + |y/b|^p = 1."""
    a, b = _axes(section)
    p = np.float32(power)
    across, along = np.abs(dx / a), np.abs(dy / b)
    level = (across**p + along**p) ** (1 / p)
    width = across ** (p - 1) * (np.float32(sx) / a) + along ** (p - 1) * (np.float32(sy) / b)
    width *= np.maximum(level, np.float32(1e-6)) ** (2 - p)
    return level, width


def _axes(section: Sections) -> tuple[Fractions, Fractions]:
    a, b = (np.maximum(axis, 1e-3).astype(np.float32)[:, None, None] for axis in (section.a, section.b))
    return a, b


def _mean_square_width(section: Sections, sx: float, sy: float) -> Floats:
    """Mean over an ellipse's directions of the squared change of level W across a voxel, shape (n,).

    On the outline at (a cos f, b sin f), turned by `angle`, W = |gx| sx + |gy| sy with the gradient
    gx = cos f cos / a - sin f sin / b and gy = cos f sin / a + sin f cos / b. With delta the phase between the two,
    the mean of |gx gy| is 2 / pi (sin delta + (pi / 2 - delta) cos delta) times the root of both mean squares.
    """
    a, b = np.maximum(section.a, 1e-3), np.maximum(section.b, 1e-3)
    cos, sin = np.cos(section.angle), np.sin(section.angle)
    gx2 = ((cos / a) ** 2 + (sin / b) ** 2) / 2
    gy2 = ((sin / a) ** 2 + (cos / b) ** 2) / 2
    product = np.sqrt(gx2 * gy2)
    phase = np.clip(cos * sin * (1 / a**2 - 1 / b**2) / 2 / product, -1, 1)
    delta = np.arccos(phase)
    both = product * 2 / math.pi * (np.sqrt(1 - phase**2) + (math.pi / 2 - delta) * phase)
    mean: Floats = gx2 * sx**2 + gy2 * sy**2 + 2 * sx * sy * both
    return mean


def _ramp(level: Fractions, width: Fractions, border: Floats, typical: Floats) -> Fractions:
    """1/2 + (border - level) / W, in place and before clipping, where width = W level.

    `border` is a little less than 1, so that the covers of a curved outline sum to the exact area or volume; at
    the very centre, where level and width vanish together, `typical` stands for W. Both have shape (n,).
    """
    small = np.float32(1e-3)
    width += small * typical.astype(np.float32)[:, None, None]
    falling = border.astype(np.float32)[:, None, None] - level
    level += small
    level *= falling
    level /= width
    level += np.float32(0.5)
    return level


def _lobe_covers(solid: Lobe, grid: Grid) -> Iterator[Cover]:
    """Cover of the liver from its level function and gradient in space, at the voxels' centres."""
    spans = []
    for (low, high), origin, step, count in zip(
        solid.box, grid.origin_mm, grid.spacing_mm[::-1], grid.shape[::-1], strict=True
    ):
        spans.append(_span(np.array([(low + high) / 2]), np.array([(high - low) / 2]), origin, step, count))
    columns, rows, slices = spans
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    if not area:
        return
    spread = _lobe_spread(solid, grid)
    border = np.roots([1.0, 0.0, spread / 4, -1.0])
    border = border[np.abs(border.imag) < 1e-9].real
    size = max(1, CHUNK_VOXELS // area)
    u = (grid.x[columns] - solid.x) / solid.a
    for first in range(slices.start, slices.stop, size):
        chunk = slice(first, min(first + size, slices.stop))
        across, up = solid.reduced(u, grid.y[rows][:, None], grid.z[chunk][:, None, None])
        level, width = _lobe_level(solid, grid, u.astype(np.float32), across.astype(np.float32), up.astype(np.float32))
        inside = level < 1
        cover = np.clip(_ramp(level, width, border, np.array([math.sqrt(spread)])), 0, 1)
        yield (chunk, rows, columns), cover, inside


def _lobe_level(solid: Lobe, grid: Grid, u: Fractions, across: Fractions, up: Fractions) -> tuple[Fractions, Fractions]:
    """Level, and level times its change across a voxel, at points in the lobe's reduced coordinates."""
    sz, sy, sx = (np.float32(step) for step in grid.spacing_mm)
    tilt, rise = np.float32(solid.tilt), np.float32(solid.rise)
    by = np.float32(solid.b) * (1 - np.float32(solid.taper_y) * u)
    cz = np.float32(solid.c) * (1 - np.float32(solid.taper_z) * u)
    bend = np.float32(solid.sweep) + np.float32(2 * solid.bow) * u
    # derivatives of the reduced coordinates along u; then those of (level^2) / 2 along x, y and z
    slope_across = (bend + across * np.float32(solid.b * solid.taper_y)) / by
    slope_up = (up * np.float32(solid.c * solid.taper_z) - rise - tilt * bend) / cz
    width: Fractions = np.abs(u + across * slope_across + up * slope_up) * (sx / np.float32(solid.a))
    width += np.abs(across / by - up * (tilt / cz)) * sy
    width += np.abs(up) * (sz / cz)
    level: Fractions = np.sqrt(u * u + across * across + up * up)
    return level, width


def _lobe_spread(solid: Lobe, grid: Grid) -> float:
    """Mean over the lobe's directions of the squared change of level across a voxel, weighted by volume.

    With it, the border c of the ramp solves c^3 + c spread / 4 = 1: the covers then sum to the exact volume.
    """
    u = np.linspace(-1, 1, 100, dtype=np.float32)[None, None, 1:-1]
    turn = np.linspace(0, 2 * math.pi, 72, endpoint=False, dtype=np.float32)[None, :, None]
    ring = np.sqrt(1 - u * u)
    across: Fractions = ring * np.cos(turn)
    up: Fractions = ring * np.sin(turn)
    _, width = _lobe_level(solid, grid, u, across, up)
    weight = np.broadcast_to((1 - solid.taper_y * u) * (1 - solid.taper_z * u), width.shape)
    return float((width**2 * weight).sum(dtype=np.float64) / weight.sum(dtype=np.float64))
