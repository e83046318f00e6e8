"""The marks of free space: each change is said once, and below the second one nothing is let in."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from node import room
from node.core.errors import Refused, Unavailable
from node.core.reasons import DoorRefusal, Outage
from node.core.settings import Settings


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets the free space in MB, seen at the next look."""
    monkeypatch.setattr(room, "_PERIOD_S", 0.0)

    def set_free(free_mb: int) -> None:
        monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free_mb, f_frsize=10**6))

    return set_free


def test_each_change_is_said_once(tmp_path: Path, free: Callable[[int], None]) -> None:
    """Going down and up again: low and full begin and end, once each; only below the full mark A700 is answered."""
    one = room.Room(tmp_path, Settings(spool_low_mb=100, spool_full_mb=10))
    with capture_logs() as said:
        for free_mb in (500, 99, 50, 10, 9, 5, 10, 99, 100, 500):
            free(free_mb)
            if free_mb >= 10:
                one.require()
                continue
            with pytest.raises(Refused, match=f"{free_mb} MB free") as caught:
                one.require()
            assert caught.value.code is DoorRefusal.OUT_OF_RESOURCES
    assert [event["event"] for event in said] == ["disk-low", "disk-full", "disk-full-ends", "disk-low-ends"]


def test_disk_is_looked_at_a_few_times_a_second(
    tmp_path: Path, free: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks the last one counts: a thousand instances a second cost four looks."""
    one = room.Room(tmp_path, Settings(spool_low_mb=0, spool_full_mb=10))
    free(500)
    one.require()
    monkeypatch.setattr(room, "_PERIOD_S", 3600.0)
    free(5)
    one.require()


def test_spool_that_is_gone_is_an_outage(tmp_path: Path) -> None:
    """Without the folder there is no free space to know."""
    with pytest.raises(Unavailable) as caught:
        room.Room(tmp_path / "gone", Settings()).require()
    assert caught.value.code is Outage.SPOOL_FAILED


def test_what_may_come_another_day_asks_for_more_room(tmp_path: Path, free: Callable[[int], None]) -> None:
    """It is ample above the first mark alone, looked at anew each time."""
    one = room.Room(tmp_path, Settings(spool_low_mb=100, spool_full_mb=10))
    seen = []
    for free_mb in (500, 99, 5, 100):
        free(free_mb)
        seen.append(one.is_ample())
    assert seen == [True, False, False, True]
