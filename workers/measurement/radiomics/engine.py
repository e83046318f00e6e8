"""The one interface to radiomic features: `extract(image, mask, parameters, engine)`.

Comes in: image and mask (SimpleITK), parameters. Goes out: `Features`, under the names of PyRadiomics. What can go
wrong: `NotExtractable` with its code. Next: the table of features, or a signature.
"""

from collections.abc import Sequence
from enum import StrEnum

import SimpleITK

from node.core.errors import NotExtractable
from workers.compiled import load
from workers.measurement.radiomics import fast, oracle
from workers.measurement.radiomics.features import Features
from workers.measurement.radiomics.parameters import Parameters

__all__ = ["Engine", "extract", "extract_each", "load"]


class Engine(StrEnum):
    """Who computes."""

    FAST = "fast"
    PYRADIOMICS = "pyradiomics"


def extract(
    image: SimpleITK.Image, mask: SimpleITK.Image, parameters: Parameters, engine: Engine = Engine.FAST
) -> Features:
    """Compute the features of a region.

    Raises
    ------
    NotExtractable
        The region has none, or the engine is not installed.
    """
    if engine is Engine.FAST:
        return fast.extract(image, mask, parameters)
    return oracle.extract(image, mask, parameters)


def extract_each(
    image: SimpleITK.Image, regions: Sequence[tuple[SimpleITK.Image, Parameters]], engine: Engine = Engine.FAST
) -> list[Features | NotExtractable]:
    """Compute the features of regions of an image, or why one has none.

    The parameters may differ in their label only.
    """
    if engine is Engine.FAST:
        return fast.extract_each(image, regions)
    return [_or_why(image, mask, parameters) for mask, parameters in regions]


def _or_why(image: SimpleITK.Image, mask: SimpleITK.Image, parameters: Parameters) -> Features | NotExtractable:
    try:
        return oracle.extract(image, mask, parameters)
    except NotExtractable as error:
        return error
