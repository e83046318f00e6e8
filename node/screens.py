"""What the commands print: progress bars, tables of numbers, the state of studies. No decisions here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from node.core.codes import MEASUREMENTS, UNIT_DISPLAY
from node.core.ledger import Ledger, deliveries, jobs, studies
from node.core.ledger.tables import Job, Study
from node.core.peer import Peer, Stored
from node.send import SendReport, files_below, send_folder

_STYLES = {
    "reported": "green",
    "proven": "green",
    "failed": "red",
    "quarantined": "red",
    "not-analysable": "yellow",
    "superseded": "dim",
}


def send(console: Console, folder: Path, peer: Peer) -> SendReport:
    """Send a folder under a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"C-STORE to {peer.ae_title}", total=len(files_below(folder)))

        def step(_: Stored) -> None:
            progress.advance(task)

        return send_folder(folder, peer, step)


def sent(console: Console, report: SendReport) -> None:
    """Print what was not stored as it should be, and the count of what was."""
    for one in report.failed:
        console.print(f"[red]not stored[/red] {escape(one.path.name)}: {escape(str(one.error))}")
    for one in report.warned:
        console.print(f"[yellow]stored with warning {one.status:04X}[/yellow] {escape(one.path.name)}")
    if report.skipped:
        console.print(f"{len(report.skipped)} files that are not DICOM were skipped")
    console.print(f"{len(report.stored) + len(report.warned)} stored, {len(report.failed)} not stored")


def result(console: Console, document: Mapping[str, Any], truth: Mapping[str, Any] | None = None) -> None:
    """Print a result document as a table; beside the truth, if it is known."""
    if document["refusal"]:
        console.print(f"[yellow]Not measured:[/yellow] {document['refusal']['code']}: {document['refusal']['text']}")
        return
    table = Table(title="Measurements (research use only)", title_justify="left", header_style="bold")
    table.add_column("Measurement")
    table.add_column("Value", justify="right")
    table.add_column("Unit")
    if truth is not None:
        table.add_column("Truth", justify="right")
        table.add_column("Difference", justify="right")
    table.add_column("Remarks", overflow="fold")
    for name, coding in MEASUREMENTS.items():
        one = document["measurements"][name]
        cells = [coding.name, _value(one, grows=coding.grows), UNIT_DISPLAY.get(coding.unit, coding.unit)]
        if truth is not None:
            cells += _beside(one["value"], truth.get(name, {}).get("value"), coding.unit)
        table.add_row(*cells, _remarks(one), style="" if one["status"] == "computed" else "dim")
    console.print(table)


def status(console: Console, ledger: Ledger, prefix: str) -> bool:
    """Print the latest studies, or everything about the one that `prefix` names; False where none is known."""
    with ledger.transaction() as session:
        found = studies.find_studies(session, prefix)
        table = Table(header_style="bold")
        for column in ("Study", "Received", "Study is", "Job", "Deliveries", "Why"):
            table.add_column(column, overflow="fold")
        for study in found:
            job = next(iter(reversed(jobs.of_study(session, study.uid))), None)
            sent_to = [f"{one.kind} {one.state}" for one in deliveries.of_job(session, job.key)] if job else []
            table.add_row(
                study.uid,
                f"{study.last_received_at:%Y-%m-%d %H:%M:%S}",
                _styled(study.state),
                _styled(f"{job.state} ({job.stage})" if job else "-", job.state if job else ""),
                ", ".join(sent_to) or "-",
                _why(study, job),
            )
        if found:
            console.print(table)
        if prefix and len(found) == 1:
            _timeline(console, ledger, found[0])
    return bool(found)


def _timeline(console: Console, ledger: Ledger, study: Study) -> None:
    with ledger.transaction() as session:
        events = list(studies.events_of(session, "study", study.uid))
        for job in jobs.of_study(session, study.uid):
            events += studies.events_of(session, "job", job.key)
            for one in deliveries.of_job(session, job.key):
                events += studies.events_of(session, "delivery", f"{one.sop_instance_uid}@{one.destination}")
    console.print("\nWhat happened (UTC)", style="bold")
    for event in sorted(events, key=lambda event: (event.at, event.id)):
        move = f"{event.old} -> {event.new}" if event.old else event.new
        console.print(f"{event.at:%H:%M:%S.%f}"[:-3] + f"  {event.subject:<8}  {move:<24}  {escape(event.cause)}")


def _why(study: Study, job: Job | None) -> str:
    reason = study.reason or (job.reason if job else None)
    detail = job.detail if job and job.detail else ""
    return escape(f"{reason}: {detail}" if reason and detail else reason or "")


def _styled(words: str, state: str = "") -> str:
    style = _STYLES.get(state or words)
    return f"[{style}]{words}[/{style}]" if style else words


def _value(one: Mapping[str, Any], *, grows: bool) -> str:
    if one["value"] is None:
        return "-"
    if isinstance(one["value"], str):
        return one["value"]
    at_least = grows and any(note["code"] in ("nearly-complete", "truncated") for note in one["notes"])
    return ("≥ " if at_least else "") + f"{one['value']:.2f}"


def _remarks(one: Mapping[str, Any]) -> str:
    if one["status"] != "computed":
        return f"not computed: {one['reason']}"
    return ", ".join(dict.fromkeys(note["code"] for note in one["notes"]))


def _beside(value: float | str | None, truth: float | None, unit: str) -> Sequence[str]:
    if truth is None:
        return "-", ""
    if not isinstance(value, float | int):
        return f"{truth:.2f}", ""
    difference = value - truth
    absolute = unit in ("[hnsf'U]", "1") or truth == 0
    return f"{truth:.2f}", f"{difference:+.2f}" if absolute else f"{difference / truth:+.2%}"
