"""`crlm-node alive`: what a container engine asks of each process, with a real Redis, a real lock and a real port."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.core.ledger import Ledger
from node.core.lock import alone


@pytest.fixture
def home(tmp_path: Path, redis_url: str, crlm_node: Callable[..., Any]) -> Path:
    """Folder of a node whose ledger is there, and whose settings name a running Redis."""
    folder = tmp_path / "home"
    folder.mkdir()
    ledger = Ledger(f"sqlite:///{folder / 'ledger.sqlite'}")
    ledger.upgrade()
    ledger.close()
    with (tmp_path / "config.toml").open("a") as config:
        config.write(f'host = "0.0.0.0"\nbroker_url = "{redis_url}"\n')
    return folder


@pytest.fixture
def port(home: Path, free_port: Callable[[], int]) -> Iterator[int]:
    """A port that somebody listens on, and the settings name."""
    number = free_port()
    with (home.parent / "config.toml").open("a") as config:
        config.write(f"port = {number}\n")
    with socket.create_server(("127.0.0.1", number)):
        yield number


def test_a_listener_must_take_connections(port: int, home: Path, crlm_node: Callable[..., Any]) -> None:
    """An address of all interfaces is asked on the loopback one; a ledger that is gone is told."""
    assert crlm_node("alive", "listen").out == "listen serves\n"
    (home / "ledger.sqlite").unlink()
    assert crlm_node("alive", "listen").code == 1


def test_nobody_at_the_port_is_told(home: Path, free_port: Callable[[], int], crlm_node: Callable[..., Any]) -> None:
    """The sentence names the address."""
    number = free_port()
    with (home.parent / "config.toml").open("a") as config:
        config.write(f"port = {number}\n")
    done = crlm_node("alive", "listen")
    assert (done.code, f"nobody listens on 127.0.0.1:{number}" in done.sentence) == (1, True)


def test_a_steward_must_hold_its_lock(home: Path, crlm_node: Callable[..., Any]) -> None:
    """A home in which no steward works is told, though ledger and broker answer."""
    assert "no steward works" in crlm_node("alive", "steward").sentence
    with alone(home / "steward.lock", "A steward works here"):
        assert crlm_node("alive", "steward").out == "steward serves\n"


def test_a_worker_needs_the_broker(home: Path, redis_server: Any, crlm_node: Callable[..., Any]) -> None:
    """Redis that has gone is told without its address, which may hold a password."""
    assert crlm_node("alive", "worker").out == "worker serves\n"
    redis_server.stop()
    assert crlm_node("alive", "worker").sentence == "the broker does not answer (ConnectionError)"
