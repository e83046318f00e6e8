"""What a synthetic abdomen consists of, and the proof that its parts do not overlap.

Beside the ten stages. In: solids from `node.phantom.shapes`. Out: `Anatomy`, frozen and free of voxels, from which
the picture (`node.phantom.render`) and the exact numbers (`node.phantom.truth`) are worked out separately.
`conflicts` names every pair of structures with a truth that comes too close; a good anatomy has none.
Next: `node.phantom.variation` builds anatomies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from node.phantom.shapes import Column, Ellipsoid, Floats, Lobe, Sections, Stack, cylinder
from node.phantom.structures import Structure


@dataclass(frozen=True)
class Part:
    """One solid with its attenuation and label; what has no number of its own in the truth.

    Attributes
    ----------
    solid : Column, Ellipsoid or Lobe
        Where it is.
    hu : float
        Attenuation [HU].
    structure : Structure
        Its label.
    over : Structure, optional
        Paint only where this label stands: a layer that shows against one neighbour alone.
    """

    solid: Stack | Lobe
    hu: float
    structure: Structure
    over: Structure | None = None

    def moved(self, dx: float, dy: float, dz: float) -> Part:
        """The same part elsewhere."""
        return replace(self, solid=self.solid.moved(dx, dy, dz))


@dataclass(frozen=True)
class Vertebra:
    """A vertebra whose axis is parallel to z.

    Attributes
    ----------
    structure : Structure
        Which one.
    body : Column
        The whole body, an elliptic cylinder, cortex included.
    cortex_mm : float
        Thickness of the cortical shell, end plates included.
    trabecular_hu, cortical_hu, arch_hu : float
        Attenuation of the core, the shell and the arch [HU].
    arch : tuple of Stack
        Laminae, pedicles, joints, spinous and transverse processes, within the body's height; they may overlap
        one another and the body, which is painted over them.
    """

    structure: Structure
    body: Column
    cortex_mm: float
    trabecular_hu: float
    cortical_hu: float
    arch_hu: float
    arch: tuple[Stack, ...]

    def moved(self, dx: float, dy: float, dz: float) -> Vertebra:
        """The same vertebra elsewhere."""
        arch = tuple(solid.moved(dx, dy, dz) for solid in self.arch)
        return replace(self, body=self.body.moved(dx, dy, dz), arch=arch)

    @property
    def solids(self) -> tuple[Stack, ...]:
        """Body and arch."""
        return (self.body, *self.arch)

    @property
    def semi_axes_mm(self) -> tuple[float, float]:
        """Semi-axes of the body along x and y."""
        section = self.body.sections(np.array([self.body.z_range[0]]))
        return float(section.a[0]), float(section.b[0])

    @property
    def height_mm(self) -> float:
        """Height of the body."""
        low, high = self.body.z_range
        return high - low

    @property
    def core(self) -> Column:
        """The trabecular bone: the body without its shell (semi-axes and ends drawn in by the thickness)."""
        a, b = self.semi_axes_mm
        knot, t = self.body.knots[0], self.cortex_mm
        low, high = self.body.z_range
        return cylinder(knot.x, knot.y, a - t, b - t, low + t, high - t)


@dataclass(frozen=True)
class Lesion:
    """A lesion of the liver: an ellipsoid with its axes along x, y and z, and its attenuation [HU]."""

    solid: Ellipsoid
    hu: float


@dataclass(frozen=True)
class Anatomy:
    """A synthetic abdomen. Lengths in mm, LPS, attenuation in HU.

    Attributes
    ----------
    seed : int or None
        What it was drawn from; None for the standard one.
    height_m, weight_kg, age_years, sex : float, float, int, str
        The imaginary patient; sex is "M" or "F".
    contrast : bool
        Whether the HU are those of a portal venous phase.
    skin : Column
        The trunk's outline.
    trunk : tuple of Part
        Table, skin, fat and wall, the same on every slice: painted first, in this order.
    context : tuple of Part
        Everything else without a truth, painted next, in this order.
    psoas_left, psoas_right : Column
        The iliopsoas muscles of the patient's left and right.
    psoas_left_hu, psoas_right_hu : float
        Their attenuation.
    vertebrae : tuple of Vertebra
        From the head down.
    canal : Part
        The spinal canal; painted over the arches and under the bodies.
    liver : Lobe
        The liver, lesions included.
    liver_hu : float
        Attenuation of its healthy part.
    lesions : tuple of Lesion
        Largest first; wholly within the liver, apart from one another.
    """

    seed: int | None
    height_m: float
    weight_kg: float
    age_years: int
    sex: str
    contrast: bool
    skin: Column
    trunk: tuple[Part, ...]
    context: tuple[Part, ...]
    psoas_left: Column
    psoas_right: Column
    psoas_left_hu: float
    psoas_right_hu: float
    vertebrae: tuple[Vertebra, ...]
    canal: Part
    liver: Lobe
    liver_hu: float
    lesions: tuple[Lesion, ...]

    def vertebra(self, structure: Structure) -> Vertebra:
        """The vertebra with this label; KeyError if there is none."""
        for vertebra in self.vertebrae:
            if vertebra.structure is structure:
                return vertebra
        raise KeyError(structure.name)

    def moved(self, dx: float, dy: float, dz: float) -> Anatomy:
        """The same anatomy elsewhere in the patient's frame."""
        by = (dx, dy, dz)
        return replace(
            self,
            skin=self.skin.moved(*by),
            trunk=tuple(part.moved(*by) for part in self.trunk),
            context=tuple(part.moved(*by) for part in self.context),
            psoas_left=self.psoas_left.moved(*by),
            psoas_right=self.psoas_right.moved(*by),
            vertebrae=tuple(vertebra.moved(*by) for vertebra in self.vertebrae),
            canal=self.canal.moved(*by),
            liver=self.liver.moved(*by),
            lesions=tuple(replace(lesion, solid=lesion.solid.moved(*by)) for lesion in self.lesions),
        )


