"""What the commands print: progress bars, tables of numbers, the state of studies. No decisions here.

Everything fits 80 columns: a UID is never broken, and what is said of several numbers is said once, below them.
"""

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.orm import Session

from node.core.codes import LESION_COUNT, RAD_PREFIX, UNIT_DISPLAY, MeasurementCoding, coding_of
from node.core.ledger import Ledger, deliveries, history, jobs, queues, studies
from node.core.ledger.tables import Delivery, Job, Study, StudyFlag
from node.core.peer import Peer, Stored
from node.core.reasons import Flag, NotComputed, NoteCode, Outage, StudyRefusal
from node.core.states import DeliveryState, JobState, StudyState
from node.send import SendReport, files_below, send_folder

_GOOD, _BAD, _WARNING = "green", "red", "yellow"
_STYLES = {
    JobState.REPORTED: _GOOD,
    JobState.FAILED: _BAD,
    JobState.SUPERSEDED: "dim",
    StudyState.QUARANTINED: _BAD,
    StudyState.NOT_ANALYSABLE: _WARNING,
    DeliveryState.PROVEN: _GOOD,
}
_SENTENCES = {str(one): one.sentence for one in (*NotComputed, *StudyRefusal, *Outage, *Flag)}
_EVERYWHERE = "all"
_PARTIAL_VOLUME = (
    "A mean over a whole organ lies some HU off the truth: voxels at its rim hold some of the fat around it, as in "
    "every CT."
)


