"""The ledger's clock, by which the processes of all hosts agree.

It is that of the database; of SQLite, which serves one host alone, it is that host's.
"""

from datetime import UTC, datetime, timedelta
from typing import Any


class _Clock:
    ahead = timedelta()  # of this host's clock


def now() -> datetime:
    """Return the ledger's time: UTC, as the tables hold it."""
    return host_time() + _Clock.ahead


def host_time() -> datetime:
    """Return the time of this host's own clock: UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def set_by(connection: Any, _record: object = None) -> None:
    """Set the clock by a connection that was just made to a PostgreSQL, as the driver knows it."""
    before = host_time()
    (told,) = connection.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'").fetchone()
    connection.rollback()
    _Clock.ahead = told - before - (host_time() - before) / 2
