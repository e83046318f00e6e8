"""What stands in words beside the numbers of a page: why one is missing, its notes, its interval, published values.

Comes in: `Findings`. Goes out: sentences in the language of the result. The figures of a note, of a refusal or of a
published value come in English with the number; what they mean is said in the language of the result before them.
"""

from collections.abc import Iterator, Sequence

from node.core.codes import RAD_PREFIX, UNIT_DISPLAY, coding_of
from node.core.errors import NodeError
from node.core.reasons import NoteCode
from node.core.records import Context, Measurement, Note
from workers.report.document import Findings, measurements
from workers.report.wording import Words


def title(name: str, findings: Findings) -> str:
    """Return what a person calls a number, by its id, with the muscle that was measured."""
    words, psoas = findings.words, findings.request.measurement.psoas
    if name.startswith(RAD_PREFIX):
        signature, _, part = name.removeprefix(RAD_PREFIX).rpartition(".")
        return words(f"measurement.rad_score.{part}", signature=signature)
    begin, within = words(f"muscle.{psoas}.first"), words(f"muscle.{psoas}.within")
    return words(f"measurement.{name}", Muscle=begin, muscle=within)


def remarks(names: Sequence[str], findings: Findings) -> Iterator[str]:
    """Yield a sentence for each number that is missing, for each note once, for each interval and published value.

    What every number carries is said once for all, at the beginning of the page.
    """
    words, numbers = findings.words, measurements(findings)
    said: set[str] = set()
    for name in names:
        one, called = numbers[name], title(name, findings)
        if one.value is None and one.reason:
            yield words("page.not_computed", title=called, reason=words(f"reason.{one.reason}"))
        for note in one.notes:
            if note.text not in said and note.code is not NoteCode.FORCED_COMPLETION:
                said.add(note.text)
                yield words("page.note", title=called, text=with_figures(note, words))
        if one.interval:
            yield _interval(name, one, findings)
        yield from (_context(called, beside, words) for beside in one.context)


def refusal(error: NodeError, words: Words) -> str:
    """Return why a study was refused, and what was seen."""
    reason = words(f"refusal.{error.code}")
    return words("page.detailed", reason=reason, detail=error.detail) if error.detail else reason


def with_figures(note: Note, words: Words) -> str:
    """Return what a note means, and its figures where it has some."""
    sentence = words(f"note.{note.code}")
    return sentence if note.text == note.code.sentence else words("page.figures", sentence=sentence, figures=note.text)


def _interval(name: str, one: Measurement, findings: Findings) -> str:
    """Return what the errors of the network imply; only what a validated network segmented has an interval."""
    validation = findings.labels.validation if findings.labels else None
    if one.interval is None or validation is None:
        raise ValueError("an interval comes from what was measured of a network")
    low, high = one.interval
    unit = coding_of(name).unit
    return findings.words(
        "page.interval",
        title=title(name, findings),
        low=low,
        high=high,
        unit=UNIT_DISPLAY.get(unit, unit),
        n=len(validation.seeds),
        what=validation.what,
    )


def _context(called: str, beside: Context, words: Words) -> str:
    told = words(
        "page.context",
        title=called,
        text=beside.text,
        source=beside.source,
        population=beside.population,
        protocol=beside.protocol,
    )
    return words("page.differs", context=told, outside=", ".join(beside.outside)) if beside.outside else told