def send(console: Console, folder: Path, peer: Peer) -> SendReport:
    """Send a folder under a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"C-STORE to {peer.ae_title:<16}", total=len(files_below(folder)))

        def step(_: Stored) -> None:
            progress.advance(task)

        return send_folder(folder, peer, step)


def sent(console: Console, report: SendReport) -> None:
    """Print what was not stored as it should be, and the count of what was."""
    for one in report.failed:
        console.print(f"[{_BAD}]not stored[/] {escape(one.path.name)}: {escape(str(one.error))}", highlight=False)
    for one in report.warned:
        console.print(f"[{_WARNING}]stored with warning {one.status:04X}[/] {escape(one.path.name)}", highlight=False)
    counts = [f"{len(report.stored) + len(report.warned)} stored", f"{len(report.failed)} not stored"]
    if report.skipped:
        counts.append(f"{len(report.skipped)} skipped, being no DICOM")
    console.print(", ".join(counts), highlight=False)


def result(console: Console, document: Mapping[str, Any], truth: Mapping[str, Any] | None = None) -> None:
    """Print a result document: its numbers, beside the truth if that is known, and what is missing."""
    if document["refusal"]:
        _refusal(console, document)
        return
    numbers = {name: one for name, one in document["measurements"].items() if not name.startswith(RAD_PREFIX)}
    computed = {name: one for name, one in numbers.items() if one["status"] == "computed"}
    marks = _marks(computed)
    console.print(f"\n[bold]Measurements[/] (research use only) of {_measured(document)}", highlight=False)
    console.print(f"Segmentation: {escape(document['quality']['segmentation']['engine'])}", highlight=False)
    rows = []
    for name, one in computed.items():
        coding = coding_of(name)
        true = (truth or {}).get(name, {}).get("value")
        own = dict.fromkeys(marks[_note(note)] for note in one["notes"])
        beside = [_number(true, coding), _difference(one["value"], true, coding)] if truth else []
        unit = UNIT_DISPLAY.get(coding.unit, coding.unit)
        notes = " ".join(mark for mark in own if mark != _EVERYWHERE)
        rows.append([coding.name, _value(one, coding), unit, *beside, notes])
    console.print(_table(("Measurement", "Value>", "Unit", *(["Truth>", "Diff.>"] if truth else []), "Notes"), rows))
    _notes(console, marks, partial_volume=truth is not None)
    _intervals(console, document, {name: one for name, one in computed.items() if one["interval"]}, truth)
    _context(console, computed)
    _scores(console, document["scores"])
    _rad_scores(console, document["rad_scores"])
    _missing(console, {name: one for name, one in numbers.items() if name not in computed}, truth)


def models(console: Console, listed: Sequence[Any]) -> None:
    """Print the weights that are needed, how they stand, and what they may be used for."""
    rows = [[escape(one.name), _state_of_weights(one), f"{one.size_bytes / 1e6:.1f}"] for one in listed]
    console.print(_table(("Weights", "State", "MB>"), rows))
    for remark in dict.fromkeys(one.remark for one in listed):
        console.print(escape(remark), highlight=False, soft_wrap=True)
    if missing := sum(one.state == "missing" for one in listed):
        console.print(f"{missing} of {len(listed)} are missing: crlm-node models fetch, on a connected machine")


def _state_of_weights(one: Any) -> str:
    style = _GOOD if one.sound else _WARNING if one.state == "missing" else _BAD
    return f"[{style}]{escape(one.state)}[/]"


def status(console: Console, ledger: Ledger, prefix: str) -> bool:
    """Print the latest studies, or everything about the one that `prefix` names; False where none is known."""
    with ledger.transaction() as session:
        found = studies.find_studies(session, prefix)
        for study in found:
            known = jobs.of_study(session, study.uid)
            job = known[-1] if known else None
            made = deliveries.of_job(session, job.key) if job else []
            console.print(f"[bold]{study.uid}[/]", highlight=False, soft_wrap=True)
            console.print(_account(study, job, made, flags_of(session, study.uid)))
    if prefix and len(found) == 1:
        timeline(console, ledger, found[0])
    return bool(found)


def uids(console: Console, title: str, rows: Sequence[tuple[str, str, str, bool]]) -> None:
    """Print objects: kind, SOP Instance UID, a line about each, and whether it was found."""
    console.print(f"\n[bold]{escape(title)}[/]", highlight=False)
    for kind, uid, about, found in rows:
        mark = f"[{_GOOD}]found[/]    " if found else f"[{_BAD}]not found[/]"
        console.print(f"  {kind.upper():<10} {mark}  {uid}", highlight=False, soft_wrap=True)
        if about:
            console.print(f"  {'':<10} {'':<9}  [dim]{escape(about)}[/]", highlight=False, soft_wrap=True)


def _refusal(console: Console, document: Mapping[str, Any]) -> None:
    refusal, series = document["refusal"], document["series"]
    console.print(f"\n[{_WARNING}]Not measured: {refusal['code']}[/]", highlight=False)
    console.print(f"  {escape(refusal['text'])}", highlight=False)
    for one in series["tried"]:
        console.print(f"  tried {one['series_instance_uid']}: {one['code']}", highlight=False, soft_wrap=True)
    for one in series["left_out"]:
        what = one["series_instance_uid"] or one["description"]
        console.print(f"  left out {escape(what)}: {escape(one['why'])}", highlight=False, soft_wrap=True)


def _measured(document: Mapping[str, Any]) -> str:
    quality, height = document["quality"], document["study"]["patient"]["height_m"]
    series = escape(document["series"]["description"] or "a series without description")
    facts = [f"{quality['slices']} slices, {quality['spacing_mm'][0]:g} mm apart"]
    if height:
        facts.append(f"height {height:.2f} m")
    return f"{series}: {', '.join(facts)}"


def _note(note: Mapping[str, str]) -> tuple[str, str]:
    return note["code"], note["text"]


def _marks(computed: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return a letter for each note, or `all` for one that every number carries."""
    carried = [{_note(note): None for note in one["notes"]} for one in computed.values()]
    distinct = dict.fromkeys(note for notes in carried for note in notes)
    letters = iter(string.ascii_letters)
    return {
        note: _EVERYWHERE if all(note in notes for notes in carried) and len(carried) > 1 else next(letters)
        for note in distinct
    }


def _notes(console: Console, marks: Mapping[tuple[str, str], str], *, partial_volume: bool) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    for (code, text), mark in sorted(marks.items(), key=lambda item: (item[1] == _EVERYWHERE, item[1])):
        grid.add_row(mark, f"[cyan]{code}[/]: {escape(text)}")
    if partial_volume:
        grid.add_row("HU", _PARTIAL_VOLUME)
    console.print()
    console.print(grid, highlight=False)


