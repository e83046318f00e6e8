"""What comes with a CT series and is none: two localizers, a dose report and a screen capture.

Beside the ten stages. In: a `Bench`. Out: `AwkwardStudy` with the companions in folders of their own below OUT/ct.
Next: the node, which has to leave them aside and say why.
"""

from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    XRayRadiationDoseSRStorage,
)

from node.phantom.awkward.study import AwkwardStudy, Bench
from node.phantom.dicom import CLASS_UID, INTERCEPT_HU, decimal, patient_and_study, series_and_equipment
from node.phantom.marker import made_uid
from node.phantom.render import Rendering

DOSE_LENGTH_PRODUCT = 412.0
"""Of the imaginary scan [mGy.cm]."""
SCREEN = (240, 320)
"""Rows and columns of the screen capture."""
_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS


def companions(bench: Bench) -> AwkwardStudy:
    """Write a straight series and what a scanner sends along."""
    picture = bench.picture()
    slices = bench.series(picture)
    beside = [*_localizers(bench, picture), _dose_report(bench), _screen(bench)]
    return bench.finished(picture, slices, first=[*beside, *slices])


def _localizers(bench: Bench, picture: Rendering) -> list[Path]:
    """From the front and from the side: attenuation averaged along the rays, rows from head to feet."""
    grid = bench.grid
    dz, dy, dx = grid.spacing_mm
    top = float(grid.z[-1])
    x, y = (float(axis[len(axis) // 2]) for axis in (grid.x, grid.y))
    views = (
        (1, [grid.origin_mm[0], y, top], [1, 0, 0, 0, 0, -1], dx),
        (2, [x, grid.origin_mm[1], top], [0, 1, 0, 0, 0, -1], dy),
    )
    return [
        _localizer(bench, number, picture.hu.mean(axis=number)[::-1], place, cosines, (dz, across))
        for number, place, cosines, across in views
    ]


def _localizer(
    bench: Bench,
    number: int,
    hu: NDArray[np.float64],
    place: list[float],
    cosines: list[int],
    spacing_mm: tuple[float, float],
) -> Path:
    ds = _object(bench, CTImageStorage, "localizer", number)
    series_and_equipment(ds, bench.uid_seed)
    ds.SeriesInstanceUID = made_uid("localizer series", bench.uid_seed)
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 1, number, 0
    ds.SeriesDescription = "Scout"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.ImagePositionPatient = [decimal(value) for value in place]
    ds.ImageOrientationPatient = cosines
    ds.PixelSpacing = [decimal(value) for value in spacing_mm]
    ds.SliceThickness, ds.KVP = "1", "120"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = hu.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(INTERCEPT_HU), "1", "US"
    ds.PixelData = (np.rint(hu) - INTERCEPT_HU).astype("<u2").tobytes()
    return _saved(ds, bench.out / "ct" / "localizer" / f"{number:04d}.dcm")


def _dose_report(bench: Bench) -> Path:
    """An X-Ray Radiation Dose SR (PS3.16 TID 10011) with the total of one irradiation."""
    ds = _object(bench, XRayRadiationDoseSRStorage, "dose", 1)
    del ds.AcquisitionDate, ds.AcquisitionTime
    _equipment(ds)
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "SR", 990, 1
    ds.SeriesInstanceUID = made_uid("dose series", bench.uid_seed)
    ds.SeriesDescription = "Dose Report"
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.ReferencedPerformedProcedureStepSequence = []
    ds.PerformedProcedureCodeSequence = []
    root = hd.sr.ContainerContentItem(_dcm("113701", "X-Ray Radiation Dose Report"), template_id="10011")
    root.ContentSequence = hd.sr.ContentSequence([*_context(bench), _accumulated()])
    ds.update(root)
    return _saved(ds, bench.out / "ct" / "dose" / "0001.dcm")


def _context(bench: Bench) -> list[hd.sr.ContentItem]:
    modifier, observer = hd.sr.RelationshipTypeValues.HAS_CONCEPT_MOD, hd.sr.RelationshipTypeValues.HAS_OBS_CONTEXT
    scope = hd.sr.CodeContentItem(
        _dcm("113705", "Scope of Accumulation"), _dcm("113014", "Study"), relationship_type=observer
    )
    scope.ContentSequence = hd.sr.ContentSequence(
        [
            hd.sr.UIDRefContentItem(
                _dcm("110180", "Study Instance UID"),
                made_uid("study", bench.uid_seed),
                relationship_type=hd.sr.RelationshipTypeValues.HAS_PROPERTIES,
            )
        ]
    )
    return [
        hd.sr.CodeContentItem(
            _dcm("121058", "Procedure reported"),
            Code("77477000", "SCT", "Computed Tomography X-Ray"),
            relationship_type=modifier,
        ),
        hd.sr.CodeContentItem(_dcm("121005", "Observer Type"), _dcm("121007", "Device"), relationship_type=observer),
        hd.sr.UIDRefContentItem(_dcm("121012", "Device Observer UID"), made_uid("device"), relationship_type=observer),
        scope,
        hd.sr.CodeContentItem(
            _dcm("113854", "Source of Dose Information"),
            _dcm("113856", "Automated Data Collection"),
            relationship_type=_CONTAINS,
        ),
    ]


def _accumulated() -> hd.sr.ContainerContentItem:
    dose = hd.sr.ContainerContentItem(
        _dcm("113811", "CT Accumulated Dose Data"), relationship_type=_CONTAINS, template_id="10012"
    )
    dose.ContentSequence = hd.sr.ContentSequence(
        [
            hd.sr.NumContentItem(_dcm(code, meaning), value, unit, relationship_type=_CONTAINS)
            for code, meaning, value, unit in (
                ("113812", "Total Number of Irradiation Events", 1, Code("{events}", "UCUM", "events")),
                ("113813", "CT Dose Length Product Total", DOSE_LENGTH_PRODUCT, Code("mGy.cm", "UCUM", "mGy.cm")),
            )
        ]
    )
    return dose


def _screen(bench: Bench) -> Path:
    """A page of text as a colour image: what scanners store beside, or in place of, a dose report."""
    page = Image.new("RGB", SCREEN[::-1])
    ImageDraw.Draw(page).text((20, 40), f"Total DLP {DOSE_LENGTH_PRODUCT:.0f} mGy.cm", fill=(255, 220, 120))
    ds = _object(bench, SecondaryCaptureImageStorage, "screen", 1)
    _equipment(ds)
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber, ds.ConversionType = "CT", 999, 1, "WSD"
    ds.SeriesInstanceUID = made_uid("screen series", bench.uid_seed)
    ds.SeriesDescription, ds.ImageType = "Patient Protocol", ["DERIVED", "SECONDARY"]
    ds.BodyPartExamined, ds.PatientOrientation = "ABDOMEN", ""
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = SCREEN
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = np.asarray(page).tobytes()
    ds["PixelData"].VR = "OB"
    return _saved(ds, bench.out / "ct" / "screen" / "0001.dcm")


def _object(bench: Bench, sop_class_uid: str, what: str, number: int) -> Dataset:
    ds = Dataset()
    patient_and_study(ds, bench.anatomy, bench.uid_seed)
    ds.StudyDescription = f"Synthetic abdomen, {bench.kind}"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, made_uid(what, bench.uid_seed, number)
    return ds


def _equipment(ds: Dataset) -> None:
    """Set the machine alone: what is no image has no place in the patient."""
    full = Dataset()
    series_and_equipment(full, "")
    for keyword in ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"):
        setattr(ds, keyword, full[keyword].value)


def _saved(ds: Dataset, path: Path) -> Path:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = CLASS_UID
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)
