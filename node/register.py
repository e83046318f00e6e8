"""Stage 2's entries in the ledger: all who wait are entered together, in one transaction.

In: an `Arrival` whose file is durable in the spool. Out: what became of it, when its row is durable too. While one
transaction is written to the disk, the arrivals of other associations gather for the next: many associations share
the time that a commit takes, and one alone waits for nobody.

What can go wrong: the ledger is away (`Unavailable`): the file lies in the spool without a row, and is entered when
the instance is sent again, or by `node.reconcile`.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import PurePosixPath

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from node import instance_file
from node.core import log
from node.core.errors import Refused, Unavailable
from node.core.ledger import Ledger, arrivals
from node.core.ledger.arrivals import Arrival, Known
from node.core.ledger.express import Express
from node.core.ledger.tables import StoredInstance, Variant
from node.core.offer import Taken
from node.core.reasons import Outage
from node.core.spool import Spool, beside

_ATTEMPTS = 3  # at a row that another process enters at the same moment
_NOTED_S = 1.0  # an association's last activity is noted no more often

_log = log.get("intake")


@dataclass
class _Entry:
    """An arrival that waits, and its answer."""

    arrival: Arrival
    is_new: bool
    answer: Taken | Unavailable | None = None

    @property
    def uid(self) -> str:
        return self.arrival.instance.sop_instance_uid

    @property
    def is_plain(self) -> bool:
        """Whether the file is new and lies where the first instance of a UID lies."""
        return self.is_new and self.arrival.instance.path.endswith(f"/{self.uid}.dcm")


class Register:
    """Enters arrivals; used by many associations at once.

    Parameters
    ----------
    spool
        Where their files lie.
    ledger
        Where they are entered.
    """

    def __init__(self, spool: Spool, ledger: Ledger) -> None:
        self._spool, self._ledger, self._express = spool, ledger, Express(ledger)
        self._waiting: list[_Entry] = []
        self._queueing, self._writing = threading.Lock(), threading.Lock()
        self._noted: dict[str, float] = {}  # when an association was last noted as active

    def enter(self, arrival: Arrival, *, is_new: bool) -> Taken:
        """Enter an arrival, durably.

        Parameters
        ----------
        arrival
            Its file is durable in the spool.
        is_new
            Whether no file lay there before.

        Raises
        ------
        Unavailable
            `ledger-failed`, `spool-failed`.
        """
        entry = _Entry(arrival, is_new)
        with self._queueing:
            self._waiting.append(entry)
        with self._writing:
            if entry.answer is None:  # nobody entered it while we waited for our turn
                with self._queueing:
                    batch, self._waiting = self._waiting, []
                self._enter_all(batch)
        return _taken(entry)

    def enter_found(self, found: Sequence[Arrival]) -> Sequence[Taken]:
        """Enter arrivals that have lain in the spool already, in one transaction.

        Raises
        ------
        Unavailable
            `ledger-failed`, `spool-failed`.
        """
        batch = [_Entry(arrival, is_new=False) for arrival in found]
        if batch:
            with self._writing:
                self._enter_all(batch)
        return [_taken(entry) for entry in batch]

    def _enter_all(self, batch: list[_Entry]) -> None:
        """Answer every entry, whatever happens: those who wait are not told otherwise."""
        try:
            if not self._enter_new(batch):
                self._transact(batch)
        except IntegrityError:
            for entry in batch:
                self._enter_alone(entry)
        except Unavailable as error:
            for entry in batch:
                entry.answer = error
        finally:
            for entry in batch:
                entry.answer = entry.answer or Unavailable(Outage.LEDGER_FAILED, "the transaction was given up")

    def _enter_new(self, batch: list[_Entry]) -> bool:
        """Enter slices of which nothing is known yet, as nearly all are; False, and nothing done, where one is not so.

        Now and then it is False all the same, so that an association's activity is noted.
        """
        now = time.monotonic()
        noted = all(now - self._noted.get(entry.arrival.association_id, -inf) < _NOTED_S for entry in batch)
        plain = all(entry.is_plain for entry in batch) and len({entry.uid for entry in batch}) == len(batch)
        if not noted or not plain:
            return False
        try:
            entered = self._express.enter([entry.arrival for entry in batch])
        except IntegrityError:
            self._noted.clear()
            return False
        if entered:
            for entry in batch:
                entry.answer = Taken.STORED
        return entered

    def forget(self, association_id: str) -> None:
        """Forget an association that has ended."""
        with self._writing:
            self._noted.pop(association_id, None)

    def _place(self, arrival: Arrival) -> str:
        return self._spool.instance_path(arrival.study_uid, arrival.series_uid, arrival.instance.sop_instance_uid)

    def _enter_alone(self, entry: _Entry) -> None:
        """Enter one arrival that another process may enter too."""
        for _ in range(_ATTEMPTS):
            try:
                self._transact([entry])
            except IntegrityError:
                continue
            except Unavailable as error:
                entry.answer = error
            return
        entry.answer = Unavailable(Outage.LEDGER_FAILED, "the same instance comes to several listeners")

    def _transact(self, batch: list[_Entry]) -> None:
        with self._ledger.transaction() as session:
            arrivals.note_associations(session, [entry.arrival for entry in batch])
            held = arrivals.known(session, {entry.uid for entry in batch})
            first: dict[str, Arrival] = {}
            for entry in batch:
                if entry.uid not in held and entry.uid not in first:
                    first[entry.uid] = self._first(entry.arrival)
            if first:
                rows = arrivals.record(session, list(first.values()))
                held |= {uid: Known(row, []) for uid, row in rows.items()}
            answers = [
                Taken.STORED if first.get(entry.uid) is entry.arrival else self._again(session, held[entry.uid], entry)
                for entry in batch
            ]
        at = time.monotonic()
        for entry, answer in zip(batch, answers, strict=True):
            entry.answer = answer
            self._noted[entry.arrival.association_id] = at

    def _first(self, arrival: Arrival) -> Arrival:
        """Return what came first under the UID: the arrival, unless a file without a row has its place already."""
        place = self._place(arrival)
        if arrival.instance.path == place:
            return arrival
        try:
            found = instance_file.placed(self._spool.read(place), place)
        except (Refused, Unavailable):  # not whole, or gone
            return arrival
        return replace(arrival, instance=found.instance, calling_ae_title=found.calling_ae_title)

    def _again(self, session: Session, held: Known, entry: _Entry) -> Taken:
        """Say what a UID that is known already means."""
        arrival = self._moved(held, entry.arrival)
        rows: list[StoredInstance | Variant] = [held.measured, *held.variants]
        for row in rows:
            if row.path != arrival.instance.path:
                continue
            if not entry.is_new or arrival is not entry.arrival:
                return Taken.KNOWN
            arrivals.restore(row, arrival.instance)
            _log.warning("instance-restored", instance=entry.uid, study=held.measured.study_uid)
            return Taken.RESTORED
        held.variants.append(arrivals.keep_beside(session, held.measured, arrival))
        _log.warning(
            "variant-kept",
            instance=entry.uid,
            study=held.measured.study_uid,
            measured_digest=held.measured.digest,
            measured_from=held.measured.calling_ae_title,
            digest=arrival.instance.digest,
            ae_title=arrival.calling_ae_title,
        )
        return Taken.VARIANT

    def _moved(self, held: Known, arrival: Arrival) -> Arrival:
        """Have a file of another study or series lie beside the first of its UID."""
        path = arrival.instance.path
        folder = PurePosixPath(held.measured.path).parent
        if PurePosixPath(path).parent == folder:
            return arrival
        content = self._spool.read(path)
        wanted = beside(str(folder / f"{arrival.instance.sop_instance_uid}.dcm"), instance_file.key(content))
        self._spool.deposit(wanted, content)
        self._spool.remove(path)
        return replace(arrival, instance=replace(arrival.instance, path=wanted))


def _taken(entry: _Entry) -> Taken:
    """Return an entry's answer; an error is raised anew, for it may be the answer of several."""
    if isinstance(entry.answer, Taken):
        return entry.answer
    error = entry.answer or Unavailable(Outage.LEDGER_FAILED)
    raise Unavailable(error.code, error.detail)
