"""Stage 6: a candidate series of the spool becomes a `Volume` in Hounsfield units.

Comes in: a `Candidate`. Goes out: `Volume`, slices from inferior to superior. What can go wrong: everything that
must not be measured is refused with its code (`NotAnalysable`); a file that is gone or was changed is `Untrusted`.
Next: stage 7, segmentation. The rescale is applied per slice (PS3.3 C.7.6.16 and C.8.2.1); nothing is resampled,
masked or clipped here.
"""

import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset

from node.core.dicom import TRANSFER_SYNTAXES, read_header
from node.core.errors import NotAnalysable, Refused
from node.core.grid import plane, stack
from node.core.reasons import StudyRefusal
from node.core.records import Candidate, Instance
from node.core.settings import MeasurementSettings
from node.core.spool import Spool
from node.phantom import is_phantom
from workers.records import Acquisition, Volume


def read(candidate: Candidate, spool: Spool, settings: MeasurementSettings) -> Volume:
    """Read a series.

    Raises
    ------
    NotAnalysable
        `too-few-slices`, `mixed-orientation`, `mixed-frame-of-reference`, `duplicate-positions`, `uneven-spacing`,
        `gantry-tilt`, `transfer-syntax-unsupported`, `pixels-unreadable`.
    Untrusted
        `input-incomplete`, `input-untrusted`: a file is gone, or is not the one that was received.
    """
    headers = [_header(instance, spool) for instance in candidate.instances]
    planes = [plane(header) for header in headers]
    known = [one for one in planes if one is not None]
    if len(known) < len(planes):
        raise NotAnalysable(StudyRefusal.MIXED_ORIENTATION, "a slice has no position, orientation or pixel spacing")
    stacked = stack(known, spacing_tolerance=settings.spacing_tolerance, minimum_slices=settings.minimum_slices)
    instances = tuple(candidate.instances[index] for index in stacked.order)
    hu: NDArray[Any] = np.empty(stacked.geometry.shape, dtype=np.int16)
    for index, instance in enumerate(instances):
        slice_hu = _hounsfield(instance, spool, stacked.geometry.shape[1:])
        if not np.can_cast(slice_hu.dtype, hu.dtype):
            hu = hu.astype(np.result_type(hu, slice_hu))
        hu[index] = slice_hu
    return Volume(hu, stacked.geometry, candidate, instances, _acquisition([headers[index] for index in stacked.order]))


def _header(instance: Instance, spool: Spool) -> FileDataset:
    """Return a slice's header, from bytes that are known to be those that were received."""
    if instance.transfer_syntax_uid not in TRANSFER_SYNTAXES:
        raise NotAnalysable(StudyRefusal.TRANSFER_SYNTAX_UNSUPPORTED, instance.transfer_syntax_uid)
    content = spool.verified(instance)
    try:
        return read_header(content)
    except Refused as error:
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{instance.sop_instance_uid}: {error}") from error


def _hounsfield(instance: Instance, spool: Spool, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return one slice in Hounsfield units, in the smallest of int16, int32 and float32 that holds it."""
    ds = dcmread(BytesIO(spool.verified(instance)))
    try:
        stored = ds.pixel_array
        slope, intercept = float(ds.RescaleSlope), float(ds.RescaleIntercept)
    # What pydicom and its decoders raise on damaged or missing pixel data.
    except (AttributeError, EOFError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        detail = f"{instance.sop_instance_uid}: {type(error).__name__}"
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, detail) from error
    if stored.shape != shape:
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{instance.sop_instance_uid}: shape {stored.shape}")
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{instance.sop_instance_uid}: rescale is no number")
    if not (slope.is_integer() and intercept.is_integer()):
        return (stored * slope + intercept).astype(np.float32)
    hu = stored.astype(np.int32) * int(slope) + int(intercept)
    fits = int(hu.min()) >= -(2**15) and int(hu.max()) < 2**15
    return hu.astype(np.int16) if fits else hu


def _acquisition(headers: Sequence[Dataset]) -> Acquisition:
    """Read the acquisition from the lowest slice; loss in any slice counts for all."""
    ds = headers[0]
    contrast = str(ds.get("ContrastBolusAgent") or "")
    if not contrast and ds.get("ContrastBolusAgentSequence"):
        contrast = str(ds.ContrastBolusAgentSequence[0].get("CodeMeaning", "coded agent"))
    return Acquisition(
        kvp=_number(ds.get("KVP")),
        slice_thickness_mm=_number(ds.get("SliceThickness")),
        kernel=_text(ds.get("ConvolutionKernel")),
        contrast=contrast,
        lossy=any(str(header.get("LossyImageCompression", "")) == "01" for header in headers),
        manufacturer=_text(ds.get("Manufacturer")),
        patient_position=_text(ds.get("PatientPosition")),
        synthetic=all(is_phantom(header) for header in headers),
    )


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
