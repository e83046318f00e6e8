"""A listener process under fire, judged from outside: it lives, serves, holds no more than before, keeps its word."""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from node.core.ledger import Ledger
from node.core.ledger.tables import StoredInstance

from .fuzz_pdus import a_slice
from .pdu import C_STORE_RSP, Answer, Kind, Wire, associate_rq, message, store_rq
from .process import ListenerProcess

PATIENCE_S = 60.0
# What Python and malloc keep of what was freed: 15 MB were seen over 2,000 data sets, 3 MB over 2,000 conversations.
SLACK_BYTES = 40 * 2**20

_INSTANCE = re.compile(r"spool/instances/[0-9.]{1,64}/[0-9.]{1,64}/[0-9.]{1,64}[^/]*\.dcm")
_OWN = re.compile(r"config\.toml|log|ledger\.sqlite(-wal|-shm|-host)?|spool/(spool|volume)[^/]*")
TRAPS = (Path("/tmp/crlm-fuzz"), Path("/tmp/crlm-fuzz.dcm"))  # noqa: S108 - nobody may write there
_FAULTS = ("store-failed", "thread-died", "connection-failed")


@dataclass(frozen=True)
class Level:
    """What a process holds: memory, threads, open files and sockets without those of the pool of the ledger."""

    rss_bytes: int
    threads: int
    files: int


