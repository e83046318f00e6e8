"""A desk as a worker process has it: a real ledger, a real spool, and a study of a small synthetic abdomen."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from postgres import DATABASES, ledger_urls

from node.core.ledger import Ledger, deliveries, jobs
from node.core.ledger.tables import Delivery, Job, Study
from node.core.records import JobRequest
from node.core.settings import FolderDestination, Settings
from node.core.spool import Spool
from node.core.states import StudyState
from node.folder import request_for_folder
from node.phantom import PhantomFiles, covering_grid, standard_anatomy, write_phantom
from workers.tasks import Desk

OBJECTS: Mapping[str, tuple[str, bytes]] = {"seg": ("2.25.1", b"a SEG"), "sr": ("2.25.2", b"an SR")}
REQUESTED_AT = datetime.fromisoformat("2026-11-21T12:00:00")


@pytest.fixture(scope="session")
def small_phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    """The standard synthetic abdomen on a grid of 6 x 5 x 5 mm."""
    grid = covering_grid(standard_anatomy(), spacing_mm=(6.0, 5.0, 5.0))
    return write_phantom(tmp_path_factory.mktemp("small"), grid=grid)


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a ledger of this test alone, in SQLite and again in PostgreSQL."""
    yield from ledger_urls(request, tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a folder as its one destination, and pauses that do not wait."""
    return Settings(
        home=tmp_path / "home",
        retry_base_s=0.001,
        retry_longest_s=0.02,
        destinations=(FolderDestination(kind="folder", name="folder", path=tmp_path / "results"),),
    )


@pytest.fixture
def spool(settings: Settings) -> Spool:
    """A prepared spool."""
    one = Spool(settings.spool_dir)
    one.prepare()
    return one


@pytest.fixture
def desk(settings: Settings, spool: Spool, ledger: Ledger) -> Desk:
    """The desk of a worker."""
    return Desk(settings, spool, ledger, owner="w1")


@pytest.fixture
def enter(ledger: Ledger) -> Callable[[JobRequest], str]:
    """Return a function that enters a request as a job of a complete study."""

    def enter_it(request: JobRequest) -> str:
        with ledger.transaction() as session:
            if session.get(Study, request.study_instance_uid) is None:
                at = REQUESTED_AT
                row = Study(uid=request.study_instance_uid, state=StudyState.COMPLETE)
                row.first_received_at = row.last_received_at = at
                session.add(row)
                session.flush()
            assert jobs.enqueue(session, request) is not None
        return request.key

    return enter_it


@pytest.fixture
def request_of_phantom(small_phantom: PhantomFiles, settings: Settings) -> JobRequest:
    """The request for the small abdomen with its segmentation."""
    return request_for_folder(small_phantom.ct[0].parent, small_phantom.seg, settings, now=REQUESTED_AT)


@pytest.fixture
def job(enter: Callable[[JobRequest], str], request_of_phantom: JobRequest) -> str:
    """Key of a job that waits for its first stage."""
    return enter(request_of_phantom)


@pytest.fixture
def refused_job(enter: Callable[[JobRequest], str], request_of_phantom: JobRequest) -> str:
    """Key of a job of the same study without a segmentation."""
    return enter(replace(request_of_phantom, segmentations=()))


@pytest.fixture
def reported(
    ledger: Ledger, spool: Spool, enter: Callable[[JobRequest], str], request_of: Callable[..., JobRequest]
) -> Callable[..., str]:
    """Return a function that makes a job of a study, with objects by kind, UID and content for a destination."""

    def make(
        study: str = "1.2.3", destination: str = "folder", objects: Mapping[str, tuple[str, bytes]] = OBJECTS
    ) -> str:
        key = enter(request_of(study))
        with ledger.transaction() as session:
            for kind, (uid, content) in objects.items():
                deliveries.plan(
                    session,
                    job_key=key,
                    destination=destination,
                    kind=kind,
                    sop_instance_uid=f"{uid}.{study}" if objects is OBJECTS else uid,
                    file=f"{kind}.dcm",
                    digest=spool.work(key).write(f"{kind}.dcm", content),
                )
        return key

    return make


@pytest.fixture
def job_row(ledger: Ledger) -> Callable[[str], Job]:
    """Return a function that reads a job."""

    def read(key: str) -> Job:
        with ledger.transaction() as session:
            return session.get_one(Job, key)

    return read


@pytest.fixture
def study_row(ledger: Ledger) -> Callable[[str], Study]:
    """Return a function that reads a study."""

    def read(uid: str) -> Study:
        with ledger.transaction() as session:
            return session.get_one(Study, uid)

    return read


@pytest.fixture
def delivery_rows(ledger: Ledger) -> Callable[[str], dict[str, Delivery]]:
    """Return a function that reads a job's deliveries by kind."""

    def read(key: str) -> dict[str, Delivery]:
        with ledger.transaction() as session:
            return {row.kind: row for row in deliveries.of_job(session, key)}

    return read
