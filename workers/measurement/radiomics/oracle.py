"""PyRadiomics itself behind the interface of the engines: what ours is held against, and may be chosen.

Comes in: image, mask (SimpleITK), parameters. Goes out: `Features`. What can go wrong: PyRadiomics is not installed, or
gives no features of the region; then the reason is looked for as our own engine would. Next: the table of features.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import SimpleITK

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.measurement.radiomics.features import Features
from workers.measurement.radiomics.parameters import Parameters
from workers.measurement.radiomics.prepare import laid_on, prepare

_PREFIX = "diagnostics_"


def extract(image: SimpleITK.Image, mask: SimpleITK.Image, parameters: Parameters) -> Features:
    """Compute the features of a region by PyRadiomics.

    Raises
    ------
    NotExtractable
        The region has none, or PyRadiomics is not installed.
    """
    try:
        with _itk_tolerance():
            found = _extractor(parameters).execute(image, laid_on(image, mask, parameters.settings))
    except (ValueError, RuntimeError, AssertionError, IndexError) as error:
        prepare(image, mask, parameters.settings)  # tells why, where it knows
        words = " ".join(str(error).split())
        raise NotExtractable(RegionRefusal.ENGINE_REFUSED, words[:200]) from error
    return Features(
        {name: float(value) for name, value in found.items() if not name.startswith(_PREFIX)},
        {name: _plain(value) for name, value in found.items() if name.startswith(_PREFIX)},
    )


def document_of(parameters: Parameters) -> dict[str, Any]:
    """Return parameters in the form of PyRadiomics' file."""
    return {
        "setting": {name: value for name, value in parameters.given.items() if value is not None},
        "imageType": {one.name: dict(one.given) for one in parameters.image_types},
        "featureClass": {name: list(features) for name, features in parameters.classes},
    }


def _extractor(parameters: Parameters) -> Any:
    try:
        from radiomics import featureextractor
    except ImportError as error:
        raise NotExtractable(RegionRefusal.ENGINE_MISSING, "deploy/setup/radiomics.sh builds it") from error
    logging.getLogger("radiomics").setLevel(logging.CRITICAL)  # it would write to stderr
    return featureextractor.RadiomicsFeatureExtractor(document_of(parameters))


@contextmanager
def _itk_tolerance() -> Iterator[None]:
    """Undo what PyRadiomics does to ITK for the whole process."""
    process = SimpleITK.ProcessObject
    coordinate, direction = (
        process.GetGlobalDefaultCoordinateTolerance(),
        process.GetGlobalDefaultDirectionTolerance(),
    )
    try:
        yield
    finally:
        process.SetGlobalDefaultCoordinateTolerance(coordinate)
        process.SetGlobalDefaultDirectionTolerance(direction)


def _plain(value: Any) -> Any:
    """Return a value without the types of NumPy."""
    if isinstance(value, tuple):
        return tuple(_plain(one) for one in value)
    return value.item() if hasattr(value, "item") else value
