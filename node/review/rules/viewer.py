"""Rules for reports that a stock OHIF draws on the images: those of docs/viewers.md, by its root title alone.

Rule 6 of that page, which slices are chosen, cannot be seen on an object.
"""

from collections.abc import Iterator

from node.core.codes import PRIVATE_SCHEME
from node.review.content import COMMENT, TRACKING_IDENTIFIER, Item
from node.review.reading import code, numbers, text
from node.review.rules.silence import no_coordinates, no_groups, no_numbers, not_drawn, not_ours, one_of
from node.review.subject import Subject
from node.review.verdict import Finding, Rule

_MOST_LINES, _FEWEST_POINTS = 5, 6
_OHIFS_OWN = "Cornerstone3DTools@"


def _grouped(subject: Subject) -> Iterator[Finding]:
    if not subject.groups:
        yield Finding("1", "no measurement group: the view would be black")


def _one_each(subject: Subject) -> Iterator[Finding]:
    for group in subject.groups:
        drawn = group.below("NUM")
        if not drawn:
            yield Finding(group.where, "has no number, and so nothing to be drawn")
        for one in drawn:
            kinds = [child.kind for child in one.children]
            if kinds != ["SCOORD"]:
                yield Finding(one.where, f"holds {', '.join(kinds) or 'nothing'} where one SCOORD is drawn")
        for one in [*group.below("SCOORD"), *group.below("IMAGE")]:
            yield Finding(one.where, "stands in the group, and not in a number")


def _images(group: Item) -> set[tuple[str, str]]:
    """Return the images, or frames, that the numbers of a group are drawn on."""
    return {
        (text(image.reference, "ReferencedSOPInstanceUID"), text(image.reference, "ReferencedFrameNumber"))
        for one in group.below("NUM")
        for drawn in one.below("SCOORD")
        for image in drawn.below("IMAGE")
    }


def _slices(subject: Subject) -> Iterator[Finding]:
    taken: dict[tuple[str, str], Item] = {}
    for group in subject.groups:
        images = _images(group)
        if len(images) > 1:
            yield Finding(group.where, f"is drawn on {len(images)} slices")
        for image in images:
            if image in taken:
                yield Finding(group.where, f"is drawn on the slice of group {taken[image].place}")
            taken.setdefault(image, group)


def _lines(subject: Subject) -> Iterator[Finding]:
    for group in subject.groups:
        count = len(group.below("NUM")) + len(group.below("TEXT", COMMENT))
        if count > _MOST_LINES:
            yield Finding(group.where, f"has {count} lines, of which {_MOST_LINES} are shown")


def _zeros(subject: Subject) -> Iterator[Finding]:
    for one in subject.numbers:
        if numbers(one.measured, "NumericValue") == [0.0]:
            yield Finding(one.where, "is 0, which prints as nothing")


def _no_units(subject: Subject) -> Iterator[Finding]:
    for one in subject.numbers:
        unit = code(one.measured, "MeasurementUnitsCodeSequence")
        if unit is not None and unit.value == "1":
            yield Finding(one.where, "has the unit 1, which reads as part of the number")


def _own_names(subject: Subject) -> Iterator[Finding]:
    for one in subject.numbers:
        if one.name is None or one.name.scheme_designator != PRIVATE_SCHEME:
            yield Finding(one.where, "its name does not say what it measures")


def _outlines(subject: Subject) -> Iterator[Finding]:
    for one in subject.items:
        if one.kind != "SCOORD" or text(one.ds, "GraphicType") != "POLYLINE":
            continue
        data = numbers(one.ds, "GraphicData")
        points = list(zip(data[::2], data[1::2], strict=False))
        if len(points) < _FEWEST_POINTS:
            yield Finding(one.where, f"a polyline of {len(points)} points may be taken for a rectangle")
        elif points[0] != points[-1]:
            yield Finding(one.where, "the polyline is open")


def _not_ohifs(subject: Subject) -> Iterator[Finding]:
    for group in subject.groups:
        for one in group.below("TEXT", TRACKING_IDENTIFIER):
            if text(one.ds, "TextValue").startswith(_OHIFS_OWN):
                yield Finding(group.where, "is taken for a measurement of OHIF's own, which replaces the numbers")


_drawn_numbers = one_of(not_drawn, no_numbers)
RULES = (
    Rule("viewer-groups", "There is something to draw.", not_drawn, _grouped),
    Rule("viewer-numbers", "Every number has one outline and nothing else.", one_of(not_drawn, no_groups), _one_each),
    Rule("viewer-slices", "Every group is on a slice of its own.", one_of(not_drawn, no_groups), _slices),
    Rule("viewer-lines", "No group has more than five lines.", one_of(not_drawn, no_groups), _lines),
    Rule("viewer-zeros", "No number is 0.", _drawn_numbers, _zeros),
    Rule("viewer-units", "No unit is 1.", _drawn_numbers, _no_units),
    Rule(
        "viewer-names",
        "Names are private codes that say what is measured.",
        one_of(not_ours, _drawn_numbers),
        _own_names,
    ),
    Rule(
        "viewer-outlines",
        "Every polyline is closed and has six points or more.",
        one_of(not_drawn, no_coordinates),
        _outlines,
    ),
    Rule("viewer-tracking", "No group looks like one of OHIF's own.", one_of(not_drawn, no_groups), _not_ohifs),
)
