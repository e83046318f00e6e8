"""Anatomies: the standard one of the demo, and as many random ones as there are seeds.

Beside the ten stages. In: a seed, or none. Out: a sound `Anatomy` (`conflicts` is empty), the same for the same
seed and version. A random draw that breaks a rule is thrown away and drawn again. Next: `node.phantom.render`.
"""

from __future__ import annotations

import numpy as np

from node.phantom import organs, spine
from node.phantom.anatomy import Anatomy, Lesion, conflicts
from node.phantom.proportions import Attenuation, LiverShape, Proportions
from node.phantom.shapes import Ellipsoid

DRAWS = 400
"""Draws after which a seed is given up (a few are usual)."""


def standard_anatomy() -> Anatomy:
    """The demo's abdomen: vertebrae and lesions fit slices of 3 mm, so that little is lost to the grid."""
    p = Proportions()
    lesions = (
        Lesion(Ellipsoid(-82.0, -2.0, 108.0, 21.0, 21.0, 18.0), 62.0),
        Lesion(Ellipsoid(-60.0, -48.0, 69.0, 13.0, 13.0, 13.0), 48.0),
        Lesion(Ellipsoid(6.0, -56.0, 111.0, 8.0, 8.0, 8.0), 55.0),
    )
    return assemble(p, lesions)


def random_anatomy(seed: int, *, lesions: int | None = None) -> Anatomy:
    """A random abdomen: size, pose, fat, muscle, spine, liver, attenuation, contrast and lesions vary.

    Parameters
    ----------
    seed : int
        Not negative; the same seed gives the same anatomy.
    lesions : int, optional
        How many lesions, 0 to 6; drawn if not given.

    Raises
    ------
    ValueError
        If the number of lesions is not within 0 to 6, or no draw was sound (no seed is known to do so).
    """
    if lesions is not None and not 0 <= lesions <= 6:
        raise ValueError("a synthetic liver holds 0 to 6 lesions")
    for draw in range(DRAWS):
        rng = np.random.default_rng([seed, draw])
        p = random_proportions(seed, rng)
        if conflicts(assemble(p, ())):
            continue
        count = int(rng.integers(0, 7)) if lesions is None else lesions
        liver = organs.liver(p)
        try:
            placed = organs.place_lesions(liver, count, rng, hu=p.hu.lesions, radii_mm=(4.0, 27.0))
        except ValueError:
            continue
        return assemble(p, placed)
    raise ValueError(f"no sound anatomy within {DRAWS} draws of seed {seed}")


def random_proportions(seed: int, rng: np.random.Generator) -> Proportions:
    """One draw of the free numbers, not yet known to be sound."""
    female, contrast = bool(rng.random() < 0.45), bool(rng.random() < 0.75)
    height = float(np.clip(rng.normal(1.64 if female else 1.76, 0.07), 1.46, 1.98))
    scale = height / 1.72
    fat, visceral = float(rng.uniform(6, 42)), float(rng.uniform(0.92, 1.12))
    base = Proportions()
    heights = [h * scale * rng.uniform(0.95, 1.05) for h in base.body_heights_mm]
    heights[5] = max(heights[5], 21.5)
    discs = [h * scale * rng.uniform(0.8, 1.1) for h in base.disc_heights_mm]
    muscle = float(rng.uniform(0.45, 1.15)) * scale**2 * (0.85 if female else 1.0)
    side = float(rng.uniform(0.93, 1.07))
    cavity_a = base.cavity_a_mm * scale**0.5 * visceral
    weight = 21.5 * height**2 * (0.75 + fat / 70 + 0.8 * (visceral - 0.92))
    return Proportions(
        seed=seed,
        height_m=round(height, 2),
        weight_kg=round(float(weight), 1),
        age_years=int(rng.integers(35, 86)),
        sex="F" if female else "M",
        contrast=contrast,
        pose_mm=(_tenth(rng, 0.0, 8.0), _tenth(rng, -150.0, 10.0), _tenth(rng, -400.0, 60.0)),
        body_heights_mm=tuple(round(float(h), 2) for h in heights),
        disc_heights_mm=tuple(round(float(h), 2) for h in discs),
        spine_y_mm=base.spine_y_mm + float(rng.uniform(-2, 3)),
        bone_scale=round(scale * float(rng.uniform(0.95, 1.06)), 4),
        lordosis=float(rng.uniform(0.4, 1.2)),
        cortex_mm=round(float(rng.uniform(1.2, 1.6)), 2),
        cavity_a_mm=cavity_a,
        cavity_b_mm=base.cavity_b_mm * scale**0.5 * visceral**1.5,
        wall_mm=float(rng.uniform(8, 15)),
        fat_mm=fat,
        psoas_left=muscle * side,
        psoas_right=muscle / side,
        psoas_spread_mm=float(rng.uniform(-1, 5)),
        bowel_seed=int(rng.integers(2**31)),
        liver=_random_liver(base.liver, scale, cavity_a / base.cavity_a_mm, rng),
        hu=_random_attenuation(rng, contrast),
    )


