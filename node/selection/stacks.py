"""What of a series is one volume: stacks of one plane, and of these the parts whose positions differ.

Inside stage 4. Comes in: the images of a series, each with its plane, or its planes where it has frames. Goes out:
`Part`s, one where nothing had to be separated. What can go wrong: nothing. Several slices at one position that no
attribute tells apart stay together, for stage 6 to refuse as duplicate-positions; so do slices of several planes where
no plane has enough of them. Next: `node.selection.traits` looks at each part.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from node.content import Header
from node.core.grid import Plane, upward_normal

_SAME_COSINE = 1e-3
_SAME_SPACING_MM = 1e-3
_SAME_POSITION_MM = 1e-2  # as `node.core.grid`, which refuses what is nearer
_MOST_STACKS = 32  # a series of more planes turns about an axis: none of them is a stack

Images = tuple[Header, ...]


@dataclass(frozen=True)
class Part:
    """Images that may be one volume, and which part of their series they are; the name is empty for all of it."""

    name: str
    images: Images


def split(images: Images, minimum_slices: int) -> tuple[Part, ...]:
    """Separate what cannot be one volume.

    A series is split into stacks where its slices differ in orientation, matrix or pixel spacing, and a stack into
    parts where slices share a position: by the first of acquisition number, temporal position, trigger time,
    acquisition time, content time and kind of image in whose parts no two slices share one.

    Parameters
    ----------
    images
        Not empty; each has a plane.
    minimum_slices
        Fewer are no volume: a division that leaves nothing larger is none.
    """
    stacks = _stacks(images)
    if len(stacks) > 1 and max(map(slices_of, stacks)) < minimum_slices:
        stacks = [images]
    parts = []
    for number, stack in enumerate(stacks, 1):
        name = f"stack {number} of {len(stacks)}" if len(stacks) > 1 else ""
        parts += [Part(", ".join(filter(None, (name, one.name))), one.images) for one in _parts(stack, minimum_slices)]
    return tuple(parts)


def slices_of(images: Sequence[Header]) -> int:
    """Return the number of slices: each frame of a multi-frame image is one."""
    return sum(len(one.planes) for one in images)


def along_normal_mm(images: Sequence[Header]) -> NDArray[np.float64]:
    """Return where each slice lies along the normal of the first, growing to superior (or to posterior, or left)."""
    planes = [plane for one in images for plane in one.planes]
    heights: NDArray[np.float64] = np.asarray([one.position_mm for one in planes]) @ upward_normal(planes[0])
    return heights


def _plane(image: Header) -> Plane:
    if image.plane is None:
        raise ValueError("an image without a plane is no slice")
    return image.plane


def _stacks(images: Images) -> list[Images]:
    """Group slices by orientation, matrix and pixel spacing, the largest group first; all in one where they turn."""
    groups: list[list[Header]] = []
    for image in images:
        group = next((one for one in groups if _alike(_plane(one[0]), _plane(image))), None)
        if group is None:
            if len(groups) == _MOST_STACKS:
                return [images]
            groups.append([image])
        else:
            group.append(image)
    return [tuple(group) for group in sorted(groups, key=slices_of, reverse=True)]


def _alike(one: Plane, other: Plane) -> bool:
    return (
        (one.rows, one.columns) == (other.rows, other.columns)
        and _near(one.row_cosines + one.column_cosines, other.row_cosines + other.column_cosines, _SAME_COSINE)
        and _near(one.pixel_spacing_mm, other.pixel_spacing_mm, _SAME_SPACING_MM)
    )


def _near(some: Sequence[float], others: Sequence[float], tolerance: float) -> bool:
    return some == others or all(abs(a - b) <= tolerance for a, b in zip(some, others, strict=True))


def _parts(stack: Images, minimum_slices: int) -> list[Part]:
    most = _most_at_one_position(stack)
    if most == 1:
        return [Part("", stack)]
    for divide in _WAYS:
        parts = divide(stack, most)
        large = sum(count for one in parts if (count := slices_of(one.images)) >= minimum_slices)
        if (
            len(parts) > 1
            and 2 * large > slices_of(stack)
            and all(_most_at_one_position(one.images) == 1 for one in parts)
        ):
            return parts
    return [Part("", stack)]


def _most_at_one_position(images: Images) -> int:
    """Return how many slices lie at the position that has most of them."""
    heights = np.sort(along_normal_mm(images))
    runs = np.split(heights, np.flatnonzero(np.diff(heights) >= _SAME_POSITION_MM) + 1)
    return max(map(len, runs))


def _by_value(name: str, value: Callable[[Header], int | float | None]) -> Callable[[Images, int], list[Part]]:
    """Divide by a number that each slice carries."""

    def divide(images: Images, _most: int) -> list[Part]:
        groups: defaultdict[float, list[Header]] = defaultdict(list)
        for image in images:
            number = value(image)
            if number is None:
                return []
            groups[number].append(image)
        return [Part(f"{name} {number:g}", tuple(groups[number])) for number in sorted(groups)]

    return divide


def _by_time(name: str, moment_s: Callable[[Header], float | None]) -> Callable[[Images, int], list[Part]]:
    """Divide at the longest pauses, into as many parts as slices share one position."""

    def divide(images: Images, most: int) -> list[Part]:
        timed = [(moment, image) for image in images if (moment := moment_s(image)) is not None]
        if len(timed) < len(images):
            return []
        timed.sort(key=lambda pair: pair[0])
        pauses = np.diff([moment for moment, _ in timed])
        longest = np.sort(np.argsort(pauses, kind="stable")[::-1][: most - 1])
        if pauses[longest].min() <= 0:
            return []
        edges = [0, *(int(index) + 1 for index in longest), len(timed)]
        return [
            Part(f"{name} {number} of {most}", tuple(image for _, image in timed[begin:end]))
            for number, (begin, end) in enumerate(pairwise(edges), 1)
        ]

    return divide


def _by_kind(images: Images, _most: int) -> list[Part]:
    """Divide by what the images say that they are: Image Type, description, kernel, thickness."""
    groups: defaultdict[Hashable, list[Header]] = defaultdict(list)
    for image in images:
        technique = image.technique
        groups[image.image_type, image.series_description, technique.kernel, technique.slice_thickness_mm].append(image)
    kinds = sorted(groups.values(), key=lambda one: one[0].instance.sop_instance_uid)
    return [Part(f"reconstruction {number} of {len(kinds)}", tuple(one)) for number, one in enumerate(kinds, 1)]


_WAYS: tuple[Callable[[Images, int], list[Part]], ...] = (
    _by_value("acquisition", lambda one: one.technique.acquisition_number),
    _by_value("temporal position", lambda one: one.technique.temporal_position),
    _by_value("trigger time", lambda one: one.technique.trigger_time_ms),
    _by_time("acquisition time", lambda one: one.technique.acquired_at_s),
    _by_time("content time", lambda one: one.technique.content_at_s),
    _by_kind,
)
