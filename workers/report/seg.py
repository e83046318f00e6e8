"""The SEG (PS3.3 A.51): BINARY, on the source slices, no empty frame, no empty segment; and its label map.

Segments: liver, psoas left and right, the trabecular core of L1, the lesions: each of them, numbered, where they were
drawn one by one, else their one mask, without a number, so that a corrected copy is read as it was. An imported segment
keeps its algorithm type and name, and the SEG that it came from is named as a source. highdicom writes the data set
around one frame, `planes` the others.

The Label Map Segmentation (PS3.3 A.51, SOP class ...66.7) has one frame a slice and one segment a voxel: where segments
overlap, the one that comes last has it, so lesions lie over the liver. Numbers and Tracking UIDs are those of the SEG;
a segment that others cover whole is not in it.
"""

from collections.abc import Sequence
from dataclasses import replace

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.sr.coding import Code
from pydicom.uid import CTImageStorage, RLELossless

from node.core.codes import STRUCTURES, Structure
from node.core.dicom import result_uid
from node.core.frames import header_copy
from node.core.records import JobRequest
from workers.records import AlgorithmType, Region, Segment
from workers.report import elements, envelope, planes
from workers.report.document import Findings
from workers.report.frames import Source

_WRITTEN = (
    Structure.LIVER,
    Structure.ILIOPSOAS_LEFT,
    Structure.ILIOPSOAS_RIGHT,
    Structure.PSOAS_MAJOR_LEFT,
    Structure.PSOAS_MAJOR_RIGHT,
    Structure.L1_CORE,
    Structure.LESION,
)
_CORE_ALGORITHM = "crlm-node trabecular core"
_FAMILY = Code("113103", "DCM", "Morphological Operations")  # CID 7162
_MASK = "Liver lesions"
_UNNAMED = "not stated"


def segments(findings: Findings) -> list[Segment]:
    """Return the segments that are written, in the order of their numbers (from 1)."""
    if findings.labels is None or findings.measured is None:
        return []
    found = list(findings.labels.segments)
    if findings.measured.l1_core:
        found.append(_core(findings.measured.l1_core))
    ordered = [segment for structure in _WRITTEN for segment in found if segment.structure is structure]
    burden = findings.measured.burden
    lesions = [segment for segment in ordered if segment.structure is Structure.LESION]
    drawn = enumerate(lesions, start=1) if burden and burden.drawn else ()
    names = {id(lesion): lesion_label(number) for number, lesion in drawn} or dict.fromkeys(map(id, lesions), _MASK)
    return [replace(one, label=names.get(id(one), STRUCTURES[one.structure].label)) for one in ordered]


def lesion_label(number: int) -> str:
    """Return what a lesion is called by its number in the table of lesions, from 1."""
    return f"Liver lesion {number}"


def muscles(findings: Findings) -> dict[str, Segment]:
    """Return the written segments that stand for the psoas, by side: of the muscle that the site asks for."""
    asked = {
        "iliopsoas": (Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT),
        "psoas_major": (Structure.PSOAS_MAJOR_LEFT, Structure.PSOAS_MAJOR_RIGHT),
    }[findings.request.measurement.psoas]
    by_structure = {one.structure: one for one in segments(findings)}
    sides = zip(("left", "right"), asked, strict=True)
    return {side: by_structure[structure] for side, structure in sides if structure in by_structure}


def build(findings: Findings, sources: Sequence[Source], imported: Sequence[Dataset]) -> Dataset | None:
    """Return the SEG, or None where nothing was segmented.

    Parameters
    ----------
    sources
        The volume's slices, in their order.
    imported
        The segmentations that segments of it come from.
    """
    written = dict(enumerate(segments(findings), start=1))
    if not written:
        return None
    regions = {number: segment.region for number, segment in written.items()}
    frames = planes.frames_of(regions, sources)
    ds = _around_one_frame(findings, written, sources, "seg")
    groups = planes.describe(ds, sources, frames)
    ds.SegmentsOverlap = "YES" if planes.overlap(regions) else "NO"
    ds.PixelData = planes.bits(regions, frames, ds.Rows, ds.Columns)
    return _finish(ds, groups, findings, sources, imported, "seg")


def label_map(findings: Findings, sources: Sequence[Source], imported: Sequence[Dataset]) -> Dataset | None:
    """Return the SEG as a label map, or None where nothing was segmented; parameters as of `build`."""
    written = dict(enumerate(segments(findings), start=1))
    if not written:
        return None
    regions = {number: segment.region for number, segment in written.items()}
    rows, columns = int(sources[0].header.Rows), int(sources[0].header.Columns)
    seen, encoded = {0}, []
    frames = planes.frames_of_all(regions, sources)
    for frame in frames:
        plane = planes.labels(regions, frame.slice, rows, columns)
        seen.update(np.flatnonzero(np.bincount(plane.ravel())).tolist())
        encoded.append(planes.compressed(plane))
    visible = {number: segment for number, segment in written.items() if number in seen}
    ds = _around_one_frame(findings, visible, sources, "seg-labelmap")
    groups = planes.describe(ds, sources, frames)
    ds.PixelData, ds.file_meta.TransferSyntaxUID = encapsulate(encoded), RLELossless
    return _finish(ds, groups, findings, sources, imported, "seg-labelmap")


