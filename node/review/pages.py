"""What `crlm-node report show` prints of an object: a heading, then its content on one screen.

Comes in: a file. Goes out: rich renderables. An SR or key objects become a tree, a SEG a table of its segments, a
Secondary Capture its heading. What can go wrong: the file cannot be read (`Refused`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileDataset
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from node.review import tree
from node.review.colour import swatch
from node.review.content import Item, groups, walk
from node.review.curtain import Curtain
from node.review.frames import Segment, drawn, frames, segments
from node.review.listed import EVIDENCE, OTHER_EVIDENCE, PREDECESSORS, listed, used
from node.review.objects import Kind, class_name, kind_of, several
from node.review.phrases import as_date, as_time, is_private, named, short
from node.review.reading import code, first, items, numbers, read, text, values


def show(console: Console, path: Path, *, identity: bool) -> bool:
    """Print an object; False, and nothing printed, where it is none that can be shown.

    Raises
    ------
    Refused
        The file cannot be read.
    """
    ds = read(path)
    kind, curtain = kind_of(ds), Curtain(ds, identity=identity)
    if kind is Kind.OTHER:
        return False
    heading = Table.grid(padding=(0, 2))
    heading.add_column(style="dim", no_wrap=True)
    heading.add_column(overflow="fold")
    facts = {Kind.SEGMENTATION: _of_segmentation, Kind.CAPTURE: _of_capture}.get(kind, _of_document)
    for name, value in (*_common(ds, curtain), *facts(ds)):
        if value:
            heading.add_row(name, Text(curtain.of(value)))
    console.print(Text(curtain.of(_title(ds)), style="bold"))
    console.print(heading, highlight=False)
    if kind is Kind.SEGMENTATION:
        console.print()
        console.print(_table(path, ds, curtain), highlight=False)
    elif kind is not Kind.CAPTURE:
        console.print()
        console.print(tree.tree(ds, curtain), highlight=False)
        _legend(console, tree.mentioned(ds))
    return True


def _title(ds: Dataset) -> str:
    """Return what an object calls itself, and what it is."""
    called = named(code(ds, "ConceptNameCodeSequence"))
    what = class_name(text(ds, "SOPClassUID"))
    template = text(first(ds, "ContentTemplateSequence"), "TemplateIdentifier")
    kind = ", ".join([what, *([f"TID {template}"] if template else [])])
    return f"{called} ({kind})" if called else kind


def _common(ds: Dataset, curtain: Curtain) -> Iterator[tuple[str, str]]:
    """Yield what every object says of itself; the patient only where that was asked for."""
    if curtain.open:
        yield "patient", ", ".join(filter(None, (text(ds, "PatientName"), text(ds, "PatientID"))))
        yield "born", as_date(text(ds, "PatientBirthDate"))
    series = [text(ds, "SeriesDescription"), *(f"number {one}" for one in values(ds, "SeriesNumber"))]
    yield "series", ", ".join(filter(None, series))
    states = (text(ds, keyword) for keyword in ("CompletionFlag", "VerificationFlag", "ContentQualification"))
    yield "state", ", ".join(one.lower() for one in states if one)
    yield "content of", f"{as_date(text(ds, 'ContentDate'))} {as_time(text(ds, 'ContentTime'))}".strip()
    makers = (text(ds, keyword) for keyword in ("Manufacturer", "ManufacturerModelName", "SoftwareVersions"))
    yield "made by", " ".join(dict.fromkeys(one for one in makers if one))
    yield "study", text(ds, "StudyInstanceUID")
    yield "object", text(ds, "SOPInstanceUID")
    schemes = [
        f"{text(one, 'CodingSchemeDesignator')}: {text(one, 'CodingSchemeName') or 'no name'}"
        for one in items(ds, "CodingSchemeIdentificationSequence")
        if is_private(text(one, "CodingSchemeDesignator"))
    ]
    yield "own codes", "\n".join(schemes)


def _of_document(ds: Dataset) -> Iterator[tuple[str, str]]:
    root = Item(ds)
    parts = {"number": sum(one.kind == "NUM" for one in walk(root)), "measurement group": len(groups(root))}
    yield "holds", ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in parts.items() if count)
    yield "supersedes", "\n".join(one.uid for one in listed(ds, PREDECESSORS))
    yield "evidence", _counted(ds, EVIDENCE)
    yield "other evidence", _counted(ds, OTHER_EVIDENCE)


def _of_segmentation(ds: Dataset) -> Iterator[tuple[str, str]]:
    rows, columns = text(ds, "Rows"), text(ds, "Columns")
    form = ", ".join(filter(None, (text(ds, "SegmentationType"), text(ds, "SegmentsOverlap") and
                                   f"segments overlap: {text(ds, 'SegmentsOverlap').lower()}")))  # fmt: skip
    yield "form", form
    yield "frames", f"{len(frames(ds))} of {columns} x {rows}"
    yield "drawn on", _series(ds)
    yield "same space", text(ds, "FrameOfReferenceUID")


def _of_capture(ds: Dataset) -> Iterator[tuple[str, str]]:
    count = next((int(one) for one in numbers(ds, "NumberOfFrames")), 1)
    yield "frames", f"{count} of {text(ds, 'Columns')} x {text(ds, 'Rows')}, {text(ds, 'PhotometricInterpretation')}"
    yield "made from", f"{len(sources)} objects" if (sources := items(ds, "SourceImageSequence")) else ""
    yield "drawn on", _series(ds)
    burned = text(ds, "BurnedInAnnotation")
    yield "burned in", {"NO": "nothing that tells the patient", "YES": "what tells the patient"}.get(burned, burned)
    yield "about", text(ds, "ImageComments") or text(ds, "DerivationDescription")


def _series(ds: Dataset) -> str:
    """Return what an object was made from, a line for each series."""
    counted = Counter(one.series for one in used(ds))
    return "\n".join(f"{uid} ({count} object{'s' * (count != 1)})" for uid, count in counted.items())


def _counted(ds: Dataset, keyword: str) -> str:
    """Return how many objects of which class a list of references holds."""
    there = list(listed(ds, keyword))
    counted = Counter(one.sop_class for one in there)
    series = len({one.series for one in there})
    told = ", ".join(several(count, sop_class) for sop_class, count in counted.most_common())
    return f"{told}, in {series} series" if told else ""


def _legend(console: Console, objects: Mapping[str, str]) -> None:
    """Print in full the UIDs that the tree names by their ends."""
    if not objects:
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for uid in objects:
        grid.add_row(short(uid), Text(uid))
    console.print("\n[bold]Objects named above[/]", highlight=False)
    console.print(grid, highlight=False)


def _table(path: Path, ds: FileDataset, curtain: Curtain) -> Table:
    """Return the segments with their codes, colours and frames; those of a label map are counted in its pixels."""
    found = segments(ds)
    counted: Mapping[int, int] = Counter(one.segment for one in frames(ds))
    if not set(counted) - {0}:
        counted = drawn(path, ds).frames_of
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for name in ("Segment", "Property", "Algorithm", "Frames", "Colour"):
        table.add_column(name, justify="right" if name == "Frames" else "left", overflow="fold")
    for one in found:
        table.add_row(
            Text(curtain.of(f"{one.number} {one.label}")),
            Text(_property(one)),
            Text(curtain.of(_algorithm(one))),
            Text(str(counted.get(one.number, 0))),
            swatch(numbers(one.ds, "RecommendedDisplayCIELabValue")),
        )
    return table


def _property(segment: Segment) -> str:
    meaning = ", ".join(filter(None, (segment.type.meaning, *(one.meaning for one in segment.modifiers))))
    return f"{meaning}\n{segment.type.value} {segment.type.scheme_designator}; {segment.category.meaning}"


def _algorithm(segment: Segment) -> str:
    kind, name = text(segment.ds, "SegmentAlgorithmType").lower(), text(segment.ds, "SegmentAlgorithmName")
    return f"{kind}: {name}" if name else kind
