"""Preparation held against PyRadiomics' own functions, voxel for voxel, and its refusals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import SimpleITK
from made_regions import SETTINGS, TYPES, Made, made, placed

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.measurement.radiomics.discretise import bin_edges, discretise
from workers.measurement.radiomics.engine import Engine, extract
from workers.measurement.radiomics.oracle import document_of
from workers.measurement.radiomics.parameters import Parameters, Settings, parse
from workers.measurement.radiomics.prepare import find, prepare

imageoperations = pytest.importorskip("radiomics.imageoperations")
featureextractor = pytest.importorskip("radiomics.featureextractor")


@dataclass(frozen=True)
class Theirs:
    """What PyRadiomics computes features of."""

    values: Any
    mask: Any
    outline: Any
    spacing_mm: tuple[float, ...]


def theirs(one: Made, parameters: Parameters) -> Theirs:
    """Prepare as RadiomicsFeatureExtractor.execute does, by PyRadiomics' own functions."""
    extractor = featureextractor.RadiomicsFeatureExtractor(document_of(parameters))
    settings = extractor.settings
    label = settings["label"]
    image, mask = extractor.loadImage(one.image, one.mask, None, **settings)
    box, corrected = imageoperations.checkMask(image, mask, **settings)
    mask = corrected or mask
    resegmented = mask
    if settings["resegmentRange"] is not None:
        resegmented = imageoperations.resegmentMask(image, mask, **settings)
        box, _ = imageoperations.checkMask(image, resegmented, **settings)
    of_shape = resegmented if settings.get("resegmentShape") else mask
    values, inside = imageoperations.cropToTumorMask(image, resegmented, box)
    _, outline = imageoperations.cropToTumorMask(image, of_shape, box)
    arrays = [SimpleITK.GetArrayFromImage(found) for found in (values, inside, outline)]
    return Theirs(arrays[0], arrays[1] == label, arrays[2] == label, values.GetSpacing()[::-1])


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_region_is_prepared_as_pyradiomics_does(name: str, kind: str) -> None:
    """Values, mask, outline of shape and grey levels are the same, each voxel, in the same type."""
    one = made(kind, seed=len(name))
    parameters = parse({"setting": SETTINGS[name]})
    wanted, found = theirs(one, parameters), prepare(one.image, one.mask, parameters.settings)
    values = found.domain.crop(found.region.box)
    assert values.dtype == wanted.values.dtype
    np.testing.assert_array_equal(values, wanted.values)
    np.testing.assert_array_equal(found.region.mask, wanted.mask)
    np.testing.assert_array_equal(found.outline, wanted.outline)
    assert found.domain.spacing_mm == wanted.spacing_mm
    if kind != "uint8":  # their sum of a whole number and twice the width runs over
        levels, _ = imageoperations.binImage(wanted.values, wanted.mask, **SETTINGS[name])
        np.testing.assert_array_equal(discretise(values, found.region.mask, parameters.settings).codes, levels)


def test_the_mask_anchors_the_grid() -> None:
    """A mask of a part of the image is resampled on the grid of its own origin, as PyRadiomics does."""
    one = made()
    part = Made(one.image, one.mask[2:, 1:, :])
    parameters = parse({"setting": SETTINGS["spline"]})
    wanted, found = theirs(part, parameters), prepare(part.image, part.mask, parameters.settings)
    np.testing.assert_array_equal(found.domain.crop(found.region.box), wanted.values)
    np.testing.assert_array_equal(found.region.mask, wanted.mask)
    assert found.domain.frame != prepare(one.image, one.mask, parameters.settings).domain.frame


