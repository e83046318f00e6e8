"""The Summary: a table of all numbers and key images with outlines, for viewers and archives that take no SR.

Comes in: the pages of `key_images`. Goes out: one Multi-frame True Color Secondary Capture image (PS3.3 A.8.5), a frame
for each page. It is written uncompressed, in Explicit VR Little Endian: every archive takes that, and every viewer
shows it. Frames are told apart by the Page Number Vector and named by the Frame Label Vector (C.8.6.4); the slices that
pages show as they are stand in the Source Image Sequence. No page says who the patient is: Burned In Annotation is NO.
Nothing can go wrong. Next: delivery.
"""

from collections.abc import Sequence
from io import BytesIO

import highdicom as hd
import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameTrueColorSecondaryCaptureImageStorage

from workers.report import envelope
from workers.report.document import Findings
from workers.report.frames import Source
from workers.report.key_images.sheet import Page

FOLDER = "key-images"
_KIND = "summary"
_SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")  # CID 7202
_LOSS = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_PNG_EFFORT = 1  # of 9: a third of the time of the usual 6, for files that are a fifth larger


def build(findings: Findings, sources: Sequence[Source], pages: Sequence[Page]) -> Dataset:
    """Return the Summary; `sources` are the slices that `Page.slices` count."""
    request, header = findings.request, sources[0].header
    words = findings.words
    ds = hd.SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        series_instance_uid=envelope.series_uid(request, _KIND),
        series_number=envelope.series_number(request, _KIND),
        sop_instance_uid=envelope.instance_uid(request, _KIND),
        sop_class_uid=MultiFrameTrueColorSecondaryCaptureImageStorage,
        instance_number=1,
        modality="OT",
        manufacturer=envelope.MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    ds.copy_patient_and_study_information(header)
    ds.BodyPartExamined = "ABDOMEN"
    ds.ConversionType = "WSD"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.DerivationDescription = words("summary.derivation")
    ds.BurnedInAnnotation = "NO"
    ds.RecognizableVisualFeatures = "NO"
    ds.PatientOrientation = None
    for keyword in _LOSS:
        if keyword in header:
            ds[keyword] = header[keyword]
    _lay(ds, pages)
    _refer(ds, [sources[index] for index in dict.fromkeys(one for page in pages for one in page.slices)])
    ds.ContributingEquipmentSequence = [envelope.equipment(request)]
    return envelope.seal(ds, header, findings, words("series.summary"))


def pictures(pages: Sequence[Page]) -> list[tuple[str, bytes]]:
    """Return each page as a PNG, with the name of its file."""
    files = []
    for number, page in enumerate(pages, start=1):
        buffer = BytesIO()
        Image.fromarray(page.pixels).save(buffer, "PNG", compress_level=_PNG_EFFORT)
        files.append((f"{FOLDER}/{number}-{page.name}.png", buffer.getvalue()))
    return files


def _lay(ds: Dataset, pages: Sequence[Page]) -> None:
    """Give the data set the pages as its frames (PS3.3 C.7.6.3, C.7.6.6, C.8.6.3, C.8.6.4)."""
    ds.NumberOfFrames = len(pages)
    ds.Rows, ds.Columns, ds.SamplesPerPixel = pages[0].pixels.shape
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "RGB", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    if len(pages) > 1:
        ds.FrameIncrementPointer = [Tag("PageNumberVector"), Tag("FrameLabelVector")]
        ds.PageNumberVector = list(range(1, len(pages) + 1))
        ds.FrameLabelVector = [page.label for page in pages]
    ds.PixelData = b"".join(np.ascontiguousarray(page.pixels).tobytes() for page in pages)
    ds["PixelData"].VR = "OB"


def _refer(ds: Dataset, shown: Sequence[Source]) -> None:
    """Name the slices that are shown as they are: as sources (PS3.3 C.7.6.1), and by their series (C.12.2)."""
    if not shown:
        return
    ds.SourceImageSequence = [_reference(one.header) for one in shown]
    for item, one in zip(ds.SourceImageSequence, shown, strict=True):
        item.PurposeOfReferenceCodeSequence = [hd.sr.CodedConcept.from_code(_SOURCE_IMAGE)]
        if one.frame:
            item.ReferencedFrameNumber = one.frame
    series = Dataset()
    series.SeriesInstanceUID = shown[0].header.SeriesInstanceUID
    images = {one.header.SOPInstanceUID: one.header for one in shown}
    series.ReferencedInstanceSequence = [_reference(header) for header in images.values()]
    ds.ReferencedSeriesSequence = [series]


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item
