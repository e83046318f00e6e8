"""The ledger: the truth for studies, jobs, deliveries and events; an index of the spool.

SQLAlchemy 2 over SQLite (write-ahead log) or any other database by URL; Alembic migrations beside it. Modules:
`tables` (the schema), `moves` (state changes and their events), `studies`, `jobs` and `deliveries` (what the stages
ask and say, each function in the caller's transaction).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from node.core.errors import Unavailable
from node.core.reasons import Outage

_BUSY_TIMEOUT_S = 30


def now() -> datetime:
    """Return the ledger's time: UTC, as the tables hold it."""
    return datetime.now(UTC).replace(tzinfo=None)


class SchemaMismatch(RuntimeError):
    """The database has another schema than this program; the message names the command that mends it."""


class Ledger:
    """An open ledger.

    Parameters
    ----------
    url
        SQLAlchemy URL.

    Raises
    ------
    SchemaMismatch
        From `require_schema`: a process of another version made or will make this database.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        arguments: dict[str, Any] = {}
        if make_url(url).get_backend_name() == "sqlite":
            arguments = {"connect_args": {"timeout": _BUSY_TIMEOUT_S}}
        self._engine = create_engine(url, **arguments)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_at_once)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)

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
        except OperationalError as error:
            raise Unavailable(Outage.LEDGER_FAILED, str(error.orig)) from error

    def upgrade(self) -> None:
        """Make or migrate the database to this version's schema.

        Raises
        ------
        Unavailable
            `ledger-failed`: the database cannot be reached, or its folder cannot be made.
        """
        try:
            if self._engine.dialect.name == "sqlite" and self._engine.url.database:
                Path(self._engine.url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._engine.begin() as connection:
                config = _migrations()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except OSError as error:
            raise Unavailable(Outage.LEDGER_FAILED, str(error.strerror)) from error
        except OperationalError as error:
            raise Unavailable(Outage.LEDGER_FAILED, str(error.orig)) from error

    def require_schema(self) -> None:
        """Raise `SchemaMismatch` unless the database has this version's schema.

        Raises
        ------
        SchemaMismatch
            It has another, or none.
        Unavailable
            `ledger-failed`: the database cannot be reached.
        """
        try:
            with self._engine.connect() as connection:
                found = MigrationContext.configure(connection).get_current_revision()
        except OperationalError as error:
            raise Unavailable(Outage.LEDGER_FAILED, str(error.orig)) from error
        wanted = ScriptDirectory.from_config(_migrations()).get_current_head()
        if found != wanted:
            raise SchemaMismatch(
                f"the ledger has schema {found}, this version needs {wanted}: start the steward of "
                "this version, which migrates it"
            )

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Take over transactions from sqlite3, which would begin them late, and set the write-ahead log."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_at_once(connection: Any) -> None:
    """Take the write lock at the start, so that two writers wait for each other instead of failing midway."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
