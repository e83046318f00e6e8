"""What crosses between the plan of a batch and the processes that measure it: the cases, and how each ended."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Fate(StrEnum):
    """How a case stands at the end of a run; the value is what the table carries."""

    MEASURED = "measured"
    REFUSED = "refused"
    FAILED = "failed"
    EARLIER = "earlier"  # a result of an earlier run, which this one was stopped before it had looked at
    WAITING = "waiting"  # no result: the run was stopped before its turn


@dataclass(frozen=True)
class Case:
    """One study of a batch.

    Parameters
    ----------
    name
        Of its folder below `--out`, and of its row in the table.
    folder
        That the files lie in, or in folders below it.
    files
        Its files; among them what could not be read and lies beside them.
    seg
        The segmentation that is named for it; None: those among its files that the site's rules allow.
    keys
        What the user's CSV file says beside, in the order of its columns.
    """

    name: str
    study_instance_uid: str
    folder: Path
    files: tuple[Path, ...]
    seg: Path | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Parameters
    ----------
    exit_code
        0 measured, 1 refused or failed, 128 and the number of the signal that killed it; None where it has not ended.
    reason, text
        The code why there are no numbers, and its sentence with what was seen; empty where it was measured.
    kept
        Whether the result is an earlier run's, made from the same input by the same settings and version.
    """

    fate: Fate
    exit_code: int | None
    reason: str = ""
    text: str = ""
    kept: bool = False
    seconds: float = 0.0
