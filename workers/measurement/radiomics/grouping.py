"""Which regions of an image are filtered together: those whose common box is no larger than their boxes are.

Comes in: prepared regions. Goes out: groups, each with the box that is filtered and where its regions lie in it. What
can go wrong: nothing. Next: `wavelet`.

Regions share a domain where all are of the whole image, or were cut out of it with so much around them that a filter
does not see the cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from workers.measurement.radiomics.domain import Box, Domain
from workers.measurement.radiomics.prepare import Prepared
from workers.measurement.radiomics.wavelet import AFTER, BEFORE


@dataclass(frozen=True)
class Group:
    """What is filtered at once.

    Parameters
    ----------
    boxes
        Number of a region to its box, in the voxels of `box`.
    """

    domain: Domain
    box: Box
    boxes: dict[int, Box]


def grouped(regions: Sequence[Prepared]) -> list[Group]:
    """Return groups that hold each region once."""
    groups: list[Group] = []
    for number, one in enumerate(regions):
        domain, box = one.domain.widest(one.region.box, BEFORE, AFTER)
        alone = Group(domain, box, {number: _moved(box, box)})
        place = next((at for at, group in enumerate(groups) if _fits(group, alone)), None)
        if place is None:
            groups.append(alone)
        else:
            groups[place] = _joined(groups[place], alone)
    return groups


def _fits(group: Group, other: Group) -> bool:
    same = group.domain.holder is other.domain.holder and group.domain.values.shape == other.domain.values.shape
    return (
        same
        and group.domain.parent is None
        and _size(_around(group.box, other.box)) <= _size(group.box) + _size(other.box)
    )


def _joined(group: Group, other: Group) -> Group:
    box = _around(group.box, other.box)
    boxes = {number: _moved(inner, box, one.box) for one in (group, other) for number, inner in one.boxes.items()}
    return replace(group, box=box, boxes=boxes)


def _around(one: Box, other: Box) -> Box:
    found = [slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True)]
    return found[0], found[1], found[2]


def _moved(box: Box, onto: Box, of: Box = (slice(0, 0), slice(0, 0), slice(0, 0))) -> Box:
    """Return a box, counted from the first voxel of `of`, as it is counted from the first one of `onto`."""
    found = [
        slice(part.start + b.start - a.start, part.stop + b.start - a.start)
        for part, a, b in zip(box, onto, of, strict=True)
    ]
    return found[0], found[1], found[2]


def _size(box: Box) -> int:
    return prod(part.stop - part.start for part in box)
