"""The synthetic abdomen as a CT Image Storage series.

Beside the ten stages. In: a `Rendering` with its `Grid` and `Anatomy`. Out: one file per slice, Explicit VR Little
Endian, every type 1 and 2 attribute of PS3.3 A.3, UIDs and dates that are the same for the same seed.
What can go wrong: the folder cannot be written (OSError). Next: `node.phantom.segments` adds the labels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from node.phantom.anatomy import Anatomy
from node.phantom.grid import Grid
from node.phantom.marker import MANUFACTURER, MODEL, PATIENT_ID_PREFIX, SERIAL_NUMBER, made_uid
from node.phantom.render import Rendering

INTERCEPT_HU = -1024
STUDY_DATE = "20260105"
STUDY_TIME = "101500"
SOFTWARE_VERSION = "1"
"""Version of the phantom's recipe; goes up when the same seed gives another picture."""
CLASS_UID = made_uid("crlm-node", "implementation")


def write_ct(
    folder: Path,
    rendering: Rendering,
    grid: Grid,
    anatomy: Anatomy,
    *,
    study_description: str = "Synthetic abdomen",
    series_description: str | None = None,
    uid_seed: object = None,
) -> list[Path]:
    """Write the series, one file per slice: 0001.dcm is the lowest.

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

    Returns
    -------
    list of Path
        From the lowest slice to the highest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seed = uid_seed if uid_seed is not None else seed_name(anatomy)
    common = _common(anatomy, grid, seed)
    common.StudyDescription = study_description
    common.SeriesDescription = series_description or (
        "Abdomen portal venous 3 mm" if anatomy.contrast else "Abdomen native 3 mm"
    ).replace("3 mm", f"{grid.spacing_mm[0]:g} mm")
    paths = []
    for index, values in enumerate(rendering.hu):
        ds = Dataset()
        ds.update(common)
        ds.file_meta = _meta()
        ds.SOPInstanceUID = made_uid("ct", seed, index)
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.InstanceNumber = index + 1
        x, y, _ = grid.origin_mm
        z = float(grid.z[index])
        ds.ImagePositionPatient = [_ds(x), _ds(y), _ds(z)]
        ds.SliceLocation = _ds(z)
        stored = (values - np.int16(INTERCEPT_HU)).astype("<u2")
        ds.PixelData = stored.tobytes()
        path = folder / f"{index + 1:04d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def seed_name(anatomy: Anatomy) -> str:
    """The seed as it stands in Patient ID and UIDs."""
    return "STANDARD" if anatomy.seed is None else str(anatomy.seed)


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters, exact to 0.1 micrometre."""
    return f"{value:.4f}".rstrip("0").rstrip(".") or "0"


def _meta() -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = CLASS_UID
    meta.ImplementationVersionName = "CRLMNODE-PHANTOM"
    return meta


def _common(anatomy: Anatomy, grid: Grid, seed: object) -> Dataset:
    """What is the same on every slice."""
    ds = Dataset()
    _patient_and_study(ds, anatomy, seed)
    _series_and_equipment(ds, seed)
    _image(ds, anatomy, grid)
    return ds


def _patient_and_study(ds: Dataset, anatomy: Anatomy, seed: object) -> None:
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


def _series_and_equipment(ds: Dataset, seed: object) -> None:
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


def _image(ds: Dataset, anatomy: Anatomy, grid: Grid) -> None:
    ds.SOPClassUID = CTImageStorage
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.AcquisitionNumber = 1
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dz, dy, dx = grid.spacing_mm
    ds.PixelSpacing = [f"{dy:.8g}", f"{dx:.8g}"]
    ds.SliceThickness = f"{dz:.8g}"
    ds.SpacingBetweenSlices = f"{dz:.8g}"
    ds.KVP = "120"
    ds.DataCollectionDiameter = ds.ReconstructionDiameter = f"{dx * grid.columns:.8g}"
    ds.XRayTubeCurrent = 200
    ds.ExposureTime = 500
    ds.Exposure = 100
    ds.ConvolutionKernel = "STANDARD"
    ds.GantryDetectorTilt = "0"
    if anatomy.contrast:
        ds.ContrastBolusAgent = "Synthetic contrast"
        ds.ContrastBolusRoute = "IV"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = grid.rows, grid.columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.RescaleIntercept = str(INTERCEPT_HU)
    ds.RescaleSlope = "1"
    ds.RescaleType = "HU"
    ds.WindowCenter, ds.WindowWidth = "50", "400"