def _context(console: Console, computed: Mapping[str, Any]) -> None:
    """Print what is published of the numbers, with whom it was found in and what of this study differs."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, one in computed.items():
        for beside in one["context"]:
            differs = f" [{_WARNING}]Here: {escape(', '.join(beside['outside']))}.[/]" if beside["outside"] else ""
            told = f"{beside['text']}. {beside['source']}: {beside['population']}; {beside['protocol']}."
            grid.add_row(f"{coding_of(name).name}:", escape(told) + differs)
    if grid.rows:
        console.print("\n[bold]Published values[/] to read them beside, no verdicts", highlight=False)
        console.print(grid, highlight=False)


def _scores(console: Console, scores: Sequence[Mapping[str, Any]]) -> None:
    """Print the range of each clinical score, and what would narrow it."""
    rows = []
    for one in scores:
        unknown = ", ".join(item["name"] for item in one["items"] if item["state"] == "unknown")
        points = str(one["low"]) if one["low"] == one["high"] else f"{one['low']} to {one['high']}"
        rows.append([one["name"], f"{points} of {one['of']}", escape(f"unknown: {unknown}" if unknown else "")])
    console.print()
    console.print(_table(("Clinical score", "Points", "Why"), rows))


def _rad_scores(console: Console, found: Sequence[Mapping[str, Any]]) -> None:
    """Print what each signature says: the score with its group and its place in training, or all that is not met."""
    rows = []
    for one in found:
        short = one["reason"] == NotComputed.SIGNATURE_INCOMPLETE  # `signature show` lists all that was never published
        told = _SENTENCES[one["reason"]] if short else "; ".join(one["why"])
        why = f"{one['reason']}: {told}" if one["reason"] else ""
        if one["score"] is not None:
            outside = [part["feature"] for part in one["contributions"] if part["outside"]]
            why = f"{100 * one['place']:.0f} % in training had a lower score"
            why += f"; outside training: {', '.join(outside)}" if outside else ""
        score = "" if one["score"] is None else f"{one['score']:+.3f}"
        rows.append([one["signature"], score, escape(one["group"] or ""), escape(why)])
    if rows:
        console.print()
        console.print(_table(("Rad score", "Score>", "Group", "Why"), rows))


def _intervals(
    console: Console, document: Mapping[str, Any], found: Mapping[str, Any], truth: Mapping[str, Any] | None
) -> None:
    """Print the intervals that there are, and what they were measured on."""
    if not found:
        return
    rows = []
    for name, one in found.items():
        coding, ends = coding_of(name), one["interval"]
        true = [_number((truth or {}).get(name, {}).get("value"), coding)] if truth else []
        unit = UNIT_DISPLAY.get(coding.unit, coding.unit)
        rows.append([coding.name, *(_number(end, coding) for end in ends), unit, *true])
    console.print()
    console.print(_table(("Range of truth", "From>", "To>", "Unit", *(["Truth>"] if truth else [])), rows))
    validation = document["quality"]["segmentation"]["validation"]
    measured = f"What the errors of this network on {validation['n']} {validation['what']} imply"
    console.print(f"{escape(measured)}; no confidence interval.", highlight=False)
    if {"psoas.pmvi", "psoas.pmi"} & found.keys():
        source, resolution = document["study"]["patient"]["height_source"], validation["height_resolution_m"]
        console.print(f"Indices: with the height to within {resolution:g} m ({source}).", highlight=False)


def _missing(console: Console, missing: Mapping[str, Any], truth: Mapping[str, Any] | None) -> None:
    """Print what was not computed, each reason in full where it stands first; what is not built yet comes last, dim."""
    if not missing:
        return
    console.print()
    rows, dim = [], []
    told: set[str] = set()
    for name, one in sorted(missing.items(), key=lambda item: item[1]["reason"] == NotComputed.NOT_BUILT):
        reason, coding = one["reason"], coding_of(name)
        figures = [note["text"] for note in one["notes"] if note["code"] == NoteCode.IMPLAUSIBLE]
        parts = [reason if reason in told else f"{reason}: {_SENTENCES.get(reason, '')}"]
        parts += [escape(figure) for figure in figures if figure not in told]
        told.update((reason, *figures))
        true = [_number((truth or {}).get(name, {}).get("value"), coding)] if truth else []
        rows.append([coding.name, *true, " ".join(parts)])
        dim.append(reason == NotComputed.NOT_BUILT)
    console.print(_table(("Not computed", *(["Truth>"] if truth else []), "Why"), rows, dim))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], dim: Sequence[bool] = ()) -> Table:
    """Return a table without a frame; a column whose name ends with `>` is aligned to the right, spaces and all.

    (rich would strip the spaces that keep a count below the ones of the other numbers.)
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_edge=False, header_style="bold")
    filled = []
    for name, *cells in zip(columns, *rows, strict=True):
        if name.endswith(">"):
            width = max(len(name) - 1, *map(len, cells))
            name, cells = name[:-1].rjust(width), [cell.rjust(width) for cell in cells]
        table.add_column(name, no_wrap=name != "Why", overflow="fold")
        filled.append(cells)
    for row, faint in zip(zip(*filled, strict=True), dim or [False] * len(rows), strict=True):
        table.add_row(*row, style="dim" if faint else "")
    return table


