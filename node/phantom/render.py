"""The picture of a synthetic abdomen: attenuation and labels on any grid.

Beside the ten stages. In: an `Anatomy` and a `Grid`, or `Planes` that lie in any way. Out: `Rendering`, int16 HU and
uint8 labels of shape (slices, rows, columns), on a `Grid` with slices from the feet to the head. Next:
`node.phantom.dicom` and `node.phantom.segments`.

Solids are painted one over the other. Each covers a part of every voxel (`node.phantom.coverage`), and the voxel
takes that part of its attenuation: partial volume. A label is given where the voxel's centre is inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from node.phantom.anatomy import Anatomy
from node.phantom.coverage import Mask, covers
from node.phantom.grid import Grid
from node.phantom.noise import noise_slice
from node.phantom.planes import Planes
from node.phantom.shapes import Lobe, Stack
from node.phantom.structures import Structure

AIR_HU = -1000.0
RANGE_HU = (-1024, 3071)
"""What 12 stored bits with an intercept of -1024 hold; a scanner clips there, and so do we."""

HU = NDArray[np.int16]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Rendering:
    """A picture with its labels.

    Attributes
    ----------
    hu : int16 array
        Attenuation [HU], shape (slices, rows, columns), slices from the feet to the head.
    labels : uint8 array
        `Structure` values, same shape; the most specific label wins.
    vertebral_bodies : bool array
        Bodies of all vertebrae, without their arches; same shape.
    anatomy : Anatomy
        What was rendered.
    grid : Grid or Planes
        Where its voxels lie.
    """

    hu: HU
    labels: Labels
    vertebral_bodies: Mask
    anatomy: Anatomy
    grid: Grid | Planes


def render(anatomy: Anatomy, grid: Grid | Planes, *, seed: int = 0, noise_sd_hu: float = 14.0) -> Rendering:
    """Paint an anatomy on a grid.

    Parameters
    ----------
    anatomy : Anatomy
        What to paint.
    grid : Grid or Planes
        Where; it may cut the anatomy.
    seed : int
        Of the noise; the same seed gives the same noise on the same grid.
    noise_sd_hu : float
        SD of the noise; 0 for none.

    Returns
    -------
    Rendering
        HU rounded to whole numbers and clipped to `RANGE_HU`.
    """
    canvas = Canvas(anatomy, grid)
    for part in anatomy.context:
        canvas.paint(part.solid, part.hu, part.structure, over=part.over)
    canvas.paint(anatomy.psoas_left, anatomy.psoas_left_hu, Structure.PSOAS_LEFT)
    canvas.paint(anatomy.psoas_right, anatomy.psoas_right_hu, Structure.PSOAS_RIGHT)
    for vertebra in anatomy.vertebrae:
        for solid in vertebra.arch:
            canvas.paint(solid, vertebra.arch_hu, vertebra.structure)
    canvas.paint(anatomy.canal.solid, anatomy.canal.hu, anatomy.canal.structure)
    for vertebra in anatomy.vertebrae:
        canvas.paint(vertebra.body, vertebra.cortical_hu, vertebra.structure, body=True)
        canvas.paint(vertebra.core, vertebra.trabecular_hu, None)
    canvas.paint(anatomy.liver, anatomy.liver_hu, Structure.LIVER)
    for lesion in anatomy.lesions:
        canvas.paint(lesion.solid, lesion.hu, Structure.LESION)
    hu = canvas.finish(np.random.default_rng(seed), noise_sd_hu)
    return Rendering(hu, canvas.labels, canvas.bodies, anatomy, grid)


def lesion_masks(rendering: Rendering) -> list[Mask]:
    """One bool array per lesion, largest first: the lesions' parts of the label array, told apart."""
    masks = []
    for lesion in rendering.anatomy.lesions:
        mask = np.zeros(rendering.grid.shape, dtype=np.bool_)
        for window, _, inside in covers(lesion.solid, rendering.grid):
            mask[window] = inside
        masks.append(mask)
    return masks


class Canvas:
    """The picture while it is painted: HU as float32, labels, and the mask of vertebral bodies."""

    def __init__(self, anatomy: Anatomy, grid: Grid | Planes) -> None:
        """Paint the trunk, on an axial grid once and copied to every slice, as it is the same on all of them."""
        self.grid = grid
        one = Grid(1, grid.rows, grid.columns, grid.spacing_mm, grid.origin_mm) if isinstance(grid, Grid) else grid
        base = np.full(one.shape, AIR_HU, dtype=np.float32)
        labels = np.zeros(one.shape, dtype=np.uint8)
        for part in anatomy.trunk:
            for window, cover, inside in covers(part.solid, one):
                base[window] += cover * (np.float32(part.hu) - base[window])
                labels[window][inside] = part.structure
        copies = grid.slices // one.slices
        self.values = np.repeat(base, copies, axis=0)
        self.labels: Labels = np.repeat(labels, copies, axis=0)
        self.bodies: Mask = np.zeros(grid.shape, dtype=np.bool_)

    def paint(
        self,
        solid: Stack | Lobe,
        hu: float,
        structure: Structure | None,
        *,
        over: Structure | None = None,
        body: bool = False,
    ) -> None:
        """Lay a solid over what is there, or over one label only; without a structure no label changes."""
        for window, cover, inside in covers(solid, self.grid):
            values = self.values[window]
            if over is not None:
                below = self.labels[window] == over
                cover, inside = cover * below, inside & below
            values += cover * (np.float32(hu) - values)
            if structure is not None:
                np.copyto(self.labels[window], np.uint8(structure), where=inside)
            if body:
                self.bodies[window] |= inside

    def finish(self, rng: np.random.Generator, noise_sd_hu: float) -> HU:
        """Add noise, clip and round, slice by slice."""
        hu = np.empty(self.grid.shape, dtype=np.int16)
        for index, values in enumerate(self.values):
            if noise_sd_hu > 0:
                values += noise_slice(rng, self.grid.rows, self.grid.columns, noise_sd_hu)
            np.clip(values, *RANGE_HU, out=values)
            np.rint(values, out=values)
            hu[index] = values
        return hu
