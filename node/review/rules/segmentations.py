"""Rules for SEG: form, frames and their sources, segments with code, author and colour, geometry of the CT."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import cast

from pydicom.sr._concepts_dict import concepts  # plain data; the public look-up fails where a keyword has two codes
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from node.core.codes import ANATOMICAL_STRUCTURE, STRUCTURES
from node.core.kinds import LABEL_MAP_SEGMENTATION_STORAGE
from node.review.frames import Plane, planes
from node.review.listed import used
from node.review.reading import numbers, text
from node.review.rules.silence import never, no_ct, not_ours
from node.review.subject import Subject
from node.review.verdict import Finding, Rule

# By scheme and keyword: each code with its meaning and the context groups that it is in.
_CONCEPTS = cast("Mapping[str, Mapping[str, Mapping[str, tuple[str, Sequence[int]]]]]", concepts)
_MOST_FRAMES = 400
_FORMS: Mapping[str, tuple[str, ...]] = {
    SegmentationStorage: ("BINARY", "FRACTIONAL"),
    LABEL_MAP_SEGMENTATION_STORAGE: ("LABELMAP",),
}
_AUTHORS = ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL")
_CATEGORIES = 7150  # CID
_TOLERANCES = Plane((0.01,), (1e-4,), (1e-4,))  # mm, cosine, mm: decimal strings are rounded


def _form(subject: Subject) -> Iterator[Finding]:
    form, allowed = text(subject.ds, "SegmentationType"), _FORMS[text(subject.ds, "SOPClassUID")]
    if form not in allowed:
        yield Finding("SegmentationType", f"is {form or 'missing'} in an object of this class")
    elif form == "FRACTIONAL" and subject.ours:
        yield Finding("SegmentationType", "is FRACTIONAL")


def _series(subject: Subject) -> Iterator[Finding]:
    if not any(used(subject.ds)):
        yield Finding("ReferencedSeriesSequence", "names no image")


def _sources(subject: Subject) -> Iterator[Finding]:
    there = {one.uid for one in used(subject.ds)}
    for frame in subject.frames:
        if not frame.sources:
            yield Finding(f"frame {frame.number}", "names no source image")
        for uid, _ in frame.sources:
            if there and uid not in there:
                yield Finding(f"frame {frame.number}", f"its source {uid} is not in the Referenced Series Sequence")


def _described(subject: Subject) -> Iterator[Finding]:
    said = text(subject.ds, "NumberOfFrames")
    if said != str(len(subject.frames)):
        place = "PerFrameFunctionalGroupsSequence"
        yield Finding(place, f"describes {len(subject.frames)} frames where there are {said or 'none'}")
    known = {one.number for one in subject.segments}
    for frame in subject.frames:
        if text(subject.ds, "SegmentationType") != "LABELMAP" and frame.segment not in known:
            yield Finding(f"frame {frame.number}", f"is of segment {frame.segment}, which is not described")
    wanted = list(range(1, len(subject.segments) + 1))
    if text(subject.ds, "SegmentationType") != "LABELMAP" and sorted(known) != wanted:
        yield Finding("SegmentSequence", "segments are not numbered from 1 by one")


def _frames_drawn(subject: Subject) -> Iterator[Finding]:
    for number in subject.drawn.empty:
        yield Finding(f"frame {number}", "is empty", grave=subject.ours)


def _segments_drawn(subject: Subject) -> Iterator[Finding]:
    for one in subject.segments:
        if not subject.drawn.frames_of.get(one.number):
            yield Finding(one.where, "is empty", grave=subject.ours)


def _count(subject: Subject) -> Iterator[Finding]:
    if len(subject.frames) > _MOST_FRAMES and text(subject.ds, "SegmentationType") != "LABELMAP":
        yield Finding("NumberOfFrames", f"{len(subject.frames)}: some viewers may not list it", grave=False)


@cache
def _known() -> frozenset[tuple[str, str]]:
    """Return scheme and value of every code of the standard that pydicom knows, and of our own structures."""
    standard = {
        (scheme, value) for scheme, keywords in _CONCEPTS.items() for entry in keywords.values() for value in entry
    }
    ours = {
        (one.scheme_designator, one.value) for coding in STRUCTURES.values() for one in (coding.category, coding.type)
    }
    return frozenset(standard | ours)


@cache
def _categories() -> frozenset[tuple[str, str]]:
    """Return the codes of CID 7150, and the one for an anatomical structure that TotalSegmentator and we write."""
    standard = frozenset(
        (scheme, value)
        for scheme, keywords in _CONCEPTS.items()
        for entry in keywords.values()
        for value, (_, contexts) in entry.items()
        if _CATEGORIES in contexts
    )
    return standard | {(ANATOMICAL_STRUCTURE.scheme_designator, ANATOMICAL_STRUCTURE.value)}


def _is_in(found: Code, known: frozenset[tuple[str, str]]) -> bool:
    """Say whether a code is known, be it by its number of SNOMED RT, which older objects carry."""
    if found.scheme_designator in ("SRT", "SNM3", "99SDM"):
        older = Code(found.value, "SRT", "")
        return any(older == Code(value, scheme, "") for scheme, value in known if scheme == "SCT")
    return (found.scheme_designator, found.value) in known


def _coded(subject: Subject) -> Iterator[Finding]:
    for one in subject.segments:
        if not _is_in(one.category, _categories()):
            yield Finding(one.where, f"its category {one.category.value or 'is missing'} is not of CID 7150")
        if not _is_in(one.type, _known()):
            what = f"{one.type.value} {one.type.scheme_designator}".strip() or "missing"
            yield Finding(one.where, f"its type is {what}, which is not known", grave=subject.ours)


def _authors(subject: Subject) -> Iterator[Finding]:
    for one in subject.segments:
        kind = text(one.ds, "SegmentAlgorithmType")
        if kind not in _AUTHORS:
            yield Finding(one.where, f"its algorithm type is {kind or 'missing'}")
        elif kind != "MANUAL" and not text(one.ds, "SegmentAlgorithmName"):
            yield Finding(one.where, "its algorithm has no name")


def _coloured(subject: Subject) -> Iterator[Finding]:
    for one in subject.segments:
        if len(numbers(one.ds, "RecommendedDisplayCIELabValue")) != 3:
            yield Finding(one.where, "has no recommended colour")


def _tracked(subject: Subject) -> Iterator[Finding]:
    held: dict[str, str] = {}
    for one in subject.segments:
        identifier, uid = text(one.ds, "TrackingID"), text(one.ds, "TrackingUID")
        if bool(identifier) != bool(uid) or (subject.ours and not uid):
            yield Finding(one.where, "has not both a tracking identifier and a tracking UID")
        elif uid and uid in held:
            yield Finding(one.where, f"shares its tracking UID with {held[uid]}")
        held.setdefault(uid, one.where)


def _space(subject: Subject) -> Iterator[Finding]:
    if subject.source is not None:
        keyword = "FrameOfReferenceUID"
        if text(subject.ds, keyword) != text(subject.source, keyword):
            yield Finding(keyword, "is not that of the CT")


def _geometry(subject: Subject) -> Iterator[Finding]:
    if subject.source is not None:
        for keyword in ("Rows", "Columns"):
            if text(subject.ds, keyword) != text(subject.source, keyword):
                yield Finding(keyword, "is not that of the CT", grave=subject.ours)
    of_ct = {
        (uid, number): plane for uid, image in subject.beside.images.items() for number, plane in planes(image).items()
    }
    for frame in subject.frames:
        if not frame.sources:
            continue  # which another rule tells
        seen = [of_ct[source] for source in frame.sources if source in of_ct]
        if not seen:
            yield Finding(f"frame {frame.number}", "none of its source images is in the CT")
            continue
        for what, own, theirs, tolerance in zip(Plane._fields, frame.plane, seen[0], _TOLERANCES, strict=True):
            if not _agree(own, theirs, tolerance[0]):
                yield Finding(f"frame {frame.number}", f"its {what} is not that of the slice", grave=subject.ours)


def _agree(own: Sequence[float], theirs: Sequence[float], tolerance: float) -> bool:
    return len(own) == len(theirs) and all(abs(a - b) <= tolerance for a, b in zip(own, theirs, strict=True))


RULES = (
    Rule("seg-form", "Its form is that of its class, and of yes and no.", never, _form),
    Rule("seg-series", "It names the images that it was drawn on, by series.", never, _series),
    Rule("seg-sources", "Every frame names its source images.", never, _sources),
    Rule("seg-described", "Every frame is described, with a segment that is.", never, _described),
    Rule("seg-frames-drawn", "No frame is empty.", never, _frames_drawn),
    Rule("seg-segments-drawn", "No segment is empty.", never, _segments_drawn),
    Rule("seg-frame-count", f"It has no more than {_MOST_FRAMES} frames, or is a label map.", never, _count),
    Rule("seg-codes", "Category and type of every segment are codes that are known.", never, _coded),
    Rule("seg-authors", "Every segment says who drew it.", never, _authors),
    Rule("seg-colours", "Every segment has a recommended colour.", not_ours, _coloured),
    Rule("seg-tracked", "Every segment has a tracking identifier and a UID of its own.", never, _tracked),
    Rule("seg-space", "Its frame of reference is that of the CT.", no_ct, _space),
    Rule("seg-geometry", "Every frame lies as its slice does, in its full matrix.", no_ct, _geometry),
)
