"""The page of a Rad score: where it lies in training, and what every feature gives, as bars.

Comes in: the answers of signatures. Goes out: a draft for each score. Nothing can go wrong; a signature that gave no
score has its row on the cover. Next: `sheet` numbers the pages.
"""

from collections.abc import Iterator

from workers.report import rad_scores
from workers.report.key_images.canvas import (
    AMBER,
    FAINT,
    INK,
    MARGIN,
    MUTED,
    RULE,
    SIZE,
    Canvas,
    Colour,
    Style,
    fitted,
    lines_of,
    width_of,
)
from workers.report.key_images.sheet import FOOT, Draft, Story
from workers.signature.parts import Groups, Training
from workers.signature.score import Contribution, Scored

_LESS: Colour = (112, 170, 220)
_MORE: Colour = (226, 150, 96)
_RIGHT, _WIDTH = SIZE - MARGIN, SIZE - 2 * MARGIN
_SCORE, _GROUP = Style(44, bold=True), Style(26)
_NAME, _VALUE, _POINTS = Style(17), Style(15, FAINT), Style(17, bold=True)
_OUTSIDE, _TEXT, _LABEL = Style(15, AMBER), Style(17, MUTED), Style(15, FAINT)
_LEADING, _ROW = 22, 42
_ZERO, _LONGEST = 740, 150  # where bars begin, and how long the largest is
_C_INDEX = "C-index"  # how the first figure of a manifest begins that tells how good the whole procedure is
_QUARTERS = (0.05, 0.25, 0.5, 0.75, 0.95)
_LAST_LINE = FOOT - 26


def draw(story: Story) -> Iterator[Draft]:
    """Yield a page for each score."""
    for one in rad_scores.scored(story.findings):
        yield _page(one, story)


def _page(one: Scored, story: Story) -> Draft:
    words, signature = story.words, one.signature
    draft = Draft("rad-score", words("summary.label_rad_score"))
    aside = words(
        "summary.rad_signature", signature=signature.id, version=signature.version, digest=signature.digest[:12]
    )
    draft.heading(words("summary.rad_heading"), aside)
    canvas = draft.canvas
    x = MARGIN + canvas.text((MARGIN, 130), _signed(one.score), _SCORE) + 24
    found = next((figure for figure in signature.validation if figure.name.startswith(_C_INDEX)), None)
    told = f"{found.name}: {rad_scores.figure(found, words)}" if found else ""
    group = fitted(words("summary.rad_group", group=one.group), _GROUP, _RIGHT - x - width_of(told, _TEXT) - 20)
    canvas.text((x, 130), group, _GROUP)
    canvas.text((_RIGHT, 130), told, _TEXT, "rs")
    y = 150.0
    if signature.training and signature.groups:
        y = _spread(canvas, one, signature.training, signature.groups, story)
    y = _bars(canvas, one, story, y + 30)
    _about(canvas, one, story, y + 14)
    return draft


