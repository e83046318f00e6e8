"""A tilted volume as a network has to see it: resampled to slices across the table, and its masks brought back.

In: Hounsfield units on a sheared grid. Out: the same on a rectangular grid whose slices lie across the way from slice
to slice, which is the way of the table; then regions of that grid on the sheared one. Numbers are measured and SEG is
written on the source slices: what is resampled here is what a network looks at, and nothing else. What can go wrong:
nothing. Next: `workers.segmentation` asks the network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from node.core.codes import Structure
from node.core.grid import Geometry, Vector
from workers.records import Mask, Region

_AIR_HU = -1024
_HALF = 0.5  # of a voxel of the network that a voxel of the source has to have


def upright(hu: NDArray[Any], geometry: Geometry) -> tuple[NDArray[Any], Geometry]:
    """Resample a tilted volume, linearly.

    Parameters
    ----------
    hu
        `(slices, rows, columns)`, Hounsfield units.
    geometry
        Its sheared grid, LPS millimetres.

    Returns
    -------
    hu, geometry
        On a rectangular grid that holds every voxel of the source; air where the source has none. Rows are a little
        closer than those of the source, as these lie askew.
    """
    target = _rectangular(geometry)
    to_source = np.linalg.inv(geometry.affine) @ target.affine
    resampled: NDArray[Any] = ndimage.affine_transform(
        hu, to_source[:3, :3], to_source[:3, 3], output_shape=target.shape, order=1, cval=_AIR_HU
    )
    return resampled, target


def brought_back(regions: Mapping[Structure, Region], seen: Geometry, geometry: Geometry) -> dict[Structure, Region]:
    """Return regions of the grid `seen` on the source grid; what has no voxel there is not there."""
    to_seen = np.linalg.inv(seen.affine) @ geometry.affine
    found = {structure: _on_source(region, to_seen, geometry.shape) for structure, region in regions.items()}
    return {structure: region for structure, region in found.items() if region is not None}


def _rectangular(geometry: Geometry) -> Geometry:
    """Return the rectangular grid: slices along the steps of the source, columns and rows square to them."""
    step, row, column = (
        np.asarray(one) for one in (geometry.slice_step_mm, geometry.row_step_mm, geometry.column_step_mm)
    )
    along = step / np.linalg.norm(step)
    across = column - (column @ along) * along
    down = row - (row @ along) * along
    down = down - (down @ across) / (across @ across) * across
    axes = np.stack([step, down, across], axis=1)
    corners = (geometry.affine @ _corners([(0, size - 1) for size in geometry.shape]))[:3].T
    inside = np.linalg.solve(axes, (corners - np.asarray(geometry.origin_mm)).T).T
    first, last = np.floor(inside.min(axis=0) + 1e-6), np.ceil(inside.max(axis=0) - 1e-6)
    slices, rows, columns = (int(count) for count in last - first + 1)
    return Geometry(
        shape=(slices, rows, columns),
        origin_mm=_vector(np.asarray(geometry.origin_mm) + axes @ first),
        slice_step_mm=_vector(step),
        row_step_mm=_vector(down),
        column_step_mm=_vector(across),
        frame_of_reference_uid=geometry.frame_of_reference_uid,
    )


def _corners(ends: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Return the eight corners of a box as homogeneous indices, shape (4, 8), from its first and last on each axis."""
    corners: NDArray[np.float64] = np.stack([axis.ravel() for axis in np.meshgrid(*ends, indexing="ij")] + [np.ones(8)])
    return corners


def _on_source(region: Region, to_seen: NDArray[np.float64], shape: tuple[int, int, int]) -> Region | None:
    """Return one region on the source grid: where at least half of a voxel that a network saw is inside."""
    to_source: NDArray[np.float64] = np.asarray(np.linalg.inv(to_seen), dtype=np.float64)
    box = _box_on_source(region, to_source, shape)
    start = np.asarray([part.start for part in box])
    offset = to_seen[:3, :3] @ start + to_seen[:3, 3] - np.asarray(region.start)
    share = ndimage.affine_transform(
        region.mask.astype(np.float32),
        to_seen[:3, :3],
        offset,
        output_shape=tuple(part.stop - part.start for part in box),
        order=1,
    )
    inside: Mask = share >= _HALF
    return Region.of(inside, (box[0].start, box[1].start, box[2].start))


def _box_on_source(
    region: Region, to_source: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[slice, slice, slice]:
    """Return the part of the source that a region's box reaches, with a voxel to spare."""
    reached = (to_source @ _corners([(part.start - 1, part.stop) for part in region.box]))[:3]
    low = np.floor(reached.min(axis=1)).clip(0, np.asarray(shape) - 1)
    high = (np.ceil(reached.max(axis=1)) + 1).clip(low + 1, shape)
    first, second, third = (slice(int(begin), int(end)) for begin, end in zip(low, high, strict=True))
    return first, second, third


def _vector(values: NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])
