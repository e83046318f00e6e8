"""Stage 6: a candidate series of the spool becomes a `Volume` in Hounsfield units.

Comes in: a `Candidate`. Goes out: `Volume`, slices from inferior to superior. What can go wrong: everything that
must not be measured is refused with its code (`NotAnalysable`); a file that is gone or was changed is `Untrusted`.
Next: stage 7, segmentation. The rescale is applied per slice (PS3.3 C.7.6.16 and C.8.2.1); nothing is resampled,
masked or clipped here.
"""

import math
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset

from node.core.dicom import PARSER_FAULTS, TRANSFER_SYNTAXES, read_header
from node.core.errors import NotAnalysable, Refused, Unavailable, Untrusted
from node.core.grid import Geometry, Plane, plane, stack
from node.core.reasons import Outage, StudyRefusal
from node.core.records import Candidate, Instance
from node.core.settings import MeasurementSettings
from node.core.spool import Spool
from node.phantom import is_phantom
from workers.records import Acquisition, Volume

# What pydicom and its decoders raise on damaged or missing pixel data.
_DECODER_FAULTS = (*PARSER_FAULTS, RuntimeError)


def read(candidate: Candidate, spool: Spool, settings: MeasurementSettings) -> Volume:
    """Read a series.

    The headers are read first, for the order of the slices; then each file once more, whole, against its digest. No
    more than one slice is held beside the volume.

    Raises
    ------
    NotAnalysable
        `too-few-slices`, `mixed-orientation`, `mixed-frame-of-reference`, `duplicate-positions`, `uneven-spacing`,
        `gantry-tilt`, `transfer-syntax-unsupported`, `pixels-unreadable`.
    Untrusted
        `input-incomplete`, `input-untrusted`: a file is gone, or is not the one that was received.
    """
    try:
        planes = [_plane(instance, spool) for instance in candidate.instances]
        stacked = stack(planes, spacing_tolerance=settings.spacing_tolerance, minimum_slices=settings.minimum_slices)
        _require_upright(stacked.geometry, settings)
    except NotAnalysable:
        for instance in candidate.instances:  # a file that was changed is the graver finding
            spool.verified(instance)
        raise
    instances = tuple(candidate.instances[index] for index in stacked.order)
    hu: NDArray[Any] = np.empty(stacked.geometry.shape, dtype=np.int16)
    acquisition: Acquisition | None = None
    for index, instance in enumerate(instances):
        ds = _verified(instance, spool, planes[stacked.order[index]])
        slice_hu = _hounsfield(ds, stacked.geometry.shape[1:])
        if not np.can_cast(slice_hu.dtype, hu.dtype):
            hu = hu.astype(np.result_type(hu, slice_hu))
        hu[index] = slice_hu
        acquisition = _acquisition(ds) if acquisition is None else _joined(acquisition, ds)
    if acquisition is None:
        raise NotAnalysable(StudyRefusal.TOO_FEW_SLICES, "no slices")
    return Volume(hu, stacked.geometry, candidate, instances, acquisition)


def _require_upright(geometry: Geometry, settings: MeasurementSettings) -> None:
    """Refuse a tilted series where the site wants it so."""
    if geometry.is_tilted and settings.gantry_tilt == "refuse":
        raise NotAnalysable(StudyRefusal.GANTRY_TILT, f"{geometry.tilt_degrees:.1f} degrees")


def _plane(instance: Instance, spool: Spool) -> Plane:
    """Return where a slice lies, from its header alone."""
    if instance.transfer_syntax_uid not in TRANSFER_SYNTAXES:
        raise NotAnalysable(StudyRefusal.TRANSFER_SYNTAX_UNSUPPORTED, instance.transfer_syntax_uid)
    try:
        ds = read_header(spool.file(instance))
    except FileNotFoundError as error:
        raise Untrusted(StudyRefusal.INPUT_INCOMPLETE, instance.sop_instance_uid) from error
    except OSError as error:
        raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error
    except Refused as error:
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{instance.sop_instance_uid}: {error}") from error
    found = plane(ds)
    if found is None:
        raise NotAnalysable(StudyRefusal.MIXED_ORIENTATION, "a slice has no position, orientation or pixel spacing")
    return found


def _verified(instance: Instance, spool: Spool, known: Plane) -> FileDataset:
    """Return a slice as it was received; its header must be the one that gave it its place."""
    content = spool.verified(instance)
    try:
        ds = dcmread(BytesIO(content))
    except PARSER_FAULTS as error:  # behind the pixel data, where nobody has looked before
        detail = f"{instance.sop_instance_uid}: {type(error).__name__}"
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, detail) from error
    if plane(ds) != known:
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"{instance.sop_instance_uid} was changed while it was read")
    return ds


def _hounsfield(ds: FileDataset, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return one slice in Hounsfield units, in the smallest of int16, int32 and float32 that holds it."""
    try:
        stored = ds.pixel_array
        slope, intercept = float(ds.RescaleSlope), float(ds.RescaleIntercept)
    except _DECODER_FAULTS as error:
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{ds.SOPInstanceUID}: {type(error).__name__}") from error
    if stored.shape != shape:
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{ds.SOPInstanceUID}: shape {stored.shape}")
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{ds.SOPInstanceUID}: rescale is no number")
    if not (slope.is_integer() and intercept.is_integer()):
        return (stored * slope + intercept).astype(np.float32)
    least, most = sorted(int(slope) * int(value) + int(intercept) for value in (stored.min(), stored.max()))
    if least < -(2**31) or most >= 2**31 or abs(slope) >= 2**31 or abs(intercept) >= 2**31:
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{ds.SOPInstanceUID}: rescale leads out of all range")
    if least >= -(2**15) and most < 2**15 and abs(slope) < 2**15 and abs(intercept) < 2**15:
        # In 16 bits, where a sum that runs over comes back: only the result has to fit.
        return stored.astype(np.int16) * np.int16(slope) + np.int16(intercept)
    return stored.astype(np.int32) * int(slope) + int(intercept)


def _acquisition(ds: Dataset) -> Acquisition:
    """Read the acquisition from a slice: the lowest, to which the others are joined."""
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


def _joined(acquisition: Acquisition, ds: Dataset) -> Acquisition:
    """Add a slice: loss in any counts for all, and synthetic are all or none."""
    lossy, synthetic = acquisition.lossy or _lossy(ds), acquisition.synthetic and is_phantom(ds)
    return replace(acquisition, lossy=lossy, synthetic=synthetic)


def _lossy(ds: Dataset) -> bool:
    return str(_value(ds, "LossyImageCompression")) == "01"


def _value(ds: Dataset, keyword: str) -> Any:
    """Return an attribute that nothing is measured by; None where it is absent or makes no sense."""
    try:
        return ds.get(keyword)
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
