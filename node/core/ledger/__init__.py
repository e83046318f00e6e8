"""The ledger: the truth for studies, jobs, deliveries and events; an index of the spool.

SQLAlchemy 2 over SQLite (write-ahead log) or PostgreSQL by URL; Alembic migrations beside it. Modules: `tables` (the
schema), `migration` (which makes it, and is imported for that alone), `moves` (state changes and their events),
`studies`, `jobs`, `queues` and `deliveries` (what the stages ask and say, each function in the caller's transaction),
`express` (what runs for every slice), `patience` (attempts and pauses), `succession` (which result a new one
supersedes), `audit` (the trail), `accounts`, `cards`, `entries`, `worklist` and `bookmarks` (what the page and the
alerts need), `clock` and `host` (what several hosts have to agree on).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from node.core.errors import Unavailable
from node.core.ledger import clock, host
from node.core.ledger.clock import now as now
from node.core.reasons import Outage
from node.core.settings import Settings, SettingsError, secret

SCHEMA = "0004"
"""The latest revision in `migrations`."""
_BUSY_TIMEOUT_S = 30
_TURN = 0x63726C6D  # of the lock that every transaction takes in PostgreSQL: any number that is ours
# What begins a transaction: the write lock is taken at the start, so that two writers wait for each other instead of
# failing midway. PostgreSQL is given the order that SQLite has: one after the other, none on old reading.
_BEGIN = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SET LOCAL lock_timeout = {patience_ms}; SELECT pg_advisory_xact_lock({turn})",
}
# What only looks waits for no writer and keeps none from writing; it sees the ledger as it was when it began.
_BEGIN_READING = {"sqlite": "BEGIN", "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"}
_READING = "reading"
_CONNECTIONS = 20
_CONNECTION_S = 3600  # a connection is then replaced, and the clock read anew
_AWAY = (OperationalError, InterfaceError, PoolTimeout, ProgrammingError)  # the last: its tables are gone
_REVISION = "alembic_version"  # the table in which Alembic notes how far it came
_NEWER = "a newer version of crlm-node made it, update this one"


class SchemaMismatch(RuntimeError):
    """The database has another schema than this program; the message names the command that mends it."""


class NewerSchema(SchemaMismatch):
    """A newer version made the database, and this one cannot go back."""


class Ledger:
    """An open ledger.

    Parameters
    ----------
    url
        SQLAlchemy URL; an object of that kind hides its password when it is printed.

    Raises
    ------
    SettingsError
        The database is of another kind.
    """

    def __init__(self, url: str | URL) -> None:
        self.url = url
        database = make_url(url).get_backend_name()
        if database not in _BEGIN:
            raise SettingsError(f"ledger_url: {database} is not known here; it is {' or '.join(_BEGIN)}")
        if database == "sqlite":
            self._engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S})
            event.listen(self._engine, "connect", _prepare_sqlite)
        else:
            # A database that was made where no locale is set says of its text that it is of no encoding; ours is UTF-8.
            self.url = url = make_url(url).update_query_dict({"client_encoding": "utf8"})
            # A connection that a restart of the database has broken is replaced before it is used.
            self._engine = create_engine(
                url, pool_pre_ping=True, pool_size=_CONNECTIONS, pool_recycle=_CONNECTION_S, hide_parameters=True
            )
            event.listen(self._engine, "connect", clock.set_by)
        self._begin = _BEGIN[database].format(patience_ms=max(1, round(_BUSY_TIMEOUT_S * 1000)), turn=_TURN)
        self._begin_reading = _BEGIN_READING[database]
        event.listen(self._engine, "begin", self._on_begin)
        self._place: IO[str] | None = None
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        reading = self._engine.execution_options(**{_READING: True})
        self._readers = sessionmaker(reading, expire_on_commit=False)

    @classmethod
    def of(cls, settings: Settings) -> "Ledger":
        """Return the site's ledger; the password comes from its file, and is nowhere printed.

        Raises
        ------
        SettingsError
            The file of the password cannot be read, or there is no database that it could be of.
        """
        url = make_url(settings.ledger)
        if settings.ledger_password_file is None:
            return cls(url)
        if url.get_backend_name() == "sqlite":
            raise SettingsError("ledger_password_file: SQLite has no password; name a database in ledger_url")
        return cls(url.set(password=secret("ledger_password_file", settings.ledger_password_file)))

    @property
    def dialect(self) -> Dialect:
        """The words of the database."""
        return self._engine.dialect

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Open a session that commits at the end and rolls back on an error.

        Raises
        ------
        Unavailable
            `ledger-failed`: the database cannot be reached, or is locked for too long.
        """
        try:
            with self._sessions.begin() as session:
                yield session
        except _AWAY as error:
            raise _unavailable(error) from error

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that only looks: one picture of the ledger, beside whoever writes.

        Raises
        ------
        Unavailable
            `ledger-failed`: the database cannot be reached.
        """
        try:
            with self._readers() as session:
                yield session
        except _AWAY as error:
            raise _unavailable(error) from error

    @contextmanager
    def driver(self) -> Iterator[Any]:
        """Open a transaction on a cursor of the database's own driver (PEP 249), which commits as `transaction` does.

        Raises
        ------
        IntegrityError
            A row contradicts another, as SQLAlchemy says it.
        Unavailable
            `ledger-failed`: the database cannot be reached, or is locked for too long.
        """
        driver = self.dialect.loaded_dbapi
        try:
            connection = self._engine.raw_connection()
            try:
                cursor = connection.cursor()
                cursor.execute(self._begin)
                yield cursor
                connection.commit()
            finally:
                connection.close()  # which rolls back what was not committed
        except driver.IntegrityError as error:
            raise IntegrityError(None, None, error) from error
        except (*_AWAY, driver.OperationalError, driver.InterfaceError, driver.ProgrammingError) as error:
            raise _unavailable(error) from error

    def upgrade(self) -> None:
        """Make or migrate the database to this version's schema.

        Raises
        ------
        Unavailable
            `ledger-failed`: the database cannot be reached, or its folder cannot be made.
        SchemaMismatch
            A newer version made it.
        SecondHost
            It is in SQLite, and processes of another host work in it.
        """
        from node.core.ledger import migration  # here, because Alembic is slow to import, and few need it

        try:
            if self._file is not None:
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._join_host()
            with self._engine.begin() as connection:
                migration.upgrade(connection)
        except OSError as error:
            raise Unavailable(Outage.LEDGER_FAILED, str(error.strerror)) from error
        except migration.CommandError as error:
            raise NewerSchema(_NEWER) from error
        except _AWAY as error:
            raise _unavailable(error) from error

    def require_schema(self) -> None:
        """Raise `SchemaMismatch` unless the database has this version's schema.

        Raises
        ------
        SchemaMismatch
            It has another, or none.
        SecondHost
            It is in SQLite, and processes of another host work in it.
        Unavailable
            `ledger-failed`: the database cannot be reached.
        """
        self._join_host()
        found = self.schema()
        if found == SCHEMA:
            return
        from node.core.ledger import migration  # here, because Alembic is slow to import, and few need it

        if found is not None and found not in migration.revisions():
            raise NewerSchema(f"the ledger has schema {found}, this version needs {SCHEMA}: {_NEWER}")
        raise SchemaMismatch(
            f"the ledger has schema {found}, this version needs {SCHEMA}: start the steward of "
            "this version, which migrates it, or run crlm-node ledger upgrade"
        )

    def schema(self) -> str | None:
        """Return the revision of the database's schema; None where it has none.

        Raises
        ------
        Unavailable
            `ledger-failed`: the database cannot be reached.
        """
        try:
            with self._engine.connect() as connection:
                if not inspect(connection).has_table(_REVISION):
                    return None
                revision: str | None = connection.scalar(text(f"SELECT version_num FROM {_REVISION}"))  # noqa: S608
                return revision
        except _AWAY as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
        if self._place is not None:
            self._place.close()
            self._place = None

    def _on_begin(self, connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READING)
        connection.exec_driver_sql(self._begin_reading if reading else self._begin)

    @property
    def _file(self) -> Path | None:
        """The file of a database that is one."""
        database = self._engine.url.database
        return Path(database) if self.dialect.name == "sqlite" and database else None

    def _join_host(self) -> None:
        """Join the processes of this host, where SQLite serves no other."""
        if self._file is None or self._place is not None:
            return
        try:
            self._place = host.join(self._file)
        except OSError as error:
            raise Unavailable(Outage.LEDGER_FAILED, str(error.strerror)) from error


def _unavailable(error: Exception) -> Unavailable:
    """Return the outage that the database's error is; what a driver says is its first line, without the statement."""
    said = str(getattr(error, "orig", error)) or type(error).__name__
    return Unavailable(Outage.LEDGER_FAILED, said.partition("\n")[0])


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Take over transactions from sqlite3, which would begin them late, and set the write-ahead log."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
