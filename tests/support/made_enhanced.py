"""Enhanced CT images made of single-frame slices: the same voxels, moved into the frames of multi-frame images."""

from collections.abc import Callable, Sequence
from pathlib import Path

from made_series import NATIVE
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, EnhancedCTImageStorage, ExplicitVRLittleEndian

Edit = Callable[[Dataset], None]
# What of a slice belongs to its frame: the functional group, and its attributes (PS3.3 A.38.1.4).
_GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "CTReconstructionSequence": ("ConvolutionKernel",),
    "CTXRayDetailsSequence": ("KVP",),
}
SHARED = ("PixelMeasuresSequence", "PlaneOrientationSequence", "CTReconstructionSequence", "CTXRayDetailsSequence")
_DROPPED = ("InstanceNumber", "AcquisitionNumber", "SliceLocation", "ImageType", "PixelData")


def enhance(
    slices: Sequence[Path],
    path: Path,
    *,
    number: int = 1,
    shared: Sequence[str] = SHARED,
    syntax: UID = ExplicitVRLittleEndian,
    edit: Edit | None = None,
) -> Path:
    """Write slices, in the order given, as one Enhanced CT image of explicit VR little endian pixels.

    Parameters
    ----------
    number
        Of the instance in its series.
    shared
        Functional groups that all frames share, taken from the first slice.
    edit
        May change the data set before it is encoded in `syntax` and written.
    """
    images = [dcmread(one) for one in slices]
    first = images[0]
    ds = Dataset()
    moved = {keyword for keywords in _GROUPS.values() for keyword in keywords}
    ds.update({one.tag: one for one in first if one.keyword not in (*moved, *_DROPPED)})
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax if syntax in NATIVE else ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = EnhancedCTImageStorage, f"{first.SOPInstanceUID}.9{number}"
    ds.InstanceNumber, ds.NumberOfFrames = number, len(images)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.PixelPresentation, ds.VolumetricProperties, ds.VolumeBasedCalculationTechnique = "MONOCHROME", "VOLUME", "NONE"
    ds.AcquisitionDateTime, ds.AcquisitionDuration, ds.ContentQualification = "20260105101500", 4.0, "RESEARCH"
    ds.BurnedInAnnotation, ds.LossyImageCompression, ds.PresentationLUTShape = "NO", "00", "IDENTITY"
    kind = Dataset()
    kind.FrameType, kind.PixelPresentation = ds.ImageType, "MONOCHROME"
    kind.VolumetricProperties, kind.VolumeBasedCalculationTechnique = "VOLUME", "NONE"
    common = _groups(first, shared)
    common.CTImageFrameTypeSequence = [kind]
    ds.SharedFunctionalGroupsSequence = [common]
    ds.PerFrameFunctionalGroupsSequence = [
        _with_content(_groups(one, [name for name in _GROUPS if name not in shared]), place)
        for place, one in enumerate(images, start=1)
    ]
    ds.PixelData = b"".join(one.PixelData for one in images)
    ds["PixelData"].VR = "OW"
    if edit is not None:
        edit(ds)
    if syntax not in NATIVE:
        ds.compress(syntax)
    ds.save_as(path, enforce_file_format=True)
    return path


def _groups(one: Dataset, names: Sequence[str]) -> Dataset:
    found = Dataset()
    for name in names:
        item = Dataset()
        item.update({one[keyword].tag: one[keyword] for keyword in _GROUPS[name] if keyword in one})
        setattr(found, name, [item])
    return found


def _with_content(groups: Dataset, place: int) -> Dataset:
    content = Dataset()
    content.FrameAcquisitionNumber, content.StackID, content.InStackPositionNumber = 1, "1", place
    content.FrameReferenceDateTime = content.FrameAcquisitionDateTime = "20260105101500"
    content.FrameAcquisitionDuration = 1.0
    groups.FrameContentSequence = [content]
    return groups
