"""TotalSegmentator's labels without what its entry point does around the networks: the engine `resident`.

In: Hounsfield units on their grid, and a folder of proven weights. Out: regions on the same grid, the same as those of
`workers.segmentation.library`. What can go wrong: as there. Next: `workers.engine` hands the regions to the worker.

How a study runs here:

1. The volume stays where it lies; a crop and the turn to RAS are views of it (`picture`).
2. What a network sees is interpolated straight into what nnU-Net reads, by the library's rule (`resampling`).
3. The networks stay loaded and on their device (`forward`); their logits become labels slab by slab.
4. The coarse network runs once for a study, though `total` and `liver_lesions` both are cropped by it.
5. Labels of the parts of `total` are laid over each other, and the body's are cleaned, at the network's voxels, by the
   library's own functions. Only the box of a structure that was asked for is brought back to the source grid.

Tasks, classes, spacings and data sets come from the library's tables (`data_sets`). What stands in its code alone is
written here: margin of a crop, overlap of tiles, parts of a picture that is too long. A GPU without memory: `ladder`.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.grid import Geometry
from workers.records import Region
from workers.segmentation import data_sets
from workers.segmentation.data_sets import BODY, TOTAL, DataSet, Plan, Psoas
from workers.segmentation.library import TotalSegmentator, class_map, label_numbers
from workers.segmentation.resident.forward import Warm
from workers.segmentation.resident.ladder import Step, steps
from workers.segmentation.resident.memory import give_back
from workers.segmentation.resident.picture import Labels, Picture, Seen

MARGIN_MM = 20.0
"""Of a crop, whatever the table says: `totalsegmentator()` widens every crop by a network of its own so."""
STEPS: Mapping[str, float] = {TOTAL: 0.8}
"""From one tile to the next, as a part of a tile; half a tile in other tasks."""
LONG_VOXELS, LONG_SLICES, OVERLAP = 512 * 512 * 900, 200, 20
"""More voxels and slices than these are run in three parts, where several networks share a task."""
BODY_LEAST_MM3 = 50_000
"""Smaller pieces of arms and legs are dropped."""

_Made = dict[int, Labels]


class Resident(TotalSegmentator):
    """TotalSegmentator's networks, kept loaded, run on volumes in memory; see `TotalSegmentator` for the parameters.

    Parameters
    ----------
    ladder
        Step down where a GPU has no memory left; `reduced` then tells of it.
    """

    def __init__(
        self, weights_dir: Path, *, psoas: Psoas, device: str = "cpu", fast: bool = False, ladder: bool = False
    ) -> None:
        super().__init__(weights_dir, psoas=psoas, device=device, fast=fast)
        self.name = f"{self.name}, resident"
        self._steps = steps(device, fast=fast, further=ladder)
        self._networks: dict[str, Warm] = {}

    def segment(self, hu: NDArray[Any], geometry: Geometry) -> Mapping[Structure, Region]:
        """Segment a volume; see `workers.segmentation.port`.

        Raises
        ------
        Untrusted
            `input-untrusted`: the weights changed since they were loaded, or a network cannot be run.
        """
        self._require_unchanged()
        try:
            return self._by_steps(Picture.of(hu, geometry))
        finally:
            give_back()

    def _by_steps(self, picture: Picture) -> Mapping[Structure, Region]:
        *higher, lowest = self._steps
        for step in higher:
            try:
                return self._segmented(picture, step)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
        return self._segmented(picture, lowest)

    def _segmented(self, picture: Picture, step: Step) -> Mapping[Structure, Region]:
        found: dict[Structure, Region] = {}
        made: _Made = {}
        for task in self._tasks:
            labels = self._of_plan(data_sets.plan(task, fast=step.fast), picture, step, made)
            numbers = label_numbers(task.name)
            for name, structure in task.structures.items():
                if (region := labels.region(numbers[name])) is not None:
                    found[structure] = region
        self.reduced = step.note
        return found

    def _of_plan(self, plan: Plan, picture: Picture, step: Step, made: _Made) -> Labels:
        """Run a task; where the crop before it finds nothing, on the whole picture, as the library does."""
        if plan.crop is None:
            (one,) = plan.parts
            return self._of_whole(plan.task.name, one, picture, step, made)
        rough = self._of_whole(plan.crop.task, plan.crop.data_set, picture, step, made)
        numbers = label_numbers(plan.crop.task)
        box = rough.box([numbers[name] for name in plan.crop.classes]) or picture.box
        return self._of_parts(plan.task.name, plan.parts, picture.cropped(box, MARGIN_MM), step)

    def _of_whole(self, task: str, one: DataSet, picture: Picture, step: Step, made: _Made) -> Labels:
        """Run a network on the whole picture, once for a study."""
        if one.number not in made:
            made[one.number] = self._of_parts(task, (one,), picture, step)
        return made[one.number]

    def _of_parts(self, task: str, parts: Collection[DataSet], picture: Picture, step: Step) -> Labels:
        """Run networks on a picture, lay their labels over each other, and clean what the library cleans."""
        (spacing,) = {one.spacing_mm for one in parts}
        seen = picture.seen(spacing)
        numbers = label_numbers(task)
        found = np.zeros(seen.values.shape, dtype=np.uint8)
        for one in parts:
            look_up = np.zeros(max(one.labels) + 1, dtype=np.uint8)
            for number, name in one.labels.items():
                look_up[number] = numbers[name]
            for whole, part, inner in _pieces(seen, several=data_sets.is_part(one)):
                answer = self._warm(one).labels(part, STEPS.get(task, 0.5), _device(step), step.share)
                labels = look_up[answer[inner]]
                np.copyto(found[whole], labels, where=labels != 0)
        return Labels(_cleaned(found, task, seen.spacing_mm), seen.back)

    def _warm(self, one: DataSet) -> Warm:
        if one.model not in self._networks:
            self._networks[one.model] = Warm(self._weights_dir, one)
        return self._networks[one.model]


def _device(step: Step) -> torch.device:
    """Return torch's name of a device: `cpu`, `gpu` or `gpu:N`."""
    kind, _, number = step.device.partition(":")
    return torch.device("cpu") if kind == "cpu" else torch.device(f"cuda:{number or 0}")


