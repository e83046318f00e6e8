"""Rules for SR and key objects as documents: class, flags, template, context, evidence, predecessors."""

from collections.abc import Iterator

from pydicom.uid import Comprehensive3DSRStorage

from node.review.content import COMMENT
from node.review.listed import EVIDENCE, OTHER_EVIDENCE, PREDECESSORS, listed, used
from node.review.objects import short_class
from node.review.reading import first, text
from node.review.rules.silence import (
    REPORT_TITLES,
    no_ct,
    no_measurement_report,
    no_page,
    no_segmentation,
    not_ours,
    one_of,
)
from node.review.subject import Subject
from node.review.verdict import Finding, Rule

_PROCEDURE, _DEVICE_UID = "121058", "121012"  # DCM: TID 1500, TID 1004


def _class(subject: Subject) -> Iterator[Finding]:
    if (said := text(subject.ds, "SOPClassUID")) != Comprehensive3DSRStorage:
        yield Finding("SOPClassUID", f"is that of {short_class(said)}")


def _flags(subject: Subject) -> Iterator[Finding]:
    for keyword, wanted in (("CompletionFlag", "COMPLETE"), ("VerificationFlag", "UNVERIFIED")):
        if (said := text(subject.ds, keyword)) != wanted:
            yield Finding(keyword, f"is {said or 'missing'}")


def _template(subject: Subject) -> Iterator[Finding]:
    used_ = first(subject.ds, "ContentTemplateSequence")
    said = (text(used_, "TemplateIdentifier"), text(used_, "MappingResource"))
    if said != ("1500", "DCMR"):
        yield Finding("ContentTemplateSequence", f"is {' '.join(said).strip() or 'missing'}")
    if subject.title not in REPORT_TITLES:
        yield Finding("1", f"the title is {subject.title or 'missing'}, which is not of CID 7021")


def _separate(subject: Subject) -> Iterator[Finding]:
    for one in subject.items:
        said = text(one.ds, "ContinuityOfContent")
        if one.kind == "CONTAINER" and said != "SEPARATE":
            yield Finding(one.where, f"is {said or 'neither SEPARATE nor CONTINUOUS'}")


def _observer(subject: Subject) -> Iterator[Finding]:
    if not any(text(one.ds, "UID") for one in subject.root.below("UIDREF", _DEVICE_UID)):
        yield Finding("1", "no device observer with a UID")


def _procedure(subject: Subject) -> Iterator[Finding]:
    if not subject.root.below("CODE", _PROCEDURE):
        yield Finding("1", "no Procedure Reported")


def _says_why(subject: Subject) -> Iterator[Finding]:
    sentences = [one for one in subject.items if one.kind == "TEXT" and one.concept == COMMENT]
    if not any(text(one.ds, "TextValue") for one in sentences):
        yield Finding("1", "no sentence says why there are no numbers")


def _has_groups(subject: Subject) -> str:
    return "it has measurement groups" if subject.groups else ""


def _evidence(subject: Subject) -> Iterator[Finding]:
    there = {one.uid for one in listed(subject.ds, EVIDENCE, OTHER_EVIDENCE)}
    for one in subject.references:
        uid = text(one.reference, "ReferencedSOPInstanceUID")
        if uid not in there:
            what = short_class(text(one.reference, "ReferencedSOPClassUID"))
            yield Finding(one.where, f"the evidence does not list {what} {uid}")


def _no_references(subject: Subject) -> str:
    return "" if subject.references else "it refers to no object"


def _evidence_found(subject: Subject) -> Iterator[Finding]:
    """Yield the images of the evidence, of a series that lies beside it, that are not there."""
    series = {text(image, "SeriesInstanceUID") for image in subject.beside.images.values()}
    there = list(listed(subject.ds, EVIDENCE))
    if not series & {one.series for one in there}:
        yield Finding(EVIDENCE, "lists no series of the CT")
    for one in there:
        if one.series in series and one.uid not in subject.beside.images:
            yield Finding(EVIDENCE, f"the CT has no image {one.uid}")


def _evidence_of_segmentation(subject: Subject) -> Iterator[Finding]:
    """Yield the images that a SEG beside it was drawn on, and that the evidence lacks."""
    there = {one.uid for one in listed(subject.ds, EVIDENCE, OTHER_EVIDENCE)}
    for uid in sorted(subject.named & subject.beside.segmentations.keys()):
        for one in used(subject.beside.segmentations[uid]):
            if one.uid not in there:
                yield Finding(EVIDENCE, f"lacks {one.uid}, which the SEG {uid} was made from")


def _predecessors(subject: Subject) -> Iterator[Finding]:
    for one in listed(subject.ds, PREDECESSORS):
        if not all(one):
            yield Finding(PREDECESSORS, "a document lacks its UID, class, series or study")
        if one.uid == text(subject.ds, "SOPInstanceUID"):
            yield Finding(PREDECESSORS, "it names itself")


def _no_predecessors(subject: Subject) -> str:
    return "" if any(listed(subject.ds, PREDECESSORS)) else "it supersedes nothing"


KEY_OBJECT_RULES = (Rule("evidence", "The evidence lists every object that it refers to.", _no_references, _evidence),)
RULES = (
    Rule("sr-class", "It is a Comprehensive 3D SR.", not_ours, _class),
    Rule("sr-flags", "It is COMPLETE and UNVERIFIED.", not_ours, _flags),
    Rule("template", "It says TID 1500, and its title is of CID 7021.", no_measurement_report, _template),
    Rule("separate", "The items of every container stand apart (SEPARATE).", not_ours, _separate),
    Rule("observer", "It is observed by a device with a UID.", not_ours, _observer),
    Rule("procedure", "It says which procedure it reports.", no_measurement_report, _procedure),
    Rule("says-why", "A page without groups says why.", one_of(not_ours, no_page, _has_groups), _says_why),
    Rule("predecessors", "What it supersedes is named in full.", _no_predecessors, _predecessors),
    *KEY_OBJECT_RULES,
    Rule("evidence-found", "Every image of the evidence is in the CT.", no_ct, _evidence_found),
    Rule(
        "evidence-of-seg",
        "The evidence lists what the SEG was drawn on.",
        no_segmentation,
        _evidence_of_segmentation,
    ),
)
