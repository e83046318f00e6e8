"""How exact stage 8 is: solids of known volume on six grids, each error beside its tolerance, and the page of it.

`python tests/support/accuracy.py` (with the repository and tests/support on PYTHONPATH) writes docs/accuracy.md;
`tests/reference/test_accuracy.py` holds the page against the same rows, and each error against its tolerance.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from scenes import LESIONS, Scene, all_lesions, cones, cylinders, liver, one_lesion, vertebra
from solids import Box, Ellipsoid, Sampling, Spot

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
COMMAND = "PYTHONPATH=.:tests/support python tests/support/accuracy.py"


@dataclass(frozen=True)
class Tolerance:
    """How far off a number may be on a grid.

    A diameter may be too short by a pixel's diagonal; with `between_slices` also by what a lesion whose centre lies
    half-way between two slices does not show on either.
    """

    volume_percent: float
    area_percent: float
    tapering_area_percent: float
    core_hu: float
    noisy_core_hu: float
    core_sd_hu: float
    core_volume_percent: float
    between_slices: bool = False


TOLERANCES: Mapping[Sampling, Tolerance] = {
    Sampling("0.7 / 1 mm", (1.0, 0.7, 0.7)): Tolerance(0.5, 0.5, 3.0, 1.0, 1.0, 1.0, 10.0),
    Sampling("0.8 / 2.5 mm", (2.5, 0.8, 0.8)): Tolerance(0.5, 0.5, 6.0, 1.0, 1.0, 1.0, 15.0),
    Sampling("0.8 / 5 mm", (5.0, 0.8, 0.8)): Tolerance(1.0, 0.5, 12.0, 1.0, 1.0, 1.0, 50.0, between_slices=True),
    Sampling("3 / 3 mm", (3.0, 3.0, 3.0)): Tolerance(1.5, 3.0, 9.0, 1.0, 3.0, 3.0, 20.0),
    Sampling("oblique, 0.8 / 2.5 mm", (2.5, 0.8, 0.8), turned_degrees=(12.0, 20.0)): Tolerance(
        0.5, 0.5, 15.0, 1.0, 1.0, 1.0, 15.0
    ),
    Sampling("tilted 20°, 0.8 / 2.5 mm", (2.5, 0.8, 0.8), tilt_degrees=20.0): Tolerance(
        0.5, 0.5, 15.0, 1.0, 1.0, 1.0, 15.0
    ),
}
OFFSETS: Sequence[Spot] = ((0.07, 0.31, 0.19), (0.43, 0.12, 0.38), (-0.24, 0.46, -0.11))

Scenery = Callable[[Sampling, Spot], Scene]


@dataclass(frozen=True)
class Number:
    """A column of the page: what is measured in which scene, and by how much it may be too low and too high."""

    title: str
    unit: str
    scenery: Scenery
    names: tuple[str, ...]
    allowed: Callable[[Sampling], tuple[float, float]]

    def error(self, sampling: Sampling) -> float:
        """Return the worst error of all places on the grid [`unit`]."""
        errors = [
            100 * (found - exact) / exact if self.unit == "%" else found - exact
            for offset in OFFSETS
            for found, exact in _compared(self.scenery, sampling, offset, self.names)
        ]
        return max(errors, key=abs)


@cache
def measured(scenery: Scenery, sampling: Sampling, offset: Spot) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return what stage 8 finds in a scene, and what is there."""
    scene = scenery(sampling, offset)
    return scene.found(), scene.truth


def _compared(
    scenery: Scenery, sampling: Sampling, offset: Spot, names: Iterable[str]
) -> Iterable[tuple[float, float]]:
    found, truth = measured(scenery, sampling, offset)
    return [(found[name], truth[name]) for name in names]


def _within(what: str) -> Callable[[Sampling], tuple[float, float]]:
    """Allow what the table has under this name, to either side."""

    def allowed(sampling: Sampling) -> tuple[float, float]:
        most = float(getattr(TOLERANCES[sampling], what))
        return -most, most

    return allowed


def _short_mm(one: Ellipsoid, sampling: Sampling) -> float:
    """Return by how much a diameter may be short."""
    grid = sampling.grid(Box((0, 0, 0), (1, 1, 1)), (0, 0, 0))
    diagonal_mm = float(np.hypot(*grid.spacing_mm[1:]))
    between_mm = one.lost_mm(grid.normal, grid.spacing_mm[0] / 2) if TOLERANCES[sampling].between_slices else 0.0
    return diagonal_mm + between_mm


def _short(one: Ellipsoid) -> Callable[[Sampling], tuple[float, float]]:
    return lambda sampling: (-_short_mm(one, sampling), 0.0)