def _spread(canvas: Canvas, one: Scored, training: Training, groups: Groups, story: Story) -> float:
    """Draw the scores of training as a line with its quantiles, the groups and the score; return where it ends."""
    spread, words, y = training.score, story.words, 206.0
    least, most = min(spread.least, one.score), max(spread.most, one.score)
    scale = _WIDTH / (most - least) if most > least else 0.0

    def at(value: float) -> float:
        return MARGIN + (value - least) * scale

    begin = at(spread.least)
    canvas.box((begin, y), (max(at(spread.most) - begin, 1), 3), RULE)
    quantiles = dict(zip(spread.levels, spread.values, strict=True))
    for level in _QUARTERS:
        if level in quantiles:
            canvas.box((at(quantiles[level]) - 1, y - 6), (2, 15), FAINT)
    middle = at(quantiles[0.25]) if 0.25 in quantiles else begin
    if 0.75 in quantiles:
        canvas.box((middle, y - 3), (at(quantiles[0.75]) - middle, 9), RULE)
    for cut_off in groups.cut_offs:
        canvas.box((at(cut_off) - 1, y - 16), (2, 35), MUTED)
        canvas.text((at(cut_off), y + 38), words("summary.rad_cut_off", value=_signed(cut_off)), _LABEL, "ms")
    for end, anchor in ((spread.least, "ls"), (spread.most, "rs")):
        canvas.text((at(end), y + 38), _signed(end), _LABEL, anchor)
    bounds = [least, *groups.cut_offs, most]
    for name, low, high in zip(groups.names, bounds, bounds[1:], strict=False):
        room = at(high) - at(low)
        if room > width_of(name, _LABEL):
            canvas.text((at(low) + room / 2, y - 22), name, _LABEL, "ms")
    canvas.box((at(one.score) - 3, y - 14), (6, 31), AMBER if one.outside else INK)
    place = words("summary.rad_place", place=100 * one.place, patients=training.patients)
    y = canvas.paragraph((MARGIN, y + 70), place, _TEXT, _WIDTH, _LEADING)
    if one.outside:
        y = canvas.paragraph((MARGIN, y), words("summary.rad_outside"), _OUTSIDE, _WIDTH, _LEADING)
    return y


def _bars(canvas: Canvas, one: Scored, story: Story, y: float) -> float:
    """Draw what every feature gives, the largest first, as far as there is room; return where it ends."""
    words = story.words
    canvas.text((MARGIN, y), words("summary.rad_feature"), _LABEL)
    canvas.text((_ZERO, y), words("summary.rad_points"), _LABEL, "ms")
    canvas.text((_RIGHT, y), words("summary.rad_contribution"), _LABEL, "rs")
    y += 10
    canvas.box((MARGIN, y), (_WIDTH, 1), RULE)
    ordered = sorted(one.contributions, key=lambda part: -abs(part.points))
    largest = abs(ordered[0].points) or 1.0
    room = int((_LAST_LINE - 220 - y) // _ROW)
    for part in ordered[:room]:
        y += _ROW
        _bar(canvas, part, largest, story, y - 16)
    if left := ordered[room:]:
        y += _LEADING
        rest = words("summary.rad_rest", count=len(left), points=sum(part.points for part in left))
        canvas.text((MARGIN, y), rest, _TEXT)
    return y


def _bar(canvas: Canvas, part: Contribution, largest: float, story: Story, y: float) -> None:
    """Draw one feature: its name, its value beside the range of training, and its bar."""
    words, name = story.words, f"{part.name} ({part.roi})" if part.roi else part.name
    canvas.text((MARGIN, y), fitted(name, _NAME, _ZERO - _LONGEST - MARGIN - 20), _NAME)
    value = words("summary.rad_value", value=part.value, least=part.least, most=part.most)
    value += words("summary.rad_is_outside") if part.outside else ""
    canvas.text((MARGIN, y + 18), value, _OUTSIDE if part.outside else _VALUE)
    length = _LONGEST * abs(part.points) / largest
    canvas.box(
        (_ZERO - length if part.points < 0 else _ZERO, y - 10), (length, 16), _LESS if part.points < 0 else _MORE
    )
    canvas.box((_ZERO, y - 16), (1, 28), FAINT)
    canvas.text((_RIGHT, y + 4), _signed(part.points), _POINTS, "rs")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _about(canvas: Canvas, one: Scored, story: Story, y: float) -> None:
    """Write what the signature foretells and how good it was, as far as there is room."""
    canvas.box((MARGIN, y), (_WIDTH, 1), RULE)
    y += 8
    for sentence in rad_scores.about(one, story.words):
        if y + len(lines_of(sentence, _TEXT, _WIDTH)) * _LEADING > _LAST_LINE:
            return
        y = canvas.paragraph((MARGIN, y + _LEADING), sentence, _TEXT, _WIDTH, _LEADING) - _LEADING + 4
