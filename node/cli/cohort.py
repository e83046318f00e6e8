"""What `crlm-node analyse --batch` does: many studies, several at once, and one table of all their numbers."""

from pathlib import Path

from node.cli.application import (
    FAILED,
    INTERRUPTED,
    OK,
    WrongUse,
    err,
    of_the_workers,
    say,
)
from node.cli.application import out as console
from node.cohort import display
from node.cohort.plan import plan
from node.core.cases import Fate
from node.core.lock import alone
from node.core.settings import Settings
from node.core.signals import until_told
from node.folder import request_for_case
from node.form import load


def measure(source: Path, out: Path, settings: Settings, at_once: int | None, *, force_demo: bool) -> int:
    """Measure the studies below a folder, or those that a CSV file names; return the exit code."""
    batch = of_the_workers("batch")
    if settings.patient_facts:
        load(settings.patient_facts)  # a faulty form is told once, and not by each case
    with err.status("looks for studies"):
        planned = plan(source, out, batch.taken(settings))
    out.mkdir(parents=True, exist_ok=True)
    with alone(out / ".lock", f"A batch writes to {out} already"):
        try:
            batch.require_ready(planned.cases, out, settings)
        except FileExistsError as error:
            raise WrongUse(str(error)) from error
        width = batch.width(settings, len(planned.cases))
        count, why = (at_once, "as --jobs says") if at_once else (width.count, width.why)
        say(f"{len(planned.cases)} cases, {count} at once ({why})")
        if planned.strays:
            say(f"{len(planned.strays)} files belong to no study: {planned.strays[0]}, ...")
        with until_told() as stop, display.bar(console, err, len(planned.cases)) as bar:
            ended = batch.run(
                planned.cases,
                planned.keys,
                out,
                request_for_case,
                settings,
                at_once=count,
                force_demo=force_demo,
                stop=stop,
                on_end=bar.ended,
            )
    display.summary(console, ended.outcomes)
    say(f"Written to {out}: " + ", ".join(ended.written))
    if len(ended.written) == 1:
        say("For a Parquet file too: pip install pyarrow, then the same command.")
    return _exit_code({one.fate for one in ended.outcomes.values()})


def _exit_code(fates: set[Fate]) -> int:
    if fates & {Fate.WAITING, Fate.EARLIER}:
        return INTERRUPTED
    return FAILED if Fate.FAILED in fates else OK
