"""A structure-aware fuzz of a listener process, PDUs and data sets, and what the later stages make of what it stored.

Seeded, and bounded to about a minute in `make test`. A longer run, or another one:

    CRLM_TEST_FUZZ_S=1800 CRLM_TEST_FUZZ_SEED=7 .venv/bin/pytest tests/wire/test_fuzz.py

A failed conversation is repeated alone by its seed and name: `TALKS[kind](Random("SEED/kind/index"), wire)`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random

import pytest
from pydicom.uid import CTImageStorage, generate_uid

from . import fuzz_data, process, stored
from .fuzz_pdus import TALKS, associated
from .pdu import associate_rq, context, message, store_rq
from .process import ListenerProcess
from .watch import Watch

SEED = os.environ.get("CRLM_TEST_FUZZ_SEED", "1")
BUDGET_S = float(os.environ.get("CRLM_TEST_FUZZ_S", "30"))
MEMORY_BYTES = 3 * 2**30
AT_ONCE = 8
SLICES = 4

pytestmark = pytest.mark.timeout(600 + 4 * BUDGET_S)
_CONTEXTS = [context(2 * index + 1, CTImageStorage, [uid]) for index, uid in enumerate(fuzz_data.SYNTAXES)]

Open = Callable[[], Watch]


@pytest.fixture
def open_watch(tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Return a function that starts a listener process which cannot take more than 3 GB, and watches it.

    It has one arena of malloc: with one for each of its threads, what is free lies scattered, and 160 MB settle at 280
    only after thousands of data sets, which says nothing of leaks.
    """
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    opened: list[Watch] = []

    def start() -> Watch:
        home = tmp_path / "site" / "home"
        home.mkdir(parents=True)
        opened.append(Watch(ListenerProcess(home, free_port(), memory=MEMORY_BYTES)))
        return opened[-1]

    yield start
    for watch in opened:
        if watch.process.process.poll() is None:
            watch.process.process.kill()
            watch.process.process.wait()


@pytest.fixture
def watch(open_watch: Open, capsys: pytest.CaptureFixture[str]) -> Iterator[Watch]:
    """A watched listener, whose counts are printed at the end, and which ends politely."""
    one = open_watch()
    yield one
    with capsys.disabled():
        sys.stdout.write(f"\n{one.table()}\n")
    assert one.process.end() == 0


def converse(watch: Watch, kind: str, index: int) -> None:
    """Lead one conversation that breaks the rules."""
    with watch.wire() as wire:
        TALKS[kind](Random(f"{SEED}/{kind}/{index}"), wire)  # noqa: S311 - to be repeated
    watch.note(kind, wire)


def offer_study(watch: Watch, index: int) -> None:
    """Offer a small study, one slice of which is broken, or all of them."""
    rng = Random(f"{SEED}/data/{index}")  # noqa: S311 - to be repeated
    study, series = f"2.25.{rng.getrandbits(120)}", f"2.25.{rng.getrandbits(120)}"
    bad = set(range(SLICES)) if index % 2 else {rng.randrange(SLICES)}
    slices = [
        fuzz_data.broken(rng, study, series, number)
        if number in bad
        else fuzz_data.good(study, series, number, f"2.25.{rng.getrandbits(120)}")
        for number in range(SLICES)
    ]
    offer_all(watch, slices)


def offer_all(watch: Watch, slices: list[fuzz_data.Broken]) -> None:
    """Offer slices over one association; each is answered."""
    with watch.wire() as wire:
        associated(wire, associate_rq(_CONTEXTS))
        for one in slices:
            place = 2 * fuzz_data.SYNTAXES.index(one.syntax) + 1
            wire.say(message(place, store_rq(one.sop_instance_uid), one.data_set))
            answer = wire.hear()
            assert answer is not None, f"no answer over {one.how} in {one.syntax}"
            watch.note_store(one.how.split("+")[0], one.sop_instance_uid, one.data_set, answer)
        wire.hear_out()
    assert not wire.hung


def fuzz(watch: Watch, batch: Callable[[ThreadPoolExecutor, int], object], seconds: float) -> None:
    """Run batches, judge the listener after each, and at the end everything that it keeps."""
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in count():
            if number > 2 and time.monotonic() > until:
                break
            with suppress(ConnectionRefusedError):  # it is judged next
                batch(pool, number)
            watch.serves()
            watch.returns()
    watch.keeps_its_word()