def _pieces(seen: Seen, *, several: bool) -> Iterator[tuple[slice, Seen, slice]]:
    """Yield the parts that the library runs a picture in: which slices are theirs, the part, theirs within it."""
    depth = len(seen.values)
    if not (several and seen.values.size > LONG_VOXELS and depth > LONG_SLICES):
        yield slice(0, depth), seen, slice(0, depth)
        return
    third = depth // 3
    for first, last in ((0, third), (third, 2 * third), (2 * third, depth)):
        begin = first + 1 - OVERLAP if first else 0
        end = last + OVERLAP if last < depth else depth
        part = Seen(seen.values[begin:end], seen.spacing_mm, seen.back)
        yield slice(first, last), part, slice(first - begin, last - begin)


def _cleaned(labels: NDArray[np.uint8], task: str, spacing_mm: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Drop what the library drops of a body: all but the largest trunk, and small pieces of arms and legs."""
    if task != BODY:
        return labels
    from totalsegmentator.postprocessing import keep_largest_blob_multilabel, remove_small_blobs_multilabel

    names, voxel_mm3 = class_map(task), np.prod(np.array(spacing_mm[::-1], dtype=np.float32))
    labels = keep_largest_blob_multilabel(labels.transpose(2, 1, 0), names, ["body_trunc"], quiet=True)
    interval = [BODY_LEAST_MM3 / voxel_mm3, 1e10]
    cleaned: NDArray[np.uint8] = remove_small_blobs_multilabel(
        labels, names, ["body_extremities"], interval=interval, quiet=True
    )
    return cleaned.transpose(2, 1, 0)
