"""The content tree of an SR: items by value type (PS3.3 section C.17.3.2), and how they are encoded.

Comes in: concept names, values, the items below. Goes out: the Content Sequence as bytes. highdicom makes each item a
data set, copies and searches the tree, and pydicom encodes it anew: half a second for the thousand items of a report.
What is encoded here is byte for byte what they write. Next: `templates`, which says what stands in what.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from pydicom.valuerep import DS

from workers.report import elements
from workers.report.frames import Source, encoded_reference

CONTAINS, HAS_CONCEPT_MOD, HAS_OBS_CONTEXT = "CONTAINS", "HAS CONCEPT MOD", "HAS OBS CONTEXT"
INFERRED_FROM, SELECTED_FROM = "INFERRED FROM", "SELECTED FROM"
DECIMALS = 4  # DS holds 16 characters; pixels do not give more
_SHORT_CODE = 16  # SH, PS3.5 section 6.2


@dataclass(frozen=True)
class Item:
    """One content item.

    Parameters
    ----------
    relationship
        To the item above.
    value
        The elements of its value, encoded, in the order of their tags: those before the Relationship Type, those
        between the Concept Name and the Content Sequence, those behind it.
    children
        The items below, in their order.
    """

    value_type: str
    name: Code
    relationship: str
    value: tuple[bytes, bytes, bytes]
    children: list["Item"] = field(default_factory=list)

    @property
    def below(self) -> bytes:
        """The items of its Content Sequence."""
        return b"".join(child.encoded() for child in self.children)

    def encoded(self) -> bytes:
        """Return the item of a Content Sequence."""
        before, among, behind = self.value
        return elements.item(
            before,
            elements.text("RelationshipType", self.relationship),
            elements.text("ValueType", self.value_type),
            named("ConceptNameCodeSequence", self.name),
            among,
            elements.items("ContentSequence", self.below) if self.children else b"",
            behind,
        )


def container(name: Code, children: Sequence[Item], template: str = "") -> Item:
    """Return a CONTAINER whose items stand apart: where they are said to be continuous, viewers run them together."""
    among = elements.text("ContinuityOfContent", "SEPARATE") + (_template(template) if template else b"")
    return Item("CONTAINER", name, CONTAINS, (b"", among, b""), list(children))


def text(name: Code, value: str, relationship: str = CONTAINS) -> Item:
    """Return a TEXT."""
    return Item("TEXT", name, relationship, (b"", elements.text("TextValue", value), b""))


def code(name: Code, value: Code, relationship: str = CONTAINS, children: Sequence[Item] = ()) -> Item:
    """Return a CODE."""
    return Item("CODE", name, relationship, (b"", named("ConceptCodeSequence", value), b""), list(children))


def uid(name: Code, value: str, relationship: str = CONTAINS) -> Item:
    """Return a UIDREF."""
    return Item("UIDREF", name, relationship, (b"", elements.text("UID", value), b""))


def number(name: Code, value: int | float, unit: Code, children: Sequence[Item] = ()) -> Item:
    """Return a NUM; what is no whole number by its type has its Floating Point Value beside the decimal string."""
    measured = elements.sequence(
        "MeasuredValueSequence",
        named("MeasurementUnitsCodeSequence", unit),
        elements.real("FloatingPointValue", value) if isinstance(value, float) else b"",
        elements.text("NumericValue", str(DS(value, auto_format=True))),
    )
    return Item("NUM", name, CONTAINS, (b"", measured, b""), list(children))


def segment(name: Code, sop_class_uid: str, sop_instance_uid: str, number_: int) -> Item:
    """Return an IMAGE that is a segment of a SEG."""
    referred = elements.sequence(
        "ReferencedSOPSequence",
        elements.reference(sop_class_uid, sop_instance_uid),
        elements.whole("ReferencedSegmentNumber", number_),
    )
    return Item("IMAGE", name, CONTAINS, (referred, b"", b""))


def drawing(name: Code, graphic: str, points: NDArray[np.float64], on: Item, relationship: str = CONTAINS) -> Item:
    """Return an SCOORD: POLYLINE or MULTIPOINT, `points` of shape `(n, 2)` as column and row, on an image below it."""
    behind = elements.real("GraphicData", *points.ravel().tolist()) + elements.text("GraphicType", graphic)
    return Item("SCOORD", name, relationship, (b"", b"", behind), [on])


def image(name: Code, source: Source) -> Item:
    """Return the IMAGE that an SCOORD is selected from: a slice, which may be a frame of its instance."""
    referred = elements.sequence("ReferencedSOPSequence", encoded_reference(source))
    return Item("IMAGE", name, SELECTED_FROM, (referred, b"", b""))


def named(keyword: str, concept: Code) -> bytes:
    """Return a sequence of one code (PS3.3 table 8.8-1)."""
    return _named(keyword, *concept[:3])


@cache  # by the parts: codes are equal to pydicom whatever their meanings
def _named(keyword: str, value: str, scheme: str, meaning: str) -> bytes:
    short = elements.text("CodeValue", value) if len(value) <= _SHORT_CODE else b""
    return elements.sequence(
        keyword,
        short,
        elements.text("CodingSchemeDesignator", scheme),
        elements.text("CodeMeaning", meaning),
        b"" if short else elements.text("LongCodeValue", value),
    )


def _template(identifier: str) -> bytes:
    return elements.sequence(
        "ContentTemplateSequence",
        elements.text("MappingResource", "DCMR"),
        elements.text("TemplateIdentifier", identifier),
    )
