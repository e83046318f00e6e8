"""The frames of a DICOM SEG, laid on the slices of a volume by their plane positions (PS3.3 C.7.6.16.2.3).

Comes in: a SEG, the numbers of segments, the grid of a volume. Goes out: a region for each segment and one for all
others together, never resampled. What can go wrong: it is not of this grid, and there are no regions; or it is no
sound SEG (`FAULTS`). Next: `segmentation.imported`, `extraction`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from node.core.grid import Geometry
from workers.records import Region

OTHERS = 0
"""What stands for all segments that were not asked for; the standard's numbers begin with 1."""
_GRID_TOLERANCE_VOXELS = 0.05
# What pydicom and highdicom raise on an object that is no sound SEG.
FAULTS = (AttributeError, EOFError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


def regions(seg: hd.seg.Segmentation, segments: Collection[int], geometry: Geometry) -> dict[int, Region] | None:
    """Return the region of each of some segments by its number, and that of all others together as `OTHERS`.

    One that is empty is not there. None where the SEG is of another frame of reference, or a frame of it is off the
    volume's grid.
    """
    if seg.get("FrameOfReferenceUID") != geometry.frame_of_reference_uid:
        return None
    planes: dict[int, dict[int, NDArray[np.bool_]]] = defaultdict(dict)
    inverse = np.asarray(np.linalg.inv(geometry.affine), dtype=np.float64)
    placements: dict[tuple[float, ...], _Placement | None] = {}
    for frame, position, orientation, spacing in _frames(seg):
        key = (*position, *orientation, *spacing)
        if key not in placements:
            placements[key] = _place(inverse, geometry.shape, seg, position, orientation, spacing)
        placement = placements[key]
        if placement is None:
            return None
        for number, mask in _masks(seg, segments, frame):
            plane, layers = placement.lay(mask, geometry.shape), planes[number]
            if (before := layers.get(placement.slice)) is not None:
                plane |= before
            layers[placement.slice] = plane
    found = {}
    for number, layers in planes.items():
        first, last = min(layers), max(layers)
        stacked = np.zeros((last - first + 1, *geometry.shape[1:]), dtype=bool)
        for index, mask in layers.items():
            stacked[index - first] = mask
        if (region := Region.of(stacked, (first, 0, 0))) is not None:
            found[number] = region
    return found


def _frames(seg: hd.seg.Segmentation) -> Iterator[tuple[int, list[float], list[float], list[float]]]:
    """Yield frame number (1-based), position, orientation cosines and pixel spacing of each frame."""
    for frame in range(1, len(seg.PerFrameFunctionalGroupsSequence) + 1):
        yield (
            frame,
            [float(value) for value in _group(seg, frame, "PlanePositionSequence").ImagePositionPatient],
            [float(value) for value in _group(seg, frame, "PlaneOrientationSequence").ImageOrientationPatient],
            [float(value) for value in _group(seg, frame, "PixelMeasuresSequence").PixelSpacing],
        )


def _group(seg: hd.seg.Segmentation, frame: int, keyword: str) -> Dataset:
    """Return a functional group of a frame: its own, or the one that all frames share (PS3.3 C.7.6.16)."""
    own = seg.PerFrameFunctionalGroupsSequence[frame - 1]
    place = own if keyword in own else seg.SharedFunctionalGroupsSequence[0]
    group: Dataset = place[keyword][0]
    return group


@dataclass(frozen=True)
class _Placement:
    """Where a frame lies in the volume: its slice, and how its pixels go to the slice's rows and columns."""

    slice: int
    transposed: bool
    flips: tuple[int, int]
    start: tuple[int, int]

    def lay(self, mask: NDArray[np.bool_], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
        """Return the frame's mask as a whole slice of the volume."""
        turned = mask.T if self.transposed else mask
        turned = turned[:: self.flips[0], :: self.flips[1]]
        plane = np.zeros(shape[1:], dtype=bool)
        rows, columns = self.start
        plane[rows : rows + turned.shape[0], columns : columns + turned.shape[1]] = turned
        return plane


def _place(
    inverse: NDArray[np.float64],
    shape: tuple[int, int, int],
    seg: Dataset,
    position: list[float],
    orientation: list[float],
    spacing: list[float],
) -> _Placement | None:
    """Find a frame's place from its first, its last-row and its last-column voxel; None if it is off the grid."""
    rows, columns = int(seg.Rows), int(seg.Columns)
    origin = np.asarray(position)
    down = np.asarray(orientation[3:]) * spacing[0] * (rows - 1)
    right = np.asarray(orientation[:3]) * spacing[1] * (columns - 1)
    corners = np.stack([origin, origin + down, origin + right], axis=1)
    found = (inverse @ np.vstack([corners, np.ones(3)]))[:3].T
    whole = np.rint(found)
    if np.abs(found - whole).max() > _GRID_TOLERANCE_VOXELS:
        return None
    first, lowest, rightmost = whole.astype(int)
    span_down, span_right = lowest - first, rightmost - first
    if span_down[0] or span_right[0] or not 0 <= first[0] < shape[0]:
        return None
    transposed = bool(span_down[2]) and not span_down[1]
    across = (span_right[1], span_down[2]) if transposed else (span_down[1], span_right[2])
    expected = (columns - 1, rows - 1) if transposed else (rows - 1, columns - 1)
    start = np.minimum(np.minimum(first, lowest), rightmost)[1:]
    end = start + np.abs(across)
    if tuple(np.abs(across)) != expected or min(start) < 0 or end[0] >= shape[1] or end[1] >= shape[2]:
        return None
    flips = (-1 if across[0] < 0 else 1, -1 if across[1] < 0 else 1)
    return _Placement(int(first[0]), transposed, flips, (int(start[0]), int(start[1])))


def _masks(seg: hd.seg.Segmentation, segments: Collection[int], frame: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield those of the segments that a frame has, and the others, in the frame's own rows and columns."""
    if seg.SegmentationType == "LABELMAP":
        stored: NDArray[Any] = seg.get_stored_frame(frame)
        others = stored != 0
        for number in segments:
            if (mask := stored == number).any():
                yield number, mask
                others &= ~mask
        if others.any():
            yield OTHERS, others
        return
    number = int(_group(seg, frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)
    threshold = int(seg.MaximumFractionalValue) / 2 if seg.SegmentationType == "FRACTIONAL" else 0
    yield number if number in segments else OTHERS, seg.get_stored_frame(frame) > threshold
