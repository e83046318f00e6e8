"""The SEG (PS3.3 A.51): BINARY, on the source slices, no empty frame, no empty segment.

Segments: liver, psoas left and right, the trabecular core of L1, the lesions: each of them, numbered, where they were
drawn one by one, else their one mask, without a number, so that a corrected copy is read as it was. An imported segment
keeps its algorithm type and name, and the SEG that it came from is named as a source. highdicom writes it.
"""

from collections.abc import Sequence
from dataclasses import replace

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code

from node.core.codes import STRUCTURES, Structure
from node.core.dicom import result_uid
from node.core.records import JobRequest
from workers.records import AlgorithmType, Region, Segment
from workers.report import envelope
from workers.report.document import Findings
from workers.report.frames import Source, refer_to_frames, standing_in

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
_KIND = "seg"
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
    written = segments(findings)
    if not written:
        return None
    request = findings.request
    first = min(segment.region.slices[0] for segment in written)
    last = max(segment.region.slices[-1] for segment in written)
    ds = hd.seg.Segmentation(
        source_images=standing_in(sources[first : last + 1], request.key),
        pixel_array=_stack([segment.region for segment in written], first, last, sources[0].header),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(number, segment, request) for number, segment in enumerate(written, start=1)],
        series_instance_uid=envelope.series_uid(request, "seg"),
        series_number=envelope.series_number(request, "seg"),
        sop_instance_uid=envelope.instance_uid(request, "seg"),
        instance_number=1,
        manufacturer=envelope.MANUFACTURER,
        manufacturer_model_name=envelope.MODEL,
        software_versions=request.version,
        device_serial_number=envelope.SERIAL_NUMBER,
        content_label="CRLM_NODE",
        content_description=findings.words(f"seg_content.{_KIND}"),
        omit_empty_frames=True,
        contributing_equipment=[envelope.equipment(request)],
    )
    _fix_dimension_uid(ds, request)
    refer_to_frames(ds, sources[first : last + 1], request.key)
    _refer_to(ds, [one for one in imported if one.StudyInstanceUID == request.study_instance_uid])
    envelope.declare_private_scheme(ds)
    return envelope.seal(ds, sources[0].header, findings, findings.words(f"series.{_KIND}"))


def tracking_uid(request: JobRequest, label: str) -> str:
    """Return the Tracking UID of a finding, the same in SEG and SR."""
    return str(result_uid(request.key, f"tracking/{label}"))


def _core(region: Region) -> Segment:
    return Segment(Structure.L1_CORE, "", region, AlgorithmType.AUTOMATIC, _CORE_ALGORITHM)


def _stack(regions: Sequence[Region], first: int, last: int, source: Dataset) -> np.ndarray:
    """Return `(frames, rows, columns, segments)` uint8 for the slices from first to last."""
    stack = np.zeros((last - first + 1, int(source.Rows), int(source.Columns), len(regions)), dtype=np.uint8)
    for number, region in enumerate(regions):
        slices, rows, columns = region.box
        stack[slices.start - first : slices.stop - first, rows, columns, number] = region.mask
    return stack


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
    if segment.source and not drawn_by_hand:
        # Of an imported segment the name is known, its family and version are not.
        del description.SegmentationAlgorithmIdentificationSequence
    if coding.laterality:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [hd.sr.CodedConcept.from_code(coding.laterality)]
    return description


def _refer_to(ds: Dataset, imported: Sequence[Dataset]) -> None:
    """Name imported segmentations of the study after the slices, as sources (PS3.3 C.12.4) and by series (C.12.2)."""
    for one in imported:
        reference, series = Dataset(), Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
        series.SeriesInstanceUID, series.ReferencedInstanceSequence = one.SeriesInstanceUID, [reference]
        ds.SourceImageSequence.append(reference)
        ds.ReferencedSeriesSequence.append(series)


def _fix_dimension_uid(ds: Dataset, request: JobRequest) -> None:
    """Replace highdicom's random Dimension Organization UID, so that the same job gives the same bytes."""
    uid = str(result_uid(request.key, "seg-dimensions"))
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