def _score(sampling: Sampling) -> tuple[float, float]:
    """Allow a score what its diameter may be short, in cm: it grows by less than the diameter does."""
    return -_short_mm(max(LESIONS, key=lambda one: max(one.semi_axes)), sampling) / 10, 0.0


def _muscles(scenery: Scenery, area: str) -> tuple[Number, ...]:
    sides = ("left", "right")
    volume, section = _within("volume_percent"), _within(area)
    return (
        Number("volume", "%", scenery, tuple(f"psoas.{side}.volume" for side in sides), volume),
        Number("PMVI", "%", scenery, ("psoas.pmvi",), volume),
        Number("area at L3", "%", scenery, tuple(f"psoas.{side}.area_l3" for side in sides), section),
        Number("PMI", "%", scenery, ("psoas.pmi",), section),
    )


def _core(arch: bool) -> tuple[Number, ...]:
    clean, noisy = (partial(vertebra, arch=arch, noise=noise) for noise in (False, True))
    return (
        Number("mean", "HU", clean, ("l1.mean_hu",), _within("core_hu")),
        Number("mean, noise", "HU", noisy, ("l1.mean_hu",), _within("noisy_core_hu")),
        Number("SD, noise", "HU", noisy, ("l1.sd_hu",), _within("core_sd_hu")),
        Number("volume", "%", clean, ("l1.volume",), _within("core_volume_percent")),
    )


def _diameters() -> tuple[Number, ...]:
    each = (
        Number(f"{2 * max(one.semi_axes):g} mm", "mm", partial(one_lesion, at), ("burden.max_diameter",), _short(one))
        for at, one in enumerate(LESIONS)
    )
    return (*each, Number("TBS of all", "1", all_lesions, ("burden.tbs",), _score))


SHAPES: Mapping[str, tuple[str, tuple[Number, ...]]] = {
    "Liver: an ellipsoid": (
        "Semi-axes 60, 45 and 40 mm, turned by 25 degrees in the axial plane. V = 4/3 pi a b c.",
        (Number("volume", "%", liver, ("liver.volume",), _within("volume_percent")),),
    ),
    "Muscles: cylinders": (
        "Radius 20 mm, length 120 mm along the body, both ends cut askew. V = pi r^2 l, A = pi r^2.",
        _muscles(cylinders, "area_percent"),
    ),
    "Muscles: cones": (
        """\
Two cones base to base, 130 and 70 mm high, radius 24 mm, leaning outwards; L3 where they taper. V = pi r^2 h / 3, A =
pi r^2 of the circle at mid-height of L3. There the area changes by 2.5 % per millimetre, and slice floor((first +
last) / 2) lies up to a step below mid-height; a slice that stands askew cuts a leaning muscle at several heights. What
is left is of the definition, not of the counting.""",
        _muscles(cones, "tapering_area_percent"),
    ),
    "L1: a box within a shell": (
        "44 x 34 x 28 mm with 2 mm of 450 HU around 140 HU; the body has a label of its own.",
        _core(arch=False),
    ),
    "L1: the same with an arch and a canal": (
        "The label is of the whole vertebra; the arch (450 HU) is cut off in front of the canal.",
        _core(arch=True),
    ),
    "Lesions: ellipsoids": (
        """\
Spheres of 8, 12 and 20 mm; ellipsoids of 35 x 24 x 28 and 60 x 44 x 50 mm, turned by 35 and 20 degrees in the axial
plane. The truth is the longest diameter in the plane of the slices.

\\* Of a lesion whose centre lies half-way between two slices of 5 mm neither shows the full diameter D: of a sphere
they show sqrt(D^2 - 25 mm^2), 1.8 mm less of 8 mm and 0.3 mm less of 40 mm. These slices show no more, so on this grid
alone it is allowed beside the diagonal.""",
        _diameters(),
    ),
}

# L1 of the public CT `abdomen3mm` [HU], mean and median. `tests/reference/test_real_studies.py` measures all but the
# first, which TotalSegmentator's own program gave.
REPORTED = "TotalSegmentator's spine report"
LOPSIDED, SYMMETRIC, WHOLE_BODY = (
    "our body, eroded as the report does",
    "our body, eroded by a voxel all around",
    "our body",
)
OURS = "our core"
SPINE: Mapping[str, tuple[float, float]] = {
    REPORTED: (132.6, 110.0),
    LOPSIDED: (140.3, 115.0),
    WHOLE_BODY: (164.0, 135.5),
    SYMMETRIC: (117.5, 101.5),
    OURS: (123.5, 98.0),
}


_TITLES = (
    "volume [%]",
    "area [%]",
    "area, tapering [%]",
    "core mean [HU]",
    "in noise [HU]",
    "its SD [HU]",
    "core volume [%]",
    "diameter [mm]",
)


