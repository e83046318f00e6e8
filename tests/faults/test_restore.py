"""The restore drill, in both databases: a site at work is saved, destroyed and restored, and every invariant holds."""

import hashlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from archive import Archive
from postgres import DATABASES, Postgres, name_of

from node import backup
from node.backup import BackupFailed
from node.core.ledger import Ledger, jobs
from node.core.ledger.tables import Delivery, Job
from node.core.lock import Held
from node.core.settings import CallingPeer, ImportRules, PacsDestination, Settings
from node.core.spool import Spool
from node.core.states import DeliveryState, JobState, Stage
from node.listen import Listener
from node.servers import CannotStart, Orthanc, free_port
from node.steward import Steward
from workers.tasks import Desk

from .invariants import Aftermath, violations
from .material import Form, Material, Press
from .outside import Books, holdings
from .proxy import HOST
from .sender import Acknowledged, Log, Sender
from .site import NODE, PACS, SCANNER

LEASE_S = 1.5


@dataclass(frozen=True)
class PostgresBooks(Books):
    """A ledger in PostgreSQL, read without the node's own code; `path` is what its driver connects to."""

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with psycopg.connect(str(self.path)) as connection:
            return connection.execute(query.encode(), values or None).fetchall()


@dataclass
class Drill:
    """A site whose stages this process does, one after the other, and which can be destroyed."""

    folder: Path
    ledger_url: str
    redis_url: str
    orthanc: Orthanc
    log: Log
    port: int = field(default_factory=free_port)

    @property
    def settings(self) -> Settings:
        """The site's settings."""
        pacs = PacsDestination(kind="dicom", name="pacs", ae_title=PACS, host=HOST, port=self.orthanc.dicom_port)
        return Settings(
            home=self.folder / "home",
            ledger_url=self.ledger_url,
            broker_url=self.redis_url,
            networks=False,
            ae_title=NODE,
            port=self.port,
            calling=(CallingPeer(ae_title=SCANNER),),
            imports=ImportRules(ae_titles=(SCANNER,)),
            destinations=(pacs,),
            quiet_time_s=0.2,
            lease_s=LEASE_S,
            retry_base_s=0.05,
            spool_low_mb=2,
            spool_full_mb=1,
        )

    @property
    def books(self) -> Books:
        """The ledger as it is seen from outside."""
        if self.ledger_url.startswith("sqlite"):
            return Books(Path(self.ledger_url.removeprefix("sqlite:///")))
        host = self.ledger_url.partition("?host=")[2]
        return PostgresBooks(Path(f"host={host} user=crlm dbname={name_of(self.ledger_url)}"))

    def receive(self, *studies: Material) -> None:
        """Take studies in, by associations."""
        ledger = Ledger.of(self.settings)
        ledger.upgrade()
        ledger.close()
        listener = Listener(self.settings)
        listener.start()
        try:
            for study in studies:
                assert Sender(self.port, self.log, seed=1).send(study, threading.Event())
        finally:
            listener.stop()

    def work(self, until: Callable[[], bool], limit_s: float = 60.0) -> None:
        """Do what is to be done, as steward and workers would, until a condition holds."""
        ledger, spool = Ledger.of(self.settings), Spool(self.settings.spool_dir)
        steward, desk = Steward(ledger, spool, self.settings), Desk(self.settings, spool, ledger, owner="w1")
        deadline = time.monotonic() + limit_s
        try:
            while not until():
                assert time.monotonic() < deadline, self.books.open_work()
                steward.round()
                for key, stage in _queued(ledger):
                    (desk.segment if stage is Stage.SEGMENT else desk.measure)(key)
                for key in _pending(ledger):
                    desk.deliver(key, "pacs")
                time.sleep(0.2)
        finally:
            ledger.close()

    def rest(self) -> None:
        """Work until everything has come to its end."""
        self.work(lambda: bool(self.books.rows("SELECT 1 FROM job")) and not self.books.open_work())

    def judged(self, acknowledged: Sequence[Acknowledged], *studies: Material) -> list[str]:
        """Return the invariants that do not hold."""
        meant = {study.uid: study.form for study in studies}
        held = holdings(Archive(self.orthanc))
        seen = Aftermath(acknowledged, meant, self.books, self.settings.spool_dir, held)
        return [str(one) for one in violations(seen)]


def _queued(ledger: Ledger) -> list[tuple[str, Stage]]:
    with ledger.transaction() as session:
        return [(job.key, job.stage) for job in session.query(Job).where(Job.state == JobState.QUEUED)]


def _pending(ledger: Ledger) -> set[str]:
    with ledger.transaction() as session:
        open_ = Delivery.state.in_((DeliveryState.PENDING, DeliveryState.SENT))
        return {one.job_key for one in session.query(Delivery).where(open_)}


@pytest.fixture(scope="module")
def press(tmp_path_factory: pytest.TempPathFactory) -> Press:
    """What makes the studies."""
    folder = tmp_path_factory.mktemp("press")
    return Press(folder)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Orthanc]:
    """A running Orthanc."""
    if not Orthanc.available():
        lacking("Orthanc")
    try:
        with Orthanc(tmp_path_factory.mktemp("orthanc"), PACS, {}) as running:
            yield running
    except CannotStart as error:
        lacking(str(error))


@pytest.fixture(params=DATABASES)
def drill(
    request: pytest.FixtureRequest, tmp_path: Path, orthanc: Orthanc, redis_url: str
) -> Iterator[tuple[Drill, Callable[[], None]]]:
    """A site, and what destroys its home and its database, and leaves both empty."""
    Archive(orthanc).clear()
    server: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    url = server.create() if server else f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}"
    site = Drill(tmp_path, url, redis_url, orthanc, Log(tmp_path / "acknowledged"))

    def destroy() -> None:
        shutil.rmtree(tmp_path / "home")
        if server:
            server.drop(site.ledger_url)
            site.ledger_url = server.create()

    yield site, destroy
    if server:
        server.drop(site.ledger_url)


