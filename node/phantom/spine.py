"""Bones of the synthetic abdomen: vertebrae T8 to S1, discs, canal, sacrum, ribs, pelvis and hips.

Beside the ten stages. In: `Proportions`. Out: solids in the body's frame (origin on the trunk's axis at mid-L3,
LPS directions, mm). Every vertebra's axis is parallel to z, so that heights and volumes stay exact; the spine's
curve only shifts the vertebrae backwards and forwards. Next: `node.phantom.variation` puts the parts together.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from node.phantom.anatomy import Part, Vertebra
from node.phantom.proportions import Proportions
from node.phantom.shapes import Column, Ellipsoid, Knot, Stack, cylinder
from node.phantom.structures import VERTEBRAE, Structure

SEMI_AXES_MM = (
    (16.5, 14.0), (17.0, 14.5), (18.0, 14.5), (19.5, 15.0), (21.0, 15.5), (22.0, 16.0),
    (22.5, 16.5), (23.5, 16.5), (24.5, 17.0), (25.5, 17.0), (25.0, 16.0),
)  # fmt: skip
"""Semi-axes of the vertebral bodies, T8 to S1, at bone scale 1."""

CURVE_MM = (18.0, 17.0, 15.0, 12.0, 8.0, 4.0, 1.0, 0.0, 1.0, 5.0, 14.0)
"""How far behind the body of L3 the others lie, T8 to S1, at lordosis 1."""

CANAL_MM = (11.0, 8.5)
"""Semi-axes of the spinal canal."""


def levels(p: Proportions) -> dict[Structure, tuple[float, float]]:
    """Lower and upper end of each vertebral body, with mid-L3 at 0."""
    tops = [0.0]
    for height, disc in zip(p.body_heights_mm, p.disc_heights_mm, strict=False):
        tops.append(tops[-1] - height - disc)
    third = VERTEBRAE.index(Structure.VERTEBRA_L3)
    shift = p.body_heights_mm[third] / 2 - tops[third]
    ends = zip(VERTEBRAE, tops, p.body_heights_mm, strict=True)
    return {name: (top + shift - height, top + shift) for name, top, height in ends}


def vertebrae(p: Proportions) -> tuple[Vertebra, ...]:
    """All vertebrae from the head down."""
    ends = levels(p)
    built = []
    for name, (a, b), curve in zip(VERTEBRAE, SEMI_AXES_MM, CURVE_MM, strict=True):
        a, b, y = a * p.bone_scale, b * p.bone_scale, p.spine_y_mm + curve * p.lordosis
        body = cylinder(0.0, y, a, b, *ends[name])
        built.append(
            Vertebra(
                structure=name,
                body=body,
                cortex_mm=p.cortex_mm,
                trabecular_hu=p.hu.trabecular,
                cortical_hu=p.hu.cortical,
                arch_hu=p.hu.arch,
                arch=_arch(name, y, a, b, ends[name], p.bone_scale),
            )
        )
    return tuple(built)


def _arch(name: Structure, y: float, a: float, b: float, ends: tuple[float, float], k: float) -> tuple[Stack, ...]:
    """Ring around the canal, pedicles, joints, spinous and transverse processes, all within the body's height."""
    low, high = ends
    height, middle = high - low, (high + low) / 2
    canal = y + b + CANAL_MM[1] * k + 1.0
    ring = cylinder(0, canal, (CANAL_MM[0] + 5) * k, (CANAL_MM[1] + 5) * k, low + 0.2 * height, high - 0.1 * height)
    spinous = cylinder(0, canal + 23 * k, 3.6 * k, 13 * k, low + 0.5, middle + 2)
    parts: list[Stack] = [ring, spinous]
    for side in (-1, 1):
        parts.append(cylinder(side * 14 * k, y + b + 2, 4.2 * k, 9 * k, middle, high - 2))
        parts.append(cylinder(side * 17 * k, canal + 8 * k, 6 * k, 7 * k, low + 0.5, high - 0.5, angle=side * 0.5))
        if name is Structure.VERTEBRA_S1:
            parts.append(cylinder(side * (a + 12 * k), y + 13, 22 * k, 12 * k, low, high, angle=side * 0.25))
        else:
            reach = a + 9 * k
            parts.append(cylinder(side * reach, canal, 19 * k, 3.6 * k, middle - 2, middle + 7, angle=side * 0.12))
    return tuple(parts)


def canal(p: Proportions) -> Part:
    """The canal with cord and fluid, from above T8 to S1."""
    knots = []
    for vertebra in reversed(vertebrae(p)):
        a, b = (axis * p.bone_scale for axis in CANAL_MM)
        y = vertebra.body.knots[0].y + vertebra.semi_axes_mm[1] + b + 1.0
        z = sum(vertebra.body.z_range) / 2
        knots.append(Knot(z, 0.0, y, math.pi * a * b, a / b))
    first, last = knots[0], knots[-1]
    below = Knot(first.z - 30, 0.0, first.y + 8, first.area_mm2 * 0.5, first.aspect)
    above = Knot(last.z + 90, 0.0, last.y, last.area_mm2, last.aspect)
    return Part(Column((below, *knots, above)), p.hu.canal, Structure.SPINAL_CANAL)


