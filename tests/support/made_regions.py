"""Images with a region, as files for radiomics have them, and the settings that they are measured with."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK

SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "width": {"binWidth": 7.5, "distances": [1, 2]},
    "count": {"binCount": 24, "voxelArrayShift": 300},
    "spline": {"resampledPixelSpacing": [1, 1, 1], "interpolator": "sitkBSpline", "preCrop": True},
    "linear": {"resampledPixelSpacing": [1.5, 1.5, 1.5], "interpolator": "sitkLinear", "padDistance": 3},
    "nearest": {"resampledPixelSpacing": [1, 1, 0], "interpolator": "sitkNearestNeighbor", "padDistance": 0},
    "same-spacing": {"resampledPixelSpacing": [0.8, 0.7, 3], "padDistance": 2},
    "normalised": {"normalize": True, "normalizeScale": 100, "removeOutliers": 1.5, "binWidth": 15},
    "normalised-spline": {"normalize": True, "normalizeScale": 100, "resampledPixelSpacing": [2, 2, 2], "binWidth": 15},
    "normalised-linear": {
        "normalize": True,
        "normalizeScale": 50,
        "removeOutliers": 2,
        "resampledPixelSpacing": [1, 1, 2],
        "interpolator": "sitkLinear",
    },
    "cropped": {"preCrop": True, "padDistance": 10},
    "cropped-tightly": {"preCrop": True, "padDistance": 1, "weightingNorm": "euclidean"},
    "absolute": {"resegmentRange": [-20, 90], "minimumROISize": 5},
    "relative": {"resegmentRange": [0.1, 0.6], "resegmentMode": "relative", "resegmentShape": True},
    "sigma": {"resegmentRange": [-1.5, 1.5], "resegmentMode": "sigma", "symmetricalGLCM": False, "gldm_a": 1},
    "cohort": {
        "resampledPixelSpacing": [1, 1, 1],
        "interpolator": "sitkBSpline",
        "padDistance": 5,
        "preCrop": True,
        "resegmentRange": [-50, 350],
        "binCount": 24,
        "distances": [1],
        "voxelArrayShift": -50,
    },
}
SPACING_MM = (0.8, 0.7, 3.0)
TYPES = ("int16", "float32", "uint8")


@dataclass(frozen=True)
class Made:
    """An image and its mask."""

    image: SimpleITK.Image
    mask: SimpleITK.Image


def made(kind: str = "int16", *, seed: int = 0, label: int = 1, shape: tuple[int, int, int] = (9, 21, 24)) -> Made:
    """Return an oblique image with noise, an even part, and a region of two parts, one of them at the edge."""
    noise = np.random.default_rng(seed)
    values = noise.normal(60, 40, shape)
    values[:, :6] = 30
    if kind == "uint8":
        values = values.clip(0, 255)
    labels = np.zeros(shape, dtype=np.uint8)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    labels[((z - 4) / 3) ** 2 + ((y - 9) / 6) ** 2 + ((x - 12) / 7) ** 2 < 1] = label
    labels[2:5, 4:8, -3:] = label
    return Made(placed(values.astype(kind)), placed(labels))


def placed(values: np.ndarray[Any, Any]) -> SimpleITK.Image:
    """Return an array as an image that lies obliquely, not at the origin."""
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(SPACING_MM)
    image.SetOrigin((-101.3, 57.9, -412.25))
    turn = np.deg2rad(9)
    image.SetDirection((np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn), 0, 0, 0, 1))
    return image