def apart(first: Stack, second: Stack, gap_mm: float, *, step_mm: float = 1.5) -> bool:
    """Whether two stacks keep `gap_mm` between their sections at every common height.

    Each section's outline (32 points) is held against the other's ellipse, lengthened by the gap, both ways.
    """
    low = max(first.z_range[0], second.z_range[0])
    high = min(first.z_range[1], second.z_range[1])
    if low >= high:
        return True
    z = np.linspace(low, high, max(2, math.ceil((high - low) / step_mm) + 1))
    one, two = first.sections(z), second.sections(z)
    return not (_touches(one, two, gap_mm) or _touches(two, one, gap_mm))


def _touches(one: Sections, two: Sections, gap_mm: float) -> bool:
    """Whether the outline or centre of `one` enters the ellipse `two` lengthened by the gap, at any height."""
    x, y = _outline(one, 32)
    dx = np.concatenate([x, one.x[:, None]], axis=1) - two.x[:, None]
    dy = np.concatenate([y, one.y[:, None]], axis=1) - two.y[:, None]
    cos, sin = np.cos(two.angle)[:, None], np.sin(two.angle)[:, None]
    across = (dx * cos + dy * sin) / (two.a[:, None] + gap_mm)
    along = (dy * cos - dx * sin) / (two.b[:, None] + gap_mm)
    return bool((across**2 + along**2 < 1).any())


def _outline(section: Sections, count: int) -> tuple[Floats, Floats]:
    """Points on the sections' outlines, x and y, each of shape (n, count)."""
    turn = np.linspace(0, 2 * math.pi, count, endpoint=False)
    along_a, along_b = section.a[:, None] * np.cos(turn), section.b[:, None] * np.sin(turn)
    cos, sin = np.cos(section.angle)[:, None], np.sin(section.angle)[:, None]
    x = section.x[:, None] + along_a * cos - along_b * sin
    y = section.y[:, None] + along_a * sin + along_b * cos
    return x, y


def clear_of(liver: Lobe, solid: Stack, gap_mm: float) -> bool:
    """Whether a stack stays outside the liver with roughly `gap_mm` to spare."""
    grown = liver.grown(gap_mm)
    low, high = solid.z_range
    z = np.linspace(low, high, max(3, math.ceil((high - low) / 3.0) + 1))
    x, y = _outline(solid.sections(z), 32)
    return bool((grown.level(x, y, z[:, None]) > 1).all())


