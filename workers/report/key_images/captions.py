"""What is written beside and below a picture: which slice it is, and the numbers that were measured on it."""

from collections.abc import Sequence

from workers.records import Volume
from workers.report import sentences
from workers.report.key_images import numbers, planes
from workers.report.key_images.canvas import MARGIN, MUTED, SIZE, Canvas, Colour, Spot, Style, fitted
from workers.report.key_images.sheet import Story, chip

BASELINE, LEADING = 920, 30
NAME, VALUE, MISSING, SAID = Style(19, MUTED), Style(22, bold=True), Style(19, MUTED), Style(19, MUTED)


def slice_of(story: Story, volume: Volume, index: int) -> str:
    """Say which slice of the series it is, as the volume counts and as a viewer does."""
    words, source = story.words, story.sources[index]
    z = numbers.signed(planes.place(volume.geometry, (index, 0, 0))[2])
    place = words("summary.slice", number=index + 1, of=volume.geometry.shape[0], z=z)
    number = source.header.get("InstanceNumber")
    image = "" if number is None else words("summary.image", number=number)
    return f"{place}{image}" + (words("summary.frame", number=source.frame) if source.frame else "")


def below(canvas: Canvas, story: Story, facts: Sequence[tuple[str, Colour]], said: str = "") -> None:
    """Write numbers below a picture, side by side in the colours of their outlines, and a sentence on the right."""
    said_width = canvas.text((SIZE - MARGIN, BASELINE + LEADING), said, SAID, "rs") if said else 0.0
    wide = (SIZE - 2 * MARGIN - said_width) / len(facts)
    for place, (name, colour) in enumerate(facts):
        x = MARGIN + place * wide
        chip(canvas, (x, BASELINE), colour, 15)
        title = fitted(sentences.title(name, story.findings), NAME, wide - 28)
        canvas.text((x + 14, BASELINE), title, NAME)
        result(canvas, (x + 14, BASELINE + LEADING), name, story, "ls")


def result(canvas: Canvas, at: Spot, name: str, story: Story, anchor: str) -> None:
    """Write a number, or that it was not computed: the cover says why."""
    one = story.measurements[name]
    if one.value is None:
        canvas.text(at, story.words("summary.missing"), MISSING, anchor)
    else:
        canvas.text(at, numbers.with_unit(name, one), VALUE, anchor)
