"""Volumes and segmentations straight from arrays, for tests of the measurements: no file, no DICOM."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.records import Candidate, PatientFacts
from workers.records import Acquisition, AlgorithmType, LabelMap, Mask, Region, Segment, Volume

NO_FACTS = PatientFacts(None, None, None, None, "")


def geometry(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Geometry:
    """Return an axial grid: slices to the head, rows to the back, columns to the left."""
    dz, dy, dx = spacing_mm
    return Geometry(shape, (0.0, 0.0, 0.0), (0.0, 0.0, dz), (0.0, dy, 0.0), (dx, 0.0, 0.0), "1.2.3")


def tilted(
    shape: tuple[int, int, int], table_mm: float, row_mm: float, column_mm: float, degrees: float, turned: float = 0.0
) -> Geometry:
    """Return the grid of a tilted gantry: slices step along the table (z), their rows go down by the tilt.

    `turned` turns the patient about z on the table.
    """
    tilt, turn = np.radians([degrees, turned])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    down = about_z @ np.array([0, np.cos(tilt), -np.sin(tilt)]) * row_mm
    across = about_z @ np.array([column_mm, 0, 0])
    origin = -(down * (shape[1] - 1) + across * (shape[2] - 1) + np.array([0, 0, table_mm]) * (shape[0] - 1)) / 2
    vectors = (tuple(float(value) for value in one) for one in (origin, (0, 0, table_mm), down, across))
    return Geometry(shape, *vectors, "1.2.3")  # type: ignore[arg-type]


def places(grid: Geometry) -> NDArray[np.float64]:
    """Return where each voxel centre lies [mm, LPS], shape (3, slices, rows, columns)."""
    indices = np.stack(np.meshgrid(*(np.arange(size, dtype=float) for size in grid.shape), indexing="ij"))
    return np.tensordot(grid.affine[:3, :3], indices, axes=1) + grid.affine[:3, 3][:, None, None, None]


def acquisition(**facts: Any) -> Acquisition:
    """Return an acquisition of 120 kV without contrast, 3 mm, or what differs from it."""
    plain: dict[str, Any] = {
        "kvp": 120.0,
        "slice_thickness_mm": 3.0,
        "kernel": "B30f",
        "contrast": "",
        "lossy": False,
        "manufacturer": "Maker",
        "patient_position": "HFS",
    }
    return Acquisition(**(plain | facts))


def volume(hu: NDArray[Any], spacing_mm: tuple[float, float, float] = (3.0, 1.0, 1.0), **facts: Any) -> Volume:
    """Return a volume; `facts` are those of the acquisition."""
    grid = geometry(hu.shape, spacing_mm)
    return Volume(hu, grid, Candidate("1.2.3.4", "", "", ()), (), acquisition(**facts))


def label_map(grid: Geometry, masks: Mapping[Structure, Mask | list[Mask]], *searched: Structure) -> LabelMap:
    """Return a segmentation of whole-volume masks; an empty mask was searched for and not found."""
    segments = []
    for structure, given in masks.items():
        for mask in given if isinstance(given, list) else [given]:
            region = Region.of(mask)
            if region is not None:
                segments.append(Segment(structure, str(structure), region, AlgorithmType.AUTOMATIC, "made"))
    return LabelMap(grid, "1.2.3.4", "made", frozenset({*masks, *searched}), tuple(segments))


def box(shape: tuple[int, int, int], *part: slice) -> Mask:
    """Return a mask that is true in a box."""
    mask = np.zeros(shape, dtype=bool)
    mask[part] = True
    return mask


BODY_SHAPE = (30, 50, 64)
BODY_SPACING_MM = (3.0, 3.5, 3.5)
BODY_VOXEL_ML = 3.0 * 3.5 * 3.5 / 1000


def body() -> dict[Structure, Mask | list[Mask]]:
    """Return masks of boxes on `BODY_SHAPE` for every structure that is measured.

    At `BODY_SPACING_MM` each has numbers and is as large as it may be in an adult.
    """
    shape = BODY_SHAPE
    return {
        Structure.LIVER: box(shape, slice(18, 28), slice(2, 30), slice(2, 30)),
        Structure.ILIOPSOAS_LEFT: box(shape, slice(2, 16), slice(20, 40), slice(45, 60)),
        Structure.ILIOPSOAS_RIGHT: box(shape, slice(2, 16), slice(20, 40), slice(4, 18)),
        Structure.VERTEBRA_L1: box(shape, slice(17, 29), slice(18, 32), slice(38, 52)),
        Structure.VERTEBRA_L3: box(shape, slice(4, 10), slice(20, 40), slice(24, 40)),
        Structure.VERTEBRAL_BODY: box(shape, slice(3, 29), slice(10, 40), slice(20, 62)),
        Structure.LESION: box(shape, slice(20, 24), slice(5, 15), slice(5, 15)),
    }
