"""The engine of this project: PyRadiomics' features, computed of nothing but the box of the region.

Comes in: image, mask (SimpleITK), parameters. Goes out: `Features`. What can go wrong: what `prepare` refuses. Next:
the table of features, or a signature.

Shape, diagnostics and the image types are computed at once, as many as there are cores; no more bands than that are
held.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from os import sched_getaffinity
from typing import Any

import SimpleITK
from numpy.typing import NDArray

from workers.measurement.radiomics import shape
from workers.measurement.radiomics.classes import CLASSES, SHAPE
from workers.measurement.radiomics.diagnostics import diagnostics
from workers.measurement.radiomics.discretise import discretise
from workers.measurement.radiomics.features import Features
from workers.measurement.radiomics.parameters import ImageType, Parameters, Settings
from workers.measurement.radiomics.prepare import Prepared, prepare
from workers.measurement.radiomics.roi import Roi
from workers.measurement.radiomics.wavelet import bands


def extract(image: SimpleITK.Image, mask: SimpleITK.Image, parameters: Parameters) -> Features:
    """Compute the features of a region.

    Raises
    ------
    NotExtractable
        The region has none.
    """
    prepared = prepare(image, mask, parameters.settings)
    values: dict[str, float] = {}
    with ThreadPoolExecutor(width := len(sched_getaffinity(0))) as pool:
        told = (
            pool.submit(diagnostics, image, mask, prepared, parameters) if parameters.settings.additional_info else None
        )
        outline = pool.submit(_shape, prepared, parameters)
        running: deque[Future[dict[str, float]]] = deque()
        for name, image_type, found in _images(prepared, parameters):
            running.append(pool.submit(_of_image, name, prepared, found, image_type.settings, parameters))
            del found
            if len(running) > width:
                values |= running.popleft().result()
        for one in running:
            values |= one.result()
        return Features({**outline.result(), **values}, told.result() if told else {})


def _images(prepared: Prepared, parameters: Parameters) -> Iterator[tuple[str, ImageType, NDArray[Any]]]:
    """Yield the name of each image with its values in the box of the region."""
    for image_type in parameters.image_types:
        if image_type.name == "Original":
            yield "original", image_type, prepared.domain.crop(prepared.region.box)
        else:
            for name, values in bands(prepared.domain, prepared.region.box, image_type.settings):
                yield name, image_type, values


def _shape(prepared: Prepared, parameters: Parameters) -> dict[str, float]:
    names = dict(parameters.classes).get(SHAPE)
    if not names:
        return {}
    found = shape.features(prepared.shape_roi)
    return {f"original_{SHAPE}_{name}": float(found[name]) for name in names}


def _of_image(
    name: str, prepared: Prepared, values: NDArray[Any], settings: Settings, parameters: Parameters
) -> dict[str, float]:
    """Return the features of one image."""
    levels = discretise(values, prepared.region.mask, settings)
    roi: Roi = prepared.roi(values)
    return {
        f"{name}_{class_name}_{feature}": float(found[feature])
        for class_name, features in parameters.classes
        if class_name != SHAPE
        for found in [CLASSES[class_name].features(roi, levels, settings)]
        for feature in features
    }
