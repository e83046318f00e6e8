"""The classes of features by PyRadiomics' names, in the order in which PyRadiomics computes them all."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from importlib.util import find_spec
from typing import Any

SHAPE = "shape"
_MODULES = {
    "firstorder": "first_order",
    "glcm": "glcm",
    "gldm": "gldm",
    "glrlm": "glrlm",
    "glszm": "glszm",
    "ngtdm": "ngtdm",
    SHAPE: "shape",
}
CLASSES: Mapping[str, Any] = {
    name: import_module(f"workers.measurement.radiomics.{module}")
    for name, module in _MODULES.items()
    if find_spec(f"workers.measurement.radiomics.{module}")
}
