"""Which part of a plane is shown: the body without the air around it, or a part of it that fills the picture."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from workers.records import Volume
from workers.report.key_images.planes import AIR_HU, Plane, Window

_BODY_HU = -300.0
_COARSE = 4  # every fourth sample is enough to find the body
_MARGIN_MM = 8.0


def body(volume: Volume, plane: Plane) -> Window:
    """Return the rows and columns of a plane that show the largest thing in it that is no air."""
    seen = _coarse(plane).values(volume.hu, outside=AIR_HU) > _BODY_HU
    parts, count = ndimage.label(seen)
    if count == 0:
        return slice(0, plane.rows), slice(0, plane.columns)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    found = np.nonzero(parts == int(sizes.argmax()))
    rows, columns = (
        slice(int(one.min()) * _COARSE - margin, (int(one.max()) + 1) * _COARSE + margin)
        for one, margin in zip(found, samples(plane, _MARGIN_MM), strict=True)
    )
    return rows, columns


def filling(plane: Plane, window: Window, ratio: float) -> Window:
    """Return a window that is grown in one direction to a ratio of width to height, as far as the plane reaches."""
    (rows, columns), (down_mm, right_mm) = window, plane.spacing_mm
    high, wide = (rows.stop - rows.start) * down_mm, (columns.stop - columns.start) * right_mm
    more_rows, more_columns = max(wide / ratio - high, 0) / down_mm, max(high * ratio - wide, 0) / right_mm
    return _grown(rows, more_rows, plane.rows), _grown(columns, more_columns, plane.columns)


def _grown(part: slice, more: float, size: int) -> slice:
    """Grow a part by so many samples, on the other side too where one is at the end."""
    start, stop = max(part.start, 0), min(part.stop, size)
    length = min(stop - start + round(more), size)
    start = min(max(start - round(more / 2), 0), size - length)
    return slice(start, start + length)


def samples(plane: Plane, length_mm: float) -> tuple[int, int]:
    """Return how many samples a length is, down and across."""
    down_mm, right_mm = plane.spacing_mm
    return int(np.ceil(length_mm / down_mm)), int(np.ceil(length_mm / right_mm))


def _coarse(plane: Plane) -> Plane:
    down, right = np.asarray(plane.down_mm) * _COARSE, np.asarray(plane.right_mm) * _COARSE
    return replace(
        plane,
        down_mm=(float(down[0]), float(down[1]), float(down[2])),
        right_mm=(float(right[0]), float(right[1]), float(right[2])),
        rows=-(-plane.rows // _COARSE),
        columns=-(-plane.columns // _COARSE),
    )
