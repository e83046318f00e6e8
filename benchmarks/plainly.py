"""The plain way to the numbers of stage 8: NumPy and SciPy, a mask of the whole volume for each structure.

As a careful user would write it on arrays as TotalSegmentator's three tasks give them: counts and means on the masks,
components and the distance transform by `scipy.ndimage`. `crop=True` is the user who has met the memory of that: the
masks are still made in the whole volume, but components and distances are worked out in their bounding boxes. The grid
is axial, with voxels of at most 1 mm, so that nothing has to be supersampled. No note, no reason, no doubt: a structure
that is missing or cut is an error.
"""

import math
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

LIVER, ILIOPSOAS_LEFT, ILIOPSOAS_RIGHT, L1, L3 = 5, 88, 89, 31, 29  # classes of the task `total`
EROSION_MM, SLAB, LEAST_LESION_ML = 5.0, 0.5, 0.05
AROUND = np.ones((3, 3, 3), dtype=bool)

Array = NDArray[Any]
Box = tuple[slice, ...]


def measure(
    hu: Array, total: Array, bodies: Array, lesions: Array, spacing_mm: list[float], height_m: float, *, crop: bool
) -> dict[str, float]:
    """Return the seventeen numbers by their ids."""
    if max(spacing_mm) > 1:
        raise ValueError("voxels of more than 1 mm would have to be supersampled")
    step = np.asarray(spacing_mm)
    ml = float(np.prod(step)) / 1000
    found = _liver(hu, total, ml)
    l3 = _largest_part((total == L3) & (bodies > 0), crop=crop)
    slices = np.flatnonzero(l3.any(axis=(1, 2)))
    middle = int(slices[0] + slices[-1]) // 2
    for side, number in (("left", ILIOPSOAS_LEFT), ("right", ILIOPSOAS_RIGHT)):
        found |= _muscle(hu, total == number, f"psoas.{side}", middle, step)
    volumes, areas = ([found[f"psoas.{side}.{what}"] for side in ("left", "right")] for what in ("volume", "area_l3"))
    found["psoas.pmvi"], found["psoas.pmi"] = sum(volumes) / height_m**3, sum(areas) / height_m**2
    body = _largest_part((total == L1) & (bodies > 0), crop=crop)
    values = hu[_core(body, step, crop=crop)]
    found["l1.mean_hu"], found["l1.median_hu"] = float(values.mean()), float(np.median(values))
    found["l1.sd_hu"], found["l1.volume"] = float(values.std(ddof=1)), values.size * ml
    diameters = _diameters(lesions > 0, step, crop=crop)
    found["burden.count"], found["burden.max_diameter"] = float(len(diameters)), max(diameters)
    found["burden.tbs"] = math.hypot(max(diameters) / 10, len(diameters))
    return found


def _liver(hu: Array, total: Array, ml: float) -> dict[str, float]:
    liver = total == LIVER
    return {"liver.volume": np.count_nonzero(liver) * ml, "liver.mean_hu": float(hu[liver].mean())}


def _muscle(hu: Array, muscle: Array, name: str, middle: int, step: Array) -> dict[str, float]:
    if muscle[0].any() or muscle[-1].any():
        raise ValueError(f"{name} is cut by the scan")
    return {
        f"{name}.volume": np.count_nonzero(muscle) * float(np.prod(step)) / 1000,
        f"{name}.mean_hu": float(hu[muscle].mean()),
        f"{name}.area_l3": np.count_nonzero(muscle[middle]) * float(np.prod(step[1:])) / 100,
    }


def _window(mask: Array, *, crop: bool) -> Box:
    """Return where the slow steps look: everywhere, or in the bounding box and a voxel around it."""
    if not crop:
        return (slice(None),) * 3
    lines = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    return tuple(slice(max(int(line[0]) - 1, 0), int(line[-1]) + 2) for line in lines)


def _largest_part(mask: Array, *, crop: bool) -> Array:
    window = _window(mask, crop=crop)
    parts, _ = ndimage.label(mask[window], structure=AROUND)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = np.zeros_like(mask)
    largest[window] = parts == sizes.argmax()
    return largest


def _core(body: Array, step: Array, *, crop: bool) -> Array:
    """Return what lies deeper than 5 mm below the faces of the voxels outside, in the central half of the height."""
    window = _window(body, crop=crop)
    nearest = ndimage.distance_transform_edt(body[window], sampling=step, return_distances=False, return_indices=True)
    inside = np.nonzero(body[window])
    gaps = [
        np.maximum(np.abs(near[inside] - own) * one - one / 2, 0)
        for near, own, one in zip(nearest, inside, step, strict=True)
    ]
    slices = inside[0]
    low, high = slices.min(), slices.max()
    central = np.abs(slices - (low + high) / 2) <= SLAB * (high - low + 1) / 2
    deep = np.sqrt(sum(gap**2 for gap in gaps)) > EROSION_MM
    core = np.zeros_like(body)
    core[window][inside] = deep & central
    return core


def _diameters(mask: Array, step: Array, *, crop: bool) -> list[float]:
    """Return the largest axial diameter of each lesion of at least 0.05 mL."""
    window = _window(mask, crop=crop)
    parts, _ = ndimage.label(mask[window], structure=AROUND)
    sizes = np.bincount(parts.ravel()) * float(np.prod(step)) / 1000
    numbers = [number for number, size in enumerate(sizes) if number and size >= LEAST_LESION_ML]
    return [max(_longest_mm(plane, step) for plane in (parts == number) if plane.any()) for number in numbers]


def _longest_mm(plane: Array, step: Array) -> float:
    points = np.argwhere(plane) * step[1:]
    with suppress(QhullError):  # a point, or points of one line
        points = points[ConvexHull(points).vertices]
    return float(pdist(points).max()) if len(points) > 1 else 0.0
