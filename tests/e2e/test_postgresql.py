"""The main job with its ledger in PostgreSQL, which is taken away on the way."""

from collections.abc import Callable, Iterator

import pytest
from postgres import Postgres

from node.core.reasons import Outage
from node.core.states import JobState
from node.servers import Orthanc

from .conftest import Sent, send_all
from .stack import READER, Stack


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, lacking: Callable[[str], None]
) -> Iterator[Stack]:
    """A running site whose ledger is in PostgreSQL; it does not wait long for an association whose end it missed."""
    if not Orthanc.available():
        lacking("Orthanc")
    one = Stack(tmp_path_factory.mktemp("site"), postgres.create())
    one.config.write_text("association_idle_s = 10.0\n" + one.config.read_text())
    try:
        one.start()
        yield one
    finally:
        one.stop()


def test_the_main_job(site: Stack, study: Sent) -> None:
    """In by C-STORE, measured, found in the PACS; ledger and spool are equal."""
    send_all(site, study)
    view = site.wait(study.uid)
    assert set(view.kinds()) == {"seg", "sr", "sr-viewer"}
    assert site.document(view)["measurements"]["psoas.pmvi"]["status"] == "computed"
    assert not (site.home / "node" / "ledger.sqlite").exists()
    site.cli("ledger", "check")


def test_a_database_that_was_away(site: Stack, study: Sent, postgres: Postgres) -> None:
    """Meanwhile senders are asked to send again; when it is back, everything goes on without a restart of ours."""
    site.give([study.seg], READER)
    postgres.stop()
    try:
        refused = site.node().store(list(study.slices[:3]))
        told = [(one.status, one.comment.partition(":")[0]) for one in refused]
        assert told == [(0xA700, Outage.LEDGER_FAILED)] * 3
    finally:
        postgres.start()
    site.give(study.slices)
    view = site.wait(study.uid)
    assert view.job.state is JobState.REPORTED
    assert [job.attempts for job in view.jobs] == [1]
    site.cli("ledger", "check")
