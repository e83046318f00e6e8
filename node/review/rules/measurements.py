"""Rules for the content of reports: numbers and units, measurement groups, segments and coordinates.

TID 1500, 1410, 1411, 1501, 300, 320 of PS3.16; those of our archival form are asked of pages only.
"""

from collections.abc import Iterator

from node.core.codes import MEASUREMENTS, PRIVATE_SCHEME, RAD_PREFIX
from node.review.content import (
    COMMENT,
    FINDING,
    REGION,
    SEGMENT,
    SOURCE_IMAGE,
    SOURCE_SERIES,
    TRACKING_IDENTIFIER,
    TRACKING_UID,
    Item,
)
from node.review.frames import Segment, segments
from node.review.reading import code, numbers, text, values
from node.review.rules.silence import (
    no_coordinates,
    no_ct,
    no_groups,
    no_numbers,
    no_page,
    no_segment_named,
    no_segmentation,
    not_ours,
    one_of,
)
from node.review.subject import Subject
from node.review.verdict import Finding, Rule

_ALGORITHM, _VERSION = "111001", "111003"  # DCM: TID 4019


def _valued(subject: Subject) -> Iterator[Finding]:
    for one in subject.numbers:
        if not text(one.measured, "NumericValue"):
            yield Finding(one.where, "has no value")


def _units(subject: Subject) -> Iterator[Finding]:
    for one in subject.numbers:
        unit = code(one.measured, "MeasurementUnitsCodeSequence")
        if text(one.measured, "NumericValue") and (unit is None or unit.scheme_designator != "UCUM"):
            yield Finding(one.where, f"the unit is of {unit.scheme_designator if unit else 'no scheme'}")


def _tracked(subject: Subject) -> Iterator[Finding]:
    for group in subject.groups:
        for kind, concept, keyword, what in (
            ("TEXT", TRACKING_IDENTIFIER, "TextValue", "tracking identifiers"),
            ("UIDREF", TRACKING_UID, "UID", "tracking unique identifiers"),
        ):
            found = [text(one.ds, keyword) for one in group.below(kind, concept)]
            if len(found) != 1 or not found[0]:
                yield Finding(group.where, f"has {len(list(filter(None, found))) or 'no'} {what}")


def _tracked_apart(subject: Subject) -> Iterator[Finding]:
    for concept, keyword, what in (
        (TRACKING_IDENTIFIER, "TextValue", "tracking identifier"),
        (TRACKING_UID, "UID", "tracking unique identifier"),
    ):
        held: dict[str, Item] = {}
        for group in subject.groups:
            for value in (text(one.ds, keyword) for one in group.below("", concept)):
                if value and held.setdefault(value, group) is not group:
                    yield Finding(group.where, f"shares its {what} with group {held[value].place}")


def _algorithm(subject: Subject) -> Iterator[Finding]:
    for group in subject.groups:
        places = [group, *group.below("NUM")]
        if _regions(group) and not any(one.below("TEXT", _ALGORITHM) and one.below("TEXT", _VERSION) for one in places):
            yield Finding(group.where, "names no algorithm with its version")


def _reasons(subject: Subject) -> Iterator[Finding]:
    for one in _not_computed(subject):
        reason = code(one.ds, "ConceptCodeSequence")
        if reason is None or reason.scheme_designator != PRIVATE_SCHEME:
            yield Finding(one.where, "its value is no reason code of ours")
        if one.parent is None or not one.parent.below("TEXT", COMMENT):
            yield Finding(one.where, "no sentence beside it says why")


def _not_computed(subject: Subject) -> list[Item]:
    codes = [one for one in subject.items if one.kind == "CODE"]
    return [one for one in codes if one.concept in MEASUREMENTS or one.concept.startswith(RAD_PREFIX)]


def _all_computed(subject: Subject) -> str:
    return "" if _not_computed(subject) else "nothing is told as not computed"


def _regions(group: Item) -> list[Item]:
    return [*group.below("IMAGE", SEGMENT), *group.below("SCOORD", REGION), *group.below("SCOORD3D", REGION)]


def _region_of_each(subject: Subject) -> Iterator[Finding]:
    for group in subject.groups:
        if not _regions(group):
            yield Finding(group.where, "has no region, though other groups refer to segments")


