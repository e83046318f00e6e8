"""Which part of a plane is shown: the body, without the air around it."""

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
