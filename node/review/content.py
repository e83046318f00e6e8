"""The content tree of an SR (PS3.3 C.17.3): items with their place, and the concept names that the rules look for.

Comes in: a data set of any writer. Goes out: `Item`s, read as they are asked for. Nothing can go wrong: what is missing
in an item is empty, and below a depth that no template reaches nothing is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pydicom import Dataset
from pydicom.sr.coding import Code

from node.review.reading import DEEPEST, code, first, items, text

# Concept names of TID 1500 and of what is below it (PS3.16), by the values of their codes, all of DCM.
MEASUREMENTS, GROUP, LIBRARY, LIBRARY_GROUP = "126010", "125007", "111028", "126200"
TRACKING_IDENTIFIER, TRACKING_UID = "112039", "112040"
FINDING, COMMENT, REGION, SEGMENT, SOURCE_SERIES, SOURCE_IMAGE = (
    *("121071", "121106", "111030"),
    *("121191", "121232", "121233"),
)


@dataclass(frozen=True)
class Item:
    """A content item of an SR.

    Parameters
    ----------
    ds
        The item.
    place
        Numbers of the items that lead to it, from 1, as `dsrdump` prints them: `1.6.2`.
    parent
        The item that it stands in; None of the root.
    """

    ds: Dataset
    place: str = "1"
    parent: "Item | None" = None

    @cached_property
    def kind(self) -> str:
        """Value Type; empty of an item that refers to another one."""
        return text(self.ds, "ValueType")

    @cached_property
    def relation(self) -> str:
        """Relationship Type."""
        return text(self.ds, "RelationshipType")

    @cached_property
    def name(self) -> Code | None:
        """Concept name."""
        return code(self.ds, "ConceptNameCodeSequence")

    @cached_property
    def concept(self) -> str:
        """Value of the concept name's code."""
        return self.name.value if self.name else ""

    @cached_property
    def children(self) -> "list[Item]":
        """The items in it; none below the deepest level that is read."""
        if self.place.count(".") >= DEEPEST:
            return []
        found = items(self.ds, "ContentSequence")
        return [Item(one, f"{self.place}.{number}", self) for number, one in enumerate(found, start=1)]

    def below(self, kind: str = "", *concepts: str) -> "list[Item]":
        """Return its children of a value type, and of one of some concept names."""
        return [one for one in self.children if kind in ("", one.kind) and (not concepts or one.concept in concepts)]

    @property
    def reference(self) -> Dataset:
        """What an IMAGE, COMPOSITE or WAVEFORM refers to."""
        return first(self.ds, "ReferencedSOPSequence")

    @property
    def measured(self) -> Dataset:
        """Value and unit of a NUM; empty where it has none."""
        return first(self.ds, "MeasuredValueSequence")

    @property
    def title(self) -> str:
        """What a person would call it: the tracking identifier of a group, else the meaning of its concept name."""
        named = next((text(one.ds, "TextValue") for one in self.below("TEXT", TRACKING_IDENTIFIER)), "")
        return named or (self.name.meaning or self.name.value if self.name else "") or self.kind.lower()

    @property
    def where(self) -> str:
        """Its place with the titles of the group that it is in and its own."""
        inner = [self.title] if self.parent else []
        above = self.parent
        while above is not None and above.concept != GROUP:
            above = above.parent
        return " ".join([self.place, " > ".join([above.title, *inner] if above else inner)]).strip()


def walk(item: Item) -> Iterator[Item]:
    """Yield a content item and all below it."""
    yield item
    for child in item.children:
        yield from walk(child)


def groups(root: Item) -> list[Item]:
    """Return the measurement groups of a TID 1500 report."""
    return [one for box in root.below("CONTAINER", MEASUREMENTS) for one in box.below("CONTAINER", GROUP)]
