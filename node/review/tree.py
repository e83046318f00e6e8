"""An SR as a tree for a person.

Comes in: a document of any template and writer. Goes out: a rich tree whose lines read `name: value`, and the UIDs
that it names by their ends. A measurement group stands under its tracking identifier. Images that only list what was
looked at are counted, not listed.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby

from pydicom import Dataset
from rich.text import Text
from rich.tree import Tree

from node.review.content import GROUP, LIBRARY, LIBRARY_GROUP, TRACKING_IDENTIFIER, TRACKING_UID, Item
from node.review.curtain import WITHHELD, Curtain
from node.review.objects import several
from node.review.phrases import is_modifier, modifiers, named, phrase, short
from node.review.reading import DEEPEST, items, text

_SEVERAL = 4  # images in a row that are counted
_REFERENCES = ("IMAGE", "COMPOSITE", "WAVEFORM")


def tree(ds: Dataset, curtain: Curtain) -> Tree:
    """Return the content of a document."""
    root = Item(ds)
    top = Tree(Text(curtain.of(named(root.name)) or "Document without a title", style="bold"), guide_style="dim")
    _add(top, root.children, curtain)
    return top


def mentioned(ds: Dataset) -> Mapping[str, str]:
    """Return the UID of every object that the tree names by its end, with its class."""
    return {
        text(item.reference, "ReferencedSOPInstanceUID"): text(item.reference, "ReferencedSOPClassUID")
        for item in _shown(Item(ds))
        if item.kind in _REFERENCES
    }


def _shown(item: Item) -> Iterator[Item]:
    """Yield the items that the tree has lines of."""
    for _, run in _runs(item.children):
        if not _is_counted(run):
            for one in run:
                yield one
                yield from _shown(one)


def _runs(children: list[Item]) -> Iterator[tuple[object, list[Item]]]:
    """Part items into runs of what looks the same: references of one concept to objects of one class."""

    def likeness(one: Item) -> object:
        if one.kind not in _REFERENCES:
            return one.place
        return one.kind, one.concept, text(one.reference, "ReferencedSOPClassUID")

    for like, run in groupby(children, likeness):
        yield like, list(run)


def _is_counted(run: list[Item]) -> bool:
    above = run[0].parent
    listed = above is not None and above.concept in (LIBRARY, LIBRARY_GROUP)
    return len(run) >= _SEVERAL and run[0].kind in _REFERENCES and (listed or not any(one.children for one in run))


def _add(branch: Tree, children: list[Item], curtain: Curtain) -> None:
    for _, run in _runs(children):
        if _is_counted(run):
            branch.add(_counted(run))
            continue
        for one in run:
            _add(branch.add(_line(one, curtain)), _left(one), curtain)
            if one.place.count(".") >= DEEPEST and items(one.ds, "ContentSequence"):
                branch.add(Text("deeper items are not read", style="yellow"))


def _left(item: Item) -> list[Item]:
    """Return the children that have lines of their own, and are not told in the line of the item."""
    told = {TRACKING_IDENTIFIER, TRACKING_UID} if item.concept == GROUP and _tracking(item, TRACKING_IDENTIFIER) else ()
    images = ("IMAGE",) if item.kind in ("SCOORD", "SCOORD3D", "TCOORD") else ()
    return [
        one
        for one in item.children
        if not (is_modifier(one) or one.concept in told or (one.kind in images and not one.children))
    ]


def _counted(run: list[Item]) -> Text:
    line = Text(f"{named(run[0].name)}: " if run[0].name else "", style="cyan")
    return line.append(several(len(run), text(run[0].reference, "ReferencedSOPClassUID")), style="default")


def _line(item: Item, curtain: Curtain) -> Text:
    """Return the line of an item: what it is called, what modifies that, and its value."""
    if item.concept == GROUP and (name := _tracking(item, TRACKING_IDENTIFIER)):
        line = Text(curtain.of(name), style="bold")
        return line.append(f"  tracking {short(_tracking(item, TRACKING_UID) or '?')}", style="not bold dim")
    value = WITHHELD if curtain.hides(item) else curtain.of(phrase(item))
    more = ", ".join(map(named, modifiers(item)))
    name = curtain.of(named(item.name)) or item.relation.lower() or item.kind.lower() or "item"
    if item.kind == "CONTAINER":
        return Text(name, style="bold")
    if item.kind == "NUM" and more:
        name, more = f"{name} ({more})", ""
    line = Text(name, style="cyan")
    line.append(": ", style="default")
    line.append(value, style="bold" if item.kind == "NUM" else "default")
    return line.append(f" ({more})", style="default") if more else line


def _tracking(group: Item, concept: str) -> str:
    return next((phrase(one) for one in group.children if one.concept == concept), "")