def test_a_destroyed_site_is_restored(drill: tuple[Drill, Callable[[], None]], press: Press, tmp_path: Path) -> None:
    """Saved with one study measured, one refused, one in a worker's hands; what came later is sent again.

    A file that the ledger tells of and that is gone is named by the next backup.
    """
    site, destroy = drill
    measured, refused, held, later = (press.make(form) for form in (Form.MEASURED, Form.FEW, Form.REFUSED, Form.FEW))
    site.receive(measured, refused)
    site.rest()
    site.receive(held)
    ledger = Ledger.of(site.settings)
    until = time.monotonic() + 30
    while not _queued(ledger):
        Steward(ledger, Spool(site.settings.spool_dir), site.settings).round()
        assert time.monotonic() < until
    [(key, _)] = _queued(ledger)
    with ledger.transaction() as session:
        assert jobs.take(session, key, Stage.SEGMENT, "a worker that dies", timedelta(seconds=LEASE_S)) is not None
    acknowledged = site.log.read()
    saved = backup.save(site.settings, ledger, tmp_path / "backup")
    assert saved.wrong == ()
    ledger.close()
    site.receive(later)

    destroy()
    summary = backup.restore(site.settings, tmp_path / "backup")
    assert summary["files"] == saved.files
    site.rest()
    assert site.judged(acknowledged, measured, refused, held) == []

    assert any(later.uid in one for one in site.judged(site.log.read(), measured, refused, held, later))
    site.receive(later)
    site.rest()
    assert site.judged(site.log.read(), measured, refused, held, later) == []

    [(path,), *_] = site.books.rows("SELECT path FROM instance ORDER BY path")
    (site.settings.spool_dir / path).unlink()
    ledger = Ledger.of(site.settings)
    assert backup.save(site.settings, ledger, tmp_path / "second").wrong == (f"spool/{path}",)
    ledger.close()


@pytest.fixture
def saved(tmp_path: Path, redis_url: str) -> tuple[Settings, Path]:
    """Settings of an empty home, and a backup of another one with one file."""
    settings = Settings(home=tmp_path / "first", broker_url=redis_url)
    Spool(settings.spool_dir).prepare()
    (settings.spool_dir / "instances" / "1.dcm").write_bytes(b"a slice")
    ledger = Ledger.of(settings)
    ledger.upgrade()
    backup.save(settings, ledger, tmp_path / "backup")
    ledger.close()
    return settings.model_copy(update={"home": tmp_path / "second"}), tmp_path / "backup"


def test_a_backup_is_proven_by_sha256sum_alone(saved: tuple[Settings, Path]) -> None:
    """An administrator needs no program of ours; nobody else may read it."""
    _, folder = saved
    done = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["ledger.sqlite: OK", "spool/instances/1.dcm: OK"]
    assert hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest() in (folder / "backup.json").read_text()
    assert (folder / "ledger.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("spool/instances/1.dcm", b"another", "is not what SHA256SUMS says"),
        ("spool/instances/1.dcm", None, "is gone"),
        ("SHA256SUMS", b"", "is not the one that was written"),
        ("backup.json", None, "holds no complete backup"),
    ],
)
def test_a_changed_backup_is_not_restored(
    saved: tuple[Settings, Path], name: str, content: bytes | None, words: str
) -> None:
    """Nothing is written, neither spool nor ledger."""
    settings, folder = saved
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(BackupFailed, match=words):
        backup.restore(settings, folder)
    assert not settings.spool_dir.exists()
    assert not (settings.home / "ledger.sqlite").exists()


def test_a_home_in_use_is_not_overwritten(saved: tuple[Settings, Path], tmp_path: Path) -> None:
    """A restore into a spool or ledger that holds something is refused; into an empty home it works, once."""
    settings, folder = saved
    backup.restore(settings, folder)
    assert (settings.spool_dir / "instances" / "1.dcm").read_bytes() == b"a slice"
    with pytest.raises(BackupFailed, match="is not empty"):
        backup.restore(settings, folder)
    shutil.rmtree(settings.spool_dir)
    with pytest.raises(BackupFailed, match="the ledger is there already"):
        backup.restore(settings, folder)
    other = settings.model_copy(update={"ledger_url": "postgresql+psycopg://crlm@127.0.0.1/crlm"})
    with pytest.raises(BackupFailed, match="the backup is of sqlite, and ledger_url names postgresql"):
        backup.restore(other, folder)


def test_nothing_is_removed_while_a_backup_is_made(
    saved: tuple[Settings, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever removes files holds a lock, which a backup waits for, and has until it is done."""
    settings, folder = saved
    backup.restore(settings, folder)
    ledger, spool = Ledger.of(settings), Spool(settings.spool_dir)
    seen: list[bool] = []

    def looked(*_: object) -> None:
        with pytest.raises(Held), spool.removing():
            pass
        seen.append(True)
        original(*_)

    original = backup.saving.databases.dump
    monkeypatch.setattr(backup.saving.databases, "dump", looked)
    held, free = threading.Event(), threading.Event()

    def remove() -> None:
        with spool.removing():
            held.set()
            free.wait(30)

    remover = threading.Thread(target=remove)
    remover.start()
    held.wait(30)
    threading.Timer(0.3, free.set).start()
    backup.save(settings, ledger, tmp_path / "again")
    remover.join()
    assert seen == [True]
    with spool.removing():
        pass
    ledger.close()