def _segments_named(subject: Subject) -> Iterator[Finding]:
    for group in subject.groups:
        named = group.below("IMAGE", SEGMENT)
        if any(not values(one.reference, "ReferencedSegmentNumber") for one in named):
            yield Finding(group.where, "refers to a SEG, but to no segment of it")
        if named and not group.below("", SOURCE_SERIES, SOURCE_IMAGE):
            yield Finding(group.where, "does not say which images the segment was drawn on")


def _segments_known(subject: Subject) -> Iterator[Finding]:
    for group in subject.groups:
        for one in group.below("IMAGE", SEGMENT):
            ds = subject.beside.segmentations.get(text(one.reference, "ReferencedSOPInstanceUID"))
            if ds is None:
                continue
            by_number = {str(segment.number): segment for segment in segments(ds)}
            for number in values(one.reference, "ReferencedSegmentNumber"):
                if number not in by_number:
                    yield Finding(group.where, f"the SEG has no segment {number}")
                else:
                    yield from _agree(group, by_number[number])


def _agree(group: Item, segment: Segment) -> Iterator[Finding]:
    """Yield what a group and the segment that it is of say otherwise."""
    followed, given = text(segment.ds, "TrackingUID"), [text(one.ds, "UID") for one in group.below("", TRACKING_UID)]
    if followed and given and followed not in given:
        yield Finding(group.where, f"has another tracking unique identifier than {segment.where}")
    found = [code(one.ds, "ConceptCodeSequence") for one in group.below("CODE", FINDING)]
    if found and segment.type.value and segment.type not in [one for one in found if one is not None]:
        yield Finding(group.where, f"has another finding than {segment.where}")


def _placed(subject: Subject) -> Iterator[Finding]:
    for one in subject.items:
        if one.kind != "SCOORD":
            continue
        data = numbers(one.ds, "GraphicData")
        if not data or len(data) % 2:
            yield Finding(one.where, f"holds {len(data)} coordinates, which make no points")
        if len(one.below("IMAGE")) != 1:
            yield Finding(one.where, f"is selected from {len(one.below('IMAGE')) or 'no'} images")


def _inside(subject: Subject) -> Iterator[Finding]:
    for one in subject.items:
        if one.kind != "SCOORD":
            continue
        for target in one.below("IMAGE"):
            uid = text(target.reference, "ReferencedSOPInstanceUID")
            image = subject.beside.images.get(uid)
            if image is None:
                yield Finding(one.where, f"is drawn on {uid}, which is no image of the CT")
                continue
            data = numbers(one.ds, "GraphicData")
            sizes = [*numbers(image, "Columns"), *numbers(image, "Rows")]
            if any(not 0 <= value <= size for at, size in enumerate(sizes) for value in data[at::2]):
                yield Finding(one.where, "leaves the image that it is drawn on")


RULES = (
    Rule("numbers-valued", "Every number has a value.", no_numbers, _valued),
    Rule("units", "Every number has a unit of UCUM.", no_numbers, _units),
    Rule("tracked", "Every group has one tracking identifier and one unique identifier.", no_groups, _tracked),
    Rule("tracked-apart", "No two groups share a tracking identifier.", no_groups, _tracked_apart),
    Rule(
        "algorithm", "Every region was measured by a named algorithm.", one_of(not_ours, no_page, no_groups), _algorithm
    ),
    Rule(
        "reasons",
        "What was not computed has a reason as a code, and a sentence.",
        one_of(not_ours, _all_computed),
        _reasons,
    ),
    Rule("regions", "Every group has a region.", one_of(not_ours, no_page, no_segment_named), _region_of_each),
    Rule("segments-named", "A segment is named by number, with its images.", no_segment_named, _segments_named),
    Rule(
        "segments-known",
        "The segments that it names are those of the SEG.",
        one_of(no_segment_named, no_segmentation),
        _segments_known,
    ),
    Rule("coordinates", "Coordinates are points on one image.", no_coordinates, _placed),
    Rule("coordinates-inside", "Coordinates lie inside images of the CT.", one_of(no_coordinates, no_ct), _inside),
)
