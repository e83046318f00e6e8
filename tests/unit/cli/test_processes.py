"""The commands that stay: what keeps them from starting is one sentence, and they end when told."""

import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from node.core.errors import Unavailable
from node.core.ledger import Ledger
from node.core.peer import Peer

HOST = "127.0.0.1"


@pytest.fixture
def site(tmp_path: Path, free_port: Callable[[], int]) -> tuple[Path, int]:
    """A settings file with a home that has no ledger yet, and its port."""
    port = free_port()
    config = tmp_path / "config.toml"
    config.write_text(
        f'home = "{tmp_path / "home"}"\nport = {port}\nbroker_url = "redis://{HOST}:{free_port()}/0"\n'
        f"web_port = {free_port()}\n"
        f'[[calling]]\nae_title = "TESTER"\nhosts = ["{HOST}"]\n'
    )
    return config, port


@dataclass(frozen=True)
class Running:
    """A command that was started, and the files that it writes to."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def sentence(self) -> str:
        """Wait until it has ended with 1, and return the one sentence of it; its log comes before."""
        assert self.process.wait(60) == 1
        lines = self.err.read_text().splitlines()
        assert "Traceback" not in self.err.read_text()
        assert [line for line in lines if line.startswith("crlm-node: ")] == lines[-1:]
        assert self.out.read_text() == ""
        return lines[-1].removeprefix("crlm-node: ")

    def end(self) -> int:
        """Tell it to end, as a service manager would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


Start = Callable[[str], Running]


@pytest.fixture
def start(site: tuple[Path, int], tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a command; what is still running at the end is killed."""
    started: list[Running] = []

    def run(command: str) -> Running:
        out, err = (tmp_path / f"{len(started)}.{name}" for name in ("out", "err"))
        words = [sys.executable, "-P", "-m", "node", "--config", str(site[0]), command]
        with out.open("wb") as to, err.open("wb") as errors:
            started.append(Running(subprocess.Popen(words, stdout=to, stderr=errors), out, err))
        return started[-1]

    yield run
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def make_ledger(home: Path) -> None:
    ledger = Ledger(f"sqlite:///{home / 'ledger.sqlite'}")
    ledger.upgrade()
    ledger.close()


def until(condition: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(port: int) -> bool:
    try:
        Peer("CRLM_NODE", HOST, port, "TESTER").echo()
    except Unavailable:
        return False
    return True


def lives(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health/live", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.mark.parametrize("command", ["listen", "worker", "web"])
def test_no_ledger(command: str, start: Start) -> None:
    """Before the steward has made the ledger, nobody else starts, and says so."""
    assert "ledger" in start(command).sentence()


@pytest.mark.parametrize("command", ["listen", "worker", "steward", "up"])
def test_a_ledger_of_a_newer_version(command: str, start: Start, tmp_path: Path) -> None:
    """Nobody works on a schema that he does not know, and nobody takes it back: exit code 1, and the cure."""
    make_ledger(tmp_path / "home")
    with sqlite3.connect(tmp_path / "home" / "ledger.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "a newer version of crlm-node made it, update this one" in start(command).sentence()


@pytest.mark.parametrize("command", ["listen", "worker"])
def test_a_ledger_of_an_older_version(command: str, start: Start, tmp_path: Path) -> None:
    """Only steward and `ledger upgrade` migrate it: the others say so and end."""
    make_ledger(tmp_path / "home")
    with sqlite3.connect(tmp_path / "home" / "ledger.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    sentence = start(command).sentence()
    assert sentence.startswith("the ledger has schema 0001, this version needs ")
    assert "crlm-node ledger upgrade" in sentence


def test_the_port_is_taken(start: Start, site: tuple[Path, int], tmp_path: Path) -> None:
    """Another program listens there: the address and the reason."""
    make_ledger(tmp_path / "home")
    with socket.socket() as other:
        other.bind((HOST, site[1]))
        other.listen()
        assert start("listen").sentence() == f"cannot listen on {HOST}:{site[1]}: the port is taken"


def test_a_second_steward(start: Start, tmp_path: Path) -> None:
    """Exactly one works in a home: the second ends and names the first; the first goes on and ends when told."""
    first = start("steward")
    pid = first.process.pid
    lock = tmp_path / "home" / "steward.lock"
    until(lambda: lock.exists() and lock.read_text().strip() == str(pid))
    assert start("steward").sentence() == f"A steward works in {tmp_path / 'home'} already (process {pid})."
    assert first.process.poll() is None
    assert first.end() == 0


def test_up_runs_all_keeps_them_and_ends_them(start: Start, site: tuple[Path, int]) -> None:
    """Six processes on a fresh home; one that is killed is started again; told to end, it leaves none behind."""
    up = start("up")
    until(lambda: answers(site[1]))
    until(lambda: lives(tomllib.loads(site[0].read_text())["web_port"]))
    children = psutil.Process(up.process.pid).children()
    commands = {child.cmdline()[6]: child for child in children}
    assert set(commands) == {"steward", "listen", "worker", "web"}
    assert len(children) == 6
    commands["listen"].kill()
    until(lambda: not answers(site[1]))
    until(lambda: answers(site[1]))
    children = psutil.Process(up.process.pid).children()
    assert up.end() == 0
    assert "CRLM_NODE listens on" in up.out.read_text()
    assert "process-ended" in up.err.read_text()
    assert [child for child in children if child.is_running()] == []


def test_a_worker_waits_for_redis(start: Start, tmp_path: Path) -> None:
    """Redis is away at the start: the worker keeps trying instead of ending, and ends when told."""
    make_ledger(tmp_path / "home")
    worker = start("worker")
    until(lambda: "Cannot connect to redis" in worker.err.read_text())
    until(lambda: "Trying again" in worker.err.read_text())
    assert worker.process.poll() is None
    worker.end()
    assert "Traceback" not in worker.err.read_text()


def test_a_command_waits_for_no_library_that_it_does_not_need() -> None:
    """Alembic, Celery and Redis are a quarter of a start; the steward, workers and migrations need them."""
    program = "import sys, node.cli, node.listen; print(*{'alembic', 'celery', 'redis', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "\n"
