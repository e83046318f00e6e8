"""The command `doctor`: its exit code says whether there is a fault, and warnings are none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_new_home_without_a_broker_has_one_fault(
    crlm_node: Callable[..., Any], tmp_path: Path, free_port: Any
) -> None:
    """Before anything is started: exit code 1 for Redis, and nothing was made."""
    config = tmp_path / "config.toml"
    config.write_text(config.read_text() + f'broker_url = "redis://127.0.0.1:{free_port()}/0"\nport = {free_port()}\n')
    before = sorted(tmp_path.rglob("*"))
    done = crlm_node("doctor")
    assert (done.code, done.err) == (1, "")
    assert "FAULT" in done.out
    assert "Start Redis there (systemctl start redis-server)" in " ".join(done.out.split())
    assert sorted(tmp_path.rglob("*")) == before


def test_warnings_are_no_fault(crlm_node: Callable[..., Any], tmp_path: Path, redis_url: str, free_port: Any) -> None:
    """With a broker nothing stands in the way, though nothing runs yet: exit code 0, in JSON too."""
    config = tmp_path / "config.toml"
    config.write_text(config.read_text() + f'broker_url = "{redis_url}"\nport = {free_port()}\nspool_low_mb = 0\n')
    done = crlm_node("doctor")
    assert done.code == 0
    assert done.out.endswith("Nothing stands in the way of a study.\n")
    done = crlm_node("doctor", "--json")
    told = json.loads(done.out)
    assert (done.code, told["sound"]) == (0, True)
    assert told["counts"]["warning"] > 0


def test_what_is_no_url_is_wrong_use(crlm_node: Callable[..., Any]) -> None:
    """Exit code 2, before anything is looked at."""
    done = crlm_node("doctor", "--orthanc", "10.0.0.5:8042")
    assert (done.code, done.sentence) == (2, "--orthanc is an URL as http://HOST:8042, not 10.0.0.5:8042")
