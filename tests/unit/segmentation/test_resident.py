"""The engine `resident`: its resampling is scipy's to the last bit, its way back the library's, its steps are told."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from node.core.grid import Geometry


@pytest.fixture(scope="module", autouse=True)
def _libraries(lacking: Callable[[str], None]) -> None:
    """The engine needs what the worker brings."""
    for component in ("torch", "totalsegmentator", "numba"):
        if importlib.util.find_spec(component) is None:
            lacking(component)


def test_steps_of_a_gpu_and_of_a_cpu() -> None:
    """A GPU steps down as far as it is let, each step in a sentence of its own; a CPU has nowhere to go."""
    from workers.segmentation.resident.ladder import steps

    assert [step.device for step in steps("cpu", fast=False, further=True)] == ["cpu"]
    assert [step.note for step in steps("gpu:1", fast=False, further=False)] == [""]
    found = steps("gpu:1", fast=False, further=True)
    assert [(step.device, step.fast, step.share < 1) for step in found] == [
        ("gpu:1", False, False),
        ("gpu:1", False, True),
        ("gpu:1", True, True),
        ("cpu", False, False),
    ]
    coarse = steps("gpu", fast=True, further=True)
    assert [(step.device, step.fast) for step in coarse] == [("gpu", True), ("gpu", True), ("cpu", True)]
    for one in (found, coarse):
        assert len({step.note for step in one}) == len(one)
    assert all("3 mm" in step.note for step in coarse)


SHAPES = (((9, 7, 5), (4, 9, 5)), ((6, 1, 8), (13, 1, 3)), ((40, 30, 20), (19, 14, 33)), ((5, 5, 5), (1, 2, 5)))


@pytest.mark.parametrize(("old", "new"), SHAPES)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_the_picture_is_scipys_to_the_last_bit(old: Any, new: Any, dtype: Any) -> None:
    """Interpolated and cut to whole numbers, a picture is what the library makes of it, however it lies in memory."""
    from workers.segmentation.resident.resampling import linear

    rng = np.random.default_rng(4)
    lying = rng.normal(0, 900, old[::-1]).astype(dtype).transpose(2, 1, 0)
    for values in (lying, lying[::-1, :, ::-1], np.ascontiguousarray(lying)):
        zoom = [after / before for before, after in zip(old, new, strict=True)]
        wanted = ndimage.zoom(values.astype(np.float64), zoom, order=1, mode="nearest").astype(np.int32)
        np.testing.assert_array_equal(linear(values, new).transpose(2, 1, 0), wanted)


def test_labels_are_taken_from_scipys_voxels() -> None:
    """Brought back by the nearest, each voxel is that which scipy takes."""
    from workers.segmentation.resident.resampling import nearest

    for old in (1, 2, 3, 7, 40, 133):
        for new in (1, 2, 5, 40, 97, 300):
            wanted = ndimage.zoom(np.arange(old, dtype=np.float64), new / old, order=0, mode="nearest")
            np.testing.assert_array_equal(nearest(old, new), wanted, err_msg=f"{old} to {new}")


def oblique() -> Geometry:
    """Return a grid whose slices go towards the feet, rows and columns exchanged, a little turned."""
    return Geometry((11, 13, 17), (3.0, -4.0, 5.0), (0.0, 0.3, -4.0), (1.4, 0.0, 0.0), (0.0, -1.1, -0.08), "1.2")


@pytest.mark.parametrize("crop", [False, True])
def test_a_structure_is_brought_back_in_its_box(crop: bool) -> None:
    """Boxed and whole, a label is on the source grid where the library's own functions bring it."""
    from totalsegmentator.alignment import as_closest_canonical, undo_canonical
    from totalsegmentator.cropping import crop_to_mask, undo_crop
    from totalsegmentator.resampling import change_spacing

    from workers.segmentation.library import as_nifti, as_volume
    from workers.segmentation.resident.picture import Labels, Picture

    rng = np.random.default_rng(6)
    geometry = oblique()
    hu = rng.integers(-1000, 1000, geometry.shape).astype(np.int16)
    image = whole = as_nifti(hu, geometry)
    picture = Picture.of(hu, geometry)
    if crop:
        mask = np.zeros(geometry.shape, dtype=np.int16)
        mask[4:6, 5:9, 3:12] = 1
        image, box = crop_to_mask(image, as_nifti(mask, geometry), addon=[2, 2, 2], dtype=np.int32)
        picture = picture.cropped((range(4, 6), range(5, 9), range(3, 12)), 2.0)
    turned = as_closest_canonical(image)
    wanted = change_spacing(turned, [1.5, 1.5, 1.5], order=1, dtype=np.int32)
    seen = picture.seen((1.5, 1.5, 1.5))
    np.testing.assert_array_equal(seen.values.transpose(2, 1, 0), wanted.get_fdata())
    np.testing.assert_array_equal(seen.spacing_mm[::-1], wanted.header.get_zooms())
    labels: NDArray[np.uint8] = rng.integers(0, 4, seen.values.shape).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.9] = 0
    answer = type(image)(labels.transpose(2, 1, 0), wanted.affine)
    back = change_spacing(answer, 1.5, turned.shape, order=0, dtype=np.uint8, force_affine=turned.affine)
    back = undo_canonical(back, whole)
    on_source = as_volume(undo_crop(back, whole, box) if crop else back)
    found = Labels(labels, seen.back)
    assert found.region(9) is None
    assert found.box([9]) is None
    for number in (1, 2, 3):
        region = found.region(number)
        assert region is not None
        np.testing.assert_array_equal(region.full(geometry.shape), on_source == number)
        assert found.box([number]) == tuple(range(part.start, part.stop) for part in region.box)
