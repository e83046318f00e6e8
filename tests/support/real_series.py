"""A CT of the shared data, read without the readers that are tested."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from node.core.grid import Geometry, Plane, stack


def read_series(folder: Path) -> tuple[NDArray[np.int16], Geometry]:
    """Read a CT of single slices: Hounsfield units (slices, rows, columns) and their grid."""
    slices = [dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    planes = [
        Plane(
            ds.SOPInstanceUID,
            tuple(map(float, ds.ImagePositionPatient)),  # type: ignore[arg-type]
            tuple(map(float, ds.ImageOrientationPatient[:3])),  # type: ignore[arg-type]
            tuple(map(float, ds.ImageOrientationPatient[3:])),  # type: ignore[arg-type]
            tuple(map(float, ds.PixelSpacing)),  # type: ignore[arg-type]
            ds.Rows,
            ds.Columns,
            ds.FrameOfReferenceUID,
        )
        for ds in slices
    ]
    ordered = stack(planes, spacing_tolerance=0.05, minimum_slices=10)
    hu = [slices[index].pixel_array * slices[index].RescaleSlope for index in ordered.order]
    return (np.stack(hu) + slices[0].RescaleIntercept).astype(np.int16), ordered.geometry
