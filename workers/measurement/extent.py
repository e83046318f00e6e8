"""Where a region meets the edge of the scan, how far it reaches, and which voxels are neighbours."""

import numpy as np

from node.core.grid import Geometry
from workers.records import Region

NEIGHBOURS_26 = np.ones((3, 3, 3), dtype=bool)
"""Voxels that share a face, an edge or a corner."""


def touched_edges(region: Region, geometry: Geometry) -> list[str]:
    """Name the edges of the volume that a region touches: `bottom slice`, `top slice`, `side`."""
    slices, rows, columns = region.box
    edges = []
    if slices.start == 0:
        edges.append("bottom slice")
    if slices.stop == geometry.shape[0]:
        edges.append("top slice")
    if 0 in (rows.start, columns.start) or rows.stop == geometry.shape[1] or columns.stop == geometry.shape[2]:
        edges.append("side")
    return edges


def area_cm2(region: Region, index: int, geometry: Geometry) -> float:
    """Return the area that the region has on a slice of the volume, seen along the body: that of its axial section."""
    return float(np.count_nonzero(region.on_slice(index))) * geometry.axial_area_cm2


def largest_area_cm2(region: Region, geometry: Geometry) -> float:
    """Return the region's largest area on any slice, as `area_cm2` has it."""
    return float(max(np.count_nonzero(plane) for plane in region.mask)) * geometry.axial_area_cm2


def covered_mm(region: Region, geometry: Geometry) -> float:
    """Return the region's length across the slices."""
    return len(region.slices) * geometry.spacing_mm[0]
