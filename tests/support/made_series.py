"""A small CT series with whatever geometry, rescale and encoding a test asks for, written as real DICOM files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from node.core.codes import Structure
from node.core.records import AskedSignature, Candidate, HeightSource, Instance, JobRequest, PatientFacts
from node.core.settings import ImportRules, MeasurementSettings, ReportSettings
from node.core.spool import Spool, digest

ROOT = "1.2.826.0.1.3680043.8.498.77"
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
Edit = Callable[[Dataset, int], None]


@dataclass(frozen=True)
class Layout:
    """Where the voxels of a series lie: spacing (slices, rows, columns), first voxel, cosines along row and column.

    Slices step along `row x column` (times the spacing), or along `step_mm` where it is given.
    """

    spacing_mm: tuple[float, float, float] = (3.0, 0.8, 0.7)
    origin_mm: tuple[float, float, float] = (-11.0, -23.0, 100.0)
    row: tuple[float, float, float] = (1.0, 0.0, 0.0)
    column: tuple[float, float, float] = (0.0, 1.0, 0.0)
    step_mm: tuple[float, float, float] | None = None

    def position(self, index: int) -> list[float]:
        """Return Image Position (Patient) of a slice."""
        step = self.step_mm or np.cross(self.row, self.column) * self.spacing_mm[0]
        return [round(float(value), 5) for value in np.asarray(self.origin_mm) + np.asarray(step) * index]


AXIAL = Layout()
LAYOUTS = {
    "axial": AXIAL,
    "head first": Layout(step_mm=(0.0, 0.0, -3.0)),
    "rows flipped": Layout(column=(0.0, -1.0, 0.0)),
    "columns flipped": Layout(row=(-1.0, 0.0, 0.0), step_mm=(0.0, 0.0, 3.0)),
    "turned round": Layout(row=(-1.0, 0.0, 0.0), column=(0.0, -1.0, 0.0)),
    "transposed": Layout(row=(0.0, 1.0, 0.0), column=(1.0, 0.0, 0.0)),
    "oblique": Layout(row=(0.96, 0.28, 0.0), column=(-0.2688, 0.9216, 0.28)),
}


def header(layout: Layout, index: int, shape: tuple[int, int, int], series: str = f"{ROOT}.1") -> Dataset:
    """Return the attributes of one slice, every type 1 and 2 of PS3.3 A.3 among them."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{series}.{index + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = ROOT, series
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{ROOT}.9", ""
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Made^Small", "MADE-1", "19600101", "F"
    ds.PatientSize = "1.70"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = "20260105"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = "101500"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "7", "A7", ""
    ds.Modality, ds.Manufacturer, ds.SeriesNumber, ds.InstanceNumber = "CT", "Maker", 2, index + 1
    ds.SeriesDescription, ds.ImageType = "Abdomen", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientPosition, ds.AcquisitionNumber, ds.KVP = "HFS", 1, "120"
    ds.ConvolutionKernel, ds.SliceThickness = "B30f", f"{layout.spacing_mm[0]:g}"
    ds.ImagePositionPatient = layout.position(index)
    ds.ImageOrientationPatient = [*layout.row, *layout.column]
    ds.PixelSpacing = [f"{layout.spacing_mm[1]:g}", f"{layout.spacing_mm[2]:g}"]
    ds.Rows, ds.Columns = shape[1:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    return ds


def write_series(
    folder: Path,
    stored: NDArray[Any],
    *,
    layout: Layout = AXIAL,
    syntax: UID = ExplicitVRLittleEndian,
    edit: Edit | None = None,
    series: str = f"{ROOT}.1",
) -> list[Path]:
    """Write stored pixel values `(slices, rows, columns)`, uint16 or int16, one file per slice.

    `edit` may change the data set of a slice just before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, plane in enumerate(stored):
        ds = header(layout, index, stored.shape, series)
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
        ds.PixelRepresentation = int(stored.dtype == np.int16)
        ds.PixelData = plane.astype(plane.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes()
        ds["PixelData"].VR = "OW"
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = syntax if syntax in NATIVE else ExplicitVRLittleEndian
        if syntax not in NATIVE:
            ds.compress(syntax)
        if edit is not None:
            edit(ds, index)
        path = folder / f"{index + 1:03d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def instance(path: Path) -> Instance:
    """Return the record of a file as it is now, its path absolute."""
    ds = dcmread(path, stop_before_pixels=True)
    syntax = str(ds.file_meta.TransferSyntaxUID)
    return Instance(str(ds.SOPInstanceUID), str(ds.SOPClassUID), syntax, digest(path.read_bytes()), str(path))


def candidate(paths: Sequence[Path]) -> Candidate:
    """Return a series of files as a candidate."""
    ds = dcmread(paths[0], stop_before_pixels=True)
    return Candidate(str(ds.SeriesInstanceUID), "made", "made", tuple(instance(path) for path in paths))


def spool() -> Spool:
    """Return a spool for instances whose paths are absolute."""
    return Spool(Path("/"))


def request(
    *series: Sequence[Path],
    segmentations: Sequence[Instance] = (),
    facts: PatientFacts | None = None,
    labels: Mapping[str, Structure] | None = None,
    language: str = "en",
    signatures: Sequence[AskedSignature] = (),
    **measurement: Any,
) -> JobRequest:
    """Return the request to measure series of files, the first one first, on these segmentations."""
    return JobRequest(
        study_instance_uid=ROOT,
        requested_at=datetime.fromisoformat("2026-11-21T12:00:00"),
        candidates=tuple(candidate(paths) for paths in series),
        left_out=(),
        segmentations=tuple(segmentations),
        facts=facts or PatientFacts(1.7, HeightSource.SERIES, None, None, "F"),
        imports=ImportRules(labels=labels or {}),
        measurement=MeasurementSettings(**measurement),
        engine="imported",
        version="0.1.0",
        report=ReportSettings(language=language),
        signatures=tuple(signatures),
    )
