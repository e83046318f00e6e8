"""The cover of a Summary: every number in one table, what it was measured on, and the notes; or why there are none.

Comes in: the findings. Goes out: one page, and a second one with the notes where they find no room on the first; of a
refused study a page with the reason. Nothing can go wrong. Next: `sheet` numbers the pages.
"""

from collections.abc import Iterator, Sequence

from workers.report import envelope
from workers.report.key_images import origin, table
from workers.report.key_images.canvas import (
    AMBER,
    FAINT,
    MARGIN,
    MUTED,
    RULE,
    SIZE,
    Canvas,
    Style,
    fitted,
    lines_of,
    width_of,
)
from workers.report.key_images.numbers import Marks, letter
from workers.report.key_images.sheet import FOOT, Draft, Story, chip
from workers.report.key_images.table import Row

Notes = Sequence[tuple[int, str]]
_WIDTH, _RIGHT = SIZE - 2 * MARGIN, SIZE - MARGIN
# Where decimal points stand, and where units, intervals, and the reasons of what is missing begin.
_POINT, _UNIT, _INTERVAL, _MISSING = 486, 526, 640, 428
_ROW, _GAP = 24, 10
_NAME, _VALUE, _PLAIN, _FAINT = Style(19), Style(19, bold=True), Style(18, MUTED), Style(17, FAINT)
_MARK, _BANNER = Style(15, AMBER), Style(18, AMBER, bold=True)
_NOTE, _NOTE_LEADING, _APART, _KEY = Style(17, MUTED), 22, 18, 130
_LAST_LINE = FOOT - 26
_REASON, _SENTENCE = Style(40, AMBER, bold=True), Style(24)


def draw(story: Story) -> Iterator[Draft]:
    """Yield the cover, and the notes that find no room on it."""
    words = story.words
    draft = Draft("cover", words("summary.label_cover"))
    refused = story.findings.refusal is not None
    draft.heading(words("summary.title"), _result_of(story))
    y = _banners(draft.canvas, story, 100)
    if refused:
        _refusal(draft.canvas, story, y)
        yield draft
        return
    marks = Marks()
    y = _table(draft.canvas, story, table.sections(story, marks), y)
    y = _origin(draft.canvas, story, y + 6)
    left = _notes(draft.canvas, list(enumerate(marks.remarks)), y + 10)
    yield draft
    while left:
        draft = Draft("notes", words("summary.label_notes"))
        draft.heading(words("summary.notes"), _result_of(story))
        left = _notes(draft.canvas, left, 104)
        yield draft


def _result_of(story: Story) -> str:
    """Say when the result was asked for, and which one of the study it is."""
    request, words = story.findings.request, story.words
    at = f"{envelope.local(request.requested_at):%Y-%m-%d %H:%M}"
    return words("summary.result", at=at) + words("summary.revision", number=request.revision)


def _banners(canvas: Canvas, story: Story, y: float) -> float:
    """Write what holds for the whole result; return where the page goes on."""
    request, words, labels = story.findings.request, story.words, story.findings.labels
    said = [words("summary.demonstration")] if labels and labels.demonstration else []
    if old := request.supersedes:
        at = f"{envelope.local(old.requested_at):%Y-%m-%d %H:%M}"
        said.append(words("summary.supersedes", at=at, revision=old.revision))
    said += [note.text for note in request.notes]
    for sentence in said:
        y = canvas.paragraph((MARGIN, y), sentence, _BANNER, _WIDTH, 24)
    return y


def _table(canvas: Canvas, story: Story, sections: Sequence[Sequence[Row]], y: float) -> float:
    """Write the table; return where the page goes on."""
    words = story.words
    canvas.text((_POINT, y), words("summary.column_value"), _FAINT, "rs")
    canvas.text((_INTERVAL, y), words("summary.column_interval"), _FAINT)
    canvas.text((_RIGHT, y), words("summary.column_notes"), _FAINT, "rs")
    y += 8
    for section in sections:
        canvas.box((MARGIN, y), (_WIDTH, 1), RULE)
        y += 4
        for row in section:
            y += _ROW
            _row(canvas, row, y - 7)
        y += _GAP - 4
    return y


