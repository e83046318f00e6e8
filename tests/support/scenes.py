"""Scenes of solids with what stage 8 must find in them: by formula, on any grid, at any place of the grid.

A scene is cropped to its solids. Its masks are those of voxel centres. The vertebra's picture has partial volume, and
noise where it is asked for; the other scenes are measured for their masks alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from made_arrays import NO_FACTS, acquisition, label_map
from numpy.typing import NDArray
from solids import Box, Cones, Cylinder, Ellipsoid, Floats, Sampling, Spot, mask, with_partial_volume

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.records import Candidate, PatientFacts
from node.core.settings import MeasurementSettings
from workers.measurement import measure
from workers.records import LabelMap, Mask, Volume

HEIGHT_M = 1.7
TRABECULAR_HU = 140.0
NOISE_SD_HU = 20.0
_CORTICAL_HU, _SOFT_HU, _CANAL_HU = 450.0, 40.0, 20.0
_SHELL_MM = 2.0

LIVER = Ellipsoid((0, 0, 0), (60, 45, 40), degrees=25)

CYLINDERS = tuple(Cylinder((x, 4, 0), 20, 120, slope=(0.4, 0.25)) for x in (45.0, -45.0))
CYLINDERS_L3 = Box((-22, -17, -4), (22, 17, 24))

CONES = tuple(Cones((side * 30, -2, 110), (side * 48, 4, -20), (side * 62, -10, -90), 24) for side in (1, -1))
CONES_L3 = Box((-22, -17, 16), (22, 17, 44))

LESIONS = (
    Ellipsoid((0, 0, 0), (4, 4, 4)),
    Ellipsoid((0, 0, 0), (6, 6, 6)),
    Ellipsoid((0, 0, 0), (10, 10, 10)),
    Ellipsoid((0, 0, 0), (17.5, 12, 14), degrees=35),
    Ellipsoid((0, 0, 0), (30, 22, 25), degrees=-20),
)
_APART_MM = 60.0

BODY = Box((-22, -17, -14), (22, 17, 14))
_ARCH = Box((-20, 17, -6), (20, 45, 12))
CANAL = Box((-12, 17, -6), (12, 35, 12))


@dataclass(frozen=True)
class Scene:
    """A volume, its segmentation, the patient, and what must be found, by the ids of measurements."""

    volume: Volume
    labels: LabelMap
    truth: Mapping[str, float]
    facts: PatientFacts = NO_FACTS

    def found(self) -> dict[str, float]:
        """Let stage 8 measure; return its numbers, of those that have a truth."""
        numbers = measure(self.volume, self.labels, self.facts, MeasurementSettings()).measurements
        found = {}
        for name in self.truth:
            value = numbers[name].value
            assert isinstance(value, float), f"{name}: {numbers[name].reason}"
            found[name] = value
        return found


def liver(sampling: Sampling, offset: Spot) -> Scene:
    """Return an ellipsoid as the liver."""
    grid = sampling.grid(Box(*_reach(LIVER)), offset)
    return _scene(grid, {Structure.LIVER: mask(LIVER, grid)}, {"liver.volume": LIVER.volume_ml})


def cylinders(sampling: Sampling, offset: Spot) -> Scene:
    """Return two cylinders as the muscles."""
    grid = sampling.grid(Box((-65, -17, -74), (65, 24, 74)), offset)
    left, right = CYLINDERS
    return _muscles(grid, CYLINDERS, CYLINDERS_L3, (left.volume_ml, right.volume_ml), (left.area_cm2, right.area_cm2))


def cones(sampling: Sampling, offset: Spot) -> Scene:
    """Return two pairs of cones as the muscles, L3 where they taper."""
    grid = sampling.grid(Box((-72, -20, -90), (72, 28, 110)), offset)
    (left, right), middle = CONES, (CONES_L3.low[2] + CONES_L3.high[2]) / 2
    areas = (left.area_cm2(middle), right.area_cm2(middle))
    return _muscles(grid, CONES, CONES_L3, (left.volume_ml, right.volume_ml), areas)


def one_lesion(which: int, sampling: Sampling, offset: Spot) -> Scene:
    """Return one of `LESIONS`; its diameter is the longest in the plane of the slices."""
    one = LESIONS[which]
    grid = sampling.grid(Box(*_reach(one)), offset)
    truth = {"burden.count": 1.0, "burden.max_diameter": one.diameter_mm(grid.normal)}
    return _scene(grid, {Structure.LESION: mask(one, grid)}, truth)


def all_lesions(sampling: Sampling, offset: Spot) -> Scene:
    """Return all of `LESIONS` side by side, as one mask."""
    placed = [replace(one, centre=(at * _APART_MM, 0.0, 0.0)) for at, one in enumerate(LESIONS)]
    reaches = [_reach(one) for one in placed]
    low, high = np.min([one[0] for one in reaches], axis=0), np.max([one[1] for one in reaches], axis=0)
    grid = sampling.grid(Box(tuple(low), tuple(high)), offset)
    whole: Mask = np.any([mask(one, grid) for one in placed], axis=0)
    largest_cm = max(one.diameter_mm(grid.normal) for one in LESIONS) / 10
    truth = {"burden.count": float(len(LESIONS)), "burden.tbs": float(np.hypot(largest_cm, len(LESIONS)))}
    return _scene(grid, {Structure.LESION: whole}, truth)


def vertebra(sampling: Sampling, offset: Spot, *, arch: bool, noise: bool) -> Scene:
    """Return L1, a box of trabecular bone within a shell.

    Parameters
    ----------
    arch
        With an arch behind the body that encloses the canal, the label is of the whole vertebra and stands alone;
        without, the body has a label of its own.
    noise
        With noise, seeded by the grid and the place on it.
    """
    high = (22, 45, 14) if arch else BODY.high
    grid = sampling.grid(Box(BODY.low, high), offset)
    body = mask(BODY, grid)
    masks: dict[Structure, Mask | list[Mask]] = {Structure.VERTEBRA_L1: body, Structure.VERTEBRAL_BODY: body}
    if arch:
        masks = {Structure.VERTEBRA_L1: body | (mask(_ARCH, grid) & ~mask(CANAL, grid))}
    picture = _picture(grid, arch)
    if noise:
        seeds = [*grid.shape, *(round(1000 * abs(part)) for part in offset)]
        picture = picture + np.random.default_rng(seeds).normal(0, NOISE_SD_HU, grid.shape)
    settings = MeasurementSettings()
    deep_mm = settings.core_erosion_mm
    low_mm = (BODY.high[2] - BODY.low[2]) * (1 - settings.core_slab_fraction) / 2
    truth = {
        "l1.mean_hu": TRABECULAR_HU,
        "l1.sd_hu": NOISE_SD_HU if noise else 0.0,
        "l1.volume": BODY.shrunk((deep_mm, deep_mm, max(deep_mm, low_mm))).volume_ml,
    }
    return _scene(grid, masks, truth, picture)


@lru_cache(maxsize=4)
def _picture(grid: Geometry, arch: bool) -> Floats:
    return with_partial_volume(_bone_with_arch if arch else _bone, grid)


def _bone(x: Floats, y: Floats, z: Floats) -> Floats:
    body, core = BODY.inside(x, y, z), BODY.shrunk((_SHELL_MM,) * 3).inside(x, y, z)
    return np.where(core, TRABECULAR_HU, np.where(body, _CORTICAL_HU, _SOFT_HU))


def _bone_with_arch(x: Floats, y: Floats, z: Floats) -> Floats:
    arch, canal = _ARCH.inside(x, y, z), CANAL.inside(x, y, z)
    return np.where(canal, _CANAL_HU, np.where(arch, _CORTICAL_HU, _bone(x, y, z)))


def _muscles(
    grid: Geometry,
    solids: Sequence[Cylinder | Cones],
    l3: Box,
    volumes_ml: tuple[float, float],
    areas_cm2: tuple[float, float],
) -> Scene:
    level = mask(l3, grid)
    masks: dict[Structure, Mask | list[Mask]] = {
        Structure.ILIOPSOAS_LEFT: mask(solids[0], grid),
        Structure.ILIOPSOAS_RIGHT: mask(solids[1], grid),
        Structure.VERTEBRA_L3: level,
        Structure.VERTEBRAL_BODY: level,
    }
    truth = {
        "psoas.left.volume": volumes_ml[0],
        "psoas.right.volume": volumes_ml[1],
        "psoas.left.area_l3": areas_cm2[0],
        "psoas.right.area_l3": areas_cm2[1],
        "psoas.pmvi": sum(volumes_ml) / HEIGHT_M**3,
        "psoas.pmi": sum(areas_cm2) / HEIGHT_M**2,
    }
    return replace(_scene(grid, masks, truth), facts=replace(NO_FACTS, height_m=HEIGHT_M))


def _scene(
    grid: Geometry,
    masks: Mapping[Structure, Mask | list[Mask]],
    truth: Mapping[str, float],
    picture: Floats | None = None,
) -> Scene:
    hu: NDArray[np.int16] = np.zeros(grid.shape, np.int16) if picture is None else np.rint(picture).astype(np.int16)
    volume = Volume(hu, grid, Candidate("1.2.3.4", "", "", ()), (), acquisition())
    return Scene(volume, label_map(grid, masks), truth)


def _reach(solid: Ellipsoid) -> tuple[Spot, Spot]:
    """Return a box that holds an ellipsoid however it is turned about z."""
    (x, y, z), (a, b, c) = solid.centre, solid.semi_axes
    wide = max(a, b)
    return (x - wide, y - wide, z - c), (x + wide, y + wide, z + c)
