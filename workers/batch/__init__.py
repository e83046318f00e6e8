"""Many studies, several at once, and one table of all their numbers: what `crlm-node analyse --batch` runs.

Beside the ten stages. Comes in: cases that the node has planned, and its function that makes a request of one. Goes
out: a folder for each case with what `analyse` writes, and `measurements.csv` and `.parquet`. Modules: `process` (one
case after the other, in a process that may die), `runner` (the processes), `table` (the one table). What can go wrong:
each case may fail by itself, which its row tells; the folder of the results cannot be written. Next: a researcher.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event

import psutil

from node.core import signatures
from node.core.cases import Case, Fate, Outcome
from node.core.records import JobRequest
from node.core.settings import Settings
from workers import cli
from workers.batch import runner, table
from workers.batch.process import LOG, Task, clear, result_in

_ONE_NEEDS_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Width:
    """How many cases are measured at once, and why so many."""

    count: int
    why: str


@dataclass(frozen=True)
class Ended:
    """How a run ended: each case as it now stands, and the tables that were written."""

    outcomes: dict[str, Outcome]
    written: tuple[str, ...]


def taken(settings: Settings) -> frozenset[str]:
    """Return the names that no column and no case of a user may have."""
    return frozenset([*(column.name for column in _form((), settings).columns), *table.FILES, LOG])


def _form(keys: Sequence[str], settings: Settings) -> table.Form:
    return table.Form(tuple(keys), tuple(one.id for one in signatures.asked(settings)))


def width(settings: Settings, cases: int) -> Width:
    """Choose how many cases are measured at once, where nobody says.

    One where networks are on: each process has an engine of its own, which takes the device, all cores, and memory up
    to its limit. Else as many as there are cores, as far as the memory that is free now suffices for.
    """
    if settings.networks:
        return Width(1, f"networks are on, and an engine may take {settings.engine_memory_limit_mb} MB")
    cores = len(os.sched_getaffinity(0))
    room = max(1, psutil.virtual_memory().available // _ONE_NEEDS_BYTES)
    if room < cores:
        return Width(min(room, cases), f"memory is free for {room}, at 2 GB each")
    return Width(min(cores, cases), f"{cores} cores")


def require_ready(cases: Sequence[Case], out: Path, settings: Settings) -> None:
    """Clear up after a run that was killed, and require what all cases need, before the first one is measured.

    Raises
    ------
    FileExistsError
        The folder of a case holds a file that its result would overwrite, and that no earlier run has written.
    NetworksNotInstalled
        The settings ask for networks, and their libraries are not there.
    SettingsError
        A signature that the site asks is not to be trusted.
    """
    cli.require_networks(settings)
    cli.require_signatures(settings)
    for case in cases:
        clear(out / case.name)
        cli.require_own(out / case.name)


def run(
    cases: Sequence[Case],
    keys: Sequence[str],
    out: Path,
    prepare: Callable[[Case, Settings, datetime], JobRequest],
    settings: Settings,
    *,
    at_once: int,
    force_demo: bool,
    stop: Event,
    on_end: Callable[[Case, Outcome], None],
) -> Ended:
    """Measure what has no result yet, and write the table of all.

    Parameters
    ----------
    keys
        Names of the user's own columns, in the order of each case's `keys`.
    prepare
        Makes the request of a case; it is called in the processes, so it has to be a function of a module.
    stop
        When it is set, what is being measured is given up; what is done is kept.
    on_end
        Is told of each case when it has ended.
    """
    ended = runner.run(cases, Task(prepare, settings, out, force_demo), at_once, stop, on_end)
    outcomes, rows, form = {}, [], _form(keys, settings)
    for case in cases:
        document = result_in(out / case.name)
        if (
            case.name not in ended
            and (document or {}).get("study", {}).get("study_instance_uid") != case.study_instance_uid
        ):
            document = None
        outcome = ended.get(case.name) or Outcome(Fate.EARLIER if document else Fate.WAITING, None)
        outcomes[case.name] = outcome
        rows.append(table.row(case, outcome, None if outcome.fate is Fate.FAILED else document, form))
    return Ended(outcomes, table.write(out, rows, form))
