"""What a backfill has to do and what it has done, in a file that survives the death of the process.

One file of a backfill, `HOME/backfill/NAME.jsonl`: first what was asked for and each study that was found, written
whole or not at all; then a line for each study that is done with, synchronised as it is written. A line that was cut
by a crash is dropped, and its study fetched once more, which changes nothing: what is here already is the ledger's to
say, never this file's. It names studies by UID and date; neither patients nor what was asked for by their name are in
it. What can go wrong: the disk (`OSError`). Who is next:
`node.backfill.campaign`.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from node.backfill.search import Found
from node.core.spool import sync_folder

_NAME_DIGITS = 12


class Fate(StrEnum):
    """What became of a study."""

    FETCHED = "fetched"
    HELD = "held already"
    EMPTY = "no CT image"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """How a study ended.

    Parameters
    ----------
    fate
        What became of it.
    instances
        How many of its CT images are here that were not before.
    reason
        Why it failed; for a study that did not, what a person should know.
    """

    fate: Fate
    instances: int = 0
    reason: str = ""


def name_of(archive: str, criteria: str) -> str:
    """Return the name of a backfill: the same archive and criteria give the same."""
    return hashlib.sha256(f"{archive}\n{criteria}".encode()).hexdigest()[:_NAME_DIGITS]


class Plan:
    """The plan of one backfill, open to be added to.

    Parameters
    ----------
    path
        Its file, which is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.studies: dict[str, Found] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.begun: list[datetime] = []
        self.found_at = ""
        for line in _whole_lines(path):
            self._read(line)

    @classmethod
    def write(cls, path: Path, studies: Iterable[Found], now: datetime) -> "Plan":
        """Write a new plan in the place of an older one."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(_line({"found_at": now.isoformat(timespec="seconds")}))
            file.writelines(_line({"study": asdict(one)}) for one in studies)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        sync_folder(path.parent)
        return cls(path)

    @property
    def open(self) -> list[Found]:
        """The studies that are still to be fetched: those that were not tried, then those that failed."""
        left = [one for uid, one in self.studies.items() if self._fate(uid) in (None, Fate.FAILED)]
        return sorted(left, key=lambda one: self._fate(one.study_uid) is Fate.FAILED)

    def note(self, study_uid: str, outcome: Outcome, begun_at: datetime) -> None:
        """Note how a study ended, durably."""
        at = begun_at.isoformat(timespec="seconds")
        with self.path.open("ab") as file:
            file.write(_line({"done": study_uid, "begun_at": at, **asdict(outcome)}).encode())
            file.flush()
            os.fsync(file.fileno())
        self._done(study_uid, outcome, begun_at)

    def _fate(self, study_uid: str) -> Fate | None:
        outcome = self.outcomes.get(study_uid)
        return outcome.fate if outcome else None

    def _read(self, line: Mapping[str, Any]) -> None:
        if "found_at" in line:
            self.found_at = line["found_at"]
        elif "study" in line:
            one = Found(**line["study"])
            self.studies[one.study_uid] = one
        else:
            outcome = Outcome(Fate(line["fate"]), line["instances"], line["reason"])
            self._done(line["done"], outcome, datetime.fromisoformat(line["begun_at"]))

    def _done(self, study_uid: str, outcome: Outcome, begun_at: datetime) -> None:
        self.outcomes[study_uid] = outcome
        if outcome.fate is Fate.FETCHED or outcome.fate is Fate.FAILED:  # the others cost the archive nothing
            self.begun.append(begun_at)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a plan; one that was cut at the end is taken away, so that the next one begins anew."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def _line(facts: Mapping[str, object]) -> str:
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n"
