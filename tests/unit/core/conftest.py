"""The ledger's own tests run over each database that a site may name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import DATABASES, ledger_urls


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a ledger of this test alone, in SQLite and again in PostgreSQL."""
    yield from ledger_urls(request, tmp_path)
