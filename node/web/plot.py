"""A curve as a picture: places for a template to draw as SVG, so that no script and no library is needed.

Comes in: dates and values, perhaps with ranges. Goes out: a `Plot`, in the units of its view box. The value axis begins
at zero only where the values are near it: what matters here is whether a patient's own numbers change.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

WIDTH, HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 28
_TICKS = 4


@dataclass(frozen=True)
class Point:
    """A value at a date; `uid` of its study."""

    on: date
    value: float
    interval: tuple[float, float] | None = None
    uid: str = ""


@dataclass(frozen=True)
class Mark:
    """A point where it is drawn; `low` and `high` are the ends of its range."""

    x: float
    y: float
    low: float | None
    high: float | None
    point: Point


@dataclass(frozen=True)
class Tick:
    """A place on an axis with its words."""

    at: float
    text: str


@dataclass(frozen=True)
class Plot:
    """A picture; `line` is the way through the marks."""

    marks: Sequence[Mark]
    line: str
    rows: Sequence[Tick]
    columns: Sequence[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM
    top: int = _TOP


def draw(points: Sequence[Point]) -> Plot:
    """Return the picture of points, at least one, in the order of their dates."""
    values: list[float] = [end for one in points for end in (one.value, *(one.interval or ()))]
    step = _step(min(values), max(values))
    low, high = math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step
    if low == high:
        low, high = low - step, high + step
    first, last = points[0].on.toordinal(), points[-1].on.toordinal()

    def x(on: date) -> float:
        share = (on.toordinal() - first) / (last - first) if last > first else 0.5
        return round(_LEFT + 10 + share * (WIDTH - _LEFT - _RIGHT - 20), 1)

    def y(value: float) -> float:
        return round(HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM), 1)

    marks = [
        Mark(
            x=x(one.on),
            y=y(one.value),
            low=y(one.interval[0]) if one.interval else None,
            high=y(one.interval[1]) if one.interval else None,
            point=one,
        )
        for one in points
    ]
    count = round((high - low) / step)
    rows = [Tick(y(low + number * step), _text(low + number * step, step)) for number in range(count + 1)]
    ends = dict.fromkeys((points[0].on, points[-1].on))
    columns = [Tick(x(on), f"{on:%Y-%m-%d}") for on in ends]
    return Plot(marks, " ".join(f"{one.x},{one.y}" for one in marks), rows, columns)


def _step(low: float, high: float) -> float:
    """Return a round step that divides a range into a few parts."""
    span = high - low or abs(high) / 5 or 1.0
    size = math.pow(10.0, math.floor(math.log10(span / _TICKS)))
    return next(factor * size for factor in (1.0, 2.0, 5.0, 10.0) if factor * size * _TICKS >= span)


def _text(value: float, step: float) -> str:
    return f"{value:,.{max(0, -math.floor(math.log10(step)))}f}"
