"""The free numbers of a synthetic abdomen: sizes, shapes and attenuations before anything is put in its place.

Beside the ten stages. In: nothing. Out: `Proportions` and `Attenuation`, whose defaults are the standard abdomen.
Next: `node.phantom.spine`, `node.phantom.torso` and `node.phantom.organs` make solids of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Attenuation:
    """Attenuation of the tissues [HU]; the defaults are a portal venous phase at 120 kVp."""

    fat: float = -105.0
    skin: float = 10.0
    wall: float = 52.0
    psoas_left: float = 58.0
    psoas_right: float = 55.0
    liver: float = 108.0
    lesions: float = 58.0
    spleen: float = 118.0
    kidney: float = 165.0
    vein: float = 148.0
    artery: float = 152.0
    blood: float = 138.0
    bowel: float = 38.0
    trabecular: float = 142.0
    cortical: float = 600.0
    arch: float = 330.0
    canal: float = 32.0
    disc: float = 88.0


@dataclass(frozen=True)
class LiverShape:
    """Size and form of the liver; see `node.phantom.shapes.Lobe`. Centre relative to mid-L3 and the trunk [mm]."""

    x: float = -43.0
    y: float = -29.0
    z: float = 96.0
    a: float = 96.0
    b: float = 46.0
    c: float = 68.0
    taper_y: float = 0.52
    taper_z: float = 0.34
    sweep: float = 33.0
    bow: float = 4.0
    rise: float = 16.0
    tilt: float = 0.4


@dataclass(frozen=True)
class Proportions:
    """Every free number of a synthetic abdomen but its lesions.

    Lengths in mm. The body's frame has its origin on the trunk's axis at the mid-height of L3; `pose_mm` is where
    that point lies in LPS.

    Attributes
    ----------
    body_heights_mm, disc_heights_mm : tuple of float
        Of the vertebrae from T8 to S1 and of the discs below each but the last.
    spine_y_mm : float
        Centre of the body of L3, behind the trunk's axis.
    bone_scale : float
        Factor on the widths of the vertebrae and what hangs on them.
    lordosis : float
        Factor on the spine's curve in the sagittal plane.
    cavity_a_mm, cavity_b_mm : float
        Semi-axes of the abdominal cavity.
    wall_mm, fat_mm : float
        Thickness of the abdominal wall and of the fat under the skin.
    psoas_left, psoas_right : float
        Factors on the areas of the iliopsoas muscles.
    psoas_spread_mm : float
        Shift of both muscles away from the spine.
    bowel_seed : int
        What the arrangement of bowel loops is drawn from.
    """

    seed: int | None = None
    height_m: float = 1.72
    weight_kg: float = 76.0
    age_years: int = 63
    sex: str = "M"
    contrast: bool = True
    pose_mm: tuple[float, float, float] = (3.0, -152.0, -421.5)
    body_heights_mm: tuple[float, ...] = (21.0, 21.0, 24.0, 24.0, 24.0, 24.0, 27.0, 27.0, 27.0, 27.0, 30.0)
    disc_heights_mm: tuple[float, ...] = (6.0, 6.0, 6.0, 6.0, 6.0, 9.0, 9.0, 9.0, 9.0, 12.0)
    spine_y_mm: float = 32.0
    bone_scale: float = 1.0
    lordosis: float = 1.0
    cortex_mm: float = 1.4
    cavity_a_mm: float = 141.0
    cavity_b_mm: float = 87.0
    wall_mm: float = 12.0
    fat_mm: float = 17.0
    psoas_left: float = 0.92
    psoas_right: float = 0.87
    psoas_spread_mm: float = 0.0
    bowel_seed: int = 20
    liver: LiverShape = field(default_factory=LiverShape)
    hu: Attenuation = field(default_factory=Attenuation)
