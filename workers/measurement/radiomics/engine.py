"""The one interface to radiomic features: `extract(image, mask, parameters, engine)`.

Comes in: image and mask (SimpleITK), parameters. Goes out: `Features`, under the names of PyRadiomics. What can go
wrong: `NotExtractable` with its code. Next: the table of features, or a signature.
"""

from enum import StrEnum

import SimpleITK

from workers.measurement.radiomics import fast, oracle
from workers.measurement.radiomics.features import Features
from workers.measurement.radiomics.parameters import Parameters


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
    return (fast if engine is Engine.FAST else oracle).extract(image, mask, parameters)
