"""Parts of an SR that several of its forms use (TID 1500 and below, PS3.16), built with highdicom."""

from collections.abc import Iterator, Sequence

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage

from node.core.codes import LIVER, MEASUREMENTS, STRUCTURES, Structure, ucum
from node.core.private_codes import number_code, reason_code
from node.core.records import JobRequest, Measurement
from workers.records import Region
from workers.report import envelope, quality
from workers.report.document import Findings
from workers.report.frames import Source, image
from workers.report.outline import inside, outline
from workers.report.seg import tracking_uid

# CID 7021. A stock OHIF draws a report of the first title on the images and shows one of the second as a page of text.
DRAWN = Code("126000", "DCM", "Imaging Measurement Report")
PAGE = Code("126001", "DCM", "Oncology Measurement Report")
COMMENT = Code("121106", "DCM", "Comment")
IMAGING_MEASUREMENTS = "126010"
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")  # TID 1500
CT_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")  # CID 100
_DEVICE_OBSERVER = hd.sr.CodedConcept("121007", "DCM", "Device")
Group = (
    hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations
    | hd.sr.MeasurementsAndQualitativeEvaluations
)
DECIMALS = 4  # DS holds 16 characters; pixels do not give more


def report(title: Code, groups: Sequence[Group], findings: Findings) -> hd.sr.MeasurementReport:
    """Return the content tree of a TID 1500 report.

    It has no image library, which is optional: its slices are all in the evidence, and viewers that show the tree as
    text would show a line for each before the first number. A page says first of all which result it supersedes, what
    every number of it carries, and how the study was acquired and measured; a drawn report has no room for that
    (docs/viewers.md).
    """
    words = findings.words
    language = hd.sr.CodedConcept(words("language.tag"), "RFC5646", words("language.name"))
    content = hd.sr.MeasurementReport(
        observation_context=observer(),
        procedure_reported=CT_PROCEDURE,
        imaging_measurements=list(groups),
        title=title,
        language_of_content_item_and_descendants=hd.sr.LanguageOfContentItemAndDescendants(language),
    )
    if title == PAGE:
        for item in _first_of_all(findings):
            content[0].ContentSequence.insert(_measurements_of(content), item)
    _separate(content[0])
    return content


def _measurements_of(content: hd.sr.MeasurementReport) -> int:
    """Return where the measurements stand among the items of a report."""
    return next(
        index for index, item in enumerate(content[0].ContentSequence) if item.name.value == IMAGING_MEASUREMENTS
    )


def _first_of_all(findings: Findings) -> Iterator[hd.sr.ContentItem]:
    """Yield the sentences that name the earlier result and say what every number carries, then the facts of quality."""
    sentences = [note.text for note in findings.request.notes]
    if old := findings.request.supersedes:
        at = envelope.local(old.requested_at)
        sentences.insert(0, findings.words("page.supersedes", at=at, revision=old.revision))
    yield from map(said, sentences)
    if facts := quality.facts(findings):
        yield facts


def _separate(item: Dataset) -> None:
    """Say of each container that its items stand apart; highdicom says CONTINUOUS, and viewers run them together."""
    if item.ValueType == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    for child in item.get("ContentSequence") or ():
        _separate(child)


def observer() -> hd.sr.ObservationContext:
    """Return this product as the observer (TID 1001)."""
    return hd.sr.ObservationContext(observer_device_context=device())


def device() -> hd.sr.ObserverContext:
    """Return this product as an observing device (TID 1002, 1004)."""
    attributes = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=envelope.device_uid(),
        name=envelope.MODEL,
        manufacturer_name=envelope.MANUFACTURER,
        model_name=envelope.MODEL,
        serial_number=envelope.SERIAL_NUMBER,
    )
    return hd.sr.ObserverContext(observer_type=_DEVICE_OBSERVER, observer_identifying_attributes=attributes)


