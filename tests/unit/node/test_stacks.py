"""Several volumes in one series: by what they are told apart, and when they stay together."""

from collections.abc import Callable
from math import cos, sin
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from node.content import Header
from node.selection.stacks import Part, split

Split = Callable[..., list[tuple[str, int]]]
CORONAL = [1, 0, 0, 0, 0, -1]


@pytest.fixture(scope="session")
def parts_of(
    series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]
) -> Callable[..., list[Part]]:
    """Return a function that makes a series of `levels` positions, each `times` held, and splits it."""

    def make(levels: int = 12, times: int = 2, **attributes: Any) -> list[Part]:
        place = {"ImagePositionPatient": lambda index: [0, 0, 3 * (index % levels)]}
        return list(split(tuple(headers_of(series(count=levels * times, **(place | attributes)))), 10))

    return make


@pytest.fixture(scope="session")
def sizes(parts_of: Callable[..., list[Part]]) -> Split:
    """Return a function that does the same and tells name and size of each part."""
    return lambda *args, **attributes: [(one.name, len(one.images)) for one in parts_of(*args, **attributes)]


def clock(seconds: float) -> str:
    return f"{10 + int(seconds // 3600):02d}{int(seconds // 60) % 60:02d}{seconds % 60:05.2f}"


DAY = {"AcquisitionDate": "20260105", "ContentDate": "20260105"}
TOLD_APART = {
    "acquisition": ({"AcquisitionNumber": lambda index: 3 + index // 12}, ["acquisition 3", "acquisition 4"]),
    "temporal position": (
        {"AcquisitionNumber": 1, "TemporalPositionIdentifier": lambda index: 1 + index // 12},
        ["temporal position 1", "temporal position 2"],
    ),
    "trigger": (
        {"TriggerTime": lambda index: 350.0 * (index // 12)},
        ["trigger time 0", "trigger time 350"],
    ),
    "acquisition time, one for all": (
        {**DAY, "AcquisitionTime": lambda index: clock(40 * (index // 12))},
        ["acquisition time 1 of 2", "acquisition time 2 of 2"],
    ),
    "acquisition time, running": (
        {**DAY, "AcquisitionTime": lambda index: clock(0.5 * index + 30 * (index // 12))},
        ["acquisition time 1 of 2", "acquisition time 2 of 2"],
    ),
    "an acquisition number for each rotation": (
        {**DAY, "AcquisitionNumber": lambda i: i + 1, "AcquisitionTime": lambda i: clock(i + 30 * (i // 12))},
        ["acquisition time 1 of 2", "acquisition time 2 of 2"],
    ),
    "content time of a second reconstruction": (
        {**DAY, "AcquisitionTime": lambda index: clock(index % 12), "ContentTime": lambda i: clock(600 * (i // 12))},
        ["content time 1 of 2", "content time 2 of 2"],
    ),
    "image type": (
        {"ImageType": lambda index: ["ORIGINAL", "PRIMARY", "AXIAL", f"PHASE{index // 12}"]},
        ["reconstruction 1 of 2", "reconstruction 2 of 2"],
    ),
    "kernel": (
        {"AcquisitionNumber": 1, "ConvolutionKernel": lambda index: "B30f" if index < 12 else "B70f"},
        ["reconstruction 1 of 2", "reconstruction 2 of 2"],
    ),
}


@pytest.mark.parametrize(("attributes", "names"), TOLD_APART.values(), ids=TOLD_APART.keys())
def test_positions_held_twice_are_told_apart(attributes: dict[str, Any], names: list[str], sizes: Split) -> None:
    """By the first attribute in whose parts no two slices share a position."""
    assert sizes(**attributes) == [(name, 12) for name in names]


def test_every_part_has_each_position_once(parts_of: Callable[..., list[Part]]) -> None:
    """What goes into one volume is of one acquisition."""
    for part in parts_of(times=3, AcquisitionNumber=lambda index: 1 + index // 12):
        assert len({one.plane.position_mm for one in part.images if one.plane}) == 12
        assert len({one.technique.acquisition_number for one in part.images}) == 1


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"AcquisitionNumber": 1},
        {"AcquisitionNumber": lambda index: 1 + index % 2},
        {"AcquisitionNumber": lambda index: 1 + index // 12 if index else None},
        {"AcquisitionNumber": lambda index: index + 1},
        {**DAY, "AcquisitionTime": "101500"},
        {**DAY, "AcquisitionTime": lambda index: clock(index % 12)},
    ],
    ids=["nothing", "same", "both-in-each", "one-without", "each-its-own", "same-time", "time-of-both"],
)
def test_what_nothing_tells_apart_stays_together(attributes: dict[str, Any], sizes: Split) -> None:
    """Stage 6 then refuses it as duplicate-positions: no part is measured that mixes two acquisitions."""
    assert sizes(**attributes) == [("", 24)]


def test_a_scan_of_several_acquisitions_that_share_no_position_stays_whole(sizes: Split) -> None:
    """A helical scan in three runs is one volume; so is one of many rotations."""
    assert sizes(36, 1, AcquisitionNumber=lambda index: 1 + index // 12) == [("", 36)]
    assert sizes(36, 1, AcquisitionNumber=lambda index: index) == [("", 36)]


def test_one_slice_twice_without_a_time_of_its_own_stays(sizes: Split) -> None:
    """Equal times are no pause: which of the two belongs to the others nobody knows."""
    place = {"ImagePositionPatient": lambda index: [0, 0, 3 * (index % 12)]}
    assert sizes(13, 1, **place, **DAY, AcquisitionTime="101500", ContentTime="101500") == [("", 13)]


def test_a_few_slices_sent_again_leave_the_others_a_volume(sizes: Split) -> None:
    """Three slices that came once more, with a later content time, are a part that is too small."""
    again = lambda index: clock(index + (3600 if index >= 20 else 0))  # noqa: E731
    assert sizes(20, 2, **DAY, ContentTime=again)[0] == ("content time 1 of 2", 20)


def stack_of(index: int) -> bool:
    return index < 14


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageOrientationPatient": lambda index: [1, 0, 0, 0, 1, 0] if stack_of(index) else CORONAL},
        {"Rows": lambda index: 8 if stack_of(index) else 16},
        {"PixelSpacing": lambda index: [0.8, 0.8] if stack_of(index) else [0.7, 0.7]},
    ],
    ids=["orientation", "matrix", "spacing"],
)
def test_slices_of_two_planes_are_two_stacks(attributes: dict[str, Any], sizes: Split) -> None:
    """The larger first."""
    assert sizes(24, 1, **attributes) == [("stack 1 of 2", 14), ("stack 2 of 2", 10)]


def test_a_stack_of_two_acquisitions_is_split_further(sizes: Split) -> None:
    """A scout that is not marked as one, and two phases."""
    scout = lambda index: CORONAL if index == 24 else [1, 0, 0, 0, 1, 0]  # noqa: E731
    found = sizes(12, 3, AcquisitionNumber=lambda i: 1 + i // 12, ImageOrientationPatient=scout)
    assert ("stack 1 of 2, acquisition 1", 12) in found
    assert ("stack 2 of 2", 1) in found


def test_where_no_plane_has_enough_slices_all_stay_together(sizes: Split) -> None:
    """Stage 6 then tells of the mixed orientation, which is more than that slices are few."""
    every_third = lambda index: [[1, 0, 0, 0, 1, 0], CORONAL, [0, 1, 0, 0, 0, -1]][index % 3]  # noqa: E731
    assert sizes(15, 1, ImageOrientationPatient=every_third) == [("", 15)]


def test_slices_that_turn_about_an_axis_are_no_stacks(sizes: Split) -> None:
    """Of a radial reformat with a plane for each slice nothing is left over as a stack of a few."""
    turn = lambda index: [cos(index), sin(index), 0, 0, 0, -1] if index < 100 else [1, 0, 0, 0, 1, 0]  # noqa: E731
    assert sizes(120, 1, ImageOrientationPatient=turn) == [("", 120)]


def test_noise_in_cosines_is_no_second_stack(sizes: Split) -> None:
    """Scanners round each slice for itself."""
    assert sizes(12, 1, ImageOrientationPatient=lambda index: [1, 0, 0, 0, 1, 1e-5 * index]) == [("", 12)]


@given(order=st.permutations(range(24)))
@settings(deadline=None)
def test_the_order_of_the_slices_does_not_matter(parts_of: Callable[..., list[Part]], order: list[int]) -> None:
    """Whatever order they come in, each part holds the same slices."""
    times = {**DAY, "AcquisitionTime": lambda index: clock(index + 30 * (index // 12))}
    together = [image for part in parts_of(**times) for image in part.images]
    parts = split(tuple(together[index] for index in order), 10)
    found = [{one.instance.sop_instance_uid for one in part.images} for part in parts]
    assert found == [{f"1.2.3.1.{index + 1}" for index in range(begin, begin + 12)} for begin in (0, 12)]
