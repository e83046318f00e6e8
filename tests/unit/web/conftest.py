"""The application on a real ledger, without a server, and people who are signed in there."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from node import accounts, passwords
from node.core.ledger import Ledger, deliveries, jobs
from node.core.ledger.accounts import Role
from node.core.ledger.tables import Study, StudyCard
from node.core.records import JobRequest
from node.core.settings import Settings
from node.core.states import StudyState
from node.web.application import make

PASSWORD = "correct horse battery"  # noqa: S105 - of accounts that live as long as a test
Sign = Callable[..., TestClient]
Known = Callable[..., str]


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that are hashed without the expense that keeps a thief busy."""
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(scope="session")
def made_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of an empty ledger, to be copied: the migrations have tests of their own."""
    path = tmp_path_factory.mktemp("made") / "ledger.sqlite"
    one = Ledger(f"sqlite:///{path}")
    one.upgrade()
    one.close()
    return path


@pytest.fixture
def ledger(tmp_path: Path, made_ledger: Path) -> Iterator[Ledger]:
    """A migrated ledger of this test alone."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(made_ledger.read_bytes())
    one = Ledger(f"sqlite:///{path}")
    yield one
    one.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a home of this test, with a folder as the destination."""
    results = {"kind": "folder", "name": "results", "path": str(tmp_path / "results")}
    made = Settings(home=tmp_path / "home", destinations=(results,))
    (made.spool_dir / "instances").mkdir(parents=True)
    return made


@pytest.fixture
def client(settings: Settings, ledger: Ledger) -> Iterator[TestClient]:
    """A browser that nobody has signed in with, and that follows no redirection."""
    with TestClient(make(settings, ledger), follow_redirects=False) as made:
        yield made


@pytest.fixture
def sign_in(client: TestClient, ledger: Ledger) -> Sign:
    """Return a function that makes an account and signs it in."""

    def enter(role: Role = Role.READER, name: str = "anna") -> TestClient:
        accounts.add(ledger, name, role, PASSWORD)
        assert client.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code == 303
        return client

    return enter


@pytest.fixture
def known(ledger: Ledger, request_of: Callable[..., JobRequest]) -> Iterator[Known]:
    """Return a function that enters a study with its card, and a job in this state of the study."""
    first = datetime.fromisoformat("2026-11-01T08:00:00")

    def enter(uid: str = "1.2.3", *, state: StudyState = StudyState.COMPLETE, job: bool = True, **card: object) -> str:
        with ledger.transaction() as session:
            at = first + timedelta(minutes=session.query(Study).count())
            session.add(Study(uid=uid, state=state, first_received_at=at, last_received_at=at))
            session.flush()
            values = {
                "patient_id": "P1",
                "issuer": "",
                "patient_name": "Doe Jane",
                "patient": "p1",
                "name": "doe jane",
                "accession_number": "A1",
                "study_date": date(2026, 10, 1),
                "description": "CT abdomen",
            }
            session.add(StudyCard(study_uid=uid, sop_instance_uid=f"{uid}.1", digest="aa", **(values | card)))
            if job and state is not StudyState.RECEIVING:
                made = jobs.enqueue(session, request_of(uid))
                assert made is not None
                deliveries.plan(
                    session,
                    job_key=made.key,
                    destination="results",
                    kind="sr",
                    sop_instance_uid=f"{uid}.9",
                    file="sr.dcm",
                    digest="bb",
                )
        return uid

    return enter


def forgery_token(page: str) -> str:
    """Return the token that a page sends with its orders."""
    return page.partition('name="forgery-token" value="')[2].partition('"')[0]
