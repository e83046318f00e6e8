"""What an engine gives of one region: its features and what is told beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Features:
    """The features of a region.

    Parameters
    ----------
    values
        Name to value, in PyRadiomics' order; NaN where a feature cannot be computed of the region.
    diagnostics
        PyRadiomics' columns on the extraction, in its order; empty where `additionalInfo` is false.
    """

    values: Mapping[str, float]
    diagnostics: Mapping[str, Any]
