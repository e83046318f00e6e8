import hashlib
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_validation import validation

from node.core.codes import Structure
from node.core.errors import Untrusted
from node.core.grid import Geometry
from node.core.reasons import StudyRefusal
from node.core.records import Instance
from workers.records import AlgorithmType, LabelMap, Mask, Region, Segment
from workers.stored_labels import dump_labels, parse_labels
from workers.validation import Errors

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
starts = st.tuples(*[st.integers(0, 400)] * 3)
near = st.tuples(*[st.integers(0, 9)] * 3)
millimetres = st.floats(-500, 500, allow_nan=False)
vectors = st.tuples(millimetres, millimetres, millimetres)
texts = st.text(max_size=12)
instances = st.builds(Instance, texts, texts, texts, texts, texts)
regions = st.builds(lambda mask, start: Region.of(mask, start), masks.filter(np.any), starts)
segments = st.builds(
    Segment, st.sampled_from(Structure), texts, regions, st.sampled_from(AlgorithmType), texts, st.none() | instances
)
geometries = st.builds(Geometry, starts, vectors, vectors, vectors, vectors, texts)
label_maps = st.builds(
    LabelMap,
    geometries,
    texts,
    texts,
    st.frozensets(st.sampled_from(Structure)),
    st.lists(segments, max_size=4).map(tuple),
    validation=st.none() | st.just(validation()),
)


def same(one: LabelMap, other: LabelMap) -> bool:
    """Compare two segmentations, their masks voxel by voxel."""

    def facts(labels: LabelMap) -> list[Any]:
        plain = {name: value for name, value in vars(labels).items() if name != "segments"}
        drawn = [
            {**vars(segment), "region": (segment.region.start, segment.region.mask.tolist())}
            for segment in labels.segments
        ]
        return [plain, drawn]

    return facts(one) == facts(other)


@given(labels=label_maps)
@settings(max_examples=60, deadline=None)
def test_a_label_map_comes_back_as_it_was_stored(labels: LabelMap) -> None:
    """Every field and every voxel survives the file, whatever names, shapes and sources it holds."""
    assert same(parse_labels(dump_labels(labels)), labels)


@pytest.fixture(scope="module")
def stored() -> bytes:
    mask = np.random.default_rng(3).random((4, 9, 7)) > 0.4
    region = Region.of(mask, (2, 30, 40))
    assert region is not None
    segment = Segment(Structure.LIVER, "Liver", region, AlgorithmType.MANUAL, "hand")
    step = (0.0, 0.0, 3.0), (0.0, 0.8, 0.0), (0.8, 0.0, 0.0)
    geometry = Geometry((8, 64, 64), (0.0, 0.0, 0.0), *step, "1.2.3")
    return dump_labels(LabelMap(geometry, "1.2.4", "made", frozenset({Structure.LIVER}), (segment,)))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_label_file_is_never_read(data: st.DataObject, stored: bytes) -> None:
    """One changed byte anywhere stops the job as untrusted; nothing else is ever raised, and nothing is measured."""
    content = bytearray(stored)
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Untrusted) as caught:
        parse_labels(bytes(content))
    assert caught.value.code is StudyRefusal.INPUT_UNTRUSTED


@given(length=st.integers(0, 2000))
@settings(max_examples=60, deadline=None)
def test_a_cut_label_file_is_never_read(length: int, stored: bytes) -> None:
    """A file that ends early, the empty one too, is untrusted."""
    with pytest.raises(Untrusted):
        parse_labels(stored[: min(length, len(stored) - 1)])


def test_a_label_file_of_something_else_is_never_read() -> None:
    """A sound NumPy archive that is no segmentation is untrusted."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, other=np.arange(3))
    with pytest.raises(Untrusted):
        parse_labels(buffer.getvalue())


def test_a_label_file_of_an_earlier_version_is_read(stored: bytes) -> None:
    """One that says nothing of a validation has none."""
    with np.load(io.BytesIO(stored[:-32])) as file:
        facts, bits = json.loads(file["facts"].tobytes()), file["mask0"]
    del facts["validation"]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8), mask0=bits)
    archive = buffer.getvalue()
    assert same(parse_labels(archive + hashlib.sha256(archive).digest()), parse_labels(stored))


@pytest.mark.parametrize("errors", [(0.1, -1.0), (0.1, float("nan")), (float("inf"),)])
def test_errors_that_are_none_are_not_taken(errors: tuple[float, ...]) -> None:
    """A part of -1 or less says that nothing was there; what is no number says nothing."""
    with pytest.raises(ValueError, match="an error is finite"):
        Errors(True, errors)


def test_the_same_labels_give_the_same_bytes(stored: bytes) -> None:
    """The file holds no time of writing: a stage that runs again writes what it wrote before."""
    assert dump_labels(parse_labels(stored)) == stored


@given(mask=masks, start=starts)
@settings(max_examples=100, deadline=None)
def test_a_region_is_the_mask_in_its_tightest_box(mask: Mask, start: tuple[int, int, int]) -> None:
    """Region.of keeps every voxel, touches all six sides of its box, and is None where nothing is inside."""
    region = Region.of(mask, start)
    if region is None:
        assert not mask.any()
        return
    whole = np.zeros([first + size for first, size in zip(start, mask.shape, strict=True)], dtype=bool)
    whole[tuple(slice(first, None) for first in start)] = mask
    assert np.array_equal(region.full(whole.shape), whole)
    for axis in range(3):
        sides = np.take(region.mask, [0, -1], axis=axis)
        assert sides.any(axis=tuple(other for other in range(3) if other != axis)).all()
    assert region.count == mask.sum()


@given(one=masks, other=masks, starts=st.tuples(near, near))
@settings(max_examples=200, deadline=None)
def test_two_regions_have_in_common_what_their_masks_have(
    one: Mask, other: Mask, starts: tuple[tuple[int, int, int], tuple[int, int, int]]
) -> None:
    """`common` is the intersection in the volume, in its tightest box; None where nothing is in both."""
    first, second = (Region.of(mask, start) for mask, start in zip((one, other), starts, strict=True))
    if first is None or second is None:
        return
    shape = (16, 16, 16)
    both = first.full(shape) & second.full(shape)
    found, expected = first.common(second), Region.of(both)
    if expected is None or found is None:
        assert found is expected
        return
    assert found.start == expected.start
    assert np.array_equal(found.mask, expected.mask)


def test_a_region_reads_values_and_slices_of_the_volume() -> None:
    """`values` follows the mask, `on_slice` is empty outside the box, `slices` counts in the volume."""
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[2, 3, 4] = mask[3, 1, 5] = True
    region = Region.of(mask)
    assert region is not None
    array = np.arange(mask.size).reshape(mask.shape)
    assert region.values(array).tolist() == array[mask].tolist()
    assert region.slices == range(2, 4)
    assert region.on_slice(2).tolist() == [[False, False], [False, False], [True, False]]
    assert not region.on_slice(0).any()
    assert not region.on_slice(4).any()


def test_find_and_all_tell_one_segment_from_several(stored: bytes) -> None:
    """`find` gives the first of a structure or None, `all` gives each."""
    labels = parse_labels(stored)
    assert labels.find(Structure.LESION) is None
    assert labels.all(Structure.LESION) == ()
    assert labels.find(Structure.LIVER) is labels.segments[0].region
    assert labels.all(Structure.LIVER) == labels.segments
