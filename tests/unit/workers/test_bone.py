from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from made_arrays import box, geometry, label_map, places, tilted, volume
from scipy import ndimage

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NotComputed, NoteCode
from node.core.settings import MeasurementSettings
from node.phantom import Grid, Rendering, random_anatomy, render
from node.phantom import Structure as Part
from workers.measurement import bone, vertebra
from workers.records import LabelMap, Mask, Region

Spacing = tuple[float, float, float]
SPACINGS: list[Spacing] = [(3.0, 0.8, 0.8), (5.0, 0.7, 0.7), (0.8, 0.8, 0.8), (2.5, 1.5, 1.2), (1.25, 0.6, 0.9)]
L1, BODY = Structure.VERTEBRA_L1, Structure.VERTEBRAL_BODY
DEFAULTS = MeasurementSettings()


def kidney_shape(spacing_mm: Spacing, height_mm: float, scale: float = 1.0, waist: float = 0.0) -> Mask:
    """A body of 42 x 32 mm (times a scale) as vertebrae are shaped, and a margin of two voxels around it.

    `waist` is the share by which it is narrower at mid-height; a negative one makes a barrel.
    """
    dz, dy, dx = spacing_mm
    rows, columns = (int(np.ceil(size * scale / step)) + 4 for size, step in ((50, dy), (62, dx)))
    slices = round(height_mm / dz)
    z = ((np.arange(slices) + 0.5) / slices - 0.5)[:, None, None]
    y = ((np.arange(rows) - (rows - 1) / 2) * dy / scale)[:, None]
    x = ((np.arange(columns) - (columns - 1) / 2) * dx / scale)[None, :]
    radius = 1 - waist * np.cos(np.pi * z)
    inside = (x / 21) ** 2 + (y / 16) ** 2 < radius**2 * (1 + 0.15 * np.sin(3 * np.arctan2(y, x)))
    mask: Mask = np.pad(inside, ((2, 2), (0, 0), (0, 0)))
    return mask


