"""Parts of an SR that several of its forms use: the templates filled with a result, and the document around them."""

from collections.abc import Iterator, Sequence

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom import Sequence as Items
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage

from node.core.codes import LIVER, STRUCTURES, Structure, coding_of, ucum
from node.core.frames import header_copy
from node.core.private_codes import number_code, reason_code
from node.core.records import JobRequest, Measurement
from workers.records import Region
from workers.report import elements, envelope, quality, templates, tree
from workers.report.document import Findings
from workers.report.frames import Source
from workers.report.outline import inside, outline
from workers.report.seg import tracking_uid
from workers.report.tree import Item

# CID 7021. A stock OHIF draws a report of the first title on the images and shows one of the second as a page of text.
DRAWN = Code("126000", "DCM", "Imaging Measurement Report")
PAGE = Code("126001", "DCM", "Oncology Measurement Report")
COMMENT = Code("121106", "DCM", "Comment")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")  # TID 1500
CT_PROCEDURE = Code("25045-6", "LN", "CT unspecified body region")  # CID 100


def report(title: Code, content: Sequence[Item], findings: Findings) -> Item:
    """Return the content tree of a TID 1500 report; `content` are its measurement groups, or what stands for them.

    It has no image library, which is optional: its slices are all in the evidence, and viewers that show the tree as
    text would show a line for each before the first number. A page says first of all which result it supersedes, what
    every number of it carries, and how the study was acquired and measured; a drawn report has no room for that
    (docs/viewers.md).
    """
    words = findings.words
    observer = templates.device_observer(
        envelope.device_uid(), envelope.MODEL, envelope.MANUFACTURER, envelope.MODEL, envelope.SERIAL_NUMBER
    )
    items = [
        templates.language(words("language.tag"), words("language.name")),
        *observer,
        templates.procedure(CT_PROCEDURE),
        *(_first_of_all(findings) if title == PAGE else ()),
        *content,
    ]
    return tree.container(title, items, templates.REPORT)


def _first_of_all(findings: Findings) -> Iterator[Item]:
    """Yield the sentences that name the earlier result and say what every number carries, then the facts of quality."""
    sentences = [note.text for note in findings.request.notes]
    if old := findings.request.supersedes:
        at = envelope.local(old.requested_at)
        sentences.insert(0, findings.words("page.supersedes", at=at, revision=old.revision))
    yield from map(said, sentences)
    if facts := quality.facts(findings):
        yield facts


def finish(
    content: Item,
    findings: Findings,
    evidence: Sequence[Dataset],
    kind: str,
    description: str,
) -> Dataset:
    """Return the document around a content tree: Comprehensive 3D SR, complete, unverified.

    It names every SR of the result that it supersedes as its predecessor (PS3.3 section C.17.2), whatever its kind: a
    refusal may follow upon numbers. highdicom writes it around the root alone, with the first image as its evidence.
    """
    request = findings.request
    root = hd.sr.ContainerContentItem(content.name, is_content_continuous=False, template_id=templates.REPORT)
    root.ContentSequence = Items()
    made = hd.sr.Comprehensive3DSR(
        evidence=evidence[:1],
        content=root,
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
    ds = header_copy(made)
    ds.file_meta = made.file_meta
    envelope.declare_private_scheme(ds)
    envelope.seal(ds, evidence[0], findings, description)
    elements.put(ds, {"ContentSequence": content.below, **_listed(evidence)})
    return ds


def _listed(evidence: Sequence[Dataset]) -> dict[str, bytes]:
    """Return the sequences that list the evidence by study and series, each instance once (PS3.3 table 10-3b)."""
    studies: dict[str, dict[str, dict[str, Dataset]]] = {}
    for one in evidence:
        of_series = studies.setdefault(one.StudyInstanceUID, {}).setdefault(one.SeriesInstanceUID, {})
        of_series.setdefault(one.SOPInstanceUID, one)
    listed: dict[str, bytes] = {}
    for uid, series in studies.items():
        current = uid == evidence[0].StudyInstanceUID
        keyword = "CurrentRequestedProcedureEvidenceSequence" if current else "PertinentOtherEvidenceSequence"
        listed[keyword] = listed.get(keyword, b"") + _study(uid, series)
    return listed


def _study(study_uid: str, series: dict[str, dict[str, Dataset]]) -> bytes:
    items = [
        elements.item(
            elements.items(
                "ReferencedSOPSequence",
                *(elements.item(elements.reference(one.SOPClassUID, one.SOPInstanceUID)) for one in instances.values()),
            ),
            elements.text("SeriesInstanceUID", series_uid),
        )
        for series_uid, instances in series.items()
    ]
    return elements.item(
        elements.items("ReferencedSeriesSequence", *items), elements.text("StudyInstanceUID", study_uid)
    )


def _predecessors(request: JobRequest) -> list[Dataset]:
    """Return what highdicom reads of the superseded documents, which lie in the same study."""
    found = []
    for one in request.supersedes.documents if request.supersedes else ():
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = Comprehensive3DSRStorage, one.sop_instance_uid
        ds.StudyInstanceUID, ds.SeriesInstanceUID = request.study_instance_uid, one.series_instance_uid
        found.append(ds)
    return found


def group(
    template: str, label: str, structure: Structure, findings: Findings, content: Sequence[Item], *, sites: bool = True
) -> Item:
    """Return a measurement group of a structure, by this product; without `sites` it does not say where that is."""
    request = findings.request
    context = templates.algorithm(envelope.MODEL, request.version, envelope.MANUFACTURER)
    if sites:
        context.insert(0, site(structure))
    return templates.group(template, label, tracking_uid(request, label), STRUCTURES[structure].type, context, content)


def site(structure: Structure) -> Item:
    """Return where a structure is found: it is its own site, with its side; a lesion's is the liver."""
    coding = STRUCTURES[structure]
    return templates.site(LIVER if structure is Structure.LESION else coding.type, coding.laterality)


def image_region(region: Region, index: int, source: Source) -> Item | None:
    """Return the outline of a region on a slice as an SCOORD selected from that slice."""
    points = outline(region, index)
    return None if points is None else templates.region(points, source)


def coordinates(region: Region, index: int, source: Source) -> Item | None:
    """Return the outline of a region on a slice as an SCOORD inside a NUM (TID 320)."""
    points = outline(region, index)
    return None if points is None else templates.coordinates(templates.POLYLINE, points, source)


def marks(regions: Sequence[Region], index: int, source: Source) -> Item | None:
    """Return one point inside each region on a slice as an SCOORD inside a NUM."""
    points = [point for region in regions if (point := inside(region, index)) is not None]
    return templates.coordinates(templates.MULTIPOINT, np.asarray(points), source) if points else None


def number(name: str, one: Measurement) -> Item:
    """Return a NUM (TID 300) by the standard's own concept."""
    coding = coding_of(name)
    return templates.measurement(
        coding.concept, round(float(one.value or 0), tree.DECIMALS), ucum(coding.unit), coding.derivation
    )


def missing(name: str, one: Measurement, psoas: str) -> Item:
    """Return the absence of a number: the measurement, and the reason as a code."""
    return tree.code(number_code(name, psoas), reason_code(str(one.reason)))


def said(sentence: str) -> Item:
    """Return a sentence as an item of a container."""
    return tree.text(COMMENT, sentence)
