"""A picture on a page: a plane of the volume in its window, with outlines, letters and a scale.

Comes in: a plane, a volume, a place on the page. Goes out: what is drawn there, in the proportions of the patient:
a millimetre is as long in both directions, however the samples lie. Nothing can go wrong. Next: `pictures`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.records import Region, Volume
from workers.report.key_images import contours
from workers.report.key_images.canvas import INK, Canvas, Colour, Spot, Style
from workers.report.key_images.planes import AIR_HU, Plane
from workers.report.wording import Words

_MARGIN_SAMPLES = 3  # around a mask, so that its edge has samples outside
_LETTER = Style(26, (255, 224, 130), bold=True, halo=True)
_SMALL = Style(17, (206, 214, 220), halo=True)
_SCALES_MM = (100, 50, 20, 10)
_WIDEST_SCALE = 0.3  # of the picture


@dataclass(frozen=True)
class Window:
    """Which values are black and which white: width and level [HU], as viewers name them."""

    width_hu: float
    level_hu: float

    def grey(self, hu: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return values as grey levels."""
        scaled = hu - (self.level_hu - self.width_hu / 2)
        scaled *= 255 / self.width_hu
        np.rint(scaled, out=scaled)
        return scaled.clip(0, 255, out=scaled).astype(np.uint8)

    def __str__(self) -> str:
        """Say it as viewers do."""
        return f"W {self.width_hu:g}  L {self.level_hu:g}"


ABDOMEN = Window(400, 40)
BONE = Window(1000, 250)


@dataclass(frozen=True)
class Area:
    """A rectangle of a page, in pixels."""

    x: int
    y: int
    width: int
    height: int


class Panel:
    """A picture that was drawn, and where its samples lie on the page."""

    def __init__(
        self, canvas: Canvas, area: Area, plane: Plane, volume: Volume, window: Window, *, at_top: bool = False
    ) -> None:
        self.canvas, self.plane = canvas, plane
        down_mm, right_mm = plane.spacing_mm
        high_mm, wide_mm = plane.rows * down_mm, plane.columns * right_mm
        self.scale = min(area.width / wide_mm, area.height / high_mm)  # pixels per millimetre
        wide, high = max(1, round(wide_mm * self.scale)), max(1, round(high_mm * self.scale))
        above = 0 if at_top else (area.height - high) // 2
        self.area = Area(area.x + (area.width - wide) // 2, area.y + above, wide, high)
        hu = plane.values(volume.hu, outside=AIR_HU)
        enlarged = np.asarray(Image.fromarray(hu).resize((wide, high), Image.Resampling.BICUBIC))
        canvas.image.paste(Image.fromarray(window.grey(enlarged)), (self.area.x, self.area.y))
        self._window = window

    def spot(self, row: float, column: float) -> Spot:
        """Return where a sample's centre lies on the page."""
        return (
            self.area.x + (column + 0.5) * self.area.width / self.plane.columns,
            self.area.y + (row + 0.5) * self.area.height / self.plane.rows,
        )

    def outline(self, region: Region, colour: Colour) -> Area | None:
        """Draw the outline of a region; return what it covers of the page, None where it is not on this plane."""
        window = self.plane.window(region, _MARGIN_SAMPLES)
        if window is None:
            return None
        inside = self.plane.cropped(window).values(region.mask.view(np.uint8), region.start, outside=0)
        if inside.max() < 0.5:
            return None
        rows, columns = window
        across, down = self.area.width / self.plane.columns, self.area.height / self.plane.rows
        left, right = int(np.ceil(columns.start * across)), int(columns.stop * across)
        top, bottom = int(np.ceil(rows.start * down)), int(rows.stop * down)
        if left >= right or top >= bottom:
            return None
        box = (
            left / across - columns.start,
            top / down - rows.start,
            right / across - columns.start,
            bottom / down - rows.start,
        )
        drawn, seam = contours.line(inside, (right - left, bottom - top), box)
        at = self.area.x + left, self.area.y + top
        self.canvas.shade(at, (0, 0, 0), seam)
        self.canvas.shade(at, colour, drawn)
        seen_rows, seen_columns = (np.flatnonzero((inside >= 0.5).any(axis=axis)) for axis in (1, 0))
        first = self.spot(rows.start + int(seen_rows[0]) - 0.5, columns.start + int(seen_columns[0]) - 0.5)
        last = self.spot(rows.start + int(seen_rows[-1]) + 0.5, columns.start + int(seen_columns[-1]) + 0.5)
        return Area(round(first[0]), round(first[1]), round(last[0] - first[0]), round(last[1] - first[1]))

    def finish(self, words: Words) -> None:
        """Add what the edges look to, the window, and a scale."""
        area, gap = self.area, 12
        middle = area.x + area.width / 2, area.y + area.height / 2
        left, right, top, bottom = self.plane.letters
        self.canvas.text((area.x + gap, middle[1]), left, _LETTER, "lm")
        self.canvas.text((area.x + area.width - gap, middle[1]), right, _LETTER, "rm")
        self.canvas.text((middle[0], area.y + gap), top, _LETTER, "mt")
        self.canvas.text((middle[0], area.y + area.height - gap), bottom, _LETTER, "mb")
        self.canvas.text((area.x + gap, area.y + area.height - gap), str(self._window), _SMALL, "lb")
        self._draw_scale(words)

    def _draw_scale(self, words: Words) -> None:
        room = self.area.width * _WIDEST_SCALE
        length_mm = next((one for one in _SCALES_MM if one * self.scale <= room), _SCALES_MM[-1])
        length = length_mm * self.scale
        x, y = self.area.x + self.area.width - 14 - length, self.area.y + self.area.height - 16
        self.canvas.stroke([(x, y - 6), (x, y), (x + length, y), (x + length, y - 6)], INK, 2)
        self.canvas.text((x + length / 2, y - 9), words("summary.scale", length=length_mm / 10), _SMALL, "mb")
