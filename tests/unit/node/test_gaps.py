from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedCTImageStorage, SecondaryCaptureImageStorage

from node.content import Header, gather
from node.gaps import find

Find = Callable[..., list[tuple[int, float]]]
TILTED = [1, 0, 0, 0, 0.94, 0.342]


@pytest.fixture(scope="session")
def gaps(series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]) -> Find:
    """Return a function that finds the gaps of a series with slices at these heights: slices missing, step."""

    def of(heights_mm: Sequence[float], **attributes: Any) -> list[tuple[int, float]]:
        values = {"ImagePositionPatient": lambda index: [0, 0, heights_mm[index]]} | attributes
        headers = headers_of(series(count=len(heights_mm), **values))
        return [(one.missing, round(one.step_mm, 3)) for one in find(gather("1.2.3", headers).series)]

    return of


def grid(*ranges: tuple[float, float, float]) -> list[float]:
    """Return heights of stacks: first, last and step of each."""
    found = []
    for first, last, step in ranges:
        found += [first + step * index for index in range(round((last - first) / step) + 1)]
    return found


def by_range(counts: Sequence[int], values: Sequence[Any]) -> Callable[[int], Any]:
    """Return the value of each stack for its slices."""
    flat = [value for count, value in zip(counts, values, strict=True) for _ in range(count)]
    return lambda index: flat[index]


@pytest.mark.parametrize(
    ("heights", "found"),
    [
        (grid((0, 33, 3)), []),
        (grid((0, 15, 3), (21, 33, 3)), [(1, 6.0)]),
        (grid((0, 15, 3), (27, 45, 3)), [(3, 12.0)]),
        (grid((0, 9, 3), (15, 21, 3), (27, 40, 3)), [(1, 6.0), (1, 6.0)]),
        (grid((0, 15, 3), (21, 33, 3))[::-1], [(1, 6.0)]),
        (grid((0, 2.5, 0.5), (3.52, 6.02, 0.5)), [(1, 1.02)]),
        ([0, 3, 9, 12], [(1, 6.0)]),
        ([0, 3, 9], []),
        ([0, 3, 6, 7.5, 10.5, 13.5], []),
        ([0, 3, 6, 10.5, 13.5, 16.5], []),
        ([7.0] * 20, []),
    ],
    ids=[
        "whole", "one", "three", "two-places", "head-first", "jitter", "four-slices", "three-slices", "half-step",
        "table-moved", "one-position",
    ],
)  # fmt: skip
def test_a_step_of_a_whole_multiple_is_a_gap(gaps: Find, heights: list[float], found: list[tuple[int, float]]) -> None:
    """It is found in whatever order the slices come, and how many would fit is told; what is no multiple is no gap."""
    assert gaps(heights) == found


def test_slices_at_one_position_count_once(gaps: Find) -> None:
    """Two phases in one series leave the gap that they share; a step of zero is not the usual one."""
    heights = grid((0, 15, 3), (21, 33, 3))
    assert gaps([*heights, *heights]) == [(1, 6.0)]
    assert gaps(grid((0, 33, 3)) * 2) == []


def test_each_acquisition_is_looked_at_alone(gaps: Find) -> None:
    """A slice that only the second phase lacks is missing, although the first one has it."""
    first, second = grid((0, 33, 3)), grid((0, 15, 3), (21, 33, 3))
    numbers = by_range([len(first), len(second)], [1, 2])
    assert gaps([*first, *second]) == []
    assert gaps([*first, *second], AcquisitionNumber=numbers) == [(1, 6.0)]


def test_acquisitions_side_by_side_have_no_gap_between_them(gaps: Find) -> None:
    """What lies between two acquisitions was not scanned."""
    parts = (grid((0, 30, 3)), grid((42, 90, 3)))
    numbers = by_range([len(part) for part in parts], [1, 2])
    assert gaps([*parts[0], *parts[1]], AcquisitionNumber=numbers) == []
    assert gaps([*parts[0], *parts[1]]) == [(3, 12.0)]


def test_a_number_for_each_slice_divides_nothing(gaps: Find) -> None:
    """Scanners that count every rotation do not hide a gap."""
    assert gaps(grid((0, 15, 3), (21, 33, 3)), AcquisitionNumber=lambda index: index + 1) == [(1, 6.0)]