def _value(one: Mapping[str, Any], coding: MeasurementCoding) -> str:
    at_least = coding.grows and any(
        note["code"] in (NoteCode.NEARLY_COMPLETE, NoteCode.TRUNCATED) for note in one["notes"]
    )
    return ("≥ " if at_least else "") + _number(one["value"], coding)


def _number(value: float | str | None, coding: MeasurementCoding) -> str:
    """Return a number with two decimals, or without where it counts; both end below each other's ones."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:.0f}   " if coding.concept == LESION_COUNT else f"{value:.2f}"


def _difference(value: float | str, true: float | str | None, coding: MeasurementCoding) -> str:
    if isinstance(value, str) or not isinstance(true, float | int):
        return ""
    difference = value - true
    if coding.concept == LESION_COUNT:
        return f"{difference:+.0f}     "
    if coding.unit == "[hnsf'U]" or true == 0:
        return f"{difference:+.2f}  "
    return f"{100 * difference / true:+.2f} %"


def flags_of(session: Session, study_uid: str) -> Sequence[StudyFlag]:
    """Return what a person should look at in a study."""
    return session.scalars(select(StudyFlag).where(StudyFlag.study_uid == study_uid).order_by(StudyFlag.at)).all()


def _account(study: Study, job: Job | None, made: Sequence[Delivery], flags: Sequence[StudyFlag]) -> Table:
    """Return what became of a study, in a few lines."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(min_width=11)
    grid.add_column(overflow="fold")
    grid.add_row("  received", f"{study.last_received_at:%Y-%m-%d %H:%M:%S} UTC")
    grid.add_row("  study", _coloured(study.state) + _because(study.reason if job is None else None, ""))
    if job is not None:
        stage = f", {job.stage}" if job.state in (JobState.QUEUED, JobState.RUNNING) else ""
        stage += {queues.STAT: ", STAT", queues.BACKFILL: ", backfill"}.get(job.priority, "")
        grid.add_row("  job", _coloured(job.state) + stage + _because(job.reason, job.detail))
    for flag in flags:
        told = f" {flag.detail}" if flag.code == Flag.WAITING else ""  # what it waits for, and how long
        grid.add_row("  flag", f"[{_WARNING}]{flag.code}[/]: " + escape(_SENTENCES.get(flag.code, "") + told))
    for destination in dict.fromkeys(one.destination for one in made):
        there = [one for one in made if one.destination == destination]
        grid.add_row("  delivery", f"to {destination}: " + ", ".join(_delivered(one, there) for one in there))
    return grid


def _because(reason: str | None, detail: str | None) -> str:
    """Return the coded reason with its sentence, or with the detail that begins with it."""
    if not reason:
        return ""
    sentence = _SENTENCES.get(reason, "")
    text = detail if detail and detail.startswith(sentence) else " ".join(filter(None, (sentence, detail)))
    return escape(f": {reason}: {text}" if text else f": {reason}")


def _delivered(one: Delivery, there: Sequence[Delivery]) -> str:
    last = deliveries.stand_in(one, there)
    if last is not one and not deliveries.given_up(last):
        done = last.state is DeliveryState.PROVEN
        words = f"[{_GOOD}]delivered as {last.kind.upper()}[/]" if done else f"goes as {last.kind.upper()}"
        return f"{one.kind.upper()} {words}" + escape(f" ({one.reason}: {one.detail})")
    words = f"{one.kind.upper()} {_coloured(one.state)}"
    if one.reason:
        words += escape(f" after {one.attempts} attempts: {one.reason}: {one.detail}")
    return words


def _coloured(state: StudyState | JobState | DeliveryState) -> str:
    style = _STYLES.get(state)
    return f"[{style}]{state}[/]" if style else str(state)


def timeline(console: Console, ledger: Ledger, study: Study) -> None:
    """Print all that happened to a study, its jobs and their deliveries, in the order of time."""
    grid = Table.grid(padding=(0, 2))
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    with ledger.transaction() as session:
        happened = history.of_study(session, study.uid)
    for event, subject in happened:
        move = f"{event.old} -> {event.new}" if event.old else event.new
        grid.add_row(f"  {event.at:%H:%M:%S}", subject, move, escape(event.cause))
    console.print("\n[bold]What happened[/] (UTC)", highlight=False)
    console.print(grid, highlight=False)