def depth_by_brute_force(mask: Mask, spacing_mm: Spacing) -> np.ndarray:
    """Distance from voxel centres inside to the nearest point of any voxel outside: boxes, no supersampling.

    Of 1200 voxels, by chance, where there are more; NaN elsewhere.
    """
    padded = np.pad(mask, 1)
    shell = ndimage.binary_dilation(padded, np.ones((3, 3, 3))) & ~padded
    outside, inside = np.argwhere(shell) - 1, np.argwhere(mask)
    inside = np.random.default_rng(7).permutation(inside)[:1200]
    step = np.asarray(spacing_mm)
    depth = np.full(mask.shape, np.nan)
    for part in np.array_split(inside, max(1, len(inside) // 400)):
        gap = np.maximum(np.abs(part[:, None] - outside[None]) * step - step / 2, 0)
        depth[tuple(part.T)] = np.sqrt((gap**2).sum(axis=-1)).min(axis=1)
    return depth


def region_of(mask: Mask) -> Region:
    region = Region.of(mask)
    assert region is not None
    return region


@pytest.mark.parametrize(("scale", "waist"), [(0.75, 0.2), (0.55, -0.4)])
@pytest.mark.parametrize("spacing_mm", SPACINGS)
def test_the_core_is_what_brute_force_finds(spacing_mm: Spacing, scale: float, waist: float) -> None:
    """No voxel deeper than 5 mm in the central half is missed, and none shallower than 4.65 mm is taken.

    The third of a millimetre is half a part of the supersampled mask: the nearest part outside is chosen by its centre.
    """
    mask = kidney_shape(spacing_mm, height_mm=22.0, scale=scale, waist=waist)
    core = bone.trabecular_core(region_of(mask), geometry(mask.shape, spacing_mm), DEFAULTS)
    assert core is not None
    found, depth = core.full(mask.shape), depth_by_brute_force(mask, spacing_mm)
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    middle = slices.mean()
    central = np.abs(np.arange(len(mask)) - middle) <= len(slices) / 4
    central = central[:, None, None] & mask
    assert not (central & (depth > 5) & ~found).any()
    assert not (found & (depth < 4.65)).any()
    assert not (found & ~central).any()
    assert found.any()


def test_a_depth_of_exactly_the_erosion_is_outside() -> None:
    """Strictly more than 5 mm: of a cube of 1 mm voxels, those whose centres lie 5.5 mm deep and deeper."""
    mask = box((27, 27, 27), *[slice(3, 24)] * 3)
    core = bone.trabecular_core(region_of(mask), geometry(mask.shape, (1.0, 1.0, 1.0)), DEFAULTS)
    assert core is not None
    assert core.box[1:] == (slice(8, 19), slice(8, 19))
    deeper = bone.trabecular_core(
        region_of(mask), geometry(mask.shape, (1.0, 1.0, 1.0)), MeasurementSettings(core_erosion_mm=5.5)
    )
    assert deeper is not None
    assert deeper.box[1:] == (slice(9, 18), slice(9, 18))


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("slices", [5, 6, 7, 8, 12, 37])
def test_the_slab_is_the_central_part_of_the_height(fraction: float, slices: int) -> None:
    """The slab lies in the middle, symmetric, and is as high as the fraction says to within one slice."""
    mask = box((slices + 2, 30, 30), slice(1, slices + 1), slice(1, 29), slice(1, 29))
    settings = MeasurementSettings(core_slab_fraction=fraction, core_erosion_mm=0.01)
    core = bone.trabecular_core(region_of(mask), geometry(mask.shape, (2.0, 1.0, 1.0)), settings)
    assert core is not None
    assert core.slices[0] + core.slices[-1] == slices + 1
    assert abs(len(core.slices) - fraction * slices) <= 1


def test_thin_and_thick_slices_give_the_same_core() -> None:
    """A body of 40 mm on slices of 0.8 and 5 mm: the same outline to a pixel, the same volume to 5 %."""
    cores = {}
    for step in (0.8, 5.0):
        mask = kidney_shape((step, 0.8, 0.8), height_mm=40.0)
        core = bone.trabecular_core(region_of(mask), geometry(mask.shape, (step, 0.8, 0.8)), DEFAULTS)
        assert core is not None
        cores[step] = core
    thin, thick = (cores[step].full((cores[step].start[0] + 60, 60, 70)).any(axis=0) for step in (0.8, 5.0))
    assert (thin ^ thick).sum() <= 0.02 * thin.sum()
    volumes = [cores[step].count * step * 0.64 / 1000 for step in (0.8, 5.0)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.05)


@pytest.mark.parametrize("degrees", [-20.0, 20.0, 30.0])
def test_a_tilted_gantry_gives_the_same_core(degrees: float) -> None:
    """An elliptic body on sheared slices: the core's voxels are those that a formula finds in the patient's frame."""
    half_height_mm, a, b = 14.0, 22.0, 16.0
    grid = tilted((60, 90, 80), 1.25, 0.8, 0.8, degrees)
    x, y, z = places(grid)
    mask = ((x / a) ** 2 + (y / b) ** 2 < 1) & (np.abs(z) < half_height_mm)
    core = bone.trabecular_core(region_of(mask), grid, DEFAULTS)
    assert core is not None
    found = core.full(grid.shape)
    turn = np.linspace(0, 2 * np.pi, 2000)
    outline = np.stack([a * np.cos(turn), b * np.sin(turn)])
    places_in = np.stack([x[mask], y[mask]])
    depth = np.full(grid.shape, 0.0)
    depth[mask] = [np.hypot(*(outline - one[:, None])).min() for one in places_in.T]
    central = np.abs(z) <= half_height_mm / 2
    assert not (found & (np.abs(z) > half_height_mm / 2 + 1.25)).any()
    # half a voxel: the mask has steps where the formula has none
    assert not (found & (depth < 5 - 0.7)).any()
    assert not (central & (np.abs(z) < half_height_mm / 2 - 1.25) & (depth > 5 + 0.7) & ~found).any()
    exact_ml = ((depth > 5) & central).sum() * grid.voxel_volume_ml
    assert core.count * grid.voxel_volume_ml == pytest.approx(exact_ml, rel=0.06)


def around_l1(seed: int, spacing_mm: Spacing) -> Rendering:
    """Render L1 of a random anatomy with 20 mm around it, without noise."""
    anatomy = random_anatomy(seed, lesions=0)
    one = anatomy.vertebra(Part.VERTEBRA_L1)
    low, high = one.body.z_range
    spot = one.body.knots[0]
    size = (high - low + 30, 120.0, 110.0)
    shape = [int(np.ceil(length / step)) for length, step in zip(size, spacing_mm, strict=True)]
    grid = Grid(*shape, spacing_mm, (spot.x - 55.0, spot.y - 40.0, low - 15.0))
    return render(anatomy, grid, noise_sd_hu=0.0)


rendered = cache(around_l1)


def axial(picture: Rendering) -> Geometry:
    x, y, z = picture.grid.origin_mm
    return replace(geometry(picture.hu.shape, picture.grid.spacing_mm), origin_mm=(x, y, z))


def label_of(picture: Rendering, *, with_body: bool) -> LabelMap:
    masks = {L1: picture.labels == Part.VERTEBRA_L1}
    if with_body:
        masks[BODY] = picture.vertebral_bodies
    return label_map(axial(picture), masks)


GRIDS: list[Spacing] = [(1.0, 0.8, 0.8), (3.0, 0.8, 0.8), (5.0, 0.9, 0.9), (3.0, 1.5, 1.5)]


@pytest.mark.parametrize("spacing_mm", GRIDS)
@pytest.mark.parametrize("seed", [0, 3, 8])
def test_the_arch_is_cut_off_as_the_phantom_knows_it(seed: int, spacing_mm: Spacing) -> None:
    """The body found from the whole label overlaps the true body with a Dice of 0.97 and holds 99 % of it."""
    picture = rendered(seed, spacing_mm)
    whole = label_of(picture, with_body=False).find(L1)
    assert whole is not None
    found = vertebra.body_from_label(whole, axial(picture))
    assert found is not None
    body = found.full(picture.hu.shape)
    truth = picture.vertebral_bodies & (picture.labels == Part.VERTEBRA_L1)
    assert 2 * (body & truth).sum() / (body.sum() + truth.sum()) > 0.97
    assert (body & truth).sum() > 0.99 * truth.sum()


@pytest.mark.parametrize("spacing_mm", GRIDS)
def test_the_core_from_the_label_is_that_of_the_body(spacing_mm: Spacing) -> None:
    """Cutting the arch off changes the L1 density by less than 1 HU, and the note tells it."""
    picture = rendered(3, spacing_mm)
    read = volume(picture.hu, spacing_mm)
    read = replace(read, geometry=axial(picture))
    results = {}
    for with_body in (True, False):
        _, results[with_body] = bone.measure(read, label_of(picture, with_body=with_body), DEFAULTS)
    for name in ("l1.mean_hu", "l1.median_hu"):
        values = [results[with_body][name].value for with_body in (True, False)]
        assert values[1] == pytest.approx(values[0], abs=1.0)
    assert NoteCode.BODY_FROM_LABEL in {note.code for note in results[False]["l1.mean_hu"].notes}
    assert NoteCode.BODY_FROM_LABEL not in {note.code for note in results[True]["l1.mean_hu"].notes}


@pytest.mark.parametrize("turn", ["rows", "columns", "rows and columns", "transposed"])
def test_a_turned_grid_gives_the_same_body(turn: str) -> None:
    """The arch lies behind in the patient, not in the array: flipped and transposed grids cut the same voxels."""
    picture = rendered(8, (3.0, 1.5, 1.5))
    grid = axial(picture)
    mask = picture.labels == Part.VERTEBRA_L1
    whole = region_of(mask)
    plain = vertebra.body_from_label(whole, grid)
    assert plain is not None
    expected, turned = plain.full(mask.shape), mask
    for axis, word in ((1, "rows"), (2, "columns")):
        if word in turn:
            last = grid.affine @ [0, *[(size - 1) * (at == axis) for at, size in enumerate(mask.shape[1:], start=1)], 1]
            name = "row_step_mm" if axis == 1 else "column_step_mm"
            opposite = tuple(-value for value in getattr(grid, name))
            grid = replace(grid, origin_mm=tuple(last[:3].tolist()), **{name: opposite})
            turned, expected = np.flip(turned, axis), np.flip(expected, axis)
    if turn == "transposed":
        slices, rows, columns = grid.shape
        grid = replace(
            grid, shape=(slices, columns, rows), row_step_mm=grid.column_step_mm, column_step_mm=grid.row_step_mm
        )
        turned, expected = turned.swapaxes(1, 2), expected.swapaxes(1, 2)
    found = vertebra.body_from_label(region_of(turned), grid)
    assert found is not None
    assert np.array_equal(found.full(turned.shape), expected)


def solid(shape: tuple[int, int, int] = (20, 50, 60)) -> tuple[Mask, Mask]:
    """Return a whole vertebra of boxes with a canal and an arch, and its body."""
    body = box(shape, slice(4, 16), slice(4, 34), slice(10, 50))
    arch = box(shape, slice(4, 16), slice(34, 47), slice(16, 44))
    arch[:, 34:42, 22:38] = False
    return body | arch, body


def test_mean_median_sd_and_volume_are_those_of_the_core() -> None:
    """The four numbers, recomputed from the core's voxels; SD with n - 1."""
    whole, body = solid()
    hu = np.random.default_rng(9).normal(140, 30, whole.shape).astype(np.int16)
    labels = label_map(geometry(whole.shape, (3.0, 1.0, 1.0)), {L1: whole, BODY: body})
    core, found = bone.measure(volume(hu), labels, DEFAULTS)
    assert core is not None
    values = hu[core.full(whole.shape)].astype(float)
    assert found["l1.mean_hu"].value == pytest.approx(values.mean())
    assert found["l1.median_hu"].value == np.median(values)
    assert found["l1.sd_hu"].value == pytest.approx(values.std(ddof=1))
    assert found["l1.volume"].value == pytest.approx(values.size * 3 / 1000)
    assert (core.full(whole.shape) & ~body).sum() == 0


def test_only_the_largest_component_of_the_body_counts() -> None:
    """A speck of the label elsewhere moves neither level nor core."""
    whole, body = solid()
    speck = box(whole.shape, slice(17, 19), slice(1, 3), slice(1, 3))
    labels = label_map(geometry(whole.shape, (3.0, 1.0, 1.0)), {L1: whole | speck, BODY: body | speck})
    clean = label_map(geometry(whole.shape, (3.0, 1.0, 1.0)), {L1: whole, BODY: body})
    hu = np.zeros(whole.shape, dtype=np.int16)
    first, second = (bone.measure(volume(hu), one, DEFAULTS)[0] for one in (labels, clean))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.full(whole.shape), second.full(whole.shape))
    level = vertebra.level(labels, L1)
    assert level is not None
    assert level.middle_slice == 9


def reason_of(masks: dict[Structure, Mask], *searched: Structure, step_mm: float = 3.0) -> NotComputed | None:
    shape = next(iter(masks.values())).shape if masks else (20, 50, 60)
    labels = label_map(geometry(shape, (step_mm, 1.0, 1.0)), masks, *searched)
    core, found = bone.measure(volume(np.zeros(shape, dtype=np.int16), (step_mm, 1.0, 1.0)), labels, DEFAULTS)
    reasons = {one.reason for one in found.values()}
    assert len(found) == 4
    assert len(reasons) == 1
    assert (core is None) == (reasons != {None})
    return reasons.pop()


def test_every_reason_why_there_is_no_density() -> None:
    """Not searched, searched and absent, cut by the scan, no canal to cut at, too small, too few slices."""
    whole, body = solid()
    assert reason_of({L1: whole, BODY: body}) is None
    assert reason_of({}) is NotComputed.STRUCTURE_NOT_FOUND
    assert reason_of({}, L1) is NotComputed.LEVEL_NOT_COVERED
    for cut in (whole[4:], whole[:16], whole[:, 4:], whole[:, :, 10:]):
        assert reason_of({L1: cut}) is NotComputed.STRUCTURE_TRUNCATED
    assert reason_of({L1: body}) is NotComputed.STRUCTURE_NOT_FOUND
    small = box(whole.shape, slice(4, 16), slice(4, 18), slice(10, 24))
    assert reason_of({L1: whole, BODY: small}) is NotComputed.CORE_TOO_SMALL
    thin = box(whole.shape, slice(4, 7), slice(4, 34), slice(10, 50))
    assert reason_of({L1: whole, BODY: thin}, step_mm=8.0) is NotComputed.CORE_TOO_SMALL


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, set()),
        ({"kvp": None}, {NoteCode.KVP_UNKNOWN}),
        ({"kvp": 100.0}, {NoteCode.KVP_NOT_120}),
        ({"contrast": "Iohexol"}, {NoteCode.CONTRAST}),
        ({"slice_thickness_mm": 5.0}, set()),
        ({"slice_thickness_mm": 6.0}, {NoteCode.THICK_SLICES}),
        ({"kvp": 80.0, "contrast": "x", "slice_thickness_mm": 7.0}, {*list(NoteCode)[7:10]}),
    ],
)
def test_the_acquisition_is_told_beside_the_density(facts: dict[str, object], expected: set[NoteCode]) -> None:
    """Tube voltage, contrast and thick slices are notes; the value itself is never corrected."""
    whole, body = solid()
    labels = label_map(geometry(whole.shape, (3.0, 1.0, 1.0)), {L1: whole, BODY: body})
    hu = np.full(whole.shape, 140, dtype=np.int16)
    _, found = bone.measure(volume(hu, **facts), labels, DEFAULTS)
    assert found["l1.mean_hu"].value == 140
    assert {note.code for note in found["l1.mean_hu"].notes} == expected


@pytest.mark.parametrize(
    ("values", "noted"), [((0, 200), True), ((100, 180), False), ((140, 140), False), ((140, 701), True)]
)
def test_sclerosis_and_metal_are_told(values: tuple[int, int], noted: bool) -> None:
    """An SD above 100 HU, or one voxel above 700 HU, is a note of its own."""
    whole, body = solid()
    hu = np.full(whole.shape, values[0], dtype=np.int16)
    if values[1] > 700:
        hu[9, 20, 30] = values[1]
    else:
        hu[:, :, ::2] = values[1]
    labels = label_map(geometry(whole.shape, (3.0, 1.0, 1.0)), {L1: whole, BODY: body})
    _, found = bone.measure(volume(hu), labels, DEFAULTS)
    assert (NoteCode.HIGH_VARIANCE in {note.code for note in found["l1.mean_hu"].notes}) == noted
