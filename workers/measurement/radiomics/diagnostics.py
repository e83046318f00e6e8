"""What PyRadiomics tells of an extraction beside the features: versions, settings, image and mask at each step.

Comes in: image, mask, what `prepare` did, the parameters. Goes out: columns under PyRadiomics' names, in its order.
What can go wrong: nothing. Next: the table of features.

All that PyRadiomics tells is told. `diagnostics_Versions_PyRadiomics` names the version whose definitions are computed
and who computed them.
"""

import hashlib
import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import pywt
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from workers.measurement.radiomics.domain import Domain
from workers.measurement.radiomics.parameters import Parameters
from workers.measurement.radiomics.prepare import Prepared, Step

DEFINED_BY = "3.0.1"
_PREFIX = "diagnostics_"


def diagnostics(
    image: SimpleITK.Image, mask: SimpleITK.Image, prepared: Prepared, parameters: Parameters
) -> dict[str, Any]:
    """Return the columns."""
    values: NDArray[Any] = SimpleITK.GetArrayViewFromImage(image)
    labels: NDArray[Any] = SimpleITK.GetArrayViewFromImage(mask)
    found: dict[str, Any] = {
        "Versions_PyRadiomics": f"{DEFINED_BY} (computed by crlm-node {version('crlm-node')})",
        "Versions_Numpy": np.__version__,
        "Versions_SimpleITK": SimpleITK.Version().VersionString(),
        "Versions_PyWavelet": pywt.__version__,
        "Versions_Python": platform.python_version(),
        "Configuration_Settings": dict(parameters.given),
        "Configuration_EnabledImageTypes": {one.name: dict(one.given) for one in parameters.image_types},
        "Image-original_Hash": _sha1(values, values.dtype),
        "Image-original_Dimensionality": f"{image.GetDimension()}D",
        **_of_image("original", values, image.GetSpacing()),
        "Mask-original_Hash": _sha1(labels, np.dtype(np.uint32)),
    }
    for step in prepared.steps:
        if step.prefix == "interpolated" and step.domain is not None:
            found |= _of_image(step.prefix, _whole(step.domain), step.frame.spacing_mm)
        found |= _of_mask(step)
    return {f"{_PREFIX}{name}": value for name, value in found.items()}


def _sha1(values: NDArray[Any], kind: np.dtype[Any]) -> str:
    """Return the SHA-1 of voxels as values of a type, slice by slice."""
    sum_ = hashlib.sha1(usedforsecurity=False)
    for plane in values:
        sum_.update(np.ascontiguousarray(plane, dtype=kind).data)
    return sum_.hexdigest()


def _whole(domain: Domain) -> NDArray[Any]:
    slices, rows, columns = domain.values.shape
    return domain.crop((slice(0, slices), slice(0, rows), slice(0, columns)))


def _of_image(prefix: str, values: NDArray[Any], spacing_mm: tuple[float, ...]) -> dict[str, Any]:
    return {
        f"Image-{prefix}_Spacing": spacing_mm,
        f"Image-{prefix}_Size": values.shape[::-1],
        f"Image-{prefix}_Mean": float(values.mean(dtype=np.float64)),
        f"Image-{prefix}_Minimum": float(values.min()),
        f"Image-{prefix}_Maximum": float(values.max()),
    }


def _of_mask(step: Step) -> dict[str, Any]:
    """Return the columns of a mask: its grid, its box, its parts (26 neighbours), its centre, its values."""
    region = step.region
    start, size = region.start[::-1], region.mask.shape[::-1]
    parts = ndimage.label(region.mask, np.ones((3, 3, 3)))[1]
    slices, rows, columns = (
        float(first + np.flatnonzero(counts) @ counts[counts > 0] / counts.sum())
        for first, counts in zip(
            region.start,
            (np.count_nonzero(region.mask, axis=axes) for axes in ((1, 2), (0, 2), (0, 1))),
            strict=True,
        )
    )
    centre = columns, rows, slices
    found: dict[str, Any] = {
        "Spacing": step.frame.spacing_mm,
        "Size": step.shape[::-1],
        "BoundingBox": (*start, *size),
        "VoxelNum": region.count,
        "VolumeNum": parts,
        "CenterOfMassIndex": centre,
        "CenterOfMass": step.frame.point_mm(centre),
    }
    if step.domain is not None:
        inside = step.domain.crop(region.box)[region.mask]
        found["Mean"] = float(inside.mean(dtype=np.float64))
        found["Minimum"], found["Maximum"] = float(inside.min()), float(inside.max())
    return {f"Mask-{step.prefix}_{name}": value for name, value in found.items()}
