"""The pages of a Summary: what they have in common, and what they are when they are done.

Comes in: the findings and the headers of the slices. Goes out: a `Draft` with its heading, and of all drafts together
the `Page`s with their numbers below. Nothing can go wrong. Next: `cover` and `pictures` fill a draft.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from node.core.records import Measurement
from workers.records import DEMONSTRATION
from workers.report import envelope
from workers.report.document import Findings, measurements
from workers.report.frames import Source
from workers.report.key_images.canvas import (
    AMBER,
    FAINT,
    MARGIN,
    MUTED,
    RULE,
    SIZE,
    Canvas,
    Colour,
    Style,
    fitted,
)
from workers.report.key_images.identity import Identity
from workers.report.wording import Words

FOOT = SIZE - 26  # the baseline of the last line
_TITLE, _ASIDE = Style(30, bold=True), Style(19, MUTED)
_FOOT, _WARNING = Style(16, FAINT), Style(16, AMBER, bold=True)


@dataclass(frozen=True)
class Story:
    """What all pages are about."""

    findings: Findings
    sources: Sequence[Source]

    @property
    def words(self) -> Words:
        """The texts in the language of the report."""
        return self.findings.words

    @cached_property
    def measurements(self) -> dict[str, Measurement]:
        """Every number."""
        return measurements(self.findings)

    @property
    def psoas(self) -> str:
        """Which muscle stands for the psoas."""
        return self.findings.request.measurement.psoas

    @cached_property
    def _identity(self) -> Identity:
        return Identity(source.header for source in self.sources[:1])

    def free(self, text: str) -> str:
        """Return a text that may hold what somebody typed as it may be drawn: not, where it names the patient.

        Of the synthetic abdomen there is nobody to name.
        """
        volume = self.findings.volume
        if volume and volume.acquisition.synthetic:
            return text
        return self.words("summary.withheld") if self._identity.names(text) else text


@dataclass
class Draft:
    """A page while it is drawn.

    Parameters
    ----------
    name
        Of its file.
    label
        What a viewer may list it as (SH).
    slices
        Slices of the volume that are shown on it as they are.
    """

    name: str
    label: str
    slices: tuple[int, ...] = ()
    canvas: Canvas = field(default_factory=Canvas)

    def heading(self, title: str, aside: str) -> None:
        """Write what the page shows, and on the right what it is of."""
        right = SIZE - MARGIN
        x = MARGIN + self.canvas.text((MARGIN, 56), title, _TITLE)
        self.canvas.text((right, 56), fitted(aside, _ASIDE, right - x - 24), _ASIDE, "rs")
        self.canvas.box((MARGIN, 72), (right - MARGIN, 1), RULE)


@dataclass(frozen=True)
class Page:
    """A page: its pixels, `(rows, columns, 3)` uint8, and every text on it."""

    name: str
    label: str
    slices: tuple[int, ...]
    pixels: NDArray[np.uint8]
    texts: tuple[str, ...]


def finished(drafts: Sequence[Draft], story: Story) -> list[Page]:
    """Return the pages, each with the product, its version and the place of the page among all."""
    words, request = story.words, story.findings.request
    pages = []
    for number, draft in enumerate(drafts, start=1):
        canvas = draft.canvas
        product = words("summary.product", name=envelope.MODEL, version=request.version)
        x = MARGIN + canvas.text((MARGIN, FOOT), product, _FOOT)
        canvas.text((x + 14, FOOT), ". ".join(_warnings(story)), _WARNING)
        canvas.text((SIZE - MARGIN, FOOT), words("summary.page", number=number, of=len(drafts)), _FOOT, "rs")
        pixels = np.asarray(canvas.image)
        pages.append(Page(draft.name, draft.label, draft.slices, pixels, tuple(canvas.texts)))
    return pages


def _warnings(story: Story) -> Iterator[str]:
    """Yield what has to be read on each page, in short."""
    yield story.words("summary.research")
    if story.findings.labels and story.findings.labels.demonstration:
        yield DEMONSTRATION
    if story.findings.request.forced:
        yield story.words("viewer.may_lack_slices")


def chip(canvas: Canvas, at: tuple[float, float], colour: Colour, height: int = 14) -> None:
    """Draw a small bar in the colour of a structure, its lower end at a baseline."""
    canvas.box((at[0], at[1] - height), (5, height), colour)
