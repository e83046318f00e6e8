"""How a ledger is reached: its password, what a driver calls an outage, and a schema that is newer than the program."""

from pathlib import Path

import pytest
from sqlalchemy.exc import InterfaceError, OperationalError

from node.core.errors import Unavailable
from node.core.ledger import Ledger, SchemaMismatch
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
