"""The key images of muscles and bone: the psoas at mid-L3, and the trabecular core of L1.

Comes in: the findings, with the volume and the segmentation. Goes out: a page for each that was measured, with the
outlines of the masks that were measured, in the colours of the SEG. Nothing can go wrong. Next: `sheet`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from node.core.codes import STRUCTURES, Structure
from workers.records import Region, Segment, Volume
from workers.report import sentences
from workers.report.key_images import crop, numbers, planes
from workers.report.key_images.canvas import INK, MARGIN, SIZE, Colour
from workers.report.key_images.captions import NAME, SAID, below, result, slice_of
from workers.report.key_images.panel import ABDOMEN, BONE, Area, Panel
from workers.report.key_images.sheet import Draft, Story, chip

WHOLE = Area(20, 84, SIZE - 40, 800)
_UPRIGHT, _ACROSS = Area(20, 84, 430, 880), Area(466, 84, 538, 538)
_UPRIGHT_MARGINS_MM, _ACROSS_MARGINS_MM = (115.0, 56.0), (70.0, 70.0)
_BONE_NUMBERS = ("l1.mean_hu", "l1.median_hu", "l1.sd_hu", "l1.volume")


def psoas(story: Story, volume: Volume, muscles: Mapping[str, Segment], l3_slice: int | None) -> Draft:
    """Return both muscles on the slice at mid-L3, or where they are largest if that was not found."""
    words, regions = story.words, [one.region for one in muscles.values()]
    level = l3_slice if any(l3_slice is not None and one.on_slice(l3_slice).any() for one in regions) else None
    index = _widest(regions) if level is None else level
    muscle = words(f"muscle.{story.psoas}.first")
    title = words("summary.psoas_widest", muscle=muscle) if level is None else words("summary.psoas", muscle=muscle)
    what, derived = ("volume", "psoas.pmvi") if level is None else ("area_l3", "psoas.pmi")
    draft = Draft("psoas", words("summary.label_psoas"), (index,))
    draft.heading(title, slice_of(story, volume, index))
    plane = planes.axial(volume.geometry, index)
    panel = Panel(draft.canvas, WHOLE, plane.cropped(crop.body(volume, plane)), volume, ABDOMEN)
    facts: list[tuple[str, Colour]] = []
    for side, one in reversed(list(muscles.items())):  # the patient's right is on the left
        colour = STRUCTURES[one.structure].rgb
        panel.outline(one.region, colour)
        facts.append((f"psoas.{side}.{what}", colour))
    panel.finish(words)
    below(draft.canvas, story, [*facts, (derived, INK)])
    return draft


def l1(story: Story, volume: Volume, core: Region) -> Draft:
    """Return the core on its middle slice and on the sagittal plane through its middle, as bone is looked at."""
    words, geometry, colour = story.words, volume.geometry, STRUCTURES[Structure.L1_CORE].rgb
    middle = np.rint(np.argwhere(core.mask).mean(axis=0) + core.start)
    index, centre_mm = int(middle[0]), planes.place(geometry, middle)
    draft = Draft("l1", words("summary.label_l1"), (index,))
    draft.heading(words("summary.l1"), slice_of(story, volume, index))
    for plane, area, margins_mm in (
        (planes.sagittal(geometry, middle), _UPRIGHT, _UPRIGHT_MARGINS_MM),
        (planes.axial(geometry, index), _ACROSS, _ACROSS_MARGINS_MM),
    ):
        panel = Panel(draft.canvas, area, plane.cropped(plane.near([centre_mm], margins_mm)), volume, BONE, at_top=True)
        panel.outline(core, colour)
        panel.finish(words)
    y = 700.0
    for name in _BONE_NUMBERS:
        chip(draft.canvas, (480, y), colour)
        draft.canvas.text((496, y), sentences.title(name, story.findings), NAME)
        result(draft.canvas, (SIZE - MARGIN, y), name, story, "rs")
        y += 40
    sentence = words("summary.sagittal", x=numbers.signed(centre_mm[0]))
    draft.canvas.paragraph((480, y + 12), sentence, SAID, SIZE - MARGIN - 480, 26)
    return draft


def _widest(regions: Sequence[Region]) -> int:
    """Return the slice on which regions are largest together."""
    areas: dict[int, int] = {}
    for region in regions:
        for index, area in zip(region.slices, region.mask.sum(axis=(1, 2)), strict=True):
            areas[index] = areas.get(index, 0) + int(area)
    return max(areas, key=lambda index: areas[index])