def discs(p: Proportions) -> list[Part]:
    """Discs between neighbours; they reach 1 mm under the end plates, which are painted over them."""
    parts = []
    bones = vertebrae(p)
    for upper, lower in pairwise(bones):
        knots = []
        for bone, z in ((lower, lower.body.z_range[1] - 1), (upper, upper.body.z_range[0] + 1)):
            a, b = bone.semi_axes_mm
            knots.append(Knot(z, 0.0, bone.body.knots[0].y, math.pi * a * b, a / b))
        parts.append(Part(Column(tuple(knots)), p.hu.disc, Structure.DISC))
    return parts


def sacrum(p: Proportions) -> list[Part]:
    """S2 to S5: two columns that narrow and lean backwards."""
    low, _ = levels(p)[Structure.VERTEBRA_S1]
    y, k = p.spine_y_mm + CURVE_MM[-1] * p.lordosis, p.bone_scale
    knots = (
        Knot(low - 95, 0, y + 38, math.pi * 9 * 5 * k, 1.8),
        Knot(low - 55, 0, y + 40, math.pi * 26 * 9 * k, 2.9),
        Knot(low - 20, 0, y + 26, math.pi * 40 * 13 * k, 3.1),
        Knot(low + 1, 0, y + 14, math.pi * 46 * 14 * k, 3.3),
    )
    inner = tuple(Knot(n.z, n.x, n.y, n.area_mm2 * 0.62, n.aspect * 1.1) for n in knots)
    return [
        Part(Column(knots), p.hu.cortical * 0.6, Structure.SACRUM),
        Part(Column(inner), p.hu.trabecular * 0.8, Structure.SACRUM),
    ]


def ribs(p: Proportions) -> list[Part]:
    """Ribs 7 to 12 of both sides, as tilted bars along the wall: an axial slice cuts each one lengthwise."""
    ends = levels(p)
    across, along = p.cavity_a_mm + p.wall_mm * 0.45, p.cavity_b_mm + p.wall_mm * 0.45
    heads = (
        (Structure.VERTEBRA_T8, 32.0, 2.1, 118.0),
        (Structure.VERTEBRA_T8, 0.0, 2.15, 124.0),
        (Structure.VERTEBRA_T9, 0.0, 2.1, 122.0),
        (Structure.VERTEBRA_T10, 0.0, 2.0, 116.0),
        (Structure.VERTEBRA_T11, 0.0, 1.5, 92.0),
        (Structure.VERTEBRA_T12, 0.0, 1.05, 62.0),
    )
    parts = []
    for name, above, reach, drop in heads:
        top = ends[name][1] - 3.0 + above
        turns = np.linspace(reach, 0.42, 12)
        heights = top - drop * (turns - 0.42) / (reach - 0.42)
        for side in (-1, 1):
            outer, inner = [], []
            for turn, z in zip(turns, heights, strict=True):
                dx, dy = across * math.cos(turn), -along * math.sin(turn)
                slope = drop / (reach - 0.42) / math.hypot(dx, dy)
                half = 6.0 / max(slope, 0.2)
                spot = (float(z), side * across * math.sin(turn), along * math.cos(turn) - 4.0)
                angle = math.atan2(dy, side * dx)
                angle = angle + math.pi if angle < -math.pi / 2 else angle
                outer.append(Knot(*spot, math.pi * half * 3.6, half / 3.6, angle))
                inner.append(Knot(*spot, math.pi * (half - 3) * 2.3, (half - 3) / 2.3, angle))
            parts.append(Part(Column(tuple(outer)), p.hu.cortical * 0.75, Structure.RIB))
            parts.append(Part(Column(tuple(inner)), p.hu.trabecular + 40, Structure.RIB))
    return parts


def pelvis(p: Proportions) -> list[Part]:
    """Iliac wings, sockets and heads of the femora, which the muscle passes in front of."""
    low, high = levels(p)[Structure.VERTEBRA_S1]
    y, k = p.spine_y_mm, p.bone_scale
    parts = []
    for side in (-1, 1):
        wing, marrow = [], []
        for z, x, dy, half, thick, turn in (
            (low - 75, 78, -6, 22, 9, 0.9), (low - 50, 82, 6, 30, 8, 0.85), (low - 15, 84, 16, 44, 5.5, 0.8),
            (high - 5, 90, 14, 48, 5.0, 0.8), (high + 22, 97, 14, 36, 4.5, 0.8), (high + 40, 103, 12, 8, 3, 0.8),
        ):  # fmt: skip
            spot = (z, side * x * k, y + dy)
            angle = -side * turn
            wing.append(Knot(*spot, math.pi * half * thick * k, half / thick, angle))
            marrow.append(Knot(*spot, math.pi * (half - 2.5) * (thick - 2) * k, (half - 2.5) / (thick - 2), angle))
        parts.append(Part(Column(tuple(wing)), p.hu.cortical * 0.8, Structure.PELVIS))
        parts.append(Part(Column(tuple(marrow)), p.hu.trabecular * 0.7, Structure.PELVIS))
        hip = (side * 87 * k, y - 4, low - 78)
        parts.append(Part(Ellipsoid(hip[0] - side * 4, hip[1] + 3, hip[2], 31, 33, 32), 420.0, Structure.PELVIS))
        parts.append(Part(Ellipsoid(*hip, 25.5, 25.5, 25.5), 40.0, Structure.MUSCLE))
        parts.append(Part(Ellipsoid(*hip, 24.0, 24.0, 24.0), p.hu.cortical * 0.7, Structure.FEMUR))
        parts.append(Part(Ellipsoid(*hip, 22.0, 22.0, 22.0), p.hu.trabecular + 60, Structure.FEMUR))
    return parts