@dataclass
class Watch:
    """Keeps the counts of one run and judges the process after each batch."""

    process: ListenerProcess
    counts: Counter[str] = field(default_factory=Counter)
    by_kind: dict[str, Counter[str]] = field(default_factory=dict)
    acknowledged: dict[str, set[str]] = field(default_factory=dict)
    level: Level | None = None
    limit_s: float = PATIENCE_S
    most_bytes: int = 0

    def wire(self) -> Wire:
        """Return a connection to the listener, to be opened."""
        return Wire(self.process.settings.port, self.limit_s)

    def note(self, kind: str, wire: Wire) -> None:
        """Count one conversation by what was heard, and keep what was acknowledged in it."""
        assert not wire.hung, f"{kind}: neither an answer nor the end within {wire.limit_s:g} s"
        outcome = _outcome(wire.heard)
        for count in (self.counts, self.by_kind.setdefault(kind, Counter())):
            count["sent"] += 1
            count[outcome] += 1
        for answer in wire.heard:
            uid = _stored(answer)
            if uid is not None:
                self.acknowledged.setdefault(uid, set())

    def note_store(self, kind: str, uid: str, data_set: bytes, answer: Answer | None) -> None:
        """Count one C-STORE request of an association that goes on."""
        status = None if answer is None or answer.kind != Kind.DATA else answer.status
        outcome = "aborted" if status is None else "stored" if status == 0 else "refused by status"
        for count in (self.counts, self.by_kind.setdefault(kind, Counter())):
            count["sent"] += 1
            count[outcome] += 1
        if status == 0:
            self.acknowledged.setdefault(uid, set()).add(hashlib.sha256(data_set).hexdigest())

    def serves(self) -> None:
        """It lives, answers C-ECHO, and stores a good slice."""
        assert self.process.process.poll() is None, f"the listener died: {self.process.process.returncode}"
        self.process.peer.echo()
        uid, data_set = a_slice()
        with self.wire() as wire:
            wire.say(associate_rq().encode())
            wire.hear()
            wire.say(message(1, store_rq(uid), data_set))
            answer = wire.hear()
            wire.hear_out()
        assert not wire.hung
        assert answer is not None
        assert answer.status == 0, answer.command
        self.acknowledged.setdefault(uid, set()).add(hashlib.sha256(data_set).hexdigest())

    def settle(self) -> Level:
        """Wait until nobody is connected any more and the number of threads stands still; return what it holds."""
        running = psutil.Process(self.process.process.pid)
        wait(lambda: len(running.net_connections("tcp")) == 1, "all connections are closed", self.limit_s)
        if self.level is not None:
            most = self.level
            wait(lambda: running.num_threads() <= most.threads, f"{most.threads} threads, as before", self.limit_s)
            wait(lambda: _files(running) <= most.files, f"{most.files} open files, as before", self.limit_s)
        now = Level(running.memory_info().rss, running.num_threads(), _files(running))
        self.most_bytes = max(self.most_bytes, now.rss_bytes)
        return now

    def returns(self) -> None:
        """What it holds is what it held at the first call, memory within the slack."""
        now = self.settle()
        if self.level is None:
            self.level = now
        grown = now.rss_bytes - self.level.rss_bytes
        assert grown <= SLACK_BYTES, f"{grown / 2**20:.0f} MB more than at the start"

    def peak_bytes(self) -> int:
        """Return the most memory that it ever held."""
        status = Path(f"/proc/{self.process.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def keeps_its_word(self) -> None:
        """Everything acknowledged is in spool and ledger, byte for byte; nothing else is there; no fault was logged."""
        home = self.process.settings.home
        assert [path.name for path in home.parent.iterdir()] == [home.name], "a file beside the home"
        assert not [trap for trap in TRAPS if trap.exists()], "a file where a UID pointed to"
        files = {str(path.relative_to(home)): path for path in home.rglob("*") if path.is_file()}
        strange = [name for name in files if not (_INSTANCE.fullmatch(name) or _OWN.fullmatch(name))]
        assert strange == [], strange
        held = {name: _data_set_digest(path) for name, path in files.items() if _INSTANCE.fullmatch(name)}
        ledger = Ledger(self.process.settings.ledger)
        with ledger.transaction() as session:
            rows = {row.sop_instance_uid: row.path for row in session.query(StoredInstance)}
        ledger.close()
        digests = set(held.values())
        for uid, contents in self.acknowledged.items():
            assert uid in rows, f"acknowledged and not in the ledger: {uid}"
            assert f"spool/{rows[uid]}" in held, f"acknowledged and not in the spool: {uid}"
            assert contents <= digests, f"acknowledged and stored otherwise: {uid}"
        assert {f"spool/{path}" for path in rows.values()} <= set(held)
        faults = self.faults()
        assert faults == [], faults[:3]

    def faults(self) -> list[dict[str, str]]:
        """What the listener logged of faults of the program."""
        lines = self.process.log.read_text(errors="replace").splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        strange = [line for line in lines if not line.startswith("{")]
        assert strange == [], strange[:20]
        return [event for event in events if event["event"] in _FAULTS]

    def table(self) -> str:
        """Return the counts as lines of text."""
        columns = sorted({name for count in self.by_kind.values() for name in count} - {"sent"})
        rows = [["", "sent", *columns]]
        rows += [[kind, *(str(count[name]) for name in rows[0][1:])] for kind, count in sorted(self.by_kind.items())]
        rows.append(["all", *(str(self.counts[name]) for name in rows[0][1:])])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        if self.level is not None:
            first, most = self.level.rss_bytes / 2**20, self.most_bytes / 2**20
            lines.append(f"memory {first:.0f} MB after the first batch, {most:.0f} MB at most after another")
        return "\n".join(lines)


def wait(condition: Callable[[], bool], what: str, limit_s: float) -> None:
    """Wait for a condition."""
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until, f"not within {limit_s:g} s: {what}"
        time.sleep(0.05)


def _files(running: psutil.Process) -> int:
    return running.num_fds() - sum("ledger.sqlite" in file.path for file in running.open_files())


def _outcome(heard: list[Answer]) -> str:
    kinds = [answer.kind for answer in heard]
    if any(_stored(answer) is not None for answer in heard):
        return "stored"
    if any(answer.kind == Kind.DATA and answer.status for answer in heard):
        return "refused by status"
    if Kind.DATA in kinds:
        return "answered"
    if Kind.ASSOCIATE_RJ in kinds:
        return "rejected"
    return "aborted" if Kind.ABORT in kinds else "closed"


def _stored(answer: Answer) -> str | None:
    found = answer.command if answer.kind == Kind.DATA else {}
    if found.get(0x0100) == C_STORE_RSP.to_bytes(2, "little") and answer.status == 0:
        return found.get(0x1000, b"").rstrip(b"\0 ").decode("ascii", "replace")
    return None


def _data_set_digest(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha256(content[144 + int.from_bytes(content[140:144], "little") :]).hexdigest()