def page() -> str:
    """Return the page: grids and tolerances, then each shape with its errors."""
    lines = [
        "# Accuracy",
        "",
        "How near stage 8 comes to solids whose volumes, areas and diameters are formulas. Every figure is measured by",
        "`workers.measurement.measure`, as in a study; the truth never comes from voxels. The masks are those of",
        "a perfect segmenter, with a voxel inside where its centre is: what a network adds is not here. Each figure is",
        "the worst of three places on the grid (and of both sides), its tolerance in brackets. Noise has SD 20 HU,",
        "and the vertebra's voxels hold the mean of what they cover (partial volume).",
        "",
        f"The page is generated: `{COMMAND}` writes it, and a test fails",
        "where it says anything else than what is measured, or where an error is beyond its tolerance.",
        "",
        "## Grids and tolerances",
        "",
        "Pixel and slice in millimetres. *Oblique*: the whole grid is turned, by 12 degrees about x and 20 about z.",
        "*Tilted*: the slices alone are turned by 20 degrees about x and step along the table, a sheared grid.",
        "",
        "| grid | " + " | ".join(_TITLES) + " |",
        "|---|" + "---:|" * len(_TITLES),
    ]
    for sampling, one in TOLERANCES.items():
        values = (
            one.volume_percent,
            one.area_percent,
            one.tapering_area_percent,
            one.core_hu,
            one.noisy_core_hu,
            one.core_sd_hu,
            one.core_volume_percent,
        )
        diagonal = f"-{np.hypot(*sampling.spacing_mm[1:]):.2f}" + (" *" if one.between_slices else "")
        lines.append(f"| {sampling.name} | " + " | ".join(f"{value:g}" for value in values) + f" | {diagonal} |")
    lines += [
        "",
        "A diameter runs between voxel centres, so it is never too long and at most one pixel's diagonal too short.",
    ]
    for title, (text, numbers) in SHAPES.items():
        lines += ["", f"## {title}", "", text, "", *_table(numbers)]
    return "\n".join([*lines, *_BESIDE, *_spine()]) + "\n"


_BESIDE = """
## What no mask can give

- **Whole slices.** A flat end that lies along the slices is counted in whole ones: a slice of 5 mm more or less is
  5 % of a cylinder of 100 mm. So the cylinders here end askew, as muscles do. The core of L1 has flat ends: its
  *volume* steps by whole slices (of six slices of 5 mm four are taken as the central half). Its mean does not.
- **Noise.** On 3 mm voxels the core has some 400 of them: with noise of 20 HU its mean has a standard error of 1 HU.
  There 3 HU are allowed in place of 1.

## Beside TotalSegmentator's spine report

L1 of one public CT (TotalSegmentator's example, 3 mm, native), mean and median in HU:
""".splitlines()


def _spine() -> list[str]:
    rows = [f"| {name} | {mean:.1f} | {median:.1f} |" for name, (mean, median) in SPINE.items()]
    return ["", "| L1 | mean | median |", "|---|---:|---:|", *rows, *_WHY]


_WHY = """
Version 2.18 erodes the body by 4 mm, with an element that is laid out from -4 mm in steps of a voxel. At 3 mm that is
two voxels along each axis and has no centre: a voxel is taken from the left, the back and the bottom, and none from
the right, the front and the top. Cortex and endplate of three faces stay in, and they are dense. The same erosion makes
our body denser than our core, too; one by a voxel all around brings it near. The rest is the mask: the report draws the
body by itself, ours is the label of the whole vertebra without its arch.

Our core keeps 5 mm from every face, in millimetres, whatever the voxels and whichever way the grid runs. This L1 is
uneven (SD 102 HU, noted as `high-variance`): mean and median lie 25 HU apart.
""".rstrip().splitlines()


def _table(numbers: Sequence[Number]) -> list[str]:
    titles = [f"{one.title} [{one.unit}]" if one.unit != "1" else one.title for one in numbers]
    rows = ["| grid | " + " | ".join(titles) + " |", "|---|" + "---:|" * len(titles)]
    for sampling in TOLERANCES:
        cells = [_cell(one.error(sampling), one.allowed(sampling), one.unit) for one in numbers]
        rows.append(f"| {sampling.name} | " + " | ".join(cells) + " |")
    return rows


def _cell(error: float, allowed: tuple[float, float], unit: str) -> str:
    """Return an error and its tolerance in brackets."""
    digits = 1 if unit == "HU" else 2
    low, high = allowed
    limits = f"±{high:g}" if high else f"{low:.2f}"
    return f"{error + 0.0:+.{digits}f} ({limits})".replace(f"-{0:.{digits}f} ", f"+{0:.{digits}f} ")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
