"""Changes as they happen, and the small parts that a page is made of."""

import asyncio
from datetime import date

import pytest

from node.core.ledger import Ledger
from node.core.ledger.moves import born
from node.web import machine, pages
from node.web.live import Pulse
from node.web.plot import Point, draw


def test_a_change_is_told_and_nothing_of_it(ledger: Ledger) -> None:
    """The stream begins in silence; an event of the ledger makes one of the stream."""
    pulse = Pulse(ledger, period_s=0.01)

    async def listen() -> list[str]:
        beats = pulse.beats()
        told = [await anext(beats)]
        with ledger.transaction() as session:
            born(session, "study", "1.2.3", "receiving", "first instance")
        told.append(await anext(beats))
        pulse.ended = True
        told += [one async for one in beats]
        return told

    assert asyncio.run(listen()) == ["retry: 2000\n\n", "id: 1\nevent: change\ndata: 1\n\n"]


def test_many_who_listen_are_one_who_looks(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is looked at once in a period."""
    looked = []
    real = ledger.reading
    monkeypatch.setattr(ledger, "reading", lambda: (looked.append(1), real())[1])
    pulse = Pulse(ledger, period_s=60)
    for _ in range(50):
        pulse.last()
    assert len(looked) == 1


def test_a_curve_lies_within_its_picture() -> None:
    """Marks and ends of ranges; the rows are round numbers around all values."""
    points = [Point(date(2026, 1, 1), 101.5, (90, 110)), Point(date(2026, 6, 1), 96.25)]
    plot = draw(points)
    assert [mark.x for mark in plot.marks] == sorted(mark.x for mark in plot.marks)
    assert all(plot.top <= place <= plot.bottom for mark in plot.marks for place in (mark.y, mark.low or mark.y))
    assert plot.marks[0].y < plot.marks[1].y  # the larger value is higher
    assert [tick.text for tick in plot.rows] == ["90", "95", "100", "105", "110"]


@pytest.mark.parametrize("value", [0.0, 5.0, -0.25, 1234.5])
def test_a_single_value_has_a_picture(value: float) -> None:
    """In the middle, between two rows at least."""
    plot = draw([Point(date(2026, 1, 1), value)])
    assert len(plot.rows) >= 2
    assert plot.top < plot.marks[0].y < plot.bottom


def test_gpus_are_read_as_the_driver_tells_them() -> None:
    """What it does not know counts as zero."""
    told = "0, NVIDIA A2, 37, 2048, 15356, 51\n1, NVIDIA T4, [N/A], 0, 15360, [N/A]\n"
    first, second = machine.read(told)
    assert (first.name, first.load, first.used_bytes, first.celsius) == ("NVIDIA A2", 0.37, 2**31, 51)
    assert (second.load, second.celsius) == (0, 0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_000, "1 d 1 h")]
)
def test_a_length_of_time_in_words(seconds: float, words: str) -> None:
    """Two units at most."""
    assert pages.duration(seconds) == words


def test_what_is_vendored_is_what_was_published() -> None:
    """htmx by its digest, with its licence beside it."""
    import hashlib

    digest = hashlib.sha256((pages.STATIC / "htmx-2.0.4.min.js").read_bytes()).hexdigest()
    assert digest == "e209dda5c8235479f3166defc7750e1dbcd5a5c1808b7792fc2e6733768fb447"
    assert "Zero-Clause BSD" in (pages.STATIC / "htmx-LICENSE").read_text()
