"""An object that is put to the rules, with what lies beside it: the CT that it is of, and the other objects.

Comes in: files. Goes out: a `Subject` for each. What can go wrong: a file cannot be read (`Refused`), what was named
beside holds neither CT nor SEG (`NothingBeside`). Next: `node.review.verdict`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileDataset

from node.core.dicom import IMAGE_CLASSES
from node.core.errors import Refused
from node.review.content import Item, groups, walk
from node.review.frames import Drawn, Frame, Segment, drawn, frames, segments
from node.review.objects import DRAWN, PAGE, Kind, is_ours, kind_of, root_title
from node.review.reading import every_item, read, text

_REFERENCES = ("IMAGE", "COMPOSITE", "WAVEFORM")


class NothingBeside(ValueError):
    """A file or folder that was named beside the objects holds nothing that they can be held against."""


@dataclass(frozen=True)
class Beside:
    """What objects are held against.

    Parameters
    ----------
    images
        Headers of CT images by SOP Instance UID.
    segmentations
        Headers of segmentations by SOP Instance UID, those among the objects included.
    series
        For each Series Instance UID, the objects that have it, by file.
    """

    images: Mapping[str, Dataset]
    segmentations: Mapping[str, Dataset]
    series: Mapping[str, tuple[Path, ...]]


@dataclass(frozen=True)
class Subject:
    """One object."""

    path: Path
    ds: FileDataset
    beside: Beside

    @cached_property
    def kind(self) -> Kind:
        """What kind of object it is."""
        return kind_of(self.ds)

    @cached_property
    def ours(self) -> bool:
        """Whether this product made it."""
        return is_ours(self.ds)

    @cached_property
    def root(self) -> Item:
        """The content tree of a document."""
        return Item(self.ds)

    @cached_property
    def items(self) -> list[Item]:
        """All content items of a document."""
        return list(walk(self.root))

    @cached_property
    def numbers(self) -> list[Item]:
        """The NUM items of a document."""
        return [one for one in self.items if one.kind == "NUM"]

    @cached_property
    def groups(self) -> list[Item]:
        """The measurement groups of a document."""
        return groups(self.root)

    @cached_property
    def title(self) -> str:
        """The code of a document's title."""
        return root_title(self.ds)

    @property
    def is_drawn(self) -> bool:
        """Whether it is a report that a stock OHIF draws on the images."""
        return self.kind is Kind.REPORT and self.title == DRAWN

    @property
    def is_page(self) -> bool:
        """Whether it is a report that a stock OHIF shows as a page."""
        return self.kind is Kind.REPORT and self.title == PAGE

    @cached_property
    def references(self) -> list[Item]:
        """The content items that refer to objects."""
        return [one for one in self.items if one.kind in _REFERENCES]

    @cached_property
    def frames(self) -> list[Frame]:
        """The frames of a SEG."""
        return frames(self.ds)

    @cached_property
    def segments(self) -> list[Segment]:
        """The segments of a SEG."""
        return segments(self.ds)

    @cached_property
    def drawn(self) -> Drawn:
        """Where pixels of a SEG are drawn."""
        return drawn(self.path, self.ds)

    @cached_property
    def every_item(self) -> list[tuple[str, Dataset]]:
        """Every item of every sequence, with the keywords that lead there."""
        return list(every_item(self.ds))

    @cached_property
    def named(self) -> set[str]:
        """UIDs of all objects that it refers to, in whatever list."""
        return {uid for _, item in self.every_item if (uid := text(item, "ReferencedSOPInstanceUID"))}

    @cached_property
    def source(self) -> Dataset | None:
        """A CT image that it is of: one that it refers to, else any that lies beside it."""
        images = self.beside.images
        return next((images[uid] for uid in images if uid in self.named), next(iter(images.values()), None))


def subjects(files: Sequence[Path], beside: Sequence[Path]) -> list[Subject]:
    """Return the objects of some files, held against each other and against what lies beside them.

    Raises
    ------
    Refused
        A file cannot be read.
    NothingBeside
        There is neither CT nor SEG in one of `beside`.
    """
    read_in = {path: read(path) for path in dict.fromkeys(files)}
    images: dict[str, Dataset] = {}
    segmentations: dict[str, Dataset] = {
        text(ds, "SOPInstanceUID"): ds for ds in read_in.values() if kind_of(ds) is Kind.SEGMENTATION
    }
    for place in beside:
        found = list(_useful(place))
        if not found:
            raise NothingBeside(f"{place} holds neither CT images nor segmentations")
        for one in found:
            (images if text(one, "SOPClassUID") in IMAGE_CLASSES else segmentations)[text(one, "SOPInstanceUID")] = one
    series: dict[str, list[Path]] = {}
    for path, ds in read_in.items():
        series.setdefault(text(ds, "SeriesInstanceUID"), []).append(path)
    whole = Beside(images, segmentations, {uid: tuple(paths) for uid, paths in series.items()})
    return [Subject(path, ds, whole) for path, ds in read_in.items()]


def _useful(place: Path) -> Iterator[Dataset]:
    """Yield the headers of CT images and segmentations of a file, or below a folder; others are passed over."""
    for path in [place] if place.is_file() else sorted(one for one in place.rglob("*") if one.is_file()):
        try:
            ds = read(path)
        except Refused:
            continue
        if text(ds, "SOPClassUID") in IMAGE_CLASSES or kind_of(ds) is Kind.SEGMENTATION:
            yield ds
