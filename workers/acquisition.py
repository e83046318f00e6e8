"""How a series was acquired, read from the headers of its slices (stage 6).

Comes in: the header of an instance, then those of the others. Goes out: `Acquisition`. Nothing here can refuse: a value
that is absent or makes no sense becomes an absent one. Of a multi-frame image the first frame speaks for all.
"""

import math
from dataclasses import replace
from typing import Any

from pydicom import Dataset
from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGLSNearLossless

from node.core.dicom import PARSER_FAULTS
from node.core.frames import said_of_all
from node.phantom import is_phantom
from workers.records import Acquisition

# Of the encodings that are read, those that may lose: that they did not would have to be shown.
LOSSY_SYNTAXES = (JPEGBaseline8Bit, JPEG2000, JPEGLSNearLossless)


def acquisition(ds: Dataset) -> Acquisition:
    """Read the acquisition from one instance, to which the others are joined."""
    contrast = str(_value(ds, "ContrastBolusAgent") or "")
    if not contrast and (agents := _value(ds, "ContrastBolusAgentSequence")):
        contrast = str(_value(agents[0], "CodeMeaning") or "coded agent")
    return Acquisition(
        kvp=_number(_value(ds, "KVP")),
        slice_thickness_mm=_number(_value(ds, "SliceThickness")),
        kernel=_text(_value(ds, "ConvolutionKernel")),
        contrast=contrast,
        lossy=_lossy(ds),
        manufacturer=_text(_value(ds, "Manufacturer")),
        patient_position=_text(_value(ds, "PatientPosition")),
        synthetic=is_phantom(ds),
    )


def joined(so_far: Acquisition, ds: Dataset) -> Acquisition:
    """Add an instance: loss in any counts for all, and synthetic are all or none."""
    lossy, synthetic = so_far.lossy or _lossy(ds), so_far.synthetic and is_phantom(ds)
    return so_far if (lossy, synthetic) == (so_far.lossy, so_far.synthetic) else _with(so_far, lossy, synthetic)


def _with(so_far: Acquisition, lossy: bool, synthetic: bool) -> Acquisition:
    return replace(so_far, lossy=lossy, synthetic=synthetic)


def _lossy(ds: Dataset) -> bool:
    """Say whether an image was compressed with loss: once (0028,2110), or as it is encoded now."""
    return ds.file_meta.get("TransferSyntaxUID") in LOSSY_SYNTAXES or str(_value(ds, "LossyImageCompression")) == "01"


def _value(ds: Dataset, keyword: str) -> Any:
    """Return an attribute that nothing is measured by; None where it is absent or makes no sense."""
    try:
        return said_of_all(ds, keyword)
    except PARSER_FAULTS:
        return None


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else "\\".join(str(part) for part in value)
