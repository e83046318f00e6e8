"""The SEG as highdicom writes it alone, from whole matrices: what ours has to be, byte for byte."""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, RLELossless

from workers.report import envelope, planes, seg
from workers.report.document import Findings
from workers.report.frames import Source


def whole(findings: Findings, sources: Sequence[Source], kind: str = "seg") -> Dataset:
    """Return the SEG (or `seg-labelmap`) from a stack of masks (from an array of labels).

    A slice that is a frame of a multi-frame image stands as an image of its own, under a UID that is replaced after.
    """
    written, request = seg.segments(findings), findings.request
    first = min(one.region.slices[0] for one in written)
    last = max(one.region.slices[-1] for one in written)
    masks = [
        one.region.full((len(sources), sources[0].header.Rows, sources[0].header.Columns))[first : last + 1]
        for one in written
    ]
    binary = kind == "seg"
    array = np.stack(masks, axis=-1).astype(np.uint8) if binary else labels_of(masks)
    shown = range(1, len(written) + 1) if binary else [int(one) for one in np.unique(array) if one]
    ds = hd.seg.Segmentation(
        source_images=[_alone(source) for source in sources[first : last + 1]],
        pixel_array=array,
        segmentation_type="BINARY" if binary else "LABELMAP",
        segment_descriptions=[seg._describe(number, written[number - 1], request) for number in shown],
        series_instance_uid=envelope.series_uid(request, kind),
        series_number=envelope.series_number(request, kind),
        sop_instance_uid=envelope.instance_uid(request, kind),
        instance_number=1,
        manufacturer=envelope.MANUFACTURER,
        manufacturer_model_name=envelope.MODEL,
        software_versions=request.version,
        device_serial_number=envelope.SERIAL_NUMBER,
        content_label="CRLM_NODE",
        content_description=findings.words(f"seg_content.{kind}"),
        omit_empty_frames=True,
        contributing_equipment=[envelope.equipment(request)],
    )
    if binary and -(-int(ds.NumberOfFrames) * ds.Rows * ds.Columns // 8) % 2:
        ds.PixelData = ds.PixelData[:-1] + b"\0"  # it pads with the digit 0
    if not binary:
        frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
        ds.PixelData = encapsulate([planes.compressed(np.ascontiguousarray(frame)) for frame in frames])
        ds.file_meta.TransferSyntaxUID = RLELossless
    _name_frames(ds, sources)
    seg._forget_algorithms(ds, dict(enumerate(written, start=1)))
    seg._fix_dimension_uid(ds, request, kind)
    envelope.declare_private_scheme(ds)
    return envelope.seal(ds, sources[0].header, findings, findings.words(f"series.{kind}"))


def labels_of(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the numbers of masks, from 1; where several lie, the last."""
    numbers = np.zeros(masks[0].shape, dtype=np.uint8)
    for number, mask in enumerate(masks, start=1):
        numbers[mask] = number
    return numbers


def _alone(source: Source) -> Dataset:
    if source.frame is None:
        return source.header
    alone = Dataset()
    alone.update(source.header)
    alone.add_new("SOPClassUID", "UI", CTImageStorage)
    alone.add_new("SOPInstanceUID", "UI", f"{source.header.SOPInstanceUID}.{source.frame}")
    return alone


def _name_frames(ds: Dataset, sources: Sequence[Source]) -> None:
    """Put the frames in the place of the images that stood for them, and each of their instances into a list once."""
    real = {str(_alone(source).SOPInstanceUID): source for source in sources if source.frame}
    if not real:
        return
    for item in ds.PerFrameFunctionalGroupsSequence:
        for reference in item.DerivationImageSequence[0].SourceImageSequence:
            if (source := real.get(reference.ReferencedSOPInstanceUID)) is not None:  # frames on a slice share it
                _name(reference, source)
                reference.ReferencedFrameNumber = source.frame
    once: dict[str, Dataset] = {}
    for reference in ds.SourceImageSequence:
        _name(reference, real[reference.ReferencedSOPInstanceUID])
        once.setdefault(reference.ReferencedSOPInstanceUID, reference)
    ds.SourceImageSequence = list(once.values())
    ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence = list(once.values())


def _name(reference: Dataset, source: Source) -> None:
    reference.ReferencedSOPClassUID = source.header.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
