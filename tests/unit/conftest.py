"""A real ledger, a clock that tests can move, and rows to fill it with."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from node.core import ledger as ledger_module
from node.core.ledger import Ledger, deliveries, jobs, queues, studies
from node.core.records import Candidate, Instance, JobRequest, PatientFacts
from node.core.settings import ImportRules, MeasurementSettings

START = datetime.fromisoformat("2026-11-21T12:00:00")


class Clock:
    """The ledger's time, standing still until a test moves it."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        """Return the time."""
        return self.at

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every module of the ledger."""
    one = Clock()
    for module in (ledger_module, deliveries, jobs, queues, studies, ledger_module.moves):
        monkeypatch.setattr(module, "now", one)
    return one


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    """URL of a ledger of this test alone, in a file of its own."""
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A migrated ledger of this test alone."""
    one = Ledger(ledger_url)
    if ledger_url.startswith("sqlite"):
        one.upgrade()
    yield one
    one.close()


@pytest.fixture
def store(ledger: Ledger) -> Callable[..., list[str]]:
    """Return a function that enters instances of a study as intake does, and returns their UIDs."""
    numbers = count(1)

    def enter(
        study: str = "1.2.3",
        instances: int = 1,
        association: str = "a1",
        series: str = "1.2.3.1",
        calling: str = "SCANNER",
    ) -> list[str]:
        uids = [f"{series}.{next(numbers)}" for _ in range(instances)]
        with ledger.transaction() as session:
            if session.get(ledger_module.tables.Association, association) is None:
                studies.open_association(session, association, calling, "127.0.0.1")
            for uid in uids:
                studies.record_instance(
                    session,
                    Instance(uid, "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", "aa", f"instances/{uid}.dcm"),
                    study_uid=study,
                    series_uid=series,
                    association_id=association,
                    calling_ae_title=calling,
                )
        return uids

    return enter


@pytest.fixture
def request_of() -> Callable[..., JobRequest]:
    """Return a function that makes the request for the content of a study; another digest is another content."""

    def make(study: str = "1.2.3", digest: str = "aa") -> JobRequest:
        instance = Instance("1.2.3.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", digest, "x.dcm")
        return JobRequest(
            study_instance_uid=study,
            requested_at=START,
            candidates=(Candidate("1.2.3.1", "portal venous", "1 slice", (instance,)),),
            left_out=(),
            segmentations=(),
            facts=PatientFacts(None, None, None, None, ""),
            imports=ImportRules(),
            measurement=MeasurementSettings(),
            engine="imported",
            version="0",
        )

    return make
