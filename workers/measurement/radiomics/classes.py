"""The classes of features by PyRadiomics' names, in the order in which PyRadiomics computes them all."""

from collections.abc import Mapping
from types import ModuleType

from workers.measurement.radiomics import first_order, glcm, gldm, glrlm, glszm, ngtdm, shape

SHAPE = "shape"
CLASSES: Mapping[str, ModuleType] = {
    "firstorder": first_order,
    "glcm": glcm,
    "gldm": gldm,
    "glrlm": glrlm,
    "glszm": glszm,
    "ngtdm": ngtdm,
    SHAPE: shape,
}
