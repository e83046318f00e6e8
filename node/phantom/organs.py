"""Soft parts of the synthetic abdomen: trunk, table, muscles, liver, lesions and what lies around them.

Beside the ten stages. In: `Proportions`. Out: solids in the body's frame (origin on the trunk's axis at mid-L3,
LPS directions, mm). Order matters: what is painted later covers what came before. Next: `node.phantom.variation`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from node.phantom.anatomy import LESION_GAP_MM, LESION_MARGIN_MM, Lesion, Part, holds, separate
from node.phantom.proportions import Proportions
from node.phantom.shapes import Column, Ellipsoid, Knot, Lobe, cylinder
from node.phantom.spine import CURVE_MM, levels
from node.phantom.structures import VERTEBRAE, Structure

ENDLESS_MM = 5000.0
"""Half-length of what is the same on every slice."""
WALL_Y_MM = 2.0
"""Centre of the abdominal wall and the skin in the body's frame."""


def skin(p: Proportions) -> Column:
    """The trunk's outline."""
    return _endless(WALL_Y_MM, *_skin_axes(p), 2.25)


def trunk(p: Proportions) -> tuple[Part, ...]:
    """Table (shell, foam, the air above it), skin, fat, wall and the cavity's fat, as endless columns."""
    a, b = _skin_axes(p)
    table_y = WALL_Y_MM + b + 4.0
    wall = (p.cavity_a_mm + p.wall_mm, p.cavity_b_mm + p.wall_mm + 6.0)
    cavity = _endless(WALL_Y_MM - 6.0, p.cavity_a_mm, p.cavity_b_mm, 2.1)
    return (
        Part(_endless(table_y - 62, 215, 90), -40.0, Structure.BACKGROUND),
        Part(_endless(table_y - 62, 211, 86), -900.0, Structure.BACKGROUND),
        Part(_endless(table_y - 82, 300, 83), -1000.0, Structure.BACKGROUND),
        Part(skin(p), p.hu.skin, Structure.BODY),
        Part(_endless(WALL_Y_MM, a - 2, b - 2, 2.25), p.hu.fat, Structure.BODY),
        Part(_endless(WALL_Y_MM, *wall, 2.25), p.hu.wall, Structure.MUSCLE),
        Part(cavity, p.hu.fat, Structure.BODY),
    )


def _endless(y: float, a: float, b: float, power: float = 2.0) -> Column:
    return cylinder(0.0, y, a, b, -ENDLESS_MM, ENDLESS_MM, power=power)


def _skin_axes(p: Proportions) -> tuple[float, float]:
    return p.cavity_a_mm + p.wall_mm + p.fat_mm + 2, p.cavity_b_mm + p.wall_mm + 0.8 * p.fat_mm + 8


PSOAS = (
    # level, part of the body's height, area mm2, x, y from the body of L3, aspect
    (Structure.VERTEBRA_S1, -3.30, 0.0, 96.0, -56.0, 1.1),
    (Structure.VERTEBRA_S1, -2.20, 900.0, 92.0, -54.0, 1.1),
    (Structure.VERTEBRA_S1, -0.90, 1450.0, 83.0, -37.0, 1.05),
    (Structure.VERTEBRA_S1, 0.50, 1650.0, 71.0, -18.0, 1.0),
    (Structure.VERTEBRA_L5, 0.50, 1450.0, 59.0, -8.0, 0.92),
    (Structure.VERTEBRA_L4, 0.50, 1180.0, 50.0, -4.0, 0.85),
    (Structure.VERTEBRA_L3, -0.12, 900.0, 43.5, -3.0, 0.80),
    (Structure.VERTEBRA_L3, 1.12, 900.0, 41.5, -3.0, 0.80),
    (Structure.VERTEBRA_L2, 0.50, 610.0, 37.0, -1.0, 0.75),
    (Structure.VERTEBRA_L1, 0.50, 270.0, 32.5, 3.0, 0.65),
    (Structure.VERTEBRA_T12, 0.40, 0.0, 28.5, 9.0, 0.60),
)
"""Course of the iliopsoas from below. Its area is level along L3, so that mid-L3 does not hang on a slice."""


