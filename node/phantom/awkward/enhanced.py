"""The abdomen as one Enhanced CT Image (PS3.3 A.38): all slices in one instance of several frames.

Beside the ten stages. In: a `Bench`. Out: `AwkwardStudy` of a single file. What all frames share stands once in the
Shared Functional Groups, the place of each frame in the Per-frame ones. Next: the node, like any study.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian

from node.phantom.awkward.study import AwkwardStudy, Bench
from node.phantom.dicom import (
    CLASS_UID,
    INTERCEPT_HU,
    STUDY_DATE,
    STUDY_TIME,
    decimal,
    orientation,
    patient_and_study,
    series_and_equipment,
)
from node.phantom.marker import made_uid
from node.phantom.planes import Planes
from node.phantom.render import Rendering

IMAGE_TYPE = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
MOMENT = STUDY_DATE + STUDY_TIME
DURATION_MS, TABLE_SPEED_MM_S, REVOLUTION_S = 8000.0, 50.0, 0.5
COLLIMATION_MM, TUBE_CURRENT_MA, CTDI_MGY = 0.6, 200.0, 9.5


def enhanced_ct(bench: Bench) -> AwkwardStudy:
    """Write the straight picture as one instance."""
    picture = bench.picture()
    path = _write(bench, picture)
    return bench.finished(picture, [path])


def _write(bench: Bench, picture: Rendering) -> Path:
    ds = Dataset()
    patient_and_study(ds, bench.anatomy, bench.uid_seed)
    series_and_equipment(ds, bench.uid_seed)
    del ds.AcquisitionDate, ds.AcquisitionTime  # AcquisitionDateTime stands for both
    planes = picture.grid.planes
    ds.StudyDescription = f"Synthetic abdomen, {bench.kind}"
    ds.SeriesDescription = "Abdomen portal venous 5 mm, Enhanced"
    ds.SOPClassUID, ds.SOPInstanceUID = EnhancedCTImageStorage, made_uid("enhanced", bench.uid_seed)
    ds.InstanceNumber = 1
    _image(ds, picture)
    _dimensions(ds, bench.uid_seed)
    ds.SharedFunctionalGroupsSequence = [_shared(planes)]
    ds.PerFrameFunctionalGroupsSequence = [_frame(planes, index) for index in range(planes.slices)]
    ds.PixelData = (picture.hu - np.int16(INTERCEPT_HU)).astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = CLASS_UID
    path = bench.out / "ct" / "0001.dcm"
    if path.exists():
        raise FileExistsError(f"{path.parent} is not empty")
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def _image(ds: Dataset, picture: Rendering) -> None:
    """Enhanced CT Image, Image Pixel and Enhanced Contrast/Bolus modules (PS3.3 C.8.15.2, C.7.6.3, C.7.6.4b)."""
    _fill(
        ds,
        {
            "ImageType": IMAGE_TYPE,
            "AcquisitionDateTime": MOMENT,
            "AcquisitionDuration": DURATION_MS,
            "AcquisitionNumber": 1,
            "ContentQualification": "RESEARCH",
            "ImageComments": "Synthetic phantom",
            "BurnedInAnnotation": "NO",
            "LossyImageCompression": "00",
            "PresentationLUTShape": "IDENTITY",
            "PixelPresentation": "MONOCHROME",
            "VolumetricProperties": "VOLUME",
            "VolumeBasedCalculationTechnique": "NONE",
            "MultienergyCTAcquisition": "NO",
            "AcquisitionContextSequence": [],
            "NumberOfFrames": picture.grid.slices,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": picture.grid.rows,
            "Columns": picture.grid.columns,
            "BitsAllocated": 16,
            "BitsStored": 12,
            "HighBit": 11,
            "PixelRepresentation": 0,
            "ContrastBolusAgentSequence": [
                {
                    **_code("441900009", "SCT", "Chemical"),
                    "ContrastBolusAgentNumber": 1,
                    "ContrastBolusAdministrationRouteSequence": [_code("47625008", "SCT", "Intravenous route")],
                    "ContrastBolusIngredientCodeSequence": [_code("44588005", "SCT", "Iodine")],
                    "ContrastBolusVolume": "100",
                    "ContrastBolusIngredientConcentration": "300",
                    "ContrastBolusIngredientOpaque": "YES",
                }
            ],
        },
    )


def _dimensions(ds: Dataset, seed: str) -> None:
    """Frames are ordered by stack and by place in it (PS3.3 C.7.6.17)."""
    uid = made_uid("dimensions", seed)
    ds.DimensionOrganizationSequence = [_item({"DimensionOrganizationUID": uid})]
    ds.DimensionOrganizationType = "3D"
    ds.DimensionIndexSequence = [
        _item(
            {
                "DimensionOrganizationUID": uid,
                "DimensionIndexPointer": Tag(keyword),
                "FunctionalGroupPointer": Tag("FrameContentSequence"),
                "DimensionDescriptionLabel": label,
            }
        )
        for keyword, label in (("StackID", "stack"), ("InStackPositionNumber", "place"))
    ]


def _frame(planes: Planes, index: int) -> Dataset:
    place = planes.centre(index, 0, 0)
    middle = planes.centre(index, (planes.rows - 1) / 2, (planes.columns - 1) / 2)
    return _item(
        {
            "FrameContentSequence": [
                {
                    "FrameAcquisitionNumber": 1,
                    "FrameReferenceDateTime": MOMENT,
                    "FrameAcquisitionDateTime": MOMENT,
                    "FrameAcquisitionDuration": 1000.0 * REVOLUTION_S,
                    "StackID": "1",
                    "InStackPositionNumber": index + 1,
                    "DimensionIndexValues": [1, index + 1],
                }
            ],
            "PlanePositionSequence": [{"ImagePositionPatient": [decimal(value) for value in place]}],
            "CTPositionSequence": [
                {
                    "TablePosition": place[2],
                    "DataCollectionCenterPatient": list(middle),
                    "ReconstructionTargetCenterPatient": list(middle),
                }
            ],
        }
    )


def _shared(planes: Planes) -> Dataset:
    """Functional groups that are the same for every frame (PS3.3 C.7.6.16.2 and C.8.15.3)."""
    dz, dy, dx = planes.spacing_mm
    field_mm = [dy * planes.rows, dx * planes.columns]
    return _item(
        {
            "PixelMeasuresSequence": [
                {
                    "PixelSpacing": [decimal(dy), decimal(dx)],
                    "SliceThickness": decimal(dz),
                    "SpacingBetweenSlices": decimal(dz),
                }
            ],
            "PlaneOrientationSequence": [{"ImageOrientationPatient": orientation(planes)}],
            "FrameAnatomySequence": [
                {"FrameLaterality": "U", "AnatomicRegionSequence": [_code("818983003", "SCT", "Abdomen")]}
            ],
            "FrameVOILUTSequence": [{"WindowCenter": "50", "WindowWidth": "400"}],
            "IrradiationEventIdentificationSequence": [{"IrradiationEventUID": made_uid("irradiation", MOMENT)}],
            "CTImageFrameTypeSequence": [
                {
                    "FrameType": IMAGE_TYPE,
                    "PixelPresentation": "MONOCHROME",
                    "VolumetricProperties": "VOLUME",
                    "VolumeBasedCalculationTechnique": "NONE",
                }
            ],
            "CTAcquisitionTypeSequence": [
                {
                    "AcquisitionType": "SPIRAL",
                    "ConstantVolumeFlag": "NO",
                    "FluoroscopyFlag": "NO",
                }
            ],
            "CTAcquisitionDetailsSequence": [
                {
                    "RotationDirection": "CW",
                    "RevolutionTime": REVOLUTION_S,
                    "SingleCollimationWidth": COLLIMATION_MM,
                    "TotalCollimationWidth": 64 * COLLIMATION_MM,
                    "TableHeight": 150.0,
                    "GantryDetectorTilt": decimal(planes.tilt_degrees),
                    "DataCollectionDiameter": decimal(max(field_mm)),
                }
            ],
            "CTTableDynamicsSequence": [
                {
                    "TableSpeed": TABLE_SPEED_MM_S,
                    "TableFeedPerRotation": TABLE_SPEED_MM_S * REVOLUTION_S,
                    "SpiralPitchFactor": TABLE_SPEED_MM_S * REVOLUTION_S / (64 * COLLIMATION_MM),
                }
            ],
            "CTGeometrySequence": [{"DistanceSourceToDetector": 1085.0, "DistanceSourceToDataCollectionCenter": 595.0}],
            "CTReconstructionSequence": [
                {
                    "ReconstructionAlgorithm": "FILTER_BACK_PROJ",
                    "ConvolutionKernel": "STANDARD",
                    "ConvolutionKernelGroup": "SOFT_TISSUE",
                    "ReconstructionFieldOfView": field_mm,
                    "ReconstructionPixelSpacing": [dy, dx],
                    "ReconstructionAngle": 360.0,
                    "ImageFilter": "NONE",
                }
            ],
            "CTExposureSequence": [
                {
                    "ExposureTimeInms": 500.0,
                    "XRayTubeCurrentInmA": TUBE_CURRENT_MA,
                    "ExposureInmAs": TUBE_CURRENT_MA * REVOLUTION_S,
                    "ExposureModulationType": "NONE",
                    "CTDIvol": CTDI_MGY,
                    "CTDIPhantomTypeCodeSequence": [_code("113691", "DCM", "IEC Body Dosimetry Phantom")],
                }
            ],
            "CTXRayDetailsSequence": [
                {
                    "KVP": "120",
                    "FocalSpots": [1.0],
                    "FilterType": "NONE",
                    "FilterMaterial": "ALUMINUM",
                    "CalciumScoringMassFactorPatient": 0.7,
                    "EnergyWeightingFactor": 1.0,
                }
            ],
            "PixelValueTransformationSequence": [
                {"RescaleIntercept": str(INTERCEPT_HU), "RescaleSlope": "1", "RescaleType": "HU"}
            ],
            "ContrastBolusUsageSequence": [
                {
                    "ContrastBolusAgentNumber": 1,
                    "ContrastBolusAgentAdministered": "YES",
                    "ContrastBolusAgentDetected": "YES",
                    "ContrastBolusAgentPhase": "PORTAL_VENOUS",
                }
            ],
        }
    )


def _item(values: Mapping[str, Any]) -> Dataset:
    ds = Dataset()
    _fill(ds, values)
    return ds


def _fill(ds: Dataset, values: Mapping[str, Any]) -> None:
    """Set attributes by keyword; a list of mappings becomes a sequence."""
    for keyword, value in values.items():
        nested = (
            isinstance(value, list) and all(isinstance(one, Mapping) for one in value) and keyword[-8:] == "Sequence"
        )
        setattr(ds, keyword, Sequence([_item(one) for one in value]) if nested else value)


def _code(value: str, scheme: str, meaning: str) -> dict[str, str]:
    return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}
