"""The ledger's own tests run over each database that a site may name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a ledger of this test alone, in SQLite and again in PostgreSQL; in PostgreSQL it has its schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create(like=request.getfixturevalue("migrated"))
    yield url
    server.drop(url)