def _tenth(rng: np.random.Generator, mean: float, sd: float) -> float:
    return round(float(rng.normal(mean, sd)), 1)


def _random_liver(base: LiverShape, scale: float, width: float, rng: np.random.Generator) -> LiverShape:
    """A liver that goes with the trunk's width, more or less tapered, bent and tilted."""

    def about(value: float, part: float) -> float:
        return value * float(rng.uniform(1 - part, 1 + part))

    return LiverShape(
        x=base.x * width + float(rng.uniform(-3, 3)),
        y=base.y * width + float(rng.uniform(-5, 3)),
        z=base.z * scale + float(rng.uniform(-10, 12)),
        a=about(base.a * width, 0.07),
        b=about(base.b * width, 0.10),
        c=about(base.c * scale, 0.14),
        taper_y=about(base.taper_y, 0.25),
        taper_z=about(base.taper_z, 0.35),
        sweep=about(base.sweep, 0.2),
        bow=about(base.bow, 0.9),
        rise=about(base.rise, 0.5),
        tilt=about(base.tilt, 0.4),
    )


def _random_attenuation(rng: np.random.Generator, contrast: bool) -> Attenuation:
    """Tissues of a portal venous or a native scan; whole numbers, so that a picture without noise is exact."""

    def draw(low: float, high: float) -> float:
        return float(rng.integers(round(low), round(high), endpoint=True))

    muscle = draw(38, 66) if contrast else draw(32, 56)
    liver = draw(88, 125) if contrast else draw(42, 66)
    bone = draw(70, 210)
    return Attenuation(
        fat=draw(-115, -90),
        skin=draw(0, 20),
        wall=muscle - draw(0, 8),
        psoas_left=muscle + draw(-4, 4),
        psoas_right=muscle + draw(-4, 4),
        liver=liver,
        lesions=liver - (draw(32, 60) if contrast else draw(16, 28)),
        spleen=draw(100, 130) if contrast else draw(42, 54),
        kidney=draw(140, 195) if contrast else draw(28, 38),
        vein=draw(125, 165) if contrast else draw(36, 48),
        artery=draw(125, 175) if contrast else draw(36, 48),
        blood=draw(115, 160) if contrast else draw(36, 48),
        bowel=draw(28, 48),
        trabecular=bone,
        cortical=draw(500, 700),
        arch=bone + draw(130, 220),
        canal=draw(22, 38),
        disc=draw(72, 98),
    )


def assemble(p: Proportions, lesions: tuple[Lesion, ...]) -> Anatomy:
    """Put the parts together; lesions are given in the body's frame, and all is moved to `pose_mm`."""
    context = [
        *organs.context(p),
        *spine.ribs(p),
        *spine.sacrum(p),
        *spine.pelvis(p),
        *spine.discs(p),
    ]
    anatomy = Anatomy(
        seed=p.seed,
        height_m=p.height_m,
        weight_kg=p.weight_kg,
        age_years=p.age_years,
        sex=p.sex,
        contrast=p.contrast,
        skin=organs.skin(p),
        trunk=organs.trunk(p),
        context=tuple(context),
        psoas_left=organs.psoas(p, 1),
        psoas_right=organs.psoas(p, -1),
        psoas_left_hu=p.hu.psoas_left,
        psoas_right_hu=p.hu.psoas_right,
        vertebrae=spine.vertebrae(p),
        canal=spine.canal(p),
        liver=organs.liver(p),
        liver_hu=p.hu.liver,
        lesions=lesions,
    )
    return anatomy.moved(*p.pose_mm)
