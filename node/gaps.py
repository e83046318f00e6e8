"""Beside stage 3: slices that seem to be missing inside the series of a study, by the grid of those that came.

Comes in: the series of a `StudyContent`. Goes out: a `Gap` for each place where slices are missing. Only axial CT
slices are looked at: no localizers, no reformats or projections, no Enhanced CT, no series of fewer than four
positions. What can go wrong: nothing is raised; a series whose grid says nothing has no gap. Next:
`node.completeness`.

A gap is a step from one position to the next, along the normal, that is about a whole multiple (two or more) of the
usual step between slices of that thickness. Positions that come again (phases, a repeated scan) count once. Each
acquisition is looked at alone, where the acquisition numbers divide the series into acquisitions. What is no gap:

- a step to slices of another thickness: the protocol changed there;
- more than 50 mm between two slices, unless both are said to be of one acquisition and nothing of the series lies
  between them: two stacks in one series lie so far apart;
- a step that is no multiple: the table was moved. Stage 6 judges it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import CTImageStorage

from node.content import Header, Series
from node.core.dicom import PROJECTIONS
from node.core.grid import Plane, is_axial, upward_normal

_FEWEST = 4  # positions that make a usual step
_SAME_POSITION_MM = 0.01
_FAR_APART_MM = 50.0
_OF_A_STEP = 0.15  # how far from a whole multiple a gap may be; jitter of positions is far below
_NO_SLICES = PROJECTIONS | {"LOCALIZER", "SCOUT", "MPR", "REFORMATTED", "PROJECTION"}  # words of Image Type


@dataclass(frozen=True)
class Gap:
    """A place in a series where slices seem to be missing.

    Parameters
    ----------
    series
        The series in a person's words: `series 3`, or its UID where it has no number.
    missing
        How many slices would fit.
    step_mm, usual_step_mm
        The step found, and the usual one.
    position_mm
        Of the slice before the gap, along the normal.
    """

    series: str
    missing: int
    step_mm: float
    usual_step_mm: float
    position_mm: float

    def __str__(self) -> str:
        """Say it to a person."""
        slices = "slice seems" if self.missing == 1 else "slices seem"
        return (
            f"in {self.series}, {self.missing} {slices} to be missing after position {self.position_mm:.1f} mm "
            f"(a step of {self.step_mm:.2f} mm among steps of {self.usual_step_mm:.2f} mm)"
        )


@dataclass(frozen=True)
class _Slice:
    height_mm: float
    thickness_mm: float | None
    acquisition: int | None


def find(series: Sequence[Series]) -> tuple[Gap, ...]:
    """Return the gaps of all series, in their order."""
    return tuple(gap for one in series for gap in _of_series(one))


def name_of(series: Series) -> str:
    """Return a series in a person's words."""
    return f"series {series.series_instance_uid if series.number is None else series.number}"


def _of_series(series: Series) -> Iterator[Gap]:
    name = name_of(series)
    oriented: defaultdict[tuple[object, ...], list[tuple[Header, Plane]]] = defaultdict(list)
    for header in series.headers:
        if _is_slice(header) and header.plane is not None:
            plane = header.plane
            cosines = tuple(round(value, 2) for value in (*plane.row_cosines, *plane.column_cosines))
            oriented[(*cosines, plane.frame_of_reference_uid)].append((header, plane))
    for members in oriented.values():
        slices = _slices(members)
        heights = np.array([one.height_mm for one in slices])
        for stack in _acquisitions(slices):
            yield from _of_stack(stack, name, heights)


def _is_slice(header: Header) -> bool:
    return (
        header.instance.sop_class_uid == CTImageStorage
        and header.modality == "CT"
        and header.frames == 1
        and header.plane is not None
        and is_axial(header.plane)
        and _NO_SLICES.isdisjoint(word for value in header.image_type[2:] for word in value.split())
    )


def _slices(members: Sequence[tuple[Header, Plane]]) -> list[_Slice]:
    """Return the slices of one orientation, in the order of their positions along the normal."""
    normal = upward_normal(members[0][1])
    slices = [
        _Slice(
            float(np.dot(plane.position_mm, normal)),
            header.technique.slice_thickness_mm,
            header.technique.acquisition_number,
        )
        for header, plane in members
    ]
    return sorted(slices, key=lambda one: one.height_mm)


def _acquisitions(slices: Sequence[_Slice]) -> list[list[_Slice]]:
    """Divide slices by acquisition; not where one stands for less than a stack: each slice may have its own."""
    divided: defaultdict[int | None, list[_Slice]] = defaultdict(list)
    for one in slices:
        divided[one.acquisition].append(one)
    if min(len(stack) for stack in divided.values()) < _FEWEST:
        return [list(slices)]
    return list(divided.values())


def _of_stack(stack: Sequence[_Slice], name: str, all_heights_mm: NDArray[np.float64]) -> Iterator[Gap]:
    heights = np.array([one.height_mm for one in stack])
    begins = np.concatenate([[True], np.diff(heights) > _SAME_POSITION_MM])  # of the slices at one position
    positions, at = heights[begins], np.cumsum(begins) - 1
    if len(positions) < _FEWEST:
        return
    thicknesses: list[set[float | None]] = [set() for _ in positions]
    numbers: list[set[int | None]] = [set() for _ in positions]
    for one, place in zip(stack, at, strict=True):
        thicknesses[place].add(one.thickness_mm)
        numbers[place].add(one.acquisition)
    steps = np.diff(positions)
    shared = [one & other for one, other in pairwise(thicknesses)]
    usual = {
        thickness: float(np.median([step for step, both in zip(steps, shared, strict=True) if thickness in both]))
        for thickness in set().union(*shared)
    }
    for index, step in enumerate(steps):
        if not shared[index]:
            continue
        usual_mm = min(usual[thickness] for thickness in shared[index])
        count = round(float(step) / usual_mm)
        if count < 2 or abs(step / usual_mm - count) > _OF_A_STEP:
            continue
        same = (numbers[index] & numbers[index + 1]) - {None}
        inside = (all_heights_mm > positions[index] + usual_mm / 2) & (
            all_heights_mm < positions[index + 1] - usual_mm / 2
        )
        if step > _FAR_APART_MM and (not same or inside.any()):
            continue
        yield Gap(name, count - 1, float(step), usual_mm, float(positions[index]))
