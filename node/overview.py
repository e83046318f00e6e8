"""What the commands of upkeep print: studies in quarantine with their evidence, paused queues, findings of a check.

Of the site's form of patient facts they tell whether it can be used.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from node import screens
from node.core.errors import ANSWERS
from node.core.ledger import Ledger, jobs, queues, studies
from node.core.ledger.tables import Study, Variant
from node.core.reasons import Coded, Flag, Outage, StudyRefusal
from node.core.states import StudyState
from node.form import WrongForm, load
from node.inspection import Inspection

_CODES: dict[str, Coded] = {str(one): one for one in (*StudyRefusal, *Outage, *Flag)}
_MOST_NAMED = 20


def paused(console: Console, ledger: Ledger) -> None:
    """Print which queues are paused, since when and why; nothing where all run."""
    with ledger.transaction() as session:
        stopped = queues.paused(session)
        waiting = {stage: queues.count_waiting(session, stage) for stage in stopped}
    for stage, queue in stopped.items():
        since = f"since {queue.paused_at:%Y-%m-%d %H:%M:%S} UTC" if queue.paused_at else ""
        console.print(f"[yellow]{stage} is paused[/] {since}, {waiting[stage]} waiting", highlight=False)
        console.print(f"  {escape(queue.cause)}", highlight=False)


def unusable_form(console: Console, path: Path | None) -> None:
    """Print why the site's form of patient facts cannot be used; nothing where it can, or where there is none."""
    try:
        if path is not None:
            load(path)
    except WrongForm as error:
        console.print("[yellow]the form of patient facts cannot be used[/]", highlight=False)
        console.print(f"  {escape(str(error))}", highlight=False, soft_wrap=True)


def quarantine(console: Console, ledger: Ledger) -> bool:
    """Print the studies in quarantine; False where there are none."""
    with ledger.transaction() as session:
        held = session.scalars(
            select(Study).where(Study.state == StudyState.QUARANTINED).order_by(Study.last_received_at)
        ).all()
        for study in held:
            console.print(f"[bold]{study.uid}[/]", highlight=False, soft_wrap=True)
            console.print(_grid([("since", _since(session, study)), ("reason", _reason(study))]))
    return bool(held)


def evidence(console: Console, ledger: Ledger, study_uid: str) -> None:
    """Print all that is known of a study in quarantine, and what can be done."""
    with ledger.transaction() as session:
        study = session.get_one(Study, study_uid)
        job = jobs.current(session, study_uid)
        rows = [("since", _since(session, study)), ("reason", _reason(study)), ("input", _input(session, study_uid))]
        if answer := ANSWERS.get(_CODES.get(study.reason or "", StudyRefusal.INPUT_UNTRUSTED)):
            rows.append(("what to do", escape(answer.operator)))
        rows += [("flag", escape(f"{one.code}: {one.detail}")) for one in screens.flags_of(session, study_uid)]
        if job is not None:
            rows += [("job", f"{job.key}, {job.state} in {job.stage}")]
            rows += [("seen", escape(one)) for one in (job.detail or "").split("; ") if one]
    console.print(f"[bold]{study_uid}[/]", highlight=False, soft_wrap=True)
    console.print(_grid(rows))
    screens.timeline(console, ledger, study)


def inspection(console: Console, found: Inspection) -> None:
    """Print what was looked at, and each kind of finding with its count and what it is about."""
    console.print(", ".join(f"{count} {name}" for name, count in found.counts.items()), highlight=False)
    for fault, about in found.findings.items():
        style = "red" if about else "green"
        console.print(f"  [{style}]{len(about):>6}[/]  {fault:<15} [dim]{fault.sentence}[/]", highlight=False)
        for one in about[:_MOST_NAMED]:
            console.print(f"          {escape(one)}", highlight=False, soft_wrap=True)
        if len(about) > _MOST_NAMED:
            console.print(f"          and {len(about) - _MOST_NAMED} more", highlight=False)


def _reason(study: Study) -> str:
    code = _CODES.get(study.reason or "")
    return escape(f"{study.reason}: {code.sentence}" if code else str(study.reason))


def _since(session: Session, study: Study) -> str:
    return f"{studies.events_of(session, 'study', study.uid)[-1].at:%Y-%m-%d %H:%M:%S} UTC"


def _input(session: Session, study_uid: str) -> str:
    rows = studies.instances_of(session, study_uid)
    senders = sorted({row.calling_ae_title for row in rows})
    removed = sum(row.removed_at is not None for row in rows)
    beside = session.scalar(select(func.count()).select_from(Variant).where(Variant.study_uid == study_uid))
    words = [f"{len(rows)} instances in {len({row.series_uid for row in rows})} series from {', '.join(senders)}"]
    words += [f"{removed} removed"] if removed else []
    words += [f"{beside} came again with other content"] if beside else []
    return escape("; ".join(words))


def _grid(rows: Sequence[tuple[str, str]]) -> Table:
    """Return lines of a name and what it says; a name that comes again stands once."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(min_width=12)
    grid.add_column(overflow="fold")
    before = ""
    for name, text in rows:
        grid.add_row(f"  {name}" if name != before else "", text)
        before = name
    return grid
