"""Images and masks for the engines: files on a disk, or a volume of this project and a region of it.

Comes in: the path of a file that ITK reads (NIfTI, NRRD, ...), or records. Goes out: a SimpleITK image. What can go
wrong: it cannot be read (`image-unreadable`). Next: an engine.
"""

from pathlib import Path

import numpy as np
import SimpleITK

from node.core.errors import NotExtractable
from node.core.grid import Geometry
from node.core.reasons import RegionRefusal
from workers.records import Region, Volume


def read(path: Path) -> SimpleITK.Image:
    """Read a file.

    Raises
    ------
    NotExtractable
        It cannot be read.
    """
    if not path.exists():
        raise NotExtractable(RegionRefusal.IMAGE_UNREADABLE, f"{path} is not there")
    try:
        return SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise NotExtractable(RegionRefusal.IMAGE_UNREADABLE, f"{path.name}: {reason}") from error


def of_volume(volume: Volume) -> SimpleITK.Image:
    """Return a volume as an image.

    Raises
    ------
    NotExtractable
        Its slices are tilted: ITK has no such grid.
    """
    return _on(SimpleITK.GetImageFromArray(volume.hu), volume.geometry)


def of_region(region: Region, geometry: Geometry) -> SimpleITK.Image:
    """Return a region as a mask with the label 1 in the grid that it lies on.

    Raises
    ------
    NotExtractable
        The slices are tilted.
    """
    whole = np.zeros(geometry.shape, dtype=np.uint8)
    whole[region.box] = region.mask
    return _on(SimpleITK.GetImageFromArray(whole), geometry)


def _on(image: SimpleITK.Image, geometry: Geometry) -> SimpleITK.Image:
    if geometry.is_tilted:
        raise NotExtractable(RegionRefusal.IMAGE_UNREADABLE, "tilted slices")
    spacing = geometry.spacing_mm
    steps = (geometry.column_step_mm, geometry.row_step_mm, geometry.slice_step_mm)
    image.SetSpacing(spacing[::-1])
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection((np.array(steps) / np.linalg.norm(steps, axis=1, keepdims=True)).T.ravel().tolist())
    return image
