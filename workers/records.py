"""Records that hold arrays: the volume and its segmentation.

Arrays are `(slices, rows, columns)`, 0-based, slices from inferior to superior, on the grid of the source series.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.records import Candidate, Instance
from workers.signature.stated import NOTHING, Stated
from workers.validation import Validation

Mask = NDArray[np.bool_]
DEMONSTRATION = "DEMONSTRATION MODEL"
IMPORTED = "imported"
_AT_ONCE = 8  # slices that are hashed together: meanwhile other threads run


@dataclass(frozen=True)
class Acquisition:
    """How the series was acquired, as its headers say; None or empty where they do not.

    `synthetic` says that the slices are the phantom's. `padding_hu` are the ranges, lowest and highest value, of pixel
    padding that was found, which is no measurement of anything, `padding_voxels` how many voxels have it.
    """

    kvp: float | None
    slice_thickness_mm: float | None
    kernel: str
    contrast: str
    lossy: bool
    manufacturer: str
    patient_position: str
    synthetic: bool = False
    padding_hu: tuple[tuple[float, float], ...] = ()
    padding_voxels: int = 0


@dataclass(frozen=True)
class Volume:
    """A series as Hounsfield units on its grid.

    Parameters
    ----------
    hu
        int16 where the values fit, else int32 or float32.
    instances
        One per slice, in the order of the slices.
    frames
        Which frame of its instance each slice is, from 1; empty where the instances have one frame.
    stated
        What the header that was read first says of tumour and indication.
    """

    hu: NDArray[Any]
    geometry: Geometry
    candidate: Candidate
    instances: tuple[Instance, ...]
    acquisition: Acquisition
    frames: tuple[int, ...] = ()
    stated: Stated = NOTHING

    @property
    def sha1(self) -> str:
        """SHA-1 of the values as little-endian int32, slices inferior to superior, rows, columns."""
        sum_, words = hashlib.sha1(usedforsecurity=False), np.empty((_AT_ONCE, *self.hu.shape[1:]), dtype="<i4")
        for first in range(0, len(self.hu), _AT_ONCE):
            hu = self.hu[first : first + _AT_ONCE]
            whole = hu if np.issubdtype(hu.dtype, np.integer) else np.rint(hu)
            words[: len(hu)] = whole
            sum_.update(words[: len(hu)].data)
        return sum_.hexdigest()


@dataclass(frozen=True)
class Region:
    """A mask in its bounding box: `mask[0, 0, 0]` is voxel `start` of the volume. Never empty."""

    start: tuple[int, int, int]
    mask: Mask

    @classmethod
    def of(cls, mask: Mask, start: tuple[int, int, int] = (0, 0, 0)) -> "Region | None":
        """Crop a mask whose first voxel is `start` of the volume; None where it is empty."""
        box: list[slice] = []
        for axis in range(3):  # each axis within what the ones before it have left
            part = mask[tuple(box)]
            inside = np.flatnonzero(part.any(axis=tuple(other for other in range(3) if other != axis)))
            if inside.size == 0:
                return None
            box.append(slice(int(inside[0]), int(inside[-1]) + 1))
        first = (start[0] + box[0].start, start[1] + box[1].start, start[2] + box[2].start)
        return cls(first, np.ascontiguousarray(mask[tuple(box)]))

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The bounding box as slices of the volume."""
        begin, shape = self.start, self.mask.shape
        return (
            slice(begin[0], begin[0] + shape[0]),
            slice(begin[1], begin[1] + shape[1]),
            slice(begin[2], begin[2] + shape[2]),
        )

    @property
    def slices(self) -> range:
        """The volume's slices that the box covers."""
        return range(self.start[0], self.start[0] + self.mask.shape[0])

    @property
    def count(self) -> int:
        """Number of voxels."""
        return int(np.count_nonzero(self.mask))

    def values(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array's values inside the region, one dimension."""
        inside: NDArray[Any] = array[self.box][self.mask]
        return inside

    def on_slice(self, index: int) -> Mask:
        """Return the mask of one slice of the volume, within the box's rows and columns."""
        if index not in self.slices:
            return np.zeros(self.mask.shape[1:], dtype=bool)
        plane: Mask = self.mask[index - self.start[0]]
        return plane

    def common(self, other: "Region") -> "Region | None":
        """Return the voxels that this region and another have in common; None where there are none."""
        box = [
            slice(max(one.start, two.start), min(one.stop, two.stop))
            for one, two in zip(self.box, other.box, strict=True)
        ]
        if any(part.stop <= part.start for part in box):
            return None
        return Region.of(self.within(box) & other.within(box), (box[0].start, box[1].start, box[2].start))

    def within(self, box: Sequence[slice]) -> Mask:
        """Return the mask in a box of the volume that lies inside the region's own."""
        own = zip(box, self.start, strict=True)
        part: Mask = self.mask[tuple(slice(one.start - first, one.stop - first) for one, first in own)]
        return part

    def full(self, shape: tuple[int, int, int]) -> Mask:
        """Return the mask in the whole volume."""
        whole = np.zeros(shape, dtype=bool)
        whole[self.box] = self.mask
        return whole


def union(regions: Sequence[Region]) -> Region | None:
    """Return the voxels of any of some regions; None where there are none."""
    if len(regions) < 2:
        return regions[0] if regions else None
    boxes = [region.box for region in regions]
    first = [min(box[axis].start for box in boxes) for axis in range(3)]
    whole = np.zeros([max(box[axis].stop for box in boxes) - first[axis] for axis in range(3)], dtype=bool)
    for region, box in zip(regions, boxes, strict=True):
        own = tuple(slice(part.start - begin, part.stop - begin) for part, begin in zip(box, first, strict=True))
        whole[own] |= region.mask
    return Region((first[0], first[1], first[2]), whole)


class AlgorithmType(StrEnum):
    """Segment Algorithm Type (0062,0008)."""

    MANUAL = "MANUAL"
    SEMIAUTOMATIC = "SEMIAUTOMATIC"
    AUTOMATIC = "AUTOMATIC"


@dataclass(frozen=True)
class Segment:
    """One structure, or one lesion of several, and who drew it; `source` is the SEG that it was imported from."""

    structure: Structure
    label: str
    region: Region
    algorithm_type: AlgorithmType
    algorithm_name: str
    source: Instance | None = None


@dataclass(frozen=True)
class Import:
    """A SEG that came with the study, as a whole.

    Parameters
    ----------
    labels
        Of all its segments, known or not, in their order.
    others
        Where those of its segments lie that are none of the label map's; None where there is no voxel of them.
    """

    source: Instance
    labels: tuple[str, ...]
    others: Region | None


@dataclass(frozen=True)
class LabelMap:
    """A segmentation of a volume; segments may overlap (a lesion lies in the liver).

    Parameters
    ----------
    series_instance_uid
        The series that was segmented.
    engine
        What made it: `IMPORTED`, or an engine with its version.
    searched
        Structures that were looked for; one that is absent here was not, which is not the same as not found.
    reduced
        Says in which reduced mode the engine ran; empty where it was in none.
    seen_upright
        Whether a network saw the tilted volume resampled to upright slices, and its masks were brought back.
    validation
        What was measured of the network on known truths; None where nothing was.
    imports
        The SEG that segments were imported from.
    """

    geometry: Geometry
    series_instance_uid: str
    engine: str
    searched: frozenset[Structure]
    segments: tuple[Segment, ...]
    reduced: str = ""
    seen_upright: bool = False
    validation: Validation | None = None
    imports: tuple[Import, ...] = ()

    @property
    def demonstration(self) -> bool:
        """Whether the demonstration model made it."""
        return self.engine.startswith(DEMONSTRATION)

    @property
    def imported(self) -> bool:
        """Whether it came with the study."""
        return self.engine == IMPORTED

    def find(self, structure: Structure) -> Region | None:
        """Return the region of a structure; of several segments the first."""
        return next((segment.region for segment in self.segments if segment.structure is structure), None)

    def all(self, structure: Structure) -> tuple[Segment, ...]:
        """Return every segment of a structure."""
        return tuple(segment for segment in self.segments if segment.structure is structure)
