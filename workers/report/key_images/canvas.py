"""A page of the Summary: a dark sheet that texts, lines and pictures are drawn on.

Comes in: what to draw, where. Goes out: pixels, and every text that was drawn, so that anybody can look through them.
The font comes with the package: the same page looks the same on every machine. What can go wrong: nothing.
"""

from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from io import BytesIO
from math import ceil, modf

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Spot = tuple[float, float]

SIZE = 1024  # pixels of a page in both directions, as a square hangs well beside CT
MARGIN = 44
BACKGROUND: Colour = (10, 12, 15)
INK: Colour = (234, 238, 241)
MUTED: Colour = (156, 167, 177)
FAINT: Colour = (104, 115, 125)
RULE: Colour = (40, 48, 56)
AMBER: Colour = (255, 190, 92)
BLACK: Colour = (0, 0, 0)
_FINER = 4  # lines are drawn so many times larger and made smaller again, which makes their edges smooth


@dataclass(frozen=True)
class Style:
    """How a text looks; `halo` draws a dark edge around it, for texts on pictures."""

    size: int
    colour: Colour = INK
    bold: bool = False
    halo: bool = False


@dataclass
class Canvas:
    """A page while it is drawn."""

    image: Image.Image = field(default_factory=lambda: Image.new("RGB", (SIZE, SIZE), BACKGROUND))
    texts: list[str] = field(default_factory=list)

    def text(self, at: Spot, text: str, style: Style, anchor: str = "ls") -> float:
        """Draw a text and return how wide it is; `anchor` as Pillow has it (`ls`: left end, baseline)."""
        (part_x, x), (part_y, y) = (modf(one) for one in at)
        seam = [(BLACK, max(2, style.size // 9))] if style.halo else []
        for colour, edge in (*seam, (style.colour, 0)):
            mask, (left, top) = _shape(text, style.size, style.bold, edge, anchor, (part_x, part_y))
            self.image.paste(colour, (int(x) + left, int(y) + top), mask)
        self.texts.append(text)
        return width_of(text, style)

    def paragraph(self, at: Spot, text: str, style: Style, width: float, leading: int) -> float:
        """Draw a text in as many lines as it needs and return the baseline of the line after it."""
        x, y = at
        for line in lines_of(text, style, width):
            self.text((x, y), line, style)
            y += leading
        return y

    def box(self, at: Spot, size: Spot, colour: Colour) -> None:
        """Fill a rectangle."""
        x, y = round(at[0]), round(at[1])
        self.image.paste(colour, (x, y, x + round(size[0]), y + round(size[1])))

    def stroke(self, points: list[Spot], colour: Colour, width: float) -> None:
        """Draw a line through points, with smooth edges and a dark seam that sets it off from any picture."""
        around = width + 4
        xs, ys = [point[0] for point in points], [point[1] for point in points]
        x, y = int(min(xs) - around), int(min(ys) - around)
        size = int(max(xs) + around) + 1 - x, int(max(ys) + around) + 1 - y
        path = [((px - x) * _FINER, (py - y) * _FINER) for px, py in points]
        for paint, wide in ((BLACK, width + 2), (colour, width)):
            mask = Image.new("L", (size[0] * _FINER, size[1] * _FINER))
            ImageDraw.Draw(mask).line(path, fill=255, width=round(wide * _FINER), joint="curve")
            self.image.paste(paint, (x, y), mask.reduce(_FINER))

    def shade(self, at: tuple[int, int], colour: Colour, cover: NDArray[np.uint8]) -> None:
        """Lay a colour over a part of the page, as strongly as `cover` says (0 to 255)."""
        self.image.paste(colour, at, Image.fromarray(cover))


def lines_of(text: str, style: Style, width: float, indent: float = 0) -> list[str]:
    """Break a text into lines of at most this width; a word that is longer is broken too.

    `indent` is how much narrower the first line is: where not even a word fits into it, it is empty.
    """
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if width_of(longer, style) <= width - (indent if len(lines) == 1 else 0):
            lines[-1] = longer
            continue
        if lines[-1] or indent:
            lines.append("")
        for letter in word:
            if lines[-1] and width_of(lines[-1] + letter, style) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def width_of(text: str, style: Style) -> float:
    """Return how wide a text is."""
    return _width(text, style.size, style.bold)


def fitted(text: str, style: Style, width: float) -> str:
    """Return a text as it fits into one line of this width, its end cut where it has to be."""
    if width_of(text, style) <= width:
        return text
    while text and width_of(f"{text}…", style) > width:
        text = text[:-1].rstrip()
    return f"{text}…"


@lru_cache(maxsize=512)  # most texts of a page are the same on the next one, or in the next result
def _shape(text: str, size: int, bold: bool, edge: int, anchor: str, part: Spot) -> tuple[Image.Image, tuple[int, int]]:
    """Return the mask of a text, and where it lies from its anchor, which is a `part` of a pixel off a pixel."""
    font = _font(size, bold)
    x, y = ceil(_width(text, size, bold)) + 2 * size, 2 * size  # a text lies within that of its anchor, whichever it is
    mask = Image.new("L", (2 * x, 2 * y))
    ImageDraw.Draw(mask).text((x + part[0], y + part[1]), text, 255, font, anchor, stroke_width=edge)
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    return mask.crop((left, top, right, bottom)), (left - x, top - y)


def _width(text: str, size: int, bold: bool) -> float:
    """Return how wide a text is: the font has no kerning, so a text is as wide as its letters are together."""
    return sum(_advance(letter, size, bold) for letter in text)


@cache
def _advance(letter: str, size: int, bold: bool) -> float:
    return _font(size, bold).getlength(letter)


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    # The basic layout: the other one is not built in everywhere, and sets texts in another way.
    return ImageFont.truetype(BytesIO(_file(bold)), size, layout_engine=ImageFont.Layout.BASIC)


@cache
def _file(bold: bool) -> bytes:
    name = "Roboto-Medium.ttf" if bold else "Roboto-Regular.ttf"
    return files("workers.report.key_images").joinpath("fonts", name).read_bytes()
