"""A small network of deep features with random weights, and an image with a region for it."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from safetensors.numpy import save

from workers.measurement.deep import folder
from workers.measurement.deep.description import Architecture, Description, Input, Weights
from workers.measurement.deep.folder import Network

Arrays = dict[str, np.ndarray[Any, Any]]
INPUT: dict[str, Any] = {
    "spacing_mm": (2.0, 2.0, 2.0),
    "samples": 2,
    "margin_mm": 4.0,
    "least_voxels": (8, 8, 8),
    "most_voxels": 5000,
    "outside_hu": -1000.0,
    "clip_hu": (-160.0, 340.0),
    "mean_hu": 60.0,
    "sd_hu": 80.0,
}
ARCHITECTURE: dict[str, Any] = {
    "features": (4, 6),
    "strides": ((1, 1, 1), (1, 2, 2)),
    "convolutions": (1, 2),
    "epsilon": 1e-5,
    "slope": 0.01,
}


def described(weights: bytes = b"none", **changes: Any) -> Description:
    """Return a description; `changes` replace some of its fields."""
    whole: dict[str, Any] = {
        "id": "made",
        "version": "1",
        "title": "Made for tests",
        "trained_for": "Nothing.",
        "licence": "Apache-2.0",
        "provenance": "Random numbers.",
        "sources": {},
        "input": Input(**INPUT),
        "architecture": Architecture(**ARCHITECTURE),
        "projection": "Random numbers.",
        "weights": Weights(bytes=len(weights), sha256=hashlib.sha256(weights).hexdigest()),
    }
    return Description(**{**whole, **changes})


def arrays(seed: int = 0) -> Arrays:
    """Return random weights of the right shapes."""
    noise = np.random.default_rng(seed)
    return {name: noise.normal(size=shape).astype(np.float32) for name, shape in described().shapes.items()}


def installed(models: Path, weights: bytes | None = None, **changes: Any) -> Description:
    """Write a network below a folder of models; `weights` are the bytes of its file."""
    content = save(arrays()) if weights is None else weights
    description = described(content, **changes)
    folder.write(models, description, content)
    return description


def network(**changes: Any) -> Network:
    """Return a network that is in no file; `changes` replace some of what it takes in."""
    description = described(input=Input(**{**INPUT, **changes}))
    return Network(description, {name: array.astype(np.float64) for name, array in arrays().items()})


def image_of(
    values: np.ndarray[Any, Any], origin_mm: tuple[float, float, float] = (-20.0, 5.0, 30.0)
) -> SimpleITK.Image:
    """Return an array as an image with voxels of 1 mm along the axes of the patient."""
    image = SimpleITK.GetImageFromArray(values)
    image.SetOrigin(origin_mm)
    return image


def scene() -> tuple[SimpleITK.Image, SimpleITK.Image]:
    """Return an image with noise, and a mask of a region that is like none of its mirror images."""
    shape = (22, 30, 26)
    values = np.random.default_rng(5).normal(60, 60, shape).astype(np.int16)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[8:15, 9:20, 10:16] = 1
    labels[8:11, 9:12, 10:19] = 1
    values[labels == 1] += 80
    return image_of(values), image_of(labels)
