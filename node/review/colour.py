"""The recommended colour of a segment (PS3.3 C.10.7.1.1) as a screen shows it.

CIELab values are stored in 16 bits: L* from 0 to 100, a* and b* from -128 to 127. White is D65, as segmentations of
dcmqi and highdicom have it.
"""

from collections.abc import Sequence

from rich.text import Text

_WHITE = (0.95047, 1.0, 1.08883)
_TO_LINEAR_RGB = ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))  # IEC 61966-2-1


def rgb(stored: Sequence[float]) -> tuple[int, int, int] | None:
    """Return the sRGB colour of a stored CIELab value; None where it is none."""
    if len(stored) != 3 or not all(0 <= one <= 0xFFFF for one in stored):
        return None
    lightness = stored[0] / 0xFFFF * 100
    a, b = (one / 0xFFFF * 255 - 128 for one in stored[1:])
    y = (lightness + 16) / 116
    xyz = [white * _uncompressed(one) for white, one in zip(_WHITE, (y + a / 500, y, y - b / 200), strict=True)]
    red, green, blue = (
        _encoded(sum(factor * one for factor, one in zip(row, xyz, strict=True))) for row in _TO_LINEAR_RGB
    )
    return red, green, blue


def _uncompressed(one: float) -> float:
    return one**3 if one > 6 / 29 else 3 * (6 / 29) ** 2 * (one - 4 / 29)


def _encoded(linear: float) -> int:
    clipped = min(max(linear, 0.0), 1.0)
    return round(255 * (12.92 * clipped if clipped <= 0.0031308 else 1.055 * clipped ** (1 / 2.4) - 0.055))


def swatch(stored: Sequence[float]) -> Text:
    """Return a patch of the colour with its hexadecimal value; a dash where there is none."""
    colour = rgb(stored)
    if colour is None:
        return Text("-")
    value = "#{:02x}{:02x}{:02x}".format(*colour)
    return Text("  ", style=f"on {value}").append(f" {value}", style="default on default")
