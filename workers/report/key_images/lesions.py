"""The key images of the liver: all of it with its lesions, and the largest lesion with its diameter.

Comes in: the findings, with the volume and the segmentation. Goes out: a page for each that is there. Lesions have the
numbers of the table in `result.json` and of the SEG. The diameter is drawn from the one end that was measured to the
other. Nothing can go wrong. Next: `sheet`.
"""

from collections.abc import Sequence

import numpy as np

from node.core.codes import STRUCTURES, Structure
from node.core.grid import Geometry
from workers.measured import Lesion
from workers.records import Region, Volume
from workers.report.key_images import crop, numbers, planes
from workers.report.key_images.canvas import Colour, Style
from workers.report.key_images.captions import below, slice_of
from workers.report.key_images.panel import ABDOMEN, Panel
from workers.report.key_images.pictures import WHOLE
from workers.report.key_images.sheet import Draft, Story

_LIVER_MARGIN_MM, _LESION_MARGIN_MM = 35.0, 25.0
_LIVER_RGB, _LESION_RGB = STRUCTURES[Structure.LIVER].rgb, STRUCTURES[Structure.LESION].rgb
_NUMBER = Style(18, bold=True, halo=True)
_NUMBER_ROOM = (26, 20)
_BESIDE = 0.85  # of the way across a round lesion is its upper right edge
DIAMETER: Colour = (255, 240, 120)
_LENGTH = Style(24, DIAMETER, bold=True, halo=True)
_TICK = 7  # pixels to each side of the ends of a diameter


def liver(story: Story, volume: Volume, region: Region, found: Sequence[Lesion]) -> Draft:
    """Return the coronal plane that shows most lesions; without any, the one that shows most liver."""
    words, geometry = story.words, volume.geometry
    voxel = _best_coronal(geometry, region, found)
    draft = Draft("liver", words("summary.label_liver"))
    y = numbers.signed(planes.place(geometry, voxel)[1])
    draft.heading(words("summary.liver"), words("summary.coronal", y=y))
    plane = planes.coronal(geometry, voxel)
    rows, columns = crop.body(volume, plane)
    if window := plane.window(region, crop.samples(plane, _LIVER_MARGIN_MM)[0]):
        rows = window[0]
    shown_part = plane.cropped(crop.filling(plane, (rows, columns), WHOLE.width / WHOLE.height))
    panel = Panel(draft.canvas, WHOLE, shown_part, volume, ABDOMEN)
    panel.outline(region, _LIVER_RGB)
    shown = _outline(panel, found)
    panel.finish(words)
    said = words("summary.lesions_shown", shown=shown, of=len(found)) if found else ""
    below(draft.canvas, story, [("liver.volume", _LIVER_RGB), ("burden.count", _LESION_RGB)], said)
    return draft


def largest(story: Story, volume: Volume, region: Region | None, found: Sequence[Lesion]) -> Draft:
    """Return the lesion with the largest axial diameter on its slice, the diameter drawn."""
    words, geometry = story.words, volume.geometry
    number, lesion = max(enumerate(found, start=1), key=lambda one: one[1].axial_diameter_mm)
    draft = Draft("lesion", words("summary.label_lesion"), (lesion.slice,))
    title = words("summary.largest_lesion", number=number, of=len(found))
    draft.heading(title, slice_of(story, volume, lesion.slice))
    around = [corner for one in (lesion.region, region) if one for corner in planes.corners_mm(one, geometry)]
    plane = planes.axial(geometry, lesion.slice)
    near = plane.near(around, (_LESION_MARGIN_MM, _LESION_MARGIN_MM))
    shown_part = plane.cropped(crop.filling(plane, near, WHOLE.width / WHOLE.height))
    panel = Panel(draft.canvas, WHOLE, shown_part, volume, ABDOMEN)
    if region:
        panel.outline(region, _LIVER_RGB)
    _outline(panel, found, but=number)
    draw_diameter(panel, lesion, words("summary.length", length=lesion.axial_diameter_mm))
    panel.finish(words)
    said = words("summary.lesion", volume=lesion.volume_ml)
    if lesion.mean_hu is not None:
        said += words("summary.lesion_mean", hu=numbers.signed(lesion.mean_hu))
    below(draft.canvas, story, [("burden.max_diameter", _LESION_RGB), ("burden.tbs", _LESION_RGB)], said)
    return draft


def _outline(panel: Panel, found: Sequence[Lesion], but: int = 0) -> int:
    """Draw lesions, of several each with its number, but one, as far as there is room; return how many are seen."""
    seen = {
        number: area
        for number, lesion in enumerate(found, start=1)
        if (area := panel.outline(lesion.region, _LESION_RGB)) is not None
    }
    taken: list[tuple[float, float]] = []
    for number, area in seen.items() if len(found) > 1 else ():
        if number == but:
            continue
        x, y = area.x + _BESIDE * area.width + 5, area.y + (1 - _BESIDE) * area.height - 6
        if all(abs(x - other[0]) > _NUMBER_ROOM[0] or abs(y - other[1]) > _NUMBER_ROOM[1] for other in taken):
            taken.append((x, y))
            panel.canvas.text((x, y), f"{number}", _NUMBER, "lm")
    return len(seen)


def draw_diameter(panel: Panel, lesion: Lesion, text: str) -> None:
    """Draw the longest diameter of a lesion on its slice as a line with ends, and its length beside it."""
    ends_mm = (planes.place(panel.plane.geometry, (lesion.slice, *end)) for end in lesion.ends)
    first, second = (np.asarray(panel.spot(*panel.plane.spot(point))) for point in ends_mm)
    length = float(np.linalg.norm(second - first))
    if length > 0:
        along = (second - first) / length
        tick = np.asarray([-along[1], along[0]]) * _TICK
        for points in ((first, second), (first - tick, first + tick), (second - tick, second + tick)):
            panel.canvas.stroke([(float(x), float(y)) for x, y in points], DIAMETER, 2.2)
    right = max(first, second, key=lambda end: float(end[0]))
    panel.canvas.text((float(right[0]) + 2 * _TICK, float(right[1])), text, _LENGTH, "lm")


def _best_coronal(geometry: Geometry, region: Region, found: Sequence[Lesion]) -> tuple[float, float, float]:
    """Return a voxel of the coronal plane that shows most lesions, and of those planes most liver."""
    steps = geometry.affine[1, 1:3] / np.linalg.norm(geometry.affine[:3, 1:3], axis=0)
    axis = 1 + int(np.argmax(np.abs(steps)))
    others = tuple({0, 1, 2} - {axis})
    lesions, area = np.zeros(geometry.shape[axis]), np.zeros(geometry.shape[axis])
    for lesion in found:
        lesions[lesion.region.box[axis]] += lesion.region.mask.any(axis=others)
    area[region.box[axis]] = region.mask.sum(axis=others)
    voxel = [(part.start + part.stop - 1) / 2 for part in region.box]
    voxel[axis] = float(np.lexsort((area, lesions))[-1])
    return voxel[0], voxel[1], voxel[2]
