"""Our classes of radiomic features against PyRadiomics, the oracle."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from feature_oracle import OURS, Asked, Case, differences
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workers.measurement.radiomics import cubes, ngtdm
from workers.measurement.radiomics.roi import Levels, Roi

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
TEXTURES = [name for name in OURS if name not in ("firstorder", "shape")]


@pytest.fixture(autouse=True)
def oracle(lacking: Callable[[str], None]) -> None:
    if find_spec("radiomics") is None:
        lacking("PyRadiomics")


def _blob(side: int = 18, spread: float = 2.0, seed: int = 1) -> Case:
    """Return an egg with a hole, of smooth noise, in voxels of three different lengths."""
    random = np.random.default_rng(seed)
    along = (np.arange(side) - (side - 1) / 2) ** 2 / (side / 2) ** 2
    away = np.sqrt(1.5 * along[:, None, None] + along[None, :, None] + 1.2 * along[None, None, :])
    mask = (away < 0.95) & (away > 0.25)
    noise = random.normal(size=mask.shape)
    smooth = noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)
    return Case.cropped(60 + spread * smooth, mask, (2.5, 0.8, 0.9))


SETTINGS = [
    Asked(),
    Asked(voxel_array_shift=2000),
    Asked(distances=(2,)),
    Asked(distances=(1, 3)),
    Asked(gldm_a=2),
    Asked(symmetrical_glcm=False),
    Asked(symmetrical_glcm=False, distances=(2,), weighting_norm="manhattan"),
    *(Asked(force2d=True, force2d_dimension=axis) for axis in range(3)),
    *(Asked(weighting_norm=norm) for norm in ("infinity", "euclidean", "manhattan", "no_weighting")),
    Asked(force2d=True, force2d_dimension=1, weighting_norm="euclidean", distances=(1, 2)),
]


@pytest.mark.parametrize("asked", SETTINGS, ids=repr)
def test_each_setting_changes_a_feature_as_it_does_in_pyradiomics(asked: Asked) -> None:
    """Same names in the same order, same values, for each class that reads settings."""
    blob = _blob()
    case = Case(blob.values, blob.mask, blob.spacing_mm, asked)
    for name in ("firstorder", *TEXTURES):
        assert differences(case.ours(name), case.theirs(name)) == [], name


@pytest.mark.parametrize("seed", range(3))
def test_shape_is_that_of_pyradiomics(seed: int) -> None:
    """Area, volume, widths and axes of a solid, of noise with holes in its surface, and of one slice."""
    random = np.random.default_rng(seed)
    noise = random.random((7, 9, 8)) < 0.4
    flat = noise[:1] | noise[1:2]
    solid = _blob(side=14 + seed)
    for case in (
        solid,
        Case.cropped(noise * 1.0, noise, (3.0, 0.7, 1.1)),
        Case.cropped(flat * 1.0, flat, (5.0, 0.7, 0.7)),
    ):
        assert differences(case.ours("shape"), case.theirs("shape")) == []


@st.composite
def regions(draw: st.DrawFn) -> Case:
    """Draw a small region with any settings."""
    size = draw(st.tuples(*[st.integers(1, 5)] * 3))
    values = draw(arrays(np.int64, size, elements=st.integers(0, draw(st.integers(0, 6)))))
    mask = draw(arrays(np.bool_, size))
    if not mask.any():
        mask[0, 0, 0] = True
    asked = Asked(
        distances=draw(st.sampled_from([(1,), (2,), (1, 2), (3, 1)])),
        force2d=draw(st.booleans()),
        force2d_dimension=draw(st.integers(0, 2)),
        weighting_norm=draw(st.sampled_from([None, "infinity", "euclidean", "manhattan", "no_weighting"])),
        symmetrical_glcm=draw(st.booleans()),
        gldm_a=draw(st.integers(0, 2)),
        voxel_array_shift=draw(st.sampled_from([0, 1000])),
    )
    spacing_mm = draw(st.tuples(*[st.sampled_from([0.7, 1.0, 5.0, 30.0])] * 3))
    return Case.cropped(values, mask, spacing_mm, asked)


@given(case=regions())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_small_region_has_the_features_of_pyradiomics(case: Case) -> None:
    """Directions without neighbours, missing levels, one level, one voxel, planes and lines, holes, islands."""
    for name in OURS:
        assert differences(case.ours(name), case.theirs(name)) == [], name


def test_a_single_voxel_has_no_texture() -> None:
    """No direction fits into its box: NaN, and no exception."""
    case = Case(np.full((1, 1, 1), 7), np.ones((1, 1, 1), bool))
    for name in TEXTURES:
        assert all(np.isnan(value) for value in case.ours(name).values()), name


def test_a_voxel_without_neighbours_counts_in_the_ngtdm() -> None:
    """Two neighbours of level 1 and 2 and a lonely voxel of level 2: s = (1, 1), p = (1/3, 2/3)."""
    codes = np.array([[[1, 2, 0, 2]]], np.int32)
    roi = Roi(codes.astype(np.float64), codes > 0, (1.0, 1.0, 1.0))
    assert ngtdm.features(roi, Levels(codes, 2), Asked())["Coarseness"] == pytest.approx(1.0)


def test_every_cube_with_inside_and_outside_is_drawn() -> None:
    """254 of the 256 cubes have triangles; a single corner has one of three half edges."""
    triangles = cubes._triangles()
    assert set(triangles.code) == set(range(1, 255))
    single = np.zeros(256, np.int64)
    single[1] = 8
    assert cubes.area_mm2(single, (1.0, 1.0, 1.0)) == pytest.approx(np.sqrt(3))