def _row(canvas: Canvas, row: Row, y: float) -> None:
    chip(canvas, (MARGIN, y), row.colour)
    canvas.text((MARGIN + 16, y), row.name, _NAME)
    marks = canvas.text((_RIGHT, y - 4), row.marks, _MARK, "rs") + 12 if row.marks else 0.0
    if row.missing:
        canvas.text((_MISSING, y), fitted(row.missing, _PLAIN, _RIGHT - marks - _MISSING), _PLAIN)
        return
    whole, point, part = row.value.partition(".")
    canvas.text((_POINT, y), whole, _VALUE, "rs")
    if point:
        canvas.text((_POINT, y), f"{point}{part}", _VALUE)
    canvas.text((_UNIT, y), row.unit, _PLAIN)
    canvas.text((_INTERVAL, y), fitted(row.interval, _PLAIN, _RIGHT - marks - _INTERVAL), _PLAIN)


def _origin(canvas: Canvas, story: Story, y: float) -> float:
    """Write what the numbers stand on; return where the page goes on."""
    canvas.box((MARGIN, y - 4), (_WIDTH, 1), RULE)
    for key, text in origin.lines(story):
        y += _NOTE_LEADING
        canvas.text((MARGIN, y), key, _FAINT)
        y = canvas.paragraph((MARGIN + _KEY, y), text, _NOTE, _WIDTH - _KEY, _NOTE_LEADING) - _NOTE_LEADING
    return y


def _notes(canvas: Canvas, notes: Notes, y: float) -> Notes:
    """Write notes with their marks as far as there is room; return those that are left."""
    x, y = 0.0, y + _NOTE_LEADING
    for place, (index, text) in enumerate(notes):
        mark = letter(index)
        begin = width_of(mark, _MARK) + 6
        first, *more = lines_of(text, _NOTE, _WIDTH, x + begin)
        if not first:  # the mark goes with its first word
            x, y = 0.0, y + _NOTE_LEADING
            first, *more = lines_of(text, _NOTE, _WIDTH, begin)
        if y + len(more) * _NOTE_LEADING > _LAST_LINE:
            return notes[place:]
        canvas.text((MARGIN + x, y - 2), mark, _MARK)
        x += begin + canvas.text((MARGIN + x + begin, y), first, _NOTE) + _APART
        for line in more:
            y += _NOTE_LEADING
            x = canvas.text((MARGIN, y), line, _NOTE) + _APART
    return []


def _refusal(canvas: Canvas, story: Story, y: float) -> None:
    """Write why the study has no numbers, and what was tried."""
    words, findings = story.words, story.findings
    if findings.refusal is None:
        return
    code = findings.refusal.code
    canvas.text((MARGIN, y + 70), words("summary.not_measured"), _REASON)
    y = canvas.paragraph((MARGIN, y + 130), words(f"refusal.{code}"), _SENTENCE, _WIDTH, 34)
    if findings.refusal.detail:
        y = canvas.paragraph((MARGIN, y + 4), story.free(findings.refusal.detail), _PLAIN, _WIDTH, 26)
    y = canvas.paragraph((MARGIN, y + 4), words("summary.code", code=code), _FAINT, _WIDTH, 24)
    y = _origin(canvas, story, y + 20) + 16
    for heading, series in ((words("summary.tried"), _tried(story)), (words("summary.left_out"), _left_out(story))):
        if not series or y > _LAST_LINE - 84:
            continue
        y += 34
        canvas.text((MARGIN, y), heading, _NAME)
        for count, text in enumerate(series):
            height = len(lines_of(text, _NOTE, _WIDTH)) * _NOTE_LEADING
            if y + height > _LAST_LINE - 34:
                canvas.text((MARGIN, y + 26), words("summary.more", count=len(series) - count), _NOTE)
                y += 26
                break
            y = canvas.paragraph((MARGIN, y + 26), text, _NOTE, _WIDTH, _NOTE_LEADING) - _NOTE_LEADING


def _tried(story: Story) -> list[str]:
    """Return each candidate that was refused, and why."""
    named = {one.series_instance_uid: one.description for one in story.findings.request.candidates}
    return [
        f"{_described(named.get(one.series_instance_uid, ''), story)}: {story.free(one.text)}"
        for one in story.findings.tried
    ]


def _left_out(story: Story) -> list[str]:
    """Return each series that was no candidate, and why."""
    return [
        f"{_described(one.description, story)} ({one.modality}): {story.free(one.why)}"
        for one in story.findings.request.left_out
    ]


def _described(description: str, story: Story) -> str:
    return story.free(description) if description else story.words("summary.no_description")
