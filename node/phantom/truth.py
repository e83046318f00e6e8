"""The exact numbers of a synthetic abdomen, from its parameters and never from voxels.

Beside the ten stages. In: an `Anatomy`. Out: values under the ids of result.json, each by a closed form. Numbers
that do not exist (the diameter of no lesion) are left out. Next: tests, demo and doctor compare them with what
was measured in the pixels.

Partial volume is not a part of the truth: a mean attenuation here is that of the tissue, and a mask that reaches
to the surface measures a little less or more (about 1 to 3 HU for liver and muscle in fat).
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from node.phantom.anatomy import Anatomy, Vertebra
from node.phantom.shapes import Column
from node.phantom.structures import Structure

EROSION_MM = 5.0
"""Distance of the L1 core from the body's surface (metrics, section 4)."""
CORE_FRACTION = 0.5
"""Central part of the body's height that the L1 core takes (metrics, section 4)."""

Truth = dict[str, dict[str, float | str]]


def truth(anatomy: Anatomy, noise_sd_hu: float) -> Truth:
    """Every number that the product measures, exactly.

    Parameters
    ----------
    anatomy : Anatomy
        A sound one (`conflicts` is empty): the sums below rest on it.
    noise_sd_hu : float
        SD of the noise that the picture was given; it is the SD within the L1 core.

    Returns
    -------
    dict
        id -> {"value": float, "unit": UCUM code}.
    """
    left, right = anatomy.psoas_left, anatomy.psoas_right
    l3 = anatomy.vertebra(Structure.VERTEBRA_L3)
    middle = sum(l3.body.z_range) / 2
    volumes = [muscle.volume_mm3 / 1000.0 for muscle in (left, right)]
    areas = [muscle.area_mm2(middle) / 100.0 for muscle in (left, right)]
    l1 = anatomy.vertebra(Structure.VERTEBRA_L1)
    values: list[tuple[str, float, str]] = [
        ("liver.volume", anatomy.liver.volume_mm3 / 1000.0, "mL"),
        ("liver.mean_hu", liver_mean_hu(anatomy), "[hnsf'U]"),
        ("psoas.left.volume", volumes[0], "mL"),
        ("psoas.right.volume", volumes[1], "mL"),
        ("psoas.left.mean_hu", anatomy.psoas_left_hu, "[hnsf'U]"),
        ("psoas.right.mean_hu", anatomy.psoas_right_hu, "[hnsf'U]"),
        ("psoas.left.area_l3", areas[0], "cm2"),
        ("psoas.right.area_l3", areas[1], "cm2"),
        ("psoas.pmvi", sum(volumes) / anatomy.height_m**3, "cm3/m3"),
        ("psoas.pmi", sum(areas) / anatomy.height_m**2, "cm2/m2"),
        ("l1.mean_hu", l1.trabecular_hu, "[hnsf'U]"),
        ("l1.median_hu", l1.trabecular_hu, "[hnsf'U]"),
        ("l1.sd_hu", noise_sd_hu, "[hnsf'U]"),
        ("l1.volume", core_volume_mm3(l1) / 1000.0, "mL"),
        ("burden.count", float(len(anatomy.lesions)), "1"),
    ]
    if anatomy.lesions:
        largest = max(lesion.solid.axial_diameter_mm for lesion in anatomy.lesions)
        values.append(("burden.max_diameter", largest, "mm"))
        values.append(("burden.tbs", math.hypot(largest / 10.0, len(anatomy.lesions)), "1"))
    return {key: {"value": float(value), "unit": unit} for key, value, unit in values}


def liver_mean_hu(anatomy: Anatomy) -> float:
    """Mean attenuation of the liver with its lesions, by volume."""
    total = anatomy.liver.volume_mm3
    lesions = [(lesion.solid.volume_mm3, lesion.hu) for lesion in anatomy.lesions]
    healthy = total - sum(volume for volume, _ in lesions)
    return (healthy * anatomy.liver_hu + sum(volume * hu for volume, hu in lesions)) / total


def core_volume_mm3(vertebra: Vertebra) -> float:
    """Volume of the body's points more than 5 mm from its surface, in the central half of its height.

    The inner parallel set of an ellipse at a distance d up to its least radius of curvature b^2 / a has the
    area A - P d + pi d^2 (Steiner). The ends cost no height, since a quarter of the height exceeds 5 mm less
    than the central half leaves: h / 2 < h - 2 d.

    Raises
    ------
    ValueError
        If the body is too flat or too low for the closed form.
    """
    a, b = max(vertebra.semi_axes_mm), min(vertebra.semi_axes_mm)
    height = vertebra.height_mm
    if b * b / a < EROSION_MM or height * CORE_FRACTION > height - 2 * EROSION_MM:
        raise ValueError(f"{vertebra.structure.name}: the core has no closed form at {EROSION_MM} mm")
    area = math.pi * a * b - perimeter_mm(a, b) * EROSION_MM + math.pi * EROSION_MM**2
    return area * height * CORE_FRACTION


def perimeter_mm(a: float, b: float) -> float:
    """Perimeter of an ellipse: the trapezoid rule on a periodic function, exact to double precision here."""
    turn = np.linspace(0.0, 2 * math.pi, 512, endpoint=False)
    return float(np.hypot(a * np.sin(turn), b * np.cos(turn)).mean() * 2 * math.pi)


def covered_volume_mm3(column: Column, z0: float, z1: float) -> float:
    """Exact volume of a column's part between two heights (for volumes that cut a muscle)."""
    total = 0.0
    for low, up in pairwise(column.knots):
        height = up.z - low.z
        bounds = [min(max((z - low.z) / height, 0.0), 1.0) for z in (z0, z1)]
        integral = [low.area_mm2 * t + (up.area_mm2 - low.area_mm2) * (t**3 - t**4 / 2) for t in bounds]
        total += height * (integral[1] - integral[0])
    return total