@pytest.mark.parametrize("crop", [False, True], ids=["whole", "cropped"])
def test_a_mask_on_another_grid_is_corrected_on_wish(*, crop: bool) -> None:
    """With correctMask it is moved to the grid of the image; without, the region is refused."""
    one = made()
    part = Made(one.image, one.mask[2:, 1:, :])
    settings = {"correctMask": True, "preCrop": crop}
    parameters = parse({"setting": settings})
    wanted, found = theirs(part, parameters), prepare(part.image, part.mask, parameters.settings)
    np.testing.assert_array_equal(found.domain.crop(found.region.box), wanted.values)
    np.testing.assert_array_equal(found.region.mask, wanted.mask)
    assert [step.prefix for step in found.steps] == (["original"] if crop else ["original", "corrected"])
    assert refusal(part, {}) == RegionRefusal.MASK_MISMATCH


def test_the_tolerance_of_a_grid_can_be_raised() -> None:
    """A mask that lies aside by a tenth of a millimetre is taken where geometryTolerance says so."""
    one = made()
    moved = SimpleITK.Image(one.mask)
    moved.SetOrigin(tuple(np.add(one.mask.GetOrigin(), (0, 0.1, 0))))
    aside = Made(one.image, moved)
    assert refusal(aside, {}) == RegionRefusal.MASK_MISMATCH
    assert refusal(aside, {"geometryTolerance": 0.1}) == RegionRefusal.MASK_MISMATCH  # of 0.8 mm
    assert prepare(aside.image, aside.mask, Settings(geometry_tolerance=0.2)).region.count > 100


def refusal(one: Made, settings: dict[str, Any]) -> RegionRefusal:
    with pytest.raises(NotExtractable) as refused:
        prepare(one.image, one.mask, parse({"setting": settings}).settings)
    return refused.value.code


@pytest.mark.parametrize("engine", Engine)
def test_a_header_in_single_precision_is_the_same_grid(engine: Engine) -> None:
    """A frame as NIfTI rounds it is that in double precision, though not to PyRadiomics; a small step is another."""
    one, few = made(), {"featureClass": {"firstorder": ["Mean"]}}
    rounded = SimpleITK.Image(one.mask)
    for part in ("Origin", "Spacing", "Direction"):
        getattr(rounded, f"Set{part}")(np.float32(getattr(one.mask, f"Get{part}")()).tolist())
    with pytest.raises(ValueError, match="geometry mismatch"):
        featureextractor.RadiomicsFeatureExtractor(few).execute(one.image, rounded)
    assert extract(one.image, rounded, parse(few), engine) == extract(one.image, one.mask, parse(few), engine)
    off = SimpleITK.Image(one.mask)
    off.SetOrigin(np.add(off.GetOrigin(), [0.002 * off.GetSpacing()[0], 0, 0]).tolist())
    strict = {**few, "setting": {"geometryTolerance": 1e-9}}
    for mask, asked in ((off, few), (rounded, strict)):
        with pytest.raises(NotExtractable) as refused:
            extract(one.image, mask, parse(asked), engine)
        assert refused.value.code == RegionRefusal.MASK_MISMATCH


def test_a_region_that_cannot_be_measured_is_refused_by_its_code() -> None:
    """No such label, nothing but the label, one voxel, too few voxels or dimensions, flat image, beyond the image."""
    one = made()
    values = SimpleITK.GetArrayFromImage(one.image)
    full = placed(np.ones(values.shape, np.uint8))
    voxel, plane = np.zeros((2, *values.shape), np.uint8)
    voxel[3, 4, 5] = plane[3, 4:8, 5:9] = 1
    larger = SimpleITK.ConstantPad(one.mask, (0, 0, 0), (0, 0, 4), 1)
    assert refusal(one, {"label": 2}) == RegionRefusal.MASK_EMPTY
    assert refusal(Made(one.image, full), {}) == RegionRefusal.MASK_EMPTY
    assert refusal(Made(one.image, placed(voxel)), {"minimumROIDimensions": 1}) == RegionRefusal.REGION_TOO_SMALL
    assert refusal(Made(one.image, placed(plane)), {"minimumROIDimensions": 3}) == RegionRefusal.REGION_TOO_SMALL
    assert refusal(one, {"minimumROISize": 100000}) == RegionRefusal.REGION_TOO_SMALL
    assert refusal(one, {"resegmentRange": [5000, 6000]}) == RegionRefusal.REGION_TOO_SMALL
    assert refusal(Made(placed(np.zeros_like(values)), one.mask), {"normalize": True}) == RegionRefusal.IMAGE_UNREADABLE
    assert refusal(Made(one.image, larger), {"correctMask": True}) == RegionRefusal.REGION_OUTSIDE
    assert refusal(Made(one.image, larger), SETTINGS["linear"]) == RegionRefusal.REGION_OUTSIDE
    assert refusal(Made(one.image[:, :, 2], one.mask), {}) == RegionRefusal.IMAGE_UNREADABLE


