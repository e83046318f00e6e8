"""The engine of this project: PyRadiomics' features, computed of nothing but the box of the region.

Comes in: image, mask (SimpleITK), parameters. Goes out: `Features`. What can go wrong: what `prepare` refuses. Next:
the table of features, or a signature.

Shape, diagnostics and the image types are computed at once, as many as there are cores; no more bands than that are
held.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from os import sched_getaffinity
from typing import Any

import SimpleITK
from numpy.typing import NDArray

from node.core.errors import NotExtractable
from workers.compiled import load
from workers.measurement.radiomics import shape
from workers.measurement.radiomics.classes import CLASSES, SHAPE
from workers.measurement.radiomics.diagnostics import diagnostics
from workers.measurement.radiomics.discretise import discretise
from workers.measurement.radiomics.features import Features
from workers.measurement.radiomics.grouping import grouped
from workers.measurement.radiomics.parameters import ImageType, Parameters, Settings
from workers.measurement.radiomics.prepare import Prepared, prepare
from workers.measurement.radiomics.roi import Roi
from workers.measurement.radiomics.wavelet import bands


@dataclass
class _Work:
    """A region, what is running for it, and the features that have come."""

    prepared: Prepared
    parameters: Parameters
    told: Future[dict[str, Any]] | None
    outline: Future[dict[str, float]]
    values: dict[str, float] = field(default_factory=dict)

    @property
    def features(self) -> Features:
        """All that has come, when nothing runs any more."""
        return Features({**self.outline.result(), **self.values}, self.told.result() if self.told else {})


def extract(image: SimpleITK.Image, mask: SimpleITK.Image, parameters: Parameters) -> Features:
    """Compute the features of a region.

    Raises
    ------
    NotExtractable
        The region has none.
    """
    (found,) = extract_each(image, [(mask, parameters)])
    if isinstance(found, NotExtractable):
        raise found
    return found


def extract_each(
    image: SimpleITK.Image, regions: Sequence[tuple[SimpleITK.Image, Parameters]]
) -> list[Features | NotExtractable]:
    """Compute the features of regions of an image, or why one has none; regions that overlap are filtered together.

    The parameters may differ in their label only.
    """
    found: list[Features | NotExtractable | _Work] = []
    with ThreadPoolExecutor(width := len(sched_getaffinity(0))) as pool:
        pool.submit(load)  # beside the preparation, where it has not been done before
        for mask, parameters in regions:
            try:
                prepared = prepare(image, mask, parameters.settings)
            except NotExtractable as error:
                found.append(error)
                continue
            asked = parameters.settings.additional_info
            told = pool.submit(diagnostics, image, mask, prepared, parameters) if asked else None
            found.append(_Work(prepared, parameters, told, pool.submit(_shape, prepared, parameters)))
        work = [one for one in found if isinstance(one, _Work)]
        running: deque[tuple[_Work, Future[dict[str, float]]]] = deque()
        for one, name, image_type, values in _images(work):
            running.append(
                (one, pool.submit(_of_image, name, one.prepared, values, image_type.settings, one.parameters))
            )
            del values
            if len(running) > width:
                _collect(running)
        while running:
            _collect(running)
        return [one.features if isinstance(one, _Work) else one for one in found]


def _collect(running: deque[tuple[_Work, Future[dict[str, float]]]]) -> None:
    one, future = running.popleft()
    one.values |= future.result()


def _images(work: Sequence[_Work]) -> Iterator[tuple[_Work, str, ImageType, NDArray[Any]]]:
    """Yield each region with the name of an image and its values in the box of the region."""
    if not work:
        return
    for image_type in work[0].parameters.image_types:
        if image_type.name == "Original":
            for one in work:
                yield one, "original", image_type, one.prepared.domain.crop(one.prepared.region.box)
            continue
        for group in grouped([one.prepared for one in work]):
            for name, band in bands(group.domain, group.box, image_type.settings):
                for number, inner in group.boxes.items():
                    yield work[number], name, image_type, band[inner]


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
