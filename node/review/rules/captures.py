"""Rules for the Summary: a Secondary Capture of many frames in true colour."""

from collections.abc import Iterator

from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage

from node.review.objects import class_name
from node.review.reading import text
from node.review.rules.silence import not_ours
from node.review.subject import Subject
from node.review.verdict import Finding, Rule

_TRUE_COLOUR = {"PhotometricInterpretation": ("RGB", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"), "BitsAllocated": ("8",)}


def _class(subject: Subject) -> Iterator[Finding]:
    if (said := text(subject.ds, "SOPClassUID")) != MultiFrameTrueColorSecondaryCaptureImageStorage:
        yield Finding("SOPClassUID", f"is that of {class_name(said)}")
    for keyword, allowed in _TRUE_COLOUR.items():
        if (value := text(subject.ds, keyword)) not in allowed:
            yield Finding(keyword, f"is {value or 'missing'}")


def _says_so(subject: Subject) -> Iterator[Finding]:
    if text(subject.ds, "BurnedInAnnotation") != "NO":
        yield Finding("BurnedInAnnotation", "does not say NO")


RULES = (
    Rule("summary-class", "It has many frames in true colour.", not_ours, _class),
    Rule("summary-burned-in", "It says that nothing in its pixels tells the patient.", not_ours, _says_so),
)
