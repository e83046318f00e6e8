"""Two phases in one series: a native acquisition and a portal venous one at the same places.

Beside the ten stages. In: a `Bench`. Out: `AwkwardStudy`; its truth and its segmentation are of the portal venous
slices, which have the higher acquisition number. Next: the node, like any study.
"""

from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from node.phantom.anatomy import Anatomy
from node.phantom.awkward.study import NOISE_SD_HU, AwkwardStudy, Bench
from node.phantom.dicom import Edit
from node.phantom.marker import made_uid
from node.phantom.proportions import Attenuation, Proportions
from node.phantom.render import render
from node.phantom.variation import assemble, standard_anatomy

NATIVE = Attenuation(
    psoas_left=48.0,
    psoas_right=47.0,
    wall=44.0,
    liver=56.0,
    lesions=36.0,
    spleen=48.0,
    kidney=33.0,
    vein=42.0,
    artery=42.0,
    blood=42.0,
)
"""Tissues before the contrast agent; fat and bone are as in the standard abdomen."""
NATIVE_LESION_HU = 36.0
TIMES = ("101400", "101510")


def native_anatomy() -> Anatomy:
    """The standard abdomen before the contrast agent: the same shapes."""
    lesions = tuple(replace(lesion, hu=NATIVE_LESION_HU) for lesion in standard_anatomy().lesions)
    return assemble(replace(Proportions(), contrast=False, hu=NATIVE), lesions)


def mixed_phases(bench: Bench) -> AwkwardStudy:
    """Write both phases under one Series Instance UID, each with its acquisition number and time."""
    portal = bench.picture()
    native = render(native_anatomy(), bench.grid, seed=1, noise_sd_hu=NOISE_SD_HU)
    first = bench.series(native, edit=_phase(1, 0))
    second = bench.series(portal, folder="portal", edit=_phase(2, bench.grid.slices))
    moved = [_beside(path, first) for path in second]
    (bench.out / "portal").rmdir()
    return bench.finished(portal, moved, first=[*first, *moved])


def _phase(number: int, before: int) -> Edit:
    def edit(ds: Dataset, index: int) -> None:
        ds.SOPInstanceUID = made_uid("phase", number, ds.SOPInstanceUID)
        ds.SeriesDescription = "Abdomen native and portal venous 5 mm"
        ds.AcquisitionNumber = number
        ds.InstanceNumber = before + index + 1
        ds.AcquisitionTime = ds.ContentTime = TIMES[number - 1]

    return edit


def _beside(path: Path, others: list[Path]) -> Path:
    """Move a slice into the folder of the other phase, behind its slices."""
    return path.rename(others[0].parent / f"{len(others) + int(path.stem):04d}.dcm")