def psoas(p: Proportions, side: int) -> Column:
    """The iliopsoas of the patient's left (side 1) or right (-1)."""
    ends = levels(p)
    factor = p.psoas_left if side > 0 else p.psoas_right
    knots = []
    for name, part, area, x, y, aspect in PSOAS:
        low, high = ends[name]
        across = x * p.bone_scale + p.psoas_spread_mm
        knots.append(Knot(low + part * (high - low), side * across, p.spine_y_mm + y, area * factor, aspect))
    return Column(tuple(knots))


def liver(p: Proportions) -> Lobe:
    """The liver."""
    s = p.liver
    return Lobe(s.x, s.y, s.z, s.a, s.b, s.c, s.taper_y, s.taper_z, s.sweep, s.bow, s.rise, s.tilt)


def place_lesions(
    liver: Lobe, count: int, rng: np.random.Generator, *, hu: float, radii_mm: tuple[float, float]
) -> tuple[Lesion, ...]:
    """Draw `count` lesions that lie in the liver and apart from one another, largest first.

    Each is tried at random places; after every 60 in vain it is drawn a fifth smaller, so this always ends with
    all of them (a radius of 4 mm finds room in any liver).
    """
    placed: list[Lesion] = []
    low, high = (np.array(bounds) for bounds in zip(*liver.box, strict=True))
    for radius in sorted(rng.uniform(*radii_mm, count), reverse=True):
        attempt = 0
        while True:
            size = max(radius * 0.8 ** (attempt // 60), 4.0)
            axes = size * rng.uniform(0.85, 1.15, 3)
            x, y, z = rng.uniform(low, high)
            solid = Ellipsoid(float(x), float(y), float(z), *(float(axis) for axis in axes))
            attempt += 1
            if attempt > 5000:
                raise ValueError("this liver has no room for so many lesions")
            if not holds(liver, solid, LESION_MARGIN_MM):
                continue
            if all(separate(solid, other.solid, LESION_GAP_MM) for other in placed):
                placed.append(Lesion(solid, float(round(hu + rng.uniform(-12, 12)))))
                break
    return tuple(sorted(placed, key=lambda lesion: -lesion.solid.axial_diameter_mm))


def context(p: Proportions) -> list[Part]:
    """What has no number of its own: chest, vessels, kidneys, spleen, stomach, bowel, back and hip muscles."""
    return [*_chest(p), *_back(p), *_bowel(p), *_upper_organs(p), *_kidneys(p), *_vessels(p)]


def _chest(p: Proportions) -> list[Part]:
    """Lungs, heart, and the two domes of the diaphragm with the fat under them."""
    body = liver(p)
    base = body.z - 14.0
    half = p.cavity_a_mm / 2
    parts = []
    for side, name in ((-1, Structure.LUNG_RIGHT), (1, Structure.LUNG_LEFT)):
        size = (half - 9.0, p.cavity_b_mm - 8.0)
        full = math.pi * size[0] * size[1]
        knots = tuple(
            Knot(base + up, side * (half + 4.0), -3.0, full * part, size[0] / size[1])
            for up, part in ((0.0, 0.0), (25.0, 0.62), (60.0, 0.95), (220.0, 1.0))
        )
        parts.append(Part(Column(knots), -850.0, name))
    top = body.box[2][1]
    left = Ellipsoid(half + 4.0, -4.0, base - 8.0, half - 14.0, p.cavity_b_mm - 14.0, top - base - 4.0)
    inner = replace(left, a=left.a - 4, b=left.b - 4, c=left.c - 4)
    parts.append(Part(body.grown(5.0), p.hu.wall, Structure.MUSCLE, over=Structure.LUNG_RIGHT))
    parts.append(Part(left, p.hu.wall, Structure.MUSCLE, over=Structure.LUNG_LEFT))
    parts.append(Part(inner, p.hu.fat, Structure.BODY))
    parts.append(Part(Ellipsoid(18.0, -34.0, top + 26.0, 62.0, 44.0, 40.0, 0.5), p.hu.blood, Structure.HEART))
    return parts


def _back(p: Proportions) -> list[Part]:
    """Muscles of the back and the buttocks."""
    ends = levels(p)
    s1, y = ends[Structure.VERTEBRA_S1][0], p.spine_y_mm
    parts = []
    for side in (-1, 1):
        back = (
            Knot(s1 - 20, side * 20, y + 62, math.pi * 12 * 6, 2.0),
            Knot(s1 + 25, side * 27, y + 56, math.pi * 22 * 15, 1.5),
            Knot(0, side * 33, y + 47, math.pi * 27 * 19, 1.45),
            Knot(110, side * 33, y + 52, math.pi * 26 * 16, 1.6),
            Knot(ENDLESS_MM, side * 33, y + 52, math.pi * 26 * 16, 1.6),
        )
        parts.append(Part(Column(back), p.hu.wall, Structure.MUSCLE))
        low, high = ends[Structure.VERTEBRA_L4][0], ends[Structure.VERTEBRA_L1][0]
        parts.append(
            Part(cylinder(side * 72, y + 28, 15, 8, low, high, angle=-side * 0.5), p.hu.wall, Structure.MUSCLE)
        )
        parts.append(Part(Ellipsoid(side * 88, y + 45, s1 - 50, 55, 26, 88, -side * 0.55), p.hu.wall, Structure.MUSCLE))
    return parts


def _bowel(p: Proportions) -> list[Part]:
    """Colon on both sides, loops of small bowel in front, bladder."""
    rng = np.random.default_rng(p.bowel_seed)
    s1 = levels(p)[Structure.VERTEBRA_S1][0]
    parts = []
    for side, top in ((-1, 12.0), (1, 45.0)):
        x, y = side * (p.cavity_a_mm - 31), 2.0
        radii = [2.0, *rng.uniform(18, 23, 9), 2.0]
        heights = np.linspace(s1 + 22, top, len(radii))
        wall = [Knot(float(z), x, y, math.pi * r * r * 1.1) for z, r in zip(heights, radii, strict=True)]
        parts.append(Part(Column(tuple(wall)), p.hu.bowel, Structure.BOWEL))
        lumen = tuple(replace(knot, y=y - 4, area_mm2=max(knot.area_mm2 - 700, 12) * 0.6) for knot in wall[1:-1])
        parts.append(Part(Column(lumen), -880.0, Structure.BOWEL))
    for _ in range(48):
        x, z = rng.uniform(-84, 84), rng.uniform(s1 - 50, 22.0)
        y = -float(p.cavity_b_mm) * rng.uniform(0.28, 0.68)
        size = rng.uniform(12, 19, 3)
        loop = Ellipsoid(float(x), y, float(z), 1.5 * size[0], size[1], size[2], float(rng.uniform(-1, 1)))
        parts.append(Part(loop, p.hu.bowel + 22, Structure.BOWEL))
        inner = replace(loop, a=loop.a - 3, b=loop.b - 3, c=loop.c - 3)
        parts.append(Part(inner, p.hu.bowel - 14 + float(rng.uniform(-8, 8)), Structure.BOWEL))
        if rng.random() < 0.25:
            gas = replace(inner, y=loop.y - 4, a=inner.a * 0.6, b=inner.b * 0.45, c=inner.c * 0.6)
            parts.append(Part(gas, -900.0, Structure.BOWEL))
    bladder = Ellipsoid(0, p.spine_y_mm - 72, s1 - 95, 40, 30, 36)
    parts.append(Part(bladder, 24.0, Structure.BLADDER))
    parts.append(Part(replace(bladder, a=37, b=27, c=33), 6.0, Structure.BLADDER))
    return parts


def _upper_organs(p: Proportions) -> list[Part]:
    """Stomach with fluid and gas, spleen."""
    z = p.liver.z
    stomach = Ellipsoid(54, -32, z + 14, 44, 32, 52, 0.35, lean_x=0.35)
    spleen = Ellipsoid(p.cavity_a_mm - 38, 20, z + 12, 24, 43, 46, -0.35, lean_y=-0.15)
    return [
        Part(stomach, p.hu.bowel + 25, Structure.STOMACH),
        Part(replace(stomach, a=40, b=28, c=48), 18.0, Structure.STOMACH),
        Part(replace(stomach, y=-46, a=28, b=12, c=34), -920.0, Structure.STOMACH),
        Part(spleen, p.hu.spleen, Structure.SPLEEN),
    ]


def _kidneys(p: Proportions) -> list[Part]:
    """Kidneys with a sinus of fat; the right one lies lower."""
    parts = []
    for side, z, name in ((1, 44.0, Structure.KIDNEY_LEFT), (-1, 24.0, Structure.KIDNEY_RIGHT)):
        kidney = Ellipsoid(side * 80, p.spine_y_mm + 4, z, 24, 29, 54, side * 0.75, lean_x=-side * 0.2)
        parts.append(Part(kidney, p.hu.kidney, name))
        sinus = replace(kidney, x=kidney.x - side * 11, y=kidney.y - 6, a=7, b=10, c=24)
        parts.append(Part(sinus, p.hu.fat + 30, Structure.BODY))
    return parts


def _vessels(p: Proportions) -> list[Part]:
    """Aorta with a calcified patch and vena cava in front of the spine; they divide at L4 into the iliac ones."""
    ends = levels(p)
    l4, s1 = ends[Structure.VERTEBRA_L4][0], ends[Structure.VERTEBRA_S1][0]
    course = [(sum(ends[name]) / 2, curve * p.lordosis) for name, curve in zip(VERTEBRAE, CURVE_MM, strict=True)]
    course = sorted(spot for spot in course if spot[0] > l4)
    front = p.spine_y_mm - 17.0 * p.bone_scale

    def vessel(x: float, r: float, rise: float, hu: float, name: Structure) -> Part:
        knots = [Knot(l4, x * 0.8, front - r, math.pi * r * r)]
        for z, curve in course:
            lift = rise * min(max((z - 60) / 60, 0.0), 1.0)
            knots.append(Knot(z, x - 0.25 * lift, front + curve - r - 1 - lift, math.pi * r * r * 1.05))
        knots.append(replace(knots[-1], z=knots[-1].z + 90))
        return Part(Column(tuple(knots)), hu, name)

    parts = [
        vessel(9.0, 10.0, 0.0, p.hu.artery, Structure.AORTA),
        vessel(-15.0, 11.5, 14.0, p.hu.vein, Structure.INFERIOR_VENA_CAVA),
    ]
    for side in (-1, 1):
        for x, r, hu, name in (
            (0.0, 6.0, p.hu.artery, Structure.AORTA), (-5.0, 7.0, p.hu.vein, Structure.INFERIOR_VENA_CAVA)
        ):  # fmt: skip
            knots = (
                Knot(s1 - 100, side * 62, p.spine_y_mm - 76, math.pi * r * r),
                Knot(s1 - 60, side * (60 + x), p.spine_y_mm - 58 - x, math.pi * r * r),
                Knot(s1 + 5, side * (40 + x), p.spine_y_mm - 26 - x, math.pi * r * r),
                Knot(l4 + 1, side * 7 + (4 if x == 0 else -9), front - 9, math.pi * r * r),
            )
            parts.append(Part(Column(knots), hu, name))
    return parts