def talk_all(watch: Watch, pool: ThreadPoolExecutor, number: int, each: int = 10) -> None:
    """Lead `each` conversations of every kind, several at once."""
    work = [(kind, number * each + index) for index in range(each) for kind in TALKS]
    for done in [pool.submit(converse, watch, *one) for one in work]:
        done.result()


def test_pdus(watch: Watch) -> None:
    """PDUs, items, command sets, fragments and states that break the standard: it serves on, and keeps its word."""
    fuzz(watch, lambda pool, number: talk_all(watch, pool, number), BUDGET_S / 2)
    assert {"aborted", "answered", "closed", "refused by status", "rejected", "stored"} <= set(watch.counts)


def test_data_sets(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    """Broken data sets are stored or refused by a status; no later stage fails over what was stored, but by a code."""
    studies = count()

    def batch(pool: ThreadPoolExecutor, number: int) -> None:
        del number
        for done in [pool.submit(offer_study, watch, next(studies)) for _ in range(16)]:
            done.result()

    fuzz(watch, batch, BUDGET_S / 2)
    assert watch.counts["stored"] > watch.counts["sent"] / 4
    assert watch.counts["refused by status"] > watch.counts["sent"] / 10
    home = watch.process.settings.home
    done = subprocess.run(
        [sys.executable, stored.__file__, str(home)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    with capsys.disabled():
        sys.stdout.write(f"\nstudies {report['studies']}\ncandidates {report['candidates']}\n")
    assert report["faults"] == []
    assert not [state for state in report["studies"] if "steward-failed" in state]
    assert report["candidates"]["volume"] > 0
    assert report["candidates"]["pixels-unreadable"] > 0


def test_a_deflate_bomb_is_inflated_in_small_pieces(watch: Watch) -> None:
    """Half a megabyte that is half a gigabyte: stored as it came, and it never takes the memory for it."""
    watch.serves()
    watch.returns()
    offer_all(watch, [fuzz_data.bomb(generate_uid(), generate_uid(), generate_uid())])
    watch.serves()
    watch.returns()
    peak = watch.peak_bytes()
    assert watch.counts["stored"] == 1
    assert watch.level is not None
    assert peak < watch.level.rss_bytes + fuzz_data.BOMB_BYTES / 4, f"{peak / 2**20:.0f} MB at the peak"


_PLANTS = {
    "died": (
        "import os\nfrom node.association import _Conversation as C\nends, end = [], C.finish\n"
        "C.finish = lambda self: (ends.append(1), os._exit(3) if len(ends) > 20 else end(self))"
    ),
    "MB more": (
        "from node.association import _Conversation as C\nheld, end = [], C.finish\n"
        "C.finish = lambda self: (held.append(bytes(range(256)) * 4096), end(self))"
    ),
    "threads, as before": (
        "import threading, time\nfrom node.association import _Conversation as C\nend = C.finish\n"
        "C.finish = lambda self: (threading.Thread(target=time.sleep, args=(999,), daemon=True).start(), end(self))"
    ),
    "open files, as before": (
        "import os\nfrom node.association import _Conversation as C\nend = C.finish\n"
        "C.finish = lambda self: (os.dup(1), end(self))"
    ),
    "neither an answer nor the end": (
        "import time\nfrom node.association import _Conversation as C\nends = []\n"
        "def hang(self, end=C.finish):\n    ends.append(1)\n    time.sleep(999 * (len(ends) > 20))\n    end(self)\n"
        "C.finish = hang"
    ),
    "acknowledged and not in the ledger": (
        "from node.intake import Intake\nfrom node.core.offer import Taken\n"
        "Intake.take = lambda self, offer: Taken.STORED"
    ),
    "a file beside the home": (
        "import os\nfrom pathlib import Path\nfrom node.association import _Conversation as C\nend = C.finish\n"
        "beside = Path(os.environ['CRLM_NODE_CONFIG']).parents[1] / 'beside'\n"
        "C.finish = lambda self: (beside.touch(), end(self))"
    ),
}


@pytest.mark.parametrize("verdict", list(_PLANTS))
def test_the_judge_sees_it(verdict: str, open_watch: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that dies, leaks, hangs, lies or writes elsewhere is found out, each by its own judgement."""
    monkeypatch.setattr(process, "_LIMITED", f"{_PLANTS[verdict]}\n{process._LIMITED}")
    watch = open_watch()
    watch.limit_s = 5
    with pytest.raises(AssertionError, match=verdict):
        fuzz(watch, lambda pool, number: talk_all(watch, pool, number, each=4), 0)
