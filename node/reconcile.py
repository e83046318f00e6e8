"""Files of the spool that the ledger does not know: entered, so that ledger and spool are equal again.

In: a spool and a ledger: at the start of the steward, or an empty ledger that is to be rebuilt. Out: a row for each
instance and variant that lies in the spool; its study receives. A listener that dies between file and row leaves such
a file; nobody was told of it, and the sender, who sends it again, changes nothing.

What can go wrong: a file that is not whole (a crash of the machine) or no instance: it is named in the log and stays,
for the next sending to replace; the ledger is away (`Unavailable`). Who is next: assembly.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from node import instance_file
from node.core import log
from node.core.errors import Refused
from node.core.ledger import Ledger, studies
from node.core.ledger.arrivals import Arrival
from node.core.ledger.tables import StoredInstance, Variant
from node.core.spool import Spool
from node.register import Register

AGE_S = 60.0  # a younger file may still be on its way to its row
LEFT_AGE_S = 86_400.0  # a file in tmp/ that nobody has written to for so long has no writer
_BATCH = 200
_PERIOD_S = 600.0
_HOST, _OUTCOME = "spool", "reconciled"  # of the association that stands for one that is not known any more

_log = log.get("reconcile")


class NotEmpty(RuntimeError):
    """A ledger that is to be made anew holds something; the message says so."""


@dataclass(frozen=True)
class Reconciled:
    """What was found: `entered` in the ledger, `unreadable` and named in the log, `swept` out of tmp/."""

    entered: int
    unreadable: int
    swept: int


def enter_missing(spool: Spool, ledger: Ledger, age_s: float = AGE_S) -> Reconciled:
    """Enter every instance and variant that lies in the spool and not in the ledger.

    Parameters
    ----------
    spool, ledger
        What is to be equal.
    age_s
        Younger files are left to their listener; 0 where none runs.

    Raises
    ------
    Unavailable
        `ledger-failed`, `spool-failed`.
    """
    register, associations = Register(spool, ledger), _Associations()
    found: list[Arrival] = []
    entered = unreadable = 0
    for path in _unknown(spool, ledger, age_s):
        try:
            found.append(_arrival(spool, path, associations))
        except Refused as error:
            unreadable += 1
            _log.warning("file-unreadable", path=path, code=error.code)
        if len(found) == _BATCH:
            entered += _enter(register, found)
    entered += _enter(register, found)
    with ledger.transaction() as session:
        for association in associations.ids.values():
            studies.close_association(session, association, _OUTCOME)
    swept = spool.sweep(LEFT_AGE_S)
    if entered or unreadable or swept:
        _log.info("reconciled", entered=entered, unreadable=unreadable, swept=swept)
    return Reconciled(entered, unreadable, swept)


class Reconciler:
    """The steward's part: at its start, and from time to time."""

    def __init__(self, spool: Spool, ledger: Ledger) -> None:
        self._spool, self._ledger, self._next = spool, ledger, float("-inf")

    def round(self) -> None:
        """Enter what is missing, where it is time to look again.

        Raises
        ------
        Unavailable
            `ledger-failed`, `spool-failed`.
        """
        if time.monotonic() >= self._next:
            enter_missing(self._spool, self._ledger)
            self._next = time.monotonic() + _PERIOD_S


class _Associations:
    """One for each sender that stored files name."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}

    def of(self, calling_ae_title: str) -> str:
        return self.ids.setdefault(calling_ae_title, str(uuid.uuid4()))


def _unknown(spool: Spool, ledger: Ledger, age_s: float) -> Iterator[str]:
    """Yield the paths of files that no row names; of each UID the one that came first before its variants."""
    with ledger.transaction() as session:
        known = set(session.scalars(select(StoredInstance.path))) | set(session.scalars(select(Variant.path)))
    latest = time.time() - age_s
    for series in sorted((spool.root / "instances").glob("*/*")):
        for file in sorted(series.glob("*.dcm"), key=lambda one: (len(one.name), one.name)):
            path = str(file.relative_to(spool.root))
            with suppress(FileNotFoundError):  # put beside another one meanwhile, or its time was over
                if path not in known and file.stat().st_mtime <= latest:
                    yield path


def _arrival(spool: Spool, path: str, associations: _Associations) -> Arrival:
    content = spool.read(path)
    found = instance_file.placed(content, path)
    if Path(path).parent != Path(spool.instance_path(found.study_uid, found.series_uid, "0")).parent:
        _log.warning("file-in-another-folder", path=path)
    written = datetime.fromtimestamp((spool.root / path).stat().st_mtime, UTC).replace(tzinfo=None)
    return Arrival(
        found.instance,
        found.study_uid,
        found.series_uid,
        associations.of(found.calling_ae_title),
        found.calling_ae_title,
        _HOST,
        written,
    )


def _enter(register: Register, found: list[Arrival]) -> int:
    """Enter what was found, and forget it."""
    register.enter_found(found)
    count = len(found)
    found.clear()
    return count
