"""How a ledger is reached: password, outages, a schema that is newer than the program, several hosts."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from postgres import Postgres
from sqlalchemy.exc import InterfaceError, OperationalError

from node.core.errors import Unavailable
from node.core.ledger import Ledger, SchemaMismatch, accounts, clock, host, now
from node.core.ledger.accounts import Role
from node.core.ledger.host import SecondHost
from node.core.reasons import Outage
from node.core.settings import Settings, SettingsError


class TestPassword:
    """The password of the database comes from a file and goes nowhere but to the database."""

    URL = "postgresql+psycopg://node@127.0.0.1:1/ledger"

    def test_it_reaches_the_driver_and_no_text(self, tmp_path: Path) -> None:
        """Without the line break that editors add; neither the ledger nor its URL show it when they are printed."""
        (tmp_path / "password").write_text("s3cret\n")
        one = Ledger.of(Settings(ledger_url=self.URL, ledger_password_file=tmp_path / "password"))
        assert one._engine.url.password == "s3cret"  # noqa: S105 - the one of this test
        assert "s3cret" not in f"{one} {one.url!s} {one.url!r} {one._engine}"
        with pytest.raises(Unavailable) as caught:
            one.require_schema()
        assert caught.value.code is Outage.LEDGER_FAILED
        assert "s3cret" not in str(caught.value)

    def test_a_file_that_cannot_be_read_stops_the_start(self, tmp_path: Path) -> None:
        """So does a password for a database that has none; the setting is named."""
        with pytest.raises(SettingsError, match=r"ledger_password_file: .*cannot be read"):
            Ledger.of(Settings(ledger_url=self.URL, ledger_password_file=tmp_path / "none"))
        with pytest.raises(SettingsError, match="ledger_password_file: SQLite has no password"):
            Ledger.of(Settings(home=tmp_path, ledger_password_file=tmp_path / "none"))


def test_a_database_without_an_encoding_holds_our_text(postgres: Postgres) -> None:
    """As `createdb` makes one on a Debian without a locale: the driver would then return bytes."""
    one = Ledger(postgres.create(like="template0", encoding="SQL_ASCII"))
    one.upgrade()
    with one.transaction() as session:
        accounts.add(session, "jürgen", Role.READER, "hash")
    with one.reading() as session:
        assert [account.name for account in accounts.every(session)] == ["jürgen"]
    one.close()


@pytest.mark.parametrize("kind", [InterfaceError, OperationalError])
def test_whatever_a_driver_calls_an_outage_is_one(
    ledger: Ledger, kind: type[InterfaceError | OperationalError]
) -> None:
    """Its first line is told, not the statement with its values."""
    with pytest.raises(Unavailable) as caught, ledger.transaction():
        raise kind("SELECT 'Doe^Jane'", {"name": "Doe^Jane"}, Exception("connection is closed\nLINE 1: Doe^Jane"))
    assert (caught.value.code, caught.value.detail) == (Outage.LEDGER_FAILED, "connection is closed")


def test_a_newer_schema_is_not_taken_back(ledger: Ledger) -> None:
    """Neither used nor migrated: the cure is another program."""
    with ledger.transaction() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for ask in (ledger.upgrade, ledger.require_schema):
        with pytest.raises(SchemaMismatch, match="a newer version of crlm-node made it"):
            ask()


class TestHosts:
    """SQLite serves one host; its processes know each other by a lock that ends with them."""

    @pytest.fixture
    def on(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Return a function that takes this process to another host."""

        def move(name: str) -> None:
            monkeypatch.setattr(host, "this_host", lambda: host.Host(f"kernel-of-{name}", name, "one image"))

        return move

    def test_a_second_host_is_refused(self, tmp_path: Path, on: Callable[[str], None]) -> None:
        """It is told who works there and what to do; it may have the ledger when they have gone."""
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        first, second, third = Ledger(url), Ledger(url), Ledger(url)
        on("alpha")
        first.upgrade()
        second.require_schema()
        first.close()
        on("beta")
        for ask in (third.require_schema, third.upgrade):
            with pytest.raises(SecondHost, match=r"Processes of alpha work in this ledger.*PostgreSQL in ledger_url"):
                ask()
        second.close()
        third.require_schema()
        on("alpha")
        with pytest.raises(SecondHost, match="beta"):
            first.require_schema()
        third.close()

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            (("k", "a", "m"), ("k", "b", ""), True),  # two containers of one kernel
            (("k", "a", "m"), ("l", "a", "m"), True),  # a system in a container, which hides its kernel from some
            (("k", "a", ""), ("l", "a", ""), False),  # two hosts of one name
            (("k", "a", "m"), ("l", "b", "m"), False),  # two hosts of one image
            (("k", "a", "m"), ("l", "a", "n"), False),  # a name that moved to another machine
        ],
    )
    def test_what_is_one_host(
        self, one: tuple[str, ...], other: tuple[str, ...], same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By its kernel, or by name and number of the machine."""
        first, second = (Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}") for _ in range(2))
        monkeypatch.setattr(host, "this_host", lambda: host.Host(*one))
        first.upgrade()
        monkeypatch.setattr(host, "this_host", lambda: host.Host(*other))
        with contextlib.nullcontext() if same else pytest.raises(SecondHost, match="Processes of a work"):
            second.require_schema()
        first.close()
        second.close()

    def test_a_killed_process_leaves_no_lock(self, tmp_path: Path, on: Callable[[str], None]) -> None:
        """The system frees it, however the process ended; until then its host alone is served."""
        path = tmp_path / "ledger.sqlite"
        program = "import sys, time; from node.core.ledger import Ledger; Ledger(sys.argv[1]).upgrade(); print(1); "
        command = [sys.executable, "-c", program + "sys.stdout.flush(); time.sleep(60)", f"sqlite:///{path}"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            process.stdout.readline()
            own, other = Ledger(f"sqlite:///{path}"), Ledger(f"sqlite:///{path}")
            own.require_schema()
            own.close()
            on("beta")
            with pytest.raises(SecondHost):
                other.require_schema()
            process.kill()
        other.require_schema()
        other.close()

    def test_the_clock_is_the_database_s(self, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host whose clock is an hour ahead tells the same time as one whose clock is right."""
        right = clock.host_time
        monkeypatch.setattr(clock, "host_time", lambda: right() + timedelta(hours=1))
        monkeypatch.setattr(clock._Clock, "ahead", timedelta())
        assert now() - right() > timedelta(minutes=59)
        with contextlib.suppress(SchemaMismatch):
            Ledger(postgres.create()).require_schema()
        assert abs(now() - right()) < timedelta(seconds=5)


def test_a_database_of_another_kind_is_refused() -> None:
    """By its name, with what is known."""
    with pytest.raises(SettingsError, match="ledger_url: mysql is not known here; it is sqlite or postgresql"):
        Ledger("mysql://node@127.0.0.1/ledger")
