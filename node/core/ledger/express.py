"""The statements that run for every slice, made once and handed to the database's own driver.

Making a statement takes SQLAlchemy longer than SQLite takes to carry it out. What is rare goes the long way, by
`arrivals`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam, insert, update
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import UpdateBase

from node.core.ledger import Ledger, now
from node.core.ledger.arrivals import Arrival, row_of
from node.core.ledger.tables import StoredInstance, Study
from node.core.states import StudyState

_INSTANCE, _STUDY = cast(Table, StoredInstance.__table__), cast(Table, Study.__table__)
_RECEIVE = (
    update(_STUDY)
    .where(_STUDY.c.uid == bindparam("study"), _STUDY.c.state == StudyState.RECEIVING)
    .values(last_received_at=bindparam("at"))
)


class Express:
    """Enters new instances of studies that receive.

    Parameters
    ----------
    ledger
        Where they are entered.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._enter, self._receive = (_Made(one, ledger.dialect) for one in (insert(_INSTANCE), _RECEIVE))

    def enter(self, arrivals: Sequence[Arrival]) -> bool:
        """Enter arrivals, whose associations are noted, in one transaction.

        Returns
        -------
        bool
            False, and nothing was done, where one is of a study that is new, or was complete.

        Raises
        ------
        IntegrityError
            A UID is known, or an association is not.
        Unavailable
            `ledger-failed`.
        """
        at = now()
        try:
            with self._ledger.driver() as cursor:
                for uid in sorted({one.study_uid for one in arrivals}):  # in one order everywhere
                    self._note(cursor, uid, at)
                cursor.executemany(self._enter.text, [self._enter.values(row_of(one, at)) for one in arrivals])
        except _DoesNotReceive:
            return False
        return True

    def _note(self, cursor: Any, study_uid: str, at: datetime) -> None:
        cursor.execute(self._receive.text, self._receive.values({"study": study_uid, "at": at}))
        if cursor.rowcount != 1:
            raise _DoesNotReceive


class _DoesNotReceive(Exception):
    """Takes back what was begun."""


class _Made:
    """A statement in a dialect's words."""

    def __init__(self, statement: UpdateBase, dialect: Dialect) -> None:
        made = statement.compile(dialect=dialect)
        self.text = str(made)
        self._places = made.positiontup
        self._encoders = {
            name: encode
            for name, bind in made.binds.items()
            if (encode := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        self._constant = {name: value for name, value in made.params.items() if value is not None}

    def values(self, given: Mapping[str, Any]) -> Sequence[Any] | Mapping[str, Any]:
        """Return the parameters as the driver takes them: by place or by name."""
        values = {**self._constant, **given}
        for name, encode in self._encoders.items():
            if name in values:
                values[name] = encode(values[name])
        return values if self._places is None else [values[name] for name in self._places]
