import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, select

from node.core.errors import Unavailable
from node.core.ledger import Ledger, SchemaMismatch, studies
from node.core.ledger.tables import Association, Base
from node.core.reasons import Outage


def test_the_migrations_make_the_tables(tmp_path: Path) -> None:
    """A migrated database has exactly the columns and indexes that the program reads and writes."""
    url = f"sqlite:///{tmp_path / 'deep' / 'folder' / 'ledger.sqlite'}"
    Ledger(url).upgrade()
    with create_engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_an_upgrade_keeps_what_is_there(ledger: Ledger) -> None:
    """A second start changes nothing."""
    with ledger.transaction() as session:
        studies.open_association(session, "a1", "SCANNER", "127.0.0.1")
    ledger.upgrade()
    ledger.require_schema()
    with ledger.transaction() as session:
        assert session.get(Association, "a1") is not None


def test_another_schema_is_refused_with_the_cure(tmp_path: Path, ledger: Ledger) -> None:
    """A process does not work on a database that it does not know, be it empty or of another version."""
    with pytest.raises(SchemaMismatch, match=r"schema None.*start the steward"):
        Ledger(f"sqlite:///{tmp_path / 'empty.sqlite'}").require_schema()
    with ledger.transaction() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match="schema 9999"):
        ledger.require_schema()


@pytest.mark.parametrize("ask", [Ledger.upgrade, Ledger.require_schema])
def test_a_database_that_cannot_be_opened_is_an_outage(tmp_path: Path, ask: object) -> None:
    """What the file system refuses is `ledger-failed`, with a sentence, not a traceback of the driver."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable) as caught:
        ask(Ledger(f"sqlite:///{tmp_path / 'file' / 'ledger.sqlite'}"))  # type: ignore[operator]
    assert caught.value.code is Outage.LEDGER_FAILED


def test_a_lost_table_is_an_outage(ledger: Ledger) -> None:
    """An error of the database inside a transaction is `ledger-failed`."""
    with pytest.raises(Unavailable) as caught, ledger.transaction() as session:
        session.connection().exec_driver_sql("SELECT * FROM nowhere")
    assert caught.value.code is Outage.LEDGER_FAILED


def test_an_error_rolls_everything_back(ledger: Ledger) -> None:
    """What a transaction did before it failed is not there."""

    def fail() -> None:
        with ledger.transaction() as session:
            studies.open_association(session, "a1", "SCANNER", "127.0.0.1")
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with ledger.transaction() as session:
        assert session.get(Association, "a1") is None


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_the_database_survives_a_cut(ledger: Ledger) -> None:
    """Write-ahead log, every commit on the disk, foreign keys kept."""
    with ledger.transaction() as session:
        pragma = {
            name: session.connection().exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_writers_wait_for_each_other(ledger: Ledger) -> None:
    """Threads that read and then write do not fail with `database is locked`, and lose no update."""
    with ledger.transaction() as session:
        studies.open_association(session, "a1", "0", "127.0.0.1")

    def count() -> None:
        for _ in range(20):
            with ledger.transaction() as session:
                row = session.scalars(select(Association)).one()
                row.calling_ae_title = str(int(row.calling_ae_title) + 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledger.transaction() as session:
        assert session.scalars(select(Association)).one().calling_ae_title == "80"


def test_processes_wait_for_each_other(ledger: Ledger, tmp_path: Path) -> None:
    """Two processes that write at once both succeed: the lock is taken at the beginning of a transaction."""
    program = """
import sys
from node.core.ledger import Ledger, studies
ledger = Ledger(sys.argv[1])
for number in range(25):
    with ledger.transaction() as session:
        studies.open_association(session, f"{sys.argv[2]}-{number}", "SCANNER", "127.0.0.1")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(ledger.url), name], cwd=tmp_path, env=environment)
        for name in ("a", "b")
    ]
    assert [writer.wait(240) for writer in writers] == [0, 0]
    with ledger.transaction() as session:
        assert len(session.scalars(select(Association)).all()) == 50


def test_a_lock_that_is_held_too_long_is_an_outage(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's transaction makes us wait, then say so; it does not hang for ever."""
    monkeypatch.setattr("node.core.ledger._BUSY_TIMEOUT_S", 0.1)
    impatient = Ledger(ledger.url)
    with ledger.transaction() as session:
        studies.open_association(session, "a1", "SCANNER", "127.0.0.1")
        session.flush()
        with pytest.raises(Unavailable) as caught, impatient.transaction() as other:
            studies.open_association(other, "a2", "SCANNER", "127.0.0.1")
    impatient.close()
    assert caught.value.code is Outage.LEDGER_FAILED
