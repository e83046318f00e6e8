"""The rows of the table on the cover: every number, the Rad scores with what contributes to them, the clinical scores.

Comes in: the findings. Goes out: sections of `Row`s; a number that was not computed has the reason in place of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from node.core.codes import MEASUREMENTS, STRUCTURES, Structure, coding_of, rad_names
from node.core.reasons import NoteCode
from node.core.records import Measurement
from workers.measured import Score
from workers.report import sentences
from workers.report.key_images import numbers
from workers.report.key_images.canvas import FAINT, Colour
from workers.report.key_images.numbers import Marks
from workers.report.key_images.sheet import Story

_FAMILIES = ("liver.", "psoas.", "l1.", "burden.")
_OF_ALL = (NoteCode.FORCED_COMPLETION, NoteCode.IMPORTED, NoteCode.DEGRADED_ENGINE)
_BURDEN_SCORE = "burden.tbs"


@dataclass(frozen=True)
class Row:
    """A line of the table: what it is, the colour of its structure's outline, and the value or why there is none."""

    name: str
    colour: Colour
    value: str = ""
    unit: str = ""
    interval: str = ""
    missing: str = ""
    marks: str = ""


def sections(story: Story, marks: Marks) -> list[list[Row]]:
    """Return the rows in sections; notes get their marks in the order of the rows."""
    found = [[_row(name, story, marks) for name in MEASUREMENTS if name.startswith(family)] for family in _FAMILIES]
    found.append(list(_rad_scores(story, marks)))
    measured = story.findings.measured
    found.append([_score(one, story, marks) for one in measured.scores] if measured else [])
    return [section for section in found if section]


def _row(name: str, story: Story, marks: Marks) -> Row:
    one = story.measurements[name]
    title, colour = sentences.title(name, story.findings), _colour(name)
    marked = marks.of(_remarks(one, story))
    if one.value is None:
        return Row(title, colour, missing=_why_not(one, story), marks=marked)
    beside = numbers.interval(name, one) or _zone(name, story)
    return Row(title, colour, numbers.value(name, one), numbers.unit(name), beside, marks=marked)


def _rad_scores(story: Story, marks: Marks) -> Iterator[Row]:
    """Yield the rows of each signature; one alone where score, group and contributions lack for the same reason."""
    for signature in (one.id for one in story.findings.request.signatures):
        names = rad_names(signature)
        lacking = {(story.measurements[name].reason, story.measurements[name].notes) for name in names}
        if len(lacking) == 1 and all(story.measurements[name].value is None for name in names):
            one = story.measurements[names[0]]
            title = story.words("summary.rad_score", signature=signature)
            yield Row(title, FAINT, missing=_why_not(one, story), marks=marks.of(_remarks(one, story)))
        else:
            yield from (_row(name, story, marks) for name in names)


def _score(one: Score, story: Story, marks: Marks) -> Row:
    """Return a clinical score as the range of points that it is."""
    words = story.words
    value = f"{one.low}" if one.low == one.high else words("summary.range", low=one.low, high=one.high)
    unknown = sum(item.state == "unknown" for item in one.items)
    beside = words("summary.unknown_items", unknown=unknown, of=len(one.items)) if unknown else ""
    return Row(
        one.name,
        FAINT,
        value,
        words("summary.points", of=one.of),
        beside,
        marks=marks.of([words(f"score_note.{note}") for note in one.notes]),
    )


def _remarks(one: Measurement, story: Story) -> list[str]:
    """Return the notes of a number, but those that every number carries, which the cover says once for all."""
    notes = [note for note in one.notes if note.code not in _OF_ALL]
    return [sentences.with_figures(note, story.words) for note in notes]


def _why_not(one: Measurement, story: Story) -> str:
    return story.words("summary.why_missing", reason=story.words(f"reason.{one.reason}"))


def _zone(name: str, story: Story) -> str:
    burden = story.findings.measured.burden if story.findings.measured else None
    if name != _BURDEN_SCORE or burden is None or burden.zone is None:
        return ""
    return story.words("summary.zone", zone=burden.zone.replace(">=", "≥ ").replace("<", "< "))


def _colour(name: str) -> Colour:
    """Return the colour in which what a number was measured on is outlined."""
    coding = coding_of(name)
    if coding.structure:
        return STRUCTURES[coding.structure].rgb
    return STRUCTURES[Structure.LESION].rgb if name.startswith("burden.") else FAINT