def _around_one_frame(findings: Findings, written: dict[int, Segment], sources: Sequence[Source], kind: str) -> Dataset:
    """Return a data set that has everything of a SEG but its frames: it has one, of the last segment."""
    request, of_binary = findings.request, kind == "seg"
    first = min(segment.region.slices[0] for segment in written.values())
    source = sources[first].header
    if sources[first].frame:
        source = header_copy(source)  # highdicom takes a frame for no image of its own
        source.add_new("SOPClassUID", "UI", CTImageStorage)
    number = max(written)
    made = hd.seg.Segmentation(
        source_images=[source],
        pixel_array=np.full((1, source.Rows, source.Columns), number, dtype=np.uint8 if number < 256 else np.uint16),
        segmentation_type="BINARY" if of_binary else "LABELMAP",
        segment_descriptions=[_describe(number, segment, request) for number, segment in written.items()],
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
        contributing_equipment=[envelope.equipment(request)],
    )
    _forget_algorithms(made, written)
    ds = header_copy(made)  # what highdicom adds to its own class tells of the one frame
    ds.file_meta = made.file_meta
    return ds


def _finish(
    ds: Dataset,
    groups: bytes,
    findings: Findings,
    sources: Sequence[Source],
    imported: Sequence[Dataset],
    kind: str,
) -> Dataset:
    """Say what the data set was made from, what all objects say, and, last, what each frame says."""
    written, request = segments(findings), findings.request
    first = min(segment.region.slices[0] for segment in written)
    last = max(segment.region.slices[-1] for segment in written)
    planes.refer(ds, sources[first : last + 1])
    planes.space(ds, sources[first : last + 1])
    _fix_dimension_uid(ds, request, kind)
    _refer_to(ds, [one for one in imported if one.StudyInstanceUID == request.study_instance_uid])
    envelope.declare_private_scheme(ds)
    envelope.seal(ds, sources[0].header, findings, findings.words(f"series.{kind}"))
    elements.put(ds, {"PerFrameFunctionalGroupsSequence": groups})
    return ds


def tracking_uid(request: JobRequest, label: str) -> str:
    """Return the Tracking UID of a finding, the same in SEG and SR."""
    return str(result_uid(request.key, f"tracking/{label}"))


def _core(region: Region) -> Segment:
    return Segment(Structure.L1_CORE, "", region, AlgorithmType.AUTOMATIC, _CORE_ALGORITHM)


def _describe(number: int, segment: Segment, request: JobRequest) -> hd.seg.SegmentDescription:
    coding = STRUCTURES[segment.structure]
    drawn_by_hand = segment.algorithm_type is AlgorithmType.MANUAL
    algorithm = hd.AlgorithmIdentificationSequence(
        name=segment.algorithm_name or _UNNAMED, family=_FAMILY, version=request.version
    )
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=coding.category,
        segmented_property_type=coding.type,
        algorithm_type=segment.algorithm_type,
        algorithm_identification=None if drawn_by_hand else algorithm,
        tracking_uid=tracking_uid(request, segment.label),
        tracking_id=segment.label,
        display_color=hd.color.CIELabColor.from_rgb(*coding.rgb),
    )
    if coding.laterality:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [hd.sr.CodedConcept.from_code(coding.laterality)]
    return description


def _forget_algorithms(ds: Dataset, written: dict[int, Segment]) -> None:
    """Of the algorithm of an imported segment the name is known, family and version, which highdicom wants, are not."""
    for item in ds.SegmentSequence:
        segment = written.get(int(item.SegmentNumber))
        if segment and segment.source and "SegmentationAlgorithmIdentificationSequence" in item:
            del item.SegmentationAlgorithmIdentificationSequence


def _refer_to(ds: Dataset, imported: Sequence[Dataset]) -> None:
    """Name imported segmentations of the study after the slices, as sources (PS3.3 C.12.4) and by series (C.12.2)."""
    for one in imported:
        reference, series = Dataset(), Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
        series.SeriesInstanceUID, series.ReferencedInstanceSequence = one.SeriesInstanceUID, [reference]
        ds.SourceImageSequence.append(reference)
        ds.ReferencedSeriesSequence.append(series)


def _fix_dimension_uid(ds: Dataset, request: JobRequest, kind: str) -> None:
    """Replace highdicom's random Dimension Organization UID, so that the same job gives the same bytes."""
    uid = str(result_uid(request.key, f"{kind}-dimensions"))
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
