"""Shape features: the surface around a region, its volume, its widths and its principal axes; values play no part.

Comes in: `Roi`. Goes out: 14 numbers under PyRadiomics' names. What can go wrong: a region of one voxel has axes of 0
and no elongation or flatness (NaN); one that no surface encloses has volume 0 or less, and what is divided by it is
infinite or NaN. Next: the table of features.

The surface is that of marching cubes half-way between voxels inside and outside (`cubes`), of area A and volume V;
widths are between its points (`widths`). l_1 >= l_2 >= l_3 are the eigenvalues of the covariance of the middles of
voxels [mm2].

=======================  ====  =================================================
feature                  IBSI  formula
=======================  ====  =================================================
Elongation               Q3CK  sqrt(l_2 / l_1)
Flatness                 N17B  sqrt(l_3 / l_1)
LeastAxisLength          7J51  4 sqrt(l_3) [mm]
MajorAxisLength          TDIC  4 sqrt(l_1) [mm]
Maximum2DDiameterColumn  -     widest in a plane across the rows [mm]
Maximum2DDiameterRow     -     widest in a plane across the columns [mm]
Maximum2DDiameterSlice   -     widest in a plane across the slices [mm]
Maximum3DDiameter        L0JK  widest [mm]
MeshVolume               RNU0  V [mm3]
MinorAxisLength          P9VJ  4 sqrt(l_2) [mm]
Sphericity               QCFX  (36 pi V^2)^(1/3) / A
SurfaceArea              C0JK  A [mm2]
SurfaceVolumeRatio       2PR5  A / V [1/mm]
VoxelVolume              YEKZ  voxels x volume of a voxel [mm3]
=======================  ====  =================================================
"""

import numpy as np
from numpy.typing import NDArray

from workers.compiled import compiled
from workers.measurement.radiomics import cubes, widths
from workers.measurement.radiomics.roi import Roi

NAMES = (
    "Elongation",
    "Flatness",
    "LeastAxisLength",
    "MajorAxisLength",
    "Maximum2DDiameterColumn",
    "Maximum2DDiameterRow",
    "Maximum2DDiameterSlice",
    "Maximum3DDiameter",
    "MeshVolume",
    "MinorAxisLength",
    "Sphericity",
    "SurfaceArea",
    "SurfaceVolumeRatio",
    "VoxelVolume",
)
_ROUNDING = 1e-10


def features(roi: Roi) -> dict[str, float]:
    """Compute the features of shape; the mask fills its box, or the volume of a surface with holes is another."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {**_surface(roi), **_axes(roi), **_widths(roi)}
    return {name: float(found[name]) for name in NAMES}


def _surface(roi: Roi) -> dict[str, np.float64]:
    count, place = _count_cubes(np.pad(roi.mask, 1).view(np.uint8))
    area = np.float64(cubes.area_mm2(count, roi.spacing_mm))
    volume = np.float64(cubes.volume_mm3(count, place, roi.spacing_mm))
    return {
        "MeshVolume": volume,
        "Sphericity": (36 * np.pi * volume**2) ** (1 / 3) / area,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume,
        "VoxelVolume": np.float64(np.count_nonzero(roi.mask) * np.prod(roi.spacing_mm)),
    }


def _widths(roi: Roi) -> dict[str, float]:
    slices, rows, columns = (widths.plane_diameter_mm(roi.mask, roi.spacing_mm, axis) for axis in range(3))
    return {
        "Maximum2DDiameterColumn": rows,
        "Maximum2DDiameterRow": columns,
        "Maximum2DDiameterSlice": slices,
        "Maximum3DDiameter": widths.diameter_mm(roi.mask, roi.spacing_mm),
    }


def _axes(roi: Roi) -> dict[str, np.float64]:
    """Return what the principal axes say.

    What is 0 but for rounding is PyRadiomics' only with its own steps: coordinates begin at 1, and the covariance is
    taken of them centred and divided by the root of their number. A negative l is 0 if rounding explains it, else NaN.
    """
    places_mm = (np.array(np.nonzero(roi.mask)) + 1) * np.array(roi.spacing_mm)[:, None]
    places_mm -= places_mm.mean(axis=1, keepdims=True)
    places_mm /= np.sqrt(places_mm.shape[1])
    spread = np.linalg.eigvals(np.dot(places_mm.copy(), places_mm.T))
    spread[(spread < 0) & (spread > -_ROUNDING)] = 0
    least, minor, major = np.sort(spread)
    return {
        "Elongation": np.sqrt(minor / major),
        "Flatness": np.sqrt(least / major),
        "LeastAxisLength": 4 * np.sqrt(least),
        "MajorAxisLength": 4 * np.sqrt(major),
        "MinorAxisLength": 4 * np.sqrt(minor),
    }


@compiled("(uint8[:,:,::1],)")
def _count_cubes(inside: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the cubes of each code, and sum up their first corners (z, y, x)."""
    count = np.zeros(256, np.int64)
    place = np.zeros((256, 3), np.int64)
    slices, rows, columns = inside.shape
    for z in range(slices - 1):
        for y in range(rows - 1):
            for x in range(columns - 1):
                code = 0
                for bit in range(8):
                    code |= inside[z + (bit >> 2), y + (bit >> 1 & 1), x + (bit & 1)] << bit
                if 0 < code < 255:
                    count[code] += 1
                    place[code, 0] += z
                    place[code, 1] += y
                    place[code, 2] += x
    return count, place