def finish(
    content: hd.sr.MeasurementReport,
    findings: Findings,
    evidence: Sequence[Dataset],
    kind: str,
    description: str,
) -> Dataset:
    """Return the document around a content tree: Comprehensive 3D SR, complete, unverified.

    It names every SR of the result that it supersedes as its predecessor (PS3.3 section C.17.2), whatever its kind: a
    refusal may follow upon numbers.
    """
    request = findings.request
    ds = hd.sr.Comprehensive3DSR(
        evidence=list(evidence),
        content=content,
        series_instance_uid=envelope.series_uid(request, kind),
        series_number=envelope.series_number(request, kind),
        sop_instance_uid=envelope.instance_uid(request, kind),
        instance_number=1,
        manufacturer=envelope.MANUFACTURER,
        is_complete=True,
        is_final=True,
        is_verified=False,
        previous_versions=_predecessors(request) or None,
        contributing_equipment=[envelope.equipment(request)],
    )
    ds.ContentTemplateSequence = content[0].ContentTemplateSequence
    envelope.declare_private_scheme(ds)
    return envelope.seal(ds, evidence[0], findings, description)


def _predecessors(request: JobRequest) -> list[Dataset]:
    """Return what highdicom reads of the superseded documents, which lie in the same study."""
    found = []
    for one in request.supersedes.documents if request.supersedes else ():
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = Comprehensive3DSRStorage, one.sop_instance_uid
        ds.StudyInstanceUID, ds.SeriesInstanceUID = request.study_instance_uid, one.series_instance_uid
        found.append(ds)
    return found


def tracking(request: JobRequest, label: str) -> hd.sr.TrackingIdentifier:
    """Return the tracking identifier of a finding."""
    return hd.sr.TrackingIdentifier(uid=tracking_uid(request, label), identifier=label)


def algorithm(request: JobRequest) -> hd.sr.AlgorithmIdentification:
    """Return this product as the measuring algorithm (TID 4019)."""
    return hd.sr.AlgorithmIdentification(
        name=envelope.MODEL, version=request.version, manufacturer=envelope.MANUFACTURER
    )


def site(structure: Structure) -> hd.sr.FindingSite:
    """Return where a structure is found: it is its own site, with its side; a lesion's is the liver."""
    coding = STRUCTURES[structure]
    kind = LIVER if structure is Structure.LESION else coding.type
    return hd.sr.FindingSite(kind, laterality=coding.laterality)


def image_region(region: Region, index: int, source: Source) -> hd.sr.ImageRegion | None:
    """Return the outline of a region on a slice as an SCOORD selected from that slice."""
    points = outline(region, index)
    if points is None:
        return None
    return hd.sr.ImageRegion(hd.sr.GraphicTypeValues.POLYLINE, points, image(source))


def coordinates(region: Region, index: int, source: Source) -> hd.sr.CoordinatesForMeasurement | None:
    """Return the outline of a region on a slice as an SCOORD inside a NUM (TID 320)."""
    points = outline(region, index)
    if points is None:
        return None
    return hd.sr.CoordinatesForMeasurement(hd.sr.GraphicTypeValues.POLYLINE, points, image(source))


def marks(regions: Sequence[Region], index: int, source: Source) -> hd.sr.CoordinatesForMeasurement | None:
    """Return one point inside each region on a slice as an SCOORD inside a NUM."""
    points = [point for region in regions if (point := inside(region, index)) is not None]
    if not points:
        return None
    return hd.sr.CoordinatesForMeasurement(hd.sr.GraphicTypeValues.MULTIPOINT, np.asarray(points), image(source))


def number(name: str, one: Measurement) -> hd.sr.Measurement:
    """Return a NUM (TID 300) by the standard's own concept."""
    coding = MEASUREMENTS[name]
    return hd.sr.Measurement(
        name=coding.concept,
        value=round(float(one.value or 0), DECIMALS),
        unit=ucum(coding.unit),
        derivation=coding.derivation,
    )


def missing(name: str, one: Measurement, psoas: str) -> hd.sr.QualitativeEvaluation:
    """Return the absence of a number: the measurement, and the reason as a code."""
    return hd.sr.QualitativeEvaluation(name=number_code(name, psoas), value=reason_code(str(one.reason)))


def comment(group: Group, sentences: Sequence[str]) -> None:
    """Add sentences to a measurement group."""
    for sentence in sentences:
        group[0].ContentSequence.append(said(sentence))


def said(sentence: str) -> hd.sr.TextContentItem:
    """Return a sentence as an item of a container."""
    return hd.sr.TextContentItem(name=COMMENT, value=sentence, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)
