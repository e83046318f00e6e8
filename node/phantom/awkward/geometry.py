"""Studies whose slices lie awkwardly: tilted, turned, flipped, of unequal pixels, with gaps, doubled, one, or many.

Beside the ten stages. In: a `Bench`. Out: `AwkwardStudy`. Flips are the straight picture counted in another way, and so
exact; tilted and turned planes are rendered where they lie. Next: the node, like any study.
"""

from dataclasses import replace

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.phantom.awkward.study import AwkwardStudy, Bench
from node.phantom.grid import covering_grid
from node.phantom.marker import made_uid
from node.phantom.planes import tilted, turned
from node.phantom.render import Rendering
from node.phantom.segments import write_seg
from node.phantom.structures import Structure

TILT_DEGREES = 20.0
TURN_DEGREES = (12.0, 8.0, 10.0)
UNEQUAL_MM = (5.0, 2.0, 2.8)
DOUBLED = 3
MANY, MANY_SPACING_MM, MANY_SIZE = 2500, (0.2, 3.5, 3.5), 64
FRONT_OF_L3_MM = 25.0
"""Middle of the small field of view, which holds spine and muscles, in front of that of L3."""
MANY_SEGMENTED = ("iliopsoas_left", "iliopsoas_right", "vertebrae_L3")
"""Of the 2,500 slices: a frame for each slice of each structure takes its time."""


def straight(bench: Bench) -> AwkwardStudy:
    """Write the study that all others are measured by."""
    picture = bench.picture()
    return bench.finished(picture, bench.series(picture))


def tilt(bench: Bench) -> AwkwardStudy:
    """Write slices of a gantry that leans back."""
    picture = bench.picture(tilted(bench.grid.planes, TILT_DEGREES))
    return bench.finished(picture, bench.series(picture))


def tilt_forward(bench: Bench) -> AwkwardStudy:
    """Write slices of a gantry that leans forward."""
    picture = bench.picture(tilted(bench.grid.planes, -TILT_DEGREES))
    return bench.finished(picture, bench.series(picture))


def oblique(bench: Bench) -> AwkwardStudy:
    """Write slices of a patient who lies turned."""
    picture = bench.picture(turned(bench.grid.planes, TURN_DEGREES))
    return bench.finished(picture, bench.series(picture))


def feet_first(bench: Bench) -> AwkwardStudy:
    """Write slices of a patient who lies feet first: the gantry sees left and right, head and feet exchanged."""

    def edit(ds: Dataset, index: int) -> None:
        del index
        ds.PatientPosition = "FFS"

    picture = counted(bench.picture(), 0, 2)
    return bench.finished(picture, bench.series(picture, edit=edit))


def flipped(bench: Bench) -> AwkwardStudy:
    """Write rows and slices from the other end."""
    picture = counted(bench.picture(), 0, 1)
    return bench.finished(picture, bench.series(picture))


def transposed(bench: Bench) -> AwkwardStudy:
    """Write rows for columns."""
    picture = bench.picture()
    turned_over = replace(
        picture,
        hu=np.ascontiguousarray(picture.hu.swapaxes(1, 2)),
        labels=np.ascontiguousarray(picture.labels.swapaxes(1, 2)),
        vertebral_bodies=np.ascontiguousarray(picture.vertebral_bodies.swapaxes(1, 2)),
        grid=picture.grid.planes.transposed(),
    )
    return bench.finished(turned_over, bench.series(turned_over))


def unequal_pixels(bench: Bench) -> AwkwardStudy:
    """Write pixels that are wider than high."""
    picture = bench.picture(covering_grid(bench.anatomy, spacing_mm=UNEQUAL_MM))
    return bench.finished(picture, bench.series(picture))


def gap(bench: Bench) -> AwkwardStudy:
    """Leave out the slice in the middle."""
    picture = bench.picture()
    slices = bench.series(picture)
    made = bench.finished(picture, slices)
    missing = slices[len(slices) // 2]
    missing.unlink()
    return replace(made, first=tuple(path for path in slices if path != missing))


def duplicate_positions(bench: Bench) -> AwkwardStudy:
    """Write some slices again, as a scanner does that reconstructs them a second time."""
    picture = bench.picture()
    slices = bench.series(picture)
    middle = len(slices) // 2
    again = []
    for number, path in enumerate(slices[middle : middle + DOUBLED], start=len(slices) + 1):
        ds = dcmread(path)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = made_uid("again", ds.SOPInstanceUID)
        ds.InstanceNumber = number
        again.append(path.with_name(f"{number:04d}.dcm"))
        ds.save_as(again[-1], enforce_file_format=True)
    return bench.finished(picture, slices, first=[*slices, *again])


def one_slice(bench: Bench) -> AwkwardStudy:
    """Keep the slice at mid-height alone."""
    picture = bench.picture()
    slices = bench.series(picture)
    made = bench.finished(picture, slices)
    kept = slices[len(slices) // 2]
    for path in slices:
        if path != kept:
            path.unlink()
    return replace(made, first=(kept,))


def many_slices(bench: Bench) -> AwkwardStudy:
    """Write 2,500 thin slices of few pixels, around the spine."""
    grid = covering_grid(bench.anatomy, spacing_mm=MANY_SPACING_MM, size=MANY_SIZE, least_slices=MANY)
    l3 = bench.anatomy.vertebra(Structure.VERTEBRA_L3).body.knots[0]
    half_mm = MANY_SPACING_MM[1] * (MANY_SIZE - 1) / 2
    corner = (round(l3.x - half_mm, 1), round(l3.y - FRONT_OF_L3_MM - half_mm, 1), grid.origin_mm[2])
    picture = bench.picture(replace(grid, slices=MANY, origin_mm=corner))
    slices = bench.series(picture)
    seg = write_seg(bench.out / "seg.dcm", picture, slices, only=MANY_SEGMENTED)
    return bench.finished(picture, slices, seg=seg)


def counted(picture: Rendering, *axes: int) -> Rendering:
    """The same picture, its slices (0), rows (1) or columns (2) counted from the other end."""
    return replace(
        picture,
        hu=np.ascontiguousarray(np.flip(picture.hu, axes)),
        labels=np.ascontiguousarray(np.flip(picture.labels, axes)),
        vertebral_bodies=np.ascontiguousarray(np.flip(picture.vertebral_bodies, axes)),
        grid=picture.grid.planes.flipped(*axes),
    )
