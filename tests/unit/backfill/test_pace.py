"""When the next study may come."""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest

from node import room
from node.backfill.pace import Pace, Wait, Window
from node.core.ledger import Ledger, jobs
from node.core.records import JobRequest
from node.core.settings import Settings
from node.room import Room

AT = datetime.fromisoformat("2026-11-21T22:30:00")


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("20:00-06:00", ["20:00", "23:59", "00:00", "05:59"], ["06:00", "12:00", "19:59"]),
        ("01:30-05:00", ["01:30", "04:59"], ["01:29", "05:00", "23:00"]),
        ("00:00-23:59", ["00:00", "12:00"], ["23:59"]),
    ],
)
def test_a_window_is_open_from_its_begin_until_its_end(window: str, inside: list[str], outside: list[str]) -> None:
    """Within a day, and over midnight."""
    one = Window.parse(window)
    assert str(one) == window
    assert all(one.is_open(time.fromisoformat(at)) for at in inside)
    assert not any(one.is_open(time.fromisoformat(at)) for at in outside)


@pytest.mark.parametrize("text", ["20-06", "20:00", "24:00-06:00", "20:00-20:00", "8:00-9:00", "20:60-06:00", "x"])
def test_windows_that_are_none(text: str) -> None:
    """Another form, or no length."""
    with pytest.raises(ValueError, match="window"):
        Window.parse(text)


@pytest.fixture
def pace(ledger: Ledger, tmp_path: Path) -> Callable[..., Pace]:
    """Return a function that makes a pace, at half past ten in the evening unless said."""

    def make(at: datetime = AT, low_mb: int = 0, at_once: int = 2, **limits: object) -> Pace:
        spool = Room(tmp_path, Settings(spool_low_mb=low_mb, spool_full_mb=0))
        return Pace(ledger, spool, at_once, clock=lambda: at, **limits)  # type: ignore[arg-type]

    return make


def test_nothing_stands_in_the_way(pace: Callable[..., Pace]) -> None:
    """Within the window, below every limit."""
    assert pace(per_hour=2, window=Window.parse("20:00-06:00")).obstacle([AT - timedelta(hours=2), AT]) is None


def test_outside_the_window(pace: Callable[..., Pace]) -> None:
    """It says when it goes on."""
    noon = AT.replace(hour=12)
    said = pace(noon, window=Window.parse("20:00-06:00")).obstacle([])
    assert said == Wait("between", "waits for 20:00 (--between 20:00-06:00)")


def test_so_many_in_any_hour(pace: Callable[..., Pace]) -> None:
    """The third study of an hour waits until the first is an hour old, to the second."""
    begun = [AT - timedelta(minutes=50), AT - timedelta(minutes=10)]
    assert pace(per_hour=2).obstacle(begun) == Wait("per-hour", "waits until 22:40:00 (--per-hour 2)")
    assert pace(AT + timedelta(minutes=9, seconds=59), per_hour=2).obstacle(begun) is not None
    assert pace(AT + timedelta(minutes=10), per_hour=2).obstacle(begun) is None


def test_todays_patients_count(
    pace: Callable[..., Pace],
    ledger: Ledger,
    store: Callable[..., list[str]],
    request_of: Callable[..., JobRequest],
) -> None:
    """Whatever is received or waits for a worker, whoever sent it; what has reported does not."""
    store("1.2.3")
    assert pace().obstacle([]) is None
    store("1.2.4", series="1.2.4.1")
    said = "waits: 2 studies are being received or measured (--at-once 2)"
    assert pace().obstacle([]) == Wait("at-once", said)
    assert pace(at_once=3).obstacle([]) is None
    with ledger.transaction() as session:
        jobs.enqueue(session, request_of("1.2.3"))
    assert pace(at_once=3).obstacle([]) is not None


def test_room_for_today_is_left(pace: Callable[..., Pace], monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the mark that is warned of, a backfill waits, long before a sender is answered A700."""
    monkeypatch.setattr(room, "_PERIOD_S", 0.0)
    waits = pace(low_mb=10**9).obstacle([])
    assert waits == Wait("disk", "waits for free space in the spool (spool_low_mb)")
