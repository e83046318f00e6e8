"""Parts of an SR that several of its forms use (TID 1500 and below, PS3.16), built with highdicom."""

from collections.abc import Iterator, Sequence

import highdicom as hd
from pydicom import Dataset
from pydicom.sr.coding import Code

from node.core.codes import MEASUREMENTS, PRIVATE_SCHEME, STRUCTURES, Structure, ucum
from node.core.reasons import NoteCode
from node.core.records import JobRequest, Measurement
from workers.records import Region
from workers.report import envelope
from workers.report.document import Findings
from workers.report.outline import outline
from workers.report.seg import tracking_uid

TITLE = Code("126000", "DCM", "Imaging Measurement Report")
COMMENT = Code("121106", "DCM", "Comment")
CT_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")  # CID 100
_LANGUAGE = hd.sr.CodedConcept("en-US", "RFC5646", "English (United States)")
_DEVICE_OBSERVER = hd.sr.CodedConcept("121007", "DCM", "Device")
Group = (
    hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations
    | hd.sr.MeasurementsAndQualitativeEvaluations
)
_DECIMALS = 4  # DS holds 16 characters; pixels do not give more


def report(sources: Sequence[Dataset], groups: Sequence[Group]) -> hd.sr.MeasurementReport:
    """Return the content tree of a TID 1500 report; its image library holds the slices that carry an outline.

    A library of every slice, each with its descriptors, would make up most of the object and tell nothing that the
    evidence does not: a validator of PixelMed runs out of memory on one of 112 slices.
    """
    outlined = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for group in groups
        for item in _walk(group[0])
        if item.get("ValueType") == "IMAGE"
    }
    return hd.sr.MeasurementReport(
        observation_context=observer(),
        procedure_reported=CT_PROCEDURE,
        imaging_measurements=list(groups),
        title=TITLE,
        language_of_content_item_and_descendants=hd.sr.LanguageOfContentItemAndDescendants(_LANGUAGE),
        referenced_images=[source for source in sources if source.SOPInstanceUID in outlined],
    )


def _walk(item: Dataset) -> Iterator[Dataset]:
    yield item
    for child in item.get("ContentSequence") or ():
        yield from _walk(child)


def observer() -> hd.sr.ObservationContext:
    """Return this product as the observer (TID 1001, 1004)."""
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=envelope.device_uid(),
        name=envelope.MODEL,
        manufacturer_name=envelope.MANUFACTURER,
        model_name=envelope.MODEL,
        serial_number=envelope.SERIAL_NUMBER,
    )
    context = hd.sr.ObserverContext(observer_type=_DEVICE_OBSERVER, observer_identifying_attributes=device)
    return hd.sr.ObservationContext(observer_device_context=context)


def finish(
    content: hd.sr.MeasurementReport,
    findings: Findings,
    evidence: Sequence[Dataset],
    kind: str,
    description: str,
) -> Dataset:
    """Return the document around a content tree: Comprehensive 3D SR, complete, unverified."""
    request = findings.request
    ds = hd.sr.Comprehensive3DSR(
        evidence=list(evidence),
        content=content,
        series_instance_uid=envelope.series_uid(request, kind),
        series_number=envelope.series_number(kind),
        sop_instance_uid=envelope.instance_uid(request, kind),
        instance_number=1,
        manufacturer=envelope.MANUFACTURER,
        is_complete=True,
        is_final=True,
        is_verified=False,
        contributing_equipment=[envelope.equipment(request)],
    )
    ds.ContentTemplateSequence = content[0].ContentTemplateSequence
    envelope.declare_private_scheme(ds)
    return envelope.seal(ds, evidence[0], request, description)


def tracking(request: JobRequest, label: str) -> hd.sr.TrackingIdentifier:
    """Return the tracking identifier of a finding."""
    return hd.sr.TrackingIdentifier(uid=tracking_uid(request, label), identifier=label)


def algorithm(request: JobRequest) -> hd.sr.AlgorithmIdentification:
    """Return this product as the measuring algorithm (TID 4019)."""
    return hd.sr.AlgorithmIdentification(
        name=envelope.MODEL, version=request.version, manufacturer=envelope.MANUFACTURER
    )


def site(structure: Structure) -> hd.sr.FindingSite:
    """Return a structure as the finding site, with its side."""
    coding = STRUCTURES[structure]
    return hd.sr.FindingSite(coding.type, laterality=coding.laterality)


def image_region(region: Region, index: int, source: Dataset) -> hd.sr.ImageRegion | None:
    """Return the outline of a region on a slice as an SCOORD selected from that slice."""
    points = outline(region, index)
    if points is None:
        return None
    image = hd.sr.SourceImageForRegion.from_source_image(source)
    return hd.sr.ImageRegion(hd.sr.GraphicTypeValues.POLYLINE, points, image)


def coordinates(region: Region, index: int, source: Dataset) -> hd.sr.CoordinatesForMeasurement | None:
    """Return the outline of a region on a slice as an SCOORD inside a NUM (TID 320)."""
    points = outline(region, index)
    if points is None:
        return None
    image = hd.sr.SourceImageForRegion.from_source_image(source)
    return hd.sr.CoordinatesForMeasurement(hd.sr.GraphicTypeValues.POLYLINE, points, image)


def number(
    name: str,
    one: Measurement,
    *,
    concept: Code | None = None,
    referenced: Sequence[hd.sr.CoordinatesForMeasurement] | None = None,
) -> hd.sr.Measurement:
    """Return a NUM (TID 300); `concept` in place of the table's for viewers that show nothing but its meaning."""
    coding = MEASUREMENTS[name]
    return hd.sr.Measurement(
        name=concept or coding.concept,
        value=round(float(one.value or 0), _DECIMALS),
        unit=ucum(coding.unit),
        derivation=None if concept else coding.derivation,
        referenced_coordinates=referenced,
    )


def own_name(name: str, one: Measurement) -> Code:
    """Return a private concept whose meaning a person can read alone, at-least values marked."""
    cut = any(note.code in (NoteCode.NEARLY_COMPLETE, NoteCode.TRUNCATED) for note in one.notes)
    at_least = MEASUREMENTS[name].grows and cut
    meaning = MEASUREMENTS[name].name + (" (at least)" if at_least else "")
    return Code(name, PRIVATE_SCHEME, meaning)


def missing(name: str, one: Measurement) -> hd.sr.QualitativeEvaluation:
    """Return the absence of a number: the measurement, and the reason as a code."""
    reason = str(one.reason)
    return hd.sr.QualitativeEvaluation(
        name=Code(name, PRIVATE_SCHEME, MEASUREMENTS[name].name),
        value=Code(reason, PRIVATE_SCHEME, f"Not computed: {reason.replace('-', ' ')}"),
    )


def remarks(names: Sequence[str], measurements: dict[str, Measurement]) -> Iterator[str]:
    """Yield a sentence for each number that is missing and for each note, each note once."""
    said: set[str] = set()
    for name in names:
        one, title = measurements[name], MEASUREMENTS[name].name
        if one.value is None and one.reason:
            yield f"{title}: not computed. {one.reason.sentence}"
        for note in one.notes:
            if note.text not in said:
                said.add(note.text)
                yield f"{title}: {note.text}"


def comment(group: Group, sentences: Sequence[str]) -> None:
    """Add sentences to a measurement group."""
    for sentence in sentences:
        group[0].ContentSequence.append(
            hd.sr.TextContentItem(name=COMMENT, value=sentence, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)
        )
