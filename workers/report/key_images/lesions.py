"""The key images of the liver: all of it with its lesions, and the largest lesion with its diameter.

Comes in: the findings, with the volume and the segmentation. Goes out: a page for each that is there. Lesions have the
numbers of the table in `result.json` and of the SEG. The diameter is drawn between the two voxel centres of the lesion
on its slice that are farthest apart, as it was measured. Nothing can go wrong. Next: `sheet`.
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import pdist, squareform

from node.core.codes import STRUCTURES, Structure
from node.core.grid import Geometry, Vector
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
_DIAMETER: Colour = (255, 240, 120)
_LENGTH = Style(24, _DIAMETER, bold=True, halo=True)
_TICK = 7  # pixels to each side of the ends of a diameter


def liver(story: Story, volume: Volume, region: Region, found: Sequence[Lesion]) -> Draft:
    """Return the coronal plane that shows most lesions; without any, the one that shows most liver."""
    words, geometry = story.words, volume.geometry
    voxel = _best_coronal(geometry, region, found)
    draft = Draft("liver", words("summary.label_liver"))
    y = numbers.signed(planes.place(geometry, voxel)[1])
    draft.heading(words("summary.liver"), words("summary.coronal", y=y))
    plane = planes.coronal(geometry, voxel)
    rows, _ = plane.window(region, crop.samples(plane, _LIVER_MARGIN_MM)[0]) or crop.body(volume, plane)
    plane = plane.cropped((rows, crop.body(volume, plane)[1]))
    panel = Panel(draft.canvas, WHOLE, plane, volume, ABDOMEN)
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
    plane = planes.axial(geometry, lesion.slice).around(around, (_LESION_MARGIN_MM, _LESION_MARGIN_MM))
    panel = Panel(draft.canvas, WHOLE, plane, volume, ABDOMEN)
    if region:
        panel.outline(region, _LIVER_RGB)
    _outline(panel, found)
    _draw_diameter(panel, lesion, words("summary.length", length=lesion.axial_diameter_mm))
    panel.finish(words)
    said = words("summary.lesion", volume=lesion.volume_ml)
    if lesion.mean_hu is not None:
        said += words("summary.lesion_mean", hu=numbers.signed(lesion.mean_hu))
    below(draft.canvas, story, [("burden.max_diameter", _LESION_RGB), ("burden.tbs", _LESION_RGB)], said)
    return draft


def _outline(panel: Panel, found: Sequence[Lesion]) -> int:
    """Draw lesions, of several each with its number as far as there is room; return how many are seen."""
    taken: list[tuple[float, float]] = []
    seen = 0
    for number, lesion in enumerate(found, start=1):
        if not panel.outline(lesion.region, _LESION_RGB):
            continue
        seen += 1
        window = panel.plane.window(lesion.region, 0)
        if window is None or len(found) == 1:
            continue
        x, y = panel.spot(window[0].start, window[1].stop)
        if all(abs(x - other[0]) > _NUMBER_ROOM[0] or abs(y - other[1]) > _NUMBER_ROOM[1] for other in taken):
            taken.append((x, y))
            panel.canvas.text((x, y), f"{number}", _NUMBER, "lm")
    return seen


def _draw_diameter(panel: Panel, lesion: Lesion, text: str) -> None:
    """Draw the longest diameter of a lesion on its slice as a line with ends, and its length beside it."""
    ends_mm = farthest(lesion.region, lesion.slice, panel.plane.geometry)
    first, second = (np.asarray(panel.spot(*panel.plane.spot(point))) for point in ends_mm)
    length = float(np.linalg.norm(second - first))
    if length > 0:
        along = (second - first) / length
        tick = np.asarray([-along[1], along[0]]) * _TICK
        for points in ((first, second), (first - tick, first + tick), (second - tick, second + tick)):
            panel.canvas.stroke([(float(x), float(y)) for x, y in points], _DIAMETER, 2.2)
    right = max(first, second, key=lambda end: float(end[0]))
    panel.canvas.text((float(right[0]) + 2 * _TICK, float(right[1])), text, _LENGTH, "lm")


def farthest(region: Region, index: int, geometry: Geometry) -> tuple[Vector, Vector]:
    """Return the two voxel centres of a region on a slice that are farthest apart (LPS): both are ends of its rows."""
    plane = region.on_slice(index)
    rows = np.flatnonzero(plane.any(axis=1))
    first = plane[rows].argmax(axis=1)
    last = plane.shape[1] - 1 - plane[rows][:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.column_stack([rows, first]), np.column_stack([rows, last])])
    points = [planes.place(geometry, (index, row + region.start[1], column + region.start[2])) for row, column in ends]
    apart = squareform(pdist(np.asarray(points)))
    one, other = np.unravel_index(int(apart.argmax()), apart.shape)
    return points[one], points[other]


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
