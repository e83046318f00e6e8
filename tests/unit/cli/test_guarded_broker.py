"""A Redis that wants a password, which stands in a file alone: everybody who asks it comes in, and nobody tells it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from node.core.errors import Unavailable
from node.core.ledger import Ledger, jobs
from node.core.ledger.tables import Study
from node.core.records import JobRequest
from node.core.settings import Settings, SettingsError, load
from node.core.spool import Spool
from node.core.states import StudyState
from node.outbox import Outbox
from node.web.application import make

PASSWORD, WRONG = "S/ecret@4711#", "not-Secret"


@pytest.fixture
def config(tmp_path: Path, redis_server: Any, free_port: Callable[[], int], crlm_node: Callable[..., Any]) -> Path:
    """The settings of a home; the password of the Redis that they name stands in the file `password`."""
    redis_server.guard(PASSWORD, tmp_path / "password")
    path = tmp_path / "config.toml"
    lines = [f'broker_url = "{redis_server.url}"', f'broker_password_file = "{tmp_path / "password"}"']
    path.write_text("\n".join([path.read_text(), *lines, f"port = {free_port()}", "spool_low_mb = 0", ""]))
    return path


@pytest.fixture
def settings(config: Path) -> Settings:
    """What stands there."""
    return load(config)


@pytest.fixture
def ledger(settings: Settings, request_of: Callable[..., JobRequest]) -> Iterator[Ledger]:
    """The ledger of that home, with a job that the broker is to be told of."""
    Spool(settings.spool_dir).prepare()
    one = Ledger.of(settings)
    one.upgrade()
    request = request_of()
    with one.transaction() as session:
        study = Study(uid=request.study_instance_uid, state=StudyState.COMPLETE)
        study.first_received_at = study.last_received_at = request.requested_at
        session.add(study)
        session.flush()
        assert jobs.enqueue(session, request)
    yield one
    one.close()


def readiness(settings: Settings, ledger: Ledger) -> str:
    """What the page says of the broker, and nothing of its password."""
    with TestClient(make(settings, ledger)) as client:
        answer = client.get("/health/ready")
    assert PASSWORD not in answer.text
    return str(answer.json()["checks"]["broker"])


def test_who_reads_the_file_comes_in(
    settings: Settings, ledger: Ledger, crlm_node: Callable[..., Any], config: Path
) -> None:
    """Doctor, page, probe of a container, the steward's messages: each is let in, and tells no password."""
    printed = [crlm_node(*words) for words in (("doctor",), ("doctor", "--json"), ("alive", "worker"))]
    assert [one.code for one in printed] == [0, 0, 0]
    assert "answers and takes messages" in printed[0].out
    assert "The clock of Redis at" in printed[0].out
    shown = crlm_node("config", "show")
    assert str(config.with_name("password")) in shown.out
    assert not [one for one in (*printed, shown) if PASSWORD in one.out + one.err]
    assert readiness(settings, ledger) == "ok"
    assert Outbox(ledger, settings).publish() == 1


@pytest.mark.parametrize("password", [WRONG, None])
def test_who_does_not_know_it_is_told_so(
    password: str | None, config: Path, settings: Settings, ledger: Ledger, crlm_node: Callable[..., Any]
) -> None:
    """With another password, and with a file that is gone: the cure names the file, and nobody repeats a password."""
    file = config.with_name("password")
    file.unlink() if password is None else file.write_text(password)
    done = crlm_node("doctor")
    told = " ".join(done.out.split())
    assert done.code == 1
    assert "→ Mend broker_password_file" in told
    assert (WRONG in told, PASSWORD in told) == (False, False)
    assert readiness(settings, ledger) == "broker-unreachable"
    assert crlm_node("alive", "worker").code > 0
    with pytest.raises((Unavailable, SettingsError), match=r"job queue cannot be reached|broker_password_file"):
        Outbox(ledger, settings).publish()


def test_a_redis_that_takes_no_messages_is_told(redis_server: Any, config: Path, crlm_node: Callable[..., Any]) -> None:
    """It answers, and its memory is full: PING alone would find nothing."""
    redis_server.client.config_set("maxmemory", "1")
    done = crlm_node("doctor")
    assert (done.code, "maxmemory" in done.out) == (1, True)


@pytest.mark.parametrize("user", ["", "crlm"])
def test_a_password_in_a_url_that_cannot_be_read_is_not_repeated(
    user: str, config: Path, crlm_node: Callable[..., Any]
) -> None:
    """A sign in it ends the host, and what is left looks like a port."""
    config.write_text(config.read_text().replace("redis://127", f"redis://{user}:half/pass@127"))
    for words in (("doctor",), ("config", "show"), ("alive", "worker")):
        done = crlm_node(*words)
        assert done.code > 0
        assert "redis://HOST:6379/0" in " ".join(done.out.split()) + done.err
        assert "half" not in done.out + done.err
