"""The synthetic abdomen as a CT Image Storage series.

Beside the ten stages. In: a `Rendering` with its `Grid` (or `Planes`) and `Anatomy`. Out: one file per slice, Explicit
VR Little Endian, every type 1 and 2 attribute of PS3.3 A.3, UIDs and dates that are the same for the same seed.
What can go wrong: the folder cannot be written (OSError). Next: `node.phantom.segments` adds the labels.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.phantom.anatomy import Anatomy
from node.phantom.grid import Grid
from node.phantom.marker import MANUFACTURER, MODEL, PATIENT_ID_PREFIX, SERIAL_NUMBER, made_uid
from node.phantom.planes import Planes
from node.phantom.render import Rendering

Edit = Callable[[Dataset, int], None]

INTERCEPT_HU = -1024
KVP = 120
STUDY_DATE = "20260105"
STUDY_TIME = "101500"
SOFTWARE_VERSION = "1"
"""Version of the phantom's recipe; goes up when the same seed gives another picture."""
CLASS_UID = made_uid("crlm-node", "implementation")


def write_ct(
    folder: Path,
    rendering: Rendering,
    grid: Grid | Planes,
    anatomy: Anatomy,
    *,
    study_description: str = "Synthetic abdomen",
    series_description: str | None = None,
    uid_seed: object = None,
    edit: Edit | None = None,
) -> list[Path]:
    """Write the series, one file per slice: 0001.dcm is the first, which on a `Grid` is the lowest.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    rendering, grid, anatomy
        The picture, where it lies, and of whom it is.
    study_description, series_description : str
        The latter says by default whether the scan is portal venous or native.
    uid_seed : object
        What the UIDs are made from (its text); by default the anatomy's seed. Two series that differ in anything
        need two values.
    edit : callable, optional
        May change a slice's data set, given with its index, just before it is written.

    Returns
    -------
    list of Path
        From the first slice to the last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seed = uid_seed if uid_seed is not None else seed_name(anatomy)
    planes = grid.planes
    common = _common(anatomy, planes, seed)
    common.StudyDescription = study_description
    common.SeriesDescription = series_description or (
        "Abdomen portal venous 3 mm" if anatomy.contrast else "Abdomen native 3 mm"
    ).replace("3 mm", f"{planes.spacing_mm[0]:.4g} mm")
    paths = []
    for index, values in enumerate(rendering.hu):
        ds = Dataset()
        ds.update(common if edit is None else deepcopy(common))  # an edit of one slice must not reach the others
        ds.file_meta = _meta()
        ds.SOPInstanceUID = made_uid("ct", seed, index)
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.InstanceNumber = index + 1
        place = planes.centre(index, 0, 0)
        ds.ImagePositionPatient = [decimal(value) for value in place]
        ds.SliceLocation = decimal(place[2])
        stored = (values - np.int16(INTERCEPT_HU)).astype("<u2")
        ds.PixelData = stored.tobytes()
        if edit is not None:
            edit(ds, index)
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        path = folder / f"{index + 1:04d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def seed_name(anatomy: Anatomy) -> str:
    """The seed as it stands in Patient ID and UIDs."""
    return "STANDARD" if anatomy.seed is None else str(anatomy.seed)


def decimal(value: float, digits: int = 4) -> str:
    """A decimal string of at most 16 characters; by default exact to 0.1 micrometre."""
    shortest = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if shortest in ("", "-0") else shortest


def orientation(planes: Planes) -> list[str]:
    """Image Orientation (Patient): the direction along a row, then along a column."""
    _, row, column = planes.steps
    _, dy, dx = planes.spacing_mm
    return [decimal(float(value), 10) for value in (*(column / dx), *(row / dy))]


def _meta() -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = CLASS_UID
    meta.ImplementationVersionName = "CRLMNODE-PHANTOM"
    return meta


def _common(anatomy: Anatomy, planes: Planes, seed: object) -> Dataset:
    """What is the same on every slice."""
    ds = Dataset()
    patient_and_study(ds, anatomy, seed)
    series_and_equipment(ds, seed)
    _image(ds, anatomy, planes)
    return ds


def patient_and_study(ds: Dataset, anatomy: Anatomy, seed: object) -> None:
    """Set what every object of the study says of the imaginary patient, and of the study."""
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = "Phantom^Synthetic"
    ds.PatientID = PATIENT_ID_PREFIX + seed_name(anatomy)
    ds.PatientBirthDate = ""
    ds.PatientSex = anatomy.sex
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Synthetic phantom, there is no patient"
    ds.PatientComments = "Synthetic phantom of crlm-node, not a patient"
    ds.PatientAge = f"{anatomy.age_years:03d}Y"
    ds.PatientSize = f"{anatomy.height_m:.2f}"
    ds.PatientWeight = f"{anatomy.weight_kg:.1f}"
    ds.StudyInstanceUID = made_uid("study", seed)
    ds.StudyID = "1"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = STUDY_DATE
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = STUDY_TIME
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""


def series_and_equipment(ds: Dataset, seed: object) -> None:
    """Set what every image of the CT series says of the series and of the machine."""
    ds.Modality = "CT"
    ds.SeriesInstanceUID = made_uid("ct series", seed)
    ds.SeriesNumber = 2
    ds.FrameOfReferenceUID = made_uid("frame of reference", seed)
    ds.PositionReferenceIndicator = ""
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "ABDOMEN"
    ds.ProtocolName = "Synthetic abdomen"
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MODEL
    ds.DeviceSerialNumber = SERIAL_NUMBER
    ds.SoftwareVersions = SOFTWARE_VERSION
    ds.InstitutionName = "None (synthetic)"
    ds.BurnedInAnnotation = "NO"


def _image(ds: Dataset, anatomy: Anatomy, planes: Planes) -> None:
    ds.SOPClassUID = CTImageStorage
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.AcquisitionNumber = 1
    dz, dy, dx = planes.spacing_mm
    ds.ImageOrientationPatient = orientation(planes)
    ds.PixelSpacing = [f"{dy:.8g}", f"{dx:.8g}"]
    ds.SliceThickness = f"{dz:.8g}"
    ds.SpacingBetweenSlices = f"{dz:.8g}"
    ds.KVP = str(KVP)
    ds.DataCollectionDiameter = ds.ReconstructionDiameter = f"{dx * planes.columns:.8g}"
    ds.XRayTubeCurrent = 200
    ds.ExposureTime = 500
    ds.Exposure = 100
    ds.ConvolutionKernel = "STANDARD"
    ds.GantryDetectorTilt = decimal(planes.tilt_degrees)
    if anatomy.contrast:
        ds.ContrastBolusAgent = "Synthetic contrast"
        ds.ContrastBolusRoute = "IV"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = planes.rows, planes.columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.RescaleIntercept = str(INTERCEPT_HU)
    ds.RescaleSlope = "1"
    ds.RescaleType = "HU"
    ds.WindowCenter, ds.WindowWidth = "50", "400"
