"""How a result refers to the slices of the volume, frames of multi-frame images among them (PS3.3 section 10.3).

A slice is an instance of its own, or a frame of an instance (PS3.16 TID 320, PS3.3 C.7.6.16.2.3); where instances are
listed, each is listed once, however many of its frames were used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from workers.report import elements


@dataclass(frozen=True)
class Source:
    """One slice of the volume: a header as of an image of its own, and which frame of its instance it is, from 1."""

    header: Dataset
    frame: int | None = None


def reference(source: Source) -> Dataset:
    """Return the reference to the instance of a slice."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.header.SOPClassUID
    item.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
    return item


def encoded_reference(source: Source) -> bytes:
    """Return the elements of the reference to a slice: to its instance, and to its frame where it is one."""
    return elements.reference(source.header.SOPClassUID, source.header.SOPInstanceUID, source.frame)


def instances(sources: Sequence[Source]) -> list[Dataset]:
    """Return references to the instances of slices, each once, in their order."""
    named: dict[str, Source] = {}
    for source in sources:
        named.setdefault(source.header.SOPInstanceUID, source)
    return [reference(one) for one in named.values()]