@pytest.mark.parametrize(("number", "found"), [(1, [(22, 69.0)]), (None, [])], ids=["one-acquisition", "unknown"])
def test_two_stacks_far_apart(gaps: Find, number: int | None, found: list[tuple[int, float]]) -> None:
    """Beyond 50 mm slices are only missing where one acquisition must have gone through: chest and pelvis are legal."""
    assert gaps(grid((0, 60, 3), (129, 180, 3)), AcquisitionNumber=number) == found


def test_a_far_gap_that_another_acquisition_fills_is_none(gaps: Find) -> None:
    """A number that stands at both ends, with another acquisition between them, is one stack after the other."""
    parts = (grid((0, 60, 3)), grid((120, 180, 3)), grid((63, 117, 3)))
    numbers = by_range([len(part) for part in parts], [1, 1, 2])
    assert gaps([height for part in parts for height in part], AcquisitionNumber=numbers) == []


def test_another_thickness_has_another_step(gaps: Find) -> None:
    """Thin slices through the liver and thick ones beyond it are no gaps; a thick one that is missing is."""
    parts = (grid((0, 60, 10)), grid((65, 120, 5)), grid((130, 190, 10)))
    thickness = by_range([len(part) for part in parts], [10, 5, 10])
    heights = [height for part in parts for height in part]
    assert gaps(heights, SliceThickness=thickness) == []
    holed = [height for height in heights if height != 160]
    assert gaps(holed, SliceThickness=lambda index: 5 if 60 < holed[index] < 125 else 10) == [(1, 20.0)]


def test_every_other_slice_missing_in_a_part_is_a_gap(gaps: Find) -> None:
    """What one of two associations had to bring is missing, where the thickness says that nothing changed there."""
    assert gaps(grid((0, 60, 3), (66, 90, 6), (93, 150, 3)), SliceThickness=3) == [(1, 6.0)] * 5


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]},
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MPR"]},
        {"ImageType": ["DERIVED", "SECONDARY", "MIP"]},
        {"Modality": "PT"},
        {"SOPClassUID": SecondaryCaptureImageStorage},
        {"SOPClassUID": EnhancedCTImageStorage, "NumberOfFrames": 4},
        {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
        {"PixelSpacing": None},
    ],
    ids=["localizer", "reformat", "mpr", "mip", "pet", "capture", "enhanced", "coronal", "no-plane"],
)
def test_what_is_no_stack_of_slices_is_no_evidence(gaps: Find, attributes: dict[str, Any]) -> None:
    """Localizers, reformats and other modalities may have any steps."""
    heights = grid((0, 15, 3), (21, 33, 3))
    assert gaps(heights) == [(1, 6.0)]
    assert gaps(heights, **attributes) == []


def test_steps_are_measured_along_the_normal(
    series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]
) -> None:
    """A tilted gantry shears the stack: the gap is found by its perpendicular step, and told with its series."""
    datasets = series(count=14, SeriesNumber=5, ImageOrientationPatient=TILTED, step_mm=3.0)
    del datasets[6]
    [gap] = find(gather("1.2.3", headers_of(datasets)).series)
    assert gap.step_mm == pytest.approx(6 * 0.94 / (0.94**2 + 0.342**2) ** 0.5)
    assert str(gap).startswith("in series 5, 1 slice seems to be missing after position ")


@pytest.mark.parametrize("name", ["abdomen3mm/ct", "crlm-ct-1004"])
def test_real_series_are_whole_and_lack_what_is_taken_away(
    test_data: Path, headers_of: Callable[..., list[Header]], name: str
) -> None:
    """The shared CTs have no gap; without one slice from their midst they have one."""
    datasets = [dcmread(path, stop_before_pixels=True) for path in sorted((test_data / name).rglob("*.dcm"))]
    datasets = [one for one in datasets if one.Modality == "CT"]
    datasets.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    assert len(datasets) > 40
    assert find(gather("1.2.3", headers_of(datasets)).series) == ()
    del datasets[20]
    assert [one.missing for one in find(gather("1.2.3", headers_of(datasets)).series)] == [1]