def holds(liver: Lobe, lesion: Ellipsoid, gap_mm: float) -> bool:
    """Whether a lesion lies within the liver with `gap_mm` to spare."""
    up = np.linspace(-1, 1, 25)[:, None]
    turn = np.linspace(0, 2 * math.pi, 32, endpoint=False)[None, :]
    ring = np.sqrt(1 - up * up)
    x = lesion.x + (lesion.a + gap_mm) * ring * np.cos(turn)
    y = lesion.y + (lesion.b + gap_mm) * ring * np.sin(turn)
    z = np.broadcast_to(lesion.z + (lesion.c + gap_mm) * up, x.shape)
    return bool((liver.level(x, y, z) < 1).all())


def separate(first: Ellipsoid, second: Ellipsoid, gap_mm: float) -> bool:
    """Whether the spheres around two ellipsoids keep `gap_mm` between them (sufficient, not necessary)."""
    distance = math.dist((first.x, first.y, first.z), (second.x, second.y, second.z))
    return distance > max(first.a, first.b, first.c) + max(second.a, second.b, second.c) + gap_mm


LESION_MARGIN_MM = 3.0
"""Least liver around a lesion."""
LESION_GAP_MM = 8.0
"""Least liver between two lesions, so that they stay two components on slices of 5 mm."""
ORGAN_GAP_MM = 1.0
"""Least distance between structures that have a truth."""


def conflicts(anatomy: Anatomy) -> list[str]:
    """Names of the pairs that break a rule the truth rests on; empty for a sound anatomy."""
    return list(_conflicts(anatomy))


def _conflicts(anatomy: Anatomy) -> Iterator[str]:
    if not apart(anatomy.psoas_left, anatomy.psoas_right, ORGAN_GAP_MM):
        yield "the psoas muscles touch"
    for side, muscle in (("left", anatomy.psoas_left), ("right", anatomy.psoas_right)):
        if not clear_of(anatomy.liver, muscle, ORGAN_GAP_MM):
            yield f"liver and psoas {side}"
        for vertebra in anatomy.vertebrae:
            if not all(apart(muscle, solid, ORGAN_GAP_MM) for solid in vertebra.solids):
                yield f"psoas {side} and {vertebra.structure.name}"
    for vertebra in anatomy.vertebrae:
        if not all(clear_of(anatomy.liver, solid, ORGAN_GAP_MM) for solid in vertebra.solids):
            yield f"liver and {vertebra.structure.name}"
    for upper, lower in pairwise(anatomy.vertebrae):
        if upper.body.z_range[0] <= lower.body.z_range[1]:
            yield f"{upper.structure.name} and {lower.structure.name}"
    yield from _lesion_conflicts(anatomy)
    yield from _bone_conflicts(anatomy)


def _lesion_conflicts(anatomy: Anatomy) -> Iterator[str]:
    for index, lesion in enumerate(anatomy.lesions):
        if not holds(anatomy.liver, lesion.solid, LESION_MARGIN_MM):
            yield f"lesion {index + 1} leaves the liver"
        for other in anatomy.lesions[:index]:
            if not separate(lesion.solid, other.solid, LESION_GAP_MM):
                yield f"lesion {index + 1} is too close to another"


def _bone_conflicts(anatomy: Anatomy) -> Iterator[str]:
    """The closed forms of the L1 core need 5 mm within the least radius of curvature, and height to spare."""
    l1 = anatomy.vertebra(Structure.VERTEBRA_L1)
    a, b = max(l1.semi_axes_mm), min(l1.semi_axes_mm)
    if b * b / a <= 5.5 or l1.height_mm <= 21.0:
        yield "the body of L1 is too small for a core"
    l3 = anatomy.vertebra(Structure.VERTEBRA_L3)
    for side, muscle in (("left", anatomy.psoas_left), ("right", anatomy.psoas_right)):
        low, high = l3.body.z_range
        areas = [muscle.area_mm2(float(z)) for z in np.linspace(low - 1.5, high + 1.5, 9)]
        if max(areas) - min(areas) > 1e-6 * max(areas):
            yield f"the area of psoas {side} changes along L3"
