"""A content item in a few words: numbers with units, references, coordinates.

Comes in: an `Item` of any value type. Goes out: the text behind its name. Numbers stand as they are written, unrounded;
UIDs by their end.
"""

import re
from collections.abc import Callable, Mapping

from pydicom import Dataset
from pydicom.sr.coding import Code

from node.core.codes import UNIT_DISPLAY
from node.review.content import Item
from node.review.objects import short_class
from node.review.reading import code, numbers, text, values

_LETTERS = 6  # of the end of a UID: enough to tell the objects of a study apart
_SHAPES = {
    "POINT": "point",
    "MULTIPOINT": "{} points",
    "POLYLINE": "polyline of {} points",
    "POLYGON": "polygon of {} points",
    "CIRCLE": "circle",
    "ELLIPSE": "ellipse",
    "ELLIPSOID": "ellipsoid",
}
# NUM whose value is missing says why in the qualifier (PS3.3 C.18.1, CID 42).
_NO_VALUE = "no value"
_ANNOTATION = re.compile(r"\{[^{}]*\}")  # a unit of UCUM that is a word alone


def short(uid: str) -> str:
    """Return the end of a UID, as it stands in the middle of a line."""
    return f"…{uid[-_LETTERS:]}" if len(uid) > _LETTERS else uid


def named(concept: Code | None) -> str:
    """Return what a concept is called, with its code and scheme where the scheme is a private one."""
    if concept is None:
        return ""
    name = concept.meaning or concept.value
    return f"{name} [{concept.value}, {concept.scheme_designator}]" if is_private(concept.scheme_designator) else name


def is_private(scheme: str) -> bool:
    """Say whether a coding scheme is a private one (PS3.16 section 8.2)."""
    return scheme.startswith("99")


def unit(concept: Code | None) -> str:
    """Return a unit as a person writes it: no `1`, no braces, HU and powers by their signs."""
    if concept is None:
        return ""
    value = UNIT_DISPLAY.get(concept.value, concept.value)
    return value[1:-1] if _ANNOTATION.fullmatch(value) else value


def phrase(item: Item) -> str:
    """Return the value of a content item in words; empty of a container."""
    write = _BY_KIND.get(item.kind)
    if write is not None:
        return write(item)
    if to := values(item.ds, "ReferencedContentItemIdentifier"):
        return f"see {'.'.join(to)}"
    return ""


def _number(item: Item) -> str:
    value = text(item.measured, "NumericValue")
    qualifier = code(item.ds, "NumericValueQualifierCodeSequence")
    if not value:
        return f"{_NO_VALUE} ({named(qualifier)})" if qualifier else _NO_VALUE
    told = f"{value} {unit(code(item.measured, 'MeasurementUnitsCodeSequence'))}".strip()
    return f"{told} ({named(qualifier)})" if qualifier else told


def _coded(item: Item) -> str:
    return named(code(item.ds, "ConceptCodeSequence"))


def _referenced(item: Item) -> str:
    return referenced(item.reference)


def referenced(reference: Dataset) -> str:
    """Return a reference to an object, or to segments or frames of it."""
    uid, sop_class = (text(reference, f"ReferencedSOP{what}UID") for what in ("Instance", "Class"))
    target = f"{short_class(sop_class)} {short(uid)}".strip()
    for keyword, one, many in (
        ("ReferencedSegmentNumber", "segment", "segments"),
        ("ReferencedFrameNumber", "frame", "frames"),
    ):
        if found := values(reference, keyword):
            return f"{one if len(found) == 1 else many} {', '.join(found)} of {target}"
    return target


def _drawn(item: Item) -> str:
    """Return a shape with its number of points and the image that it is drawn on."""
    kind, data = text(item.ds, "GraphicType"), numbers(item.ds, "GraphicData")
    axes = 3 if item.kind == "SCOORD3D" else 2
    points = [tuple(data[at : at + axes]) for at in range(0, len(data) - axes + 1, axes)]
    shape = _SHAPES.get(kind, f"{kind.lower() or 'shape'} of {{}} points").format(len(points))
    if kind == "POLYLINE" and len(points) > 1:
        shape += ", closed" if points[0] == points[-1] else ", open"
    places = [referenced(one.reference) for one in item.below("IMAGE")]
    if frame := text(item.ds, "ReferencedFrameOfReferenceUID"):
        places.append(f"frame of reference {short(frame)}")
    return f"{shape}, on {', '.join(places)}" if places else shape


def _table(item: Item) -> str:
    rows, columns = text(item.ds, "NumberOfTableRows"), text(item.ds, "NumberOfTableColumns")
    return f"table of {rows or '?'} rows and {columns or '?'} columns"


def _instants(item: Item) -> str:
    given = (len(values(item.ds, f"Referenced{what}")) for what in ("SamplePositions", "TimeOffsets", "DateTime"))
    return f"{text(item.ds, 'TemporalRangeType').lower() or 'times'} of {sum(given)} values"


def _plain(keyword: str) -> Callable[[Item], str]:
    return lambda item: text(item.ds, keyword)


def _date(item: Item) -> str:
    return as_date(text(item.ds, "Date"))


def _time(item: Item) -> str:
    return as_time(text(item.ds, "Time"))


def _moment(item: Item) -> str:
    raw = text(item.ds, "DateTime")
    return f"{as_date(raw[:8])} {as_time(raw[8:])}".strip()


def as_date(raw: str) -> str:
    """Return a date of DICOM with dashes, or as it is where it is none."""
    return f"{raw[:4]}-{raw[4:6]}-{raw[6:]}" if len(raw) == 8 and raw.isdecimal() else raw


def as_time(raw: str) -> str:
    """Return a time of DICOM with colons; fractions of a second are left out."""
    whole = raw.partition(".")[0]
    return ":".join((whole[:2], whole[2:4], whole[4:6])).rstrip(":") if whole[:6].isdecimal() else raw


_BY_KIND: Mapping[str, Callable[[Item], str]] = {
    "TEXT": _plain("TextValue"),
    "NUM": _number,
    "CODE": _coded,
    "DATE": _date,
    "TIME": _time,
    "DATETIME": _moment,
    "UIDREF": _plain("UID"),
    "PNAME": _plain("PersonName"),
    "IMAGE": _referenced,
    "COMPOSITE": _referenced,
    "WAVEFORM": _referenced,
    "SCOORD": _drawn,
    "SCOORD3D": _drawn,
    "TCOORD": _instants,
    "TABLE": _table,
}


def modifiers(item: Item) -> list[Code]:
    """Return the codes that say more of a concept and have nothing below them: a derivation, a side."""
    return [
        concept
        for one in item.children
        if is_modifier(one) and (concept := code(one.ds, "ConceptCodeSequence")) is not None
    ]


def is_modifier(item: Item) -> bool:
    """Say whether a content item only says more of the concept that it stands in."""
    above = item.parent.kind if item.parent else ""
    return item.kind == "CODE" and item.relation == "HAS CONCEPT MOD" and above in ("NUM", "CODE") and not item.children
