"""The ledger as one file, and back: SQLite by its online backup, PostgreSQL by pg_dump and pg_restore.

Both give the state of one instant while the node goes on writing. The programs of PostgreSQL are found on PATH; their
version must not be older than the server's. A password goes to them in their environment, never on a command line.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import URL, make_url

from node.backup.tree import BackupFailed
from node.core.ledger import Ledger
from node.core.settings import Settings

_FILES = {"sqlite": "ledger.sqlite", "postgresql": "ledger.dump"}
_DUMP = ("--format=custom", "--no-owner", "--no-privileges")
_RESTORE = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")


def kind_of(settings: Settings) -> str:
    """Return which database the ledger is in: `sqlite` or `postgresql`."""
    return make_url(settings.ledger).get_backend_name()


def file_of(kind: str) -> str:
    """Return the name of the ledger's file in a backup."""
    return _FILES[kind]


def dump(settings: Settings, file: Path) -> None:
    """Write the ledger as it is now.

    Raises
    ------
    BackupFailed
        The database's own program is not there, or says no.
    """
    url = _url(settings)
    if url.get_backend_name() == "sqlite":
        _copy_sqlite(Path(url.database or ""), file)
    else:
        _run("pg_dump", url, [*_DUMP, f"--file={file}"])
    file.chmod(0o600)


def load(settings: Settings, file: Path) -> None:
    """Put a ledger into a database that is empty.

    Raises
    ------
    BackupFailed
        As `dump`; the database is then as empty as before.
    """
    url = _url(settings)
    if url.get_backend_name() == "sqlite":
        target = Path(url.database or "")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy_sqlite(file, target)
        target.chmod(0o600)
    else:
        _run("pg_restore", url, [*_RESTORE, str(file)])


def is_empty(settings: Settings) -> bool:
    """Say whether the database holds nothing, or is not there where it is a file.

    Raises
    ------
    SQLAlchemyError
        It cannot be reached.
    """
    url = _url(settings)
    if url.get_backend_name() == "sqlite":
        return not Path(url.database or "").exists()
    engine = create_engine(url, hide_parameters=True)
    try:
        return not inspect(engine).get_table_names()
    finally:
        engine.dispose()


def _url(settings: Settings) -> URL:
    ledger = Ledger.of(settings)  # which reads the file of the password
    ledger.close()
    return make_url(ledger.url)


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database by SQLite's own means, into one file without a log beside it, and have SQLite check the copy."""
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as read,
        closing(sqlite3.connect(target)) as written,
    ):
        read.backup(written)
        written.execute("PRAGMA journal_mode=DELETE")
        [(said,), *_] = written.execute("PRAGMA integrity_check").fetchall()
    if said != "ok":
        raise BackupFailed(f"SQLite finds the copy of {source} unsound: {said}")
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _run(program: str, url: URL, words: Sequence[str]) -> None:
    found = shutil.which(program)
    if found is None:
        raise BackupFailed(
            f"{program} is not on PATH: install the client of PostgreSQL (apt install postgresql-client)"
        )
    _, facts = url.get_dialect()().create_connect_args(url)
    password = facts.pop("password", None)
    environment = os.environ | ({"PGPASSWORD": password} if password else {})
    command = [found, f"--dbname={make_conninfo(**facts)}", "--no-password", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise BackupFailed(f"{program} has failed: {lines[0]}")
