"""Which of several candidates is measured: what a segmentation lacks, and which candidates cannot do better.

Beside stages 6 and 7, asked by `workers.analysis`. Comes in: volumes and their segmentations, one after the other;
none is kept. Goes out: what is missing, as the reader of a result would be told, and why a candidate is not worth a
segmentation. What can go wrong: nothing. Next: the candidate that lacks least is measured.
"""

from dataclasses import dataclass

import numpy as np

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.reasons import NotComputed
from node.core.settings import MeasurementSettings
from workers.measurement import vertebra
from workers.measurement.extent import touched_edges
from workers.records import LabelMap

_NAMES = {
    Structure.LIVER: "the liver",
    Structure.ILIOPSOAS_LEFT: "the left iliopsoas",
    Structure.ILIOPSOAS_RIGHT: "the right iliopsoas",
    Structure.PSOAS_MAJOR_LEFT: "the left psoas major",
    Structure.PSOAS_MAJOR_RIGHT: "the right psoas major",
}
_MUSCLES = {
    "iliopsoas": (Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT),
    "psoas_major": (Structure.PSOAS_MAJOR_LEFT, Structure.PSOAS_MAJOR_RIGHT),
}
_LEVELS = {Structure.VERTEBRA_L1: "L1", Structure.VERTEBRA_L3: "L3"}


@dataclass(frozen=True)
class Lack:
    """Something that is asked for and that a segmentation does not have, with a sentence for the reader."""

    code: NotComputed
    text: str


@dataclass(frozen=True)
class Extent:
    """From where to where a volume reaches along the body [mm, LPS z], and in which frame of reference."""

    frame_of_reference_uid: str
    lowest_mm: float
    highest_mm: float
    step_mm: float

    @classmethod
    def of(cls, geometry: Geometry) -> "Extent":
        """Return the extent of a volume, at the middle of its slices, half a step beyond the outer ones."""
        slices, rows, columns = geometry.shape
        ends = np.asarray([[index, (rows - 1) / 2, (columns - 1) / 2, 1] for index in (0, slices - 1)])
        lowest, highest = sorted(float(end) for end in (geometry.affine @ ends.T)[2])
        step = geometry.spacing_mm[0]
        return cls(geometry.frame_of_reference_uid, lowest - step / 2, highest + step / 2, step)

    def within(self, other: "Extent") -> bool:
        """Say whether it reaches no further than the other, to one slice."""
        slack = max(self.step_mm, other.step_mm)
        return (
            self.frame_of_reference_uid == other.frame_of_reference_uid
            and self.lowest_mm >= other.lowest_mm - slack
            and self.highest_mm <= other.highest_mm + slack
        )


def lacks(labels: LabelMap, settings: MeasurementSettings) -> tuple[Lack, ...]:
    """Return what is asked for and missing: liver or psoas not found, L1 or L3 not found or cut by the scan's ends.

    What was not searched for is not missing: another series would not bring it.
    """
    found = [
        Lack(NotComputed.STRUCTURE_NOT_FOUND, f"{_NAMES[structure]} was not found")
        for structure in (Structure.LIVER, *_MUSCLES[settings.psoas])
        if structure in labels.searched and labels.find(structure) is None
    ]
    for structure, name in _LEVELS.items():
        if structure not in labels.searched:
            continue
        level = vertebra.level(labels, structure)
        if level is None:
            found.append(Lack(NotComputed.LEVEL_NOT_COVERED, f"{name} was not found"))
            continue
        ends = [edge.removesuffix(" slice") for edge in touched_edges(level.region, labels.geometry) if edge != "side"]
        if ends:
            found.append(Lack(NotComputed.LEVEL_NOT_COVERED, f"{name} is cut by the {' and '.join(ends)} of the scan"))
    return tuple(found)