@pytest.mark.parametrize("engine", Engine)
def test_a_region_of_the_smallest_size_is_refused(engine: Engine) -> None:
    """`minimumROISize` itself is too small, one voxel more is not, as PyRadiomics counts."""
    one = made()
    count = int(SimpleITK.GetArrayViewFromImage(one.mask).sum())
    first = {"featureClass": {"firstorder": ["Mean"]}}
    with pytest.raises(NotExtractable) as refused:
        extract(one.image, one.mask, parse({**first, "setting": {"minimumROISize": count}}), engine)
    assert refused.value.code in (RegionRefusal.REGION_TOO_SMALL, RegionRefusal.ENGINE_REFUSED)
    assert extract(one.image, one.mask, parse({**first, "setting": {"minimumROISize": count - 1}}), engine).values


def test_sigma_is_that_of_all_voxels() -> None:
    """The SD divides by N: one voxel of ten lies 3.0 SD from the mean, and 2.85 where it divides by N - 1."""
    values, labels = np.zeros((2, 3, 4, 6), dtype=np.int16)
    labels[1, 1:3, :5] = 1
    values[1, 2, 4] = 100
    one = Made(placed(values), placed(labels))
    parameters = parse({"setting": {"resegmentRange": [-2.9, 2.9], "resegmentMode": "sigma"}})
    found = prepare(one.image, one.mask, parameters.settings)
    assert found.region.count == 9
    np.testing.assert_array_equal(found.region.mask, theirs(one, parameters).mask)


def test_another_label_and_a_mask_of_fractions() -> None:
    """The label of the settings is measured; a mask of floating-point numbers is read as PyRadiomics reads it."""
    one = made(label=3)
    fractions = SimpleITK.Cast(one.mask, SimpleITK.sitkFloat32) * 1.3  # 3.9 is label 3
    wanted = find(SimpleITK.GetArrayFromImage(one.mask), 3)
    found = prepare(one.image, fractions, Settings(label=3)).region
    assert wanted is not None
    assert found.start == wanted.start
    np.testing.assert_array_equal(found.mask, wanted.mask)


@pytest.mark.parametrize("settings", [{"binWidth": 25}, {"binWidth": 0.1}, {"binCount": 7}], ids=str)
@pytest.mark.parametrize("kind", ["int16", "float32", "float64"])
def test_values_on_an_edge_belong_to_the_bin_above(kind: str, settings: dict[str, Any]) -> None:
    """Edges and bins are PyRadiomics', for even steps, negative values and a flat region."""
    own = parse({"setting": settings}).settings
    for values in (np.arange(-100, 151, 5), np.linspace(-3, 3, 61), np.full(7, -50), np.array([0, 25])):
        given = values.astype(kind).reshape(1, 1, -1)
        mask = np.ones(given.shape, dtype=bool)
        wanted, edges = imageoperations.binImage(given, mask, **settings)
        np.testing.assert_array_equal(bin_edges(given[mask], own), edges)
        np.testing.assert_array_equal(discretise(given, mask, own).codes, wanted)


def test_whole_numbers_do_not_run_over() -> None:
    """An 8-bit image up to 255 is divided as the same values in 16 bits are."""
    values = np.arange(200, 256, dtype=np.uint8)
    np.testing.assert_array_equal(bin_edges(values, Settings()), bin_edges(values.astype(np.int16), Settings()))
