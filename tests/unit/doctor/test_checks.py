"""The checks that need no PACS, each with what it looks at made well and made wrong."""

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from postgres import DATABASES, ledger_urls
from rich.console import Console
from sqlalchemy import text

from node.core.ailments import Ailment
from node.core.findings import Finding, Level, Part, fault, fine, note, warning
from node.core.ledger import Ledger, now, queues
from node.core.ledger.tables import Commitment
from node.core.settings import CallingPeer, PacsDestination, Settings, WebDestination
from node.core.states import Stage
from node.doctor import chart, clock, disk, examine, networks, orthanc, peers, processes, web
from node.doctor import ledger as ledger_check
from node.doctor import settings as settings_check
from node.doctor.visit import Visit, same_host
from workers import checks

PACS = PacsDestination(kind="dicom", name="pacs", ae_title="PACS", host="127.0.0.1", port=1, commitment=True)


def told(found: Iterator[Finding]) -> list[tuple[str, Level, Ailment | None]]:
    """Return what was found, without its words."""
    return [(one.check, one.level, one.ailment) for one in found]


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a ledger of this test alone, in both databases."""
    yield from ledger_urls(request, tmp_path)


def test_a_ledger_is_looked_at_and_never_made(ledger_url: str, tmp_path: Path) -> None:
    """Missing, sound, of another schema, with a queue that stands still and a PACS that never reports."""
    visit = Visit(Settings(home=tmp_path, ledger_url=ledger_url, destinations=(PACS,)))
    if ledger_url.startswith("sqlite"):
        missing = [("ledger.schema", Level.WARNING, Ailment.LEDGER_MISSING)]
        assert told(ledger_check.look(visit)) == missing
        assert told(ledger_check.look(visit)) == missing
    ledger = Ledger(ledger_url)
    ledger.upgrade()
    sound = [("ledger.schema", Level.FINE, None)]
    assert told(ledger_check.look(visit)) == sound
    with ledger.transaction() as session:
        queues.pause(session, Stage.MEASURE, "a test")
        for number, age_s in enumerate((1000, 2000)):
            at = now() - timedelta(seconds=age_s)
            session.add(Commitment(transaction_uid=f"1.{number}", destination="pacs", requested_at=at))
    silent = ("ledger.commitment", Level.WARNING, Ailment.COMMITMENT_SILENT)
    paused = ("ledger.queue", Level.WARNING, Ailment.QUEUE_PAUSED)
    assert told(ledger_check.look(visit)) == [*sound, paused, silent]
    with ledger.transaction() as session:
        session.get_one(Commitment, "1.1").answered_at = now()
        session.execute(text("UPDATE queue SET paused_at = NULL"))
    assert told(ledger_check.look(visit)) == sound
    with ledger.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    [one] = ledger_check.look(visit)
    assert (one.level, one.ailment) == (Level.FAULT, Ailment.SCHEMA_OLDER)
    assert "has the schema 0002" in one.found
    ledger.close()


def test_a_database_that_is_away_is_found(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """Its URL is told without the password."""
    url = f"postgresql+psycopg://crlm:secret@127.0.0.1:{free_port()}/crlm?connect_timeout=2"
    [one] = ledger_check.look(Visit(Settings(home=tmp_path, ledger_url=url)))
    assert (one.check, one.ailment) == ("ledger.open", Ailment.LEDGER_DOWN)
    assert "secret" not in one.found


@pytest.mark.parametrize(
    ("device", "seen", "level", "ailment"),
    [
        ("cpu", {"gpus": []}, Level.FINE, None),
        ("cpu", {"gpus": ["A"]}, Level.NOTE, Ailment.GPU_UNUSED),
        ("gpu", {"gpus": ["A"]}, Level.FINE, None),
        ("gpu:1", {"gpus": ["A"]}, Level.FAULT, Ailment.GPU_UNSEEN),
        ("gpu:1", {"gpus": ["A", "B"]}, Level.FINE, None),
        ("gpu", {"gpus": []}, Level.FAULT, Ailment.GPU_UNSEEN),
        ("gpu", {"gpus": [], "cuda": None}, Level.FAULT, Ailment.TORCH_WITHOUT_GPU),
        ("gpu", {"gpus": ["broken"]}, Level.FAULT, Ailment.GPU_UNSEEN),
        ("gpu", {"error": "ImportError: no"}, Level.FAULT, Ailment.TORCH_BROKEN),
    ],
)
def test_what_torch_sees_is_judged(device: str, seen: dict[str, Any], level: Level, ailment: Ailment | None) -> None:
    """By the device that is set: a GPU that is not there is a fault, one that is not used is none."""
    cards = [
        {"name": name, "memory_gb": 80.0, "fault": "no kernel image" if name == "broken" else ""}
        for name in seen.get("gpus", ())
    ]
    one = checks.judged(device, {"torch": "2.13.0", "cuda": "12.6"} | seen | {"gpus": cards})
    assert (one.level, one.ailment) == (level, ailment)


def test_without_the_libraries_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """networks = true on a machine without torch is a fault; without the workers' own libraries it is none."""
    settings = Settings(home=tmp_path)
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "torch" else name)
    [one] = checks.of_device(settings)
    assert (one.ailment, one.found) == (
        Ailment.LIBRARIES_MISSING,
        "networks = true, and torch is not installed here.",
    )

    class Absent:
        name = "weights"

        def load(self) -> None:
            raise ImportError("No module named scipy", name="scipy")

    monkeypatch.setattr(networks, "entry_points", lambda **_: [Absent()])
    assert told(networks.look(Visit(settings))) == [("networks.installed", Level.NOTE, Ailment.PART_MISSING)]


@pytest.mark.parametrize(
    ("by_s", "level"),
    [(0, Level.FINE), (-4.9, Level.FINE), (5.1, Level.WARNING), (-59, Level.WARNING), (61, Level.FAULT)],
)
def test_a_difference_of_clocks_is_judged(by_s: float, level: Level) -> None:
    """In both directions, by five seconds and a minute."""
    assert clock.compared("it", by_s).level is level


@pytest.mark.parametrize(
    ("free", "level"), [(999, Level.FAULT), (1001, Level.WARNING), (400_000, Level.WARNING), (600_000, Level.FINE)]
)
def test_inodes_are_counted(free: int, level: Level) -> None:
    """Of ten millions, 5 % are few, and less than a study needs are none."""
    assert disk._inodes(Path("/"), free, 10_000_000).level is level


def test_a_home_that_may_not_be_made_is_found(tmp_path: Path) -> None:
    """What stands in its place is a file, which not even root may make a folder in."""
    (tmp_path / "home").write_text("not a folder")
    found = told(disk.look(Visit(Settings(home=tmp_path / "home", spool_low_mb=0, spool_full_mb=0))))
    assert found[0] == ("disk.spool", Level.FAULT, Ailment.HOME_FORBIDDEN)


def test_the_port_of_another_program_is_found(tmp_path: Path) -> None:
    """It is named; a free port is that of a listener that does not run; a foreign address is none of ours."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        [one, steward] = processes.look(Visit(Settings(home=tmp_path, port=port)))
        assert (one.level, one.ailment) == (Level.FAULT, Ailment.PORT_TAKEN)
        assert f"(process {os.getpid()})" in one.found
    assert steward.ailment is Ailment.STEWARD_DOWN
    [one, _] = processes.look(Visit(Settings(home=tmp_path, port=port)))
    assert (one.level, one.ailment) == (Level.WARNING, Ailment.LISTENER_DOWN)
    [one, _] = processes.look(Visit(Settings(home=tmp_path, port=port, host="192.0.2.1")))
    assert (one.level, one.ailment) == (Level.FAULT, Ailment.ADDRESS_FOREIGN)


def test_a_listener_that_only_this_machine_reaches_is_found(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """Where a caller of another machine is named."""
    calling = (CallingPeer(ae_title="CT1", hosts=("10.0.0.7",)),)
    _, one, _ = processes.look(Visit(Settings(home=tmp_path, port=free_port(), calling=calling)))
    assert (one.level, one.ailment) == (Level.WARNING, Ailment.LOOPBACK_ONLY)


def test_a_steward_is_seen_by_its_lock(tmp_path: Path) -> None:
    """Of another process; the lock is not touched, so that a steward may start at this moment."""
    line = "import sys, time; from pathlib import Path; from node.core.lock import alone\n"
    line += "with alone(Path(sys.argv[1]), ''): print('held', flush=True); time.sleep(60)"
    words = [sys.executable, "-c", line, str(tmp_path / "steward.lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        one = processes._steward(Settings(home=tmp_path))
        holder.kill()
    assert (one.level, one.found) == (Level.FINE, f"The steward works (process {holder.pid}).")


def test_settings_that_cannot_be_read_are_the_one_finding(tmp_path: Path) -> None:
    """The key is named, and nothing else is looked at."""
    (tmp_path / "config.toml").write_text("prot = 104\n")
    [(part, one)] = examine(tmp_path / "config.toml")
    assert (part, one.level, one.ailment) == (Part.SETTINGS, Level.FAULT, Ailment.SETTINGS_UNSOUND)
    assert one.found == "prot: unknown key."
    assert str(tmp_path / "config.toml") in one.cure


def test_files_that_the_settings_name_are_read(tmp_path: Path) -> None:
    """A form of patient facts that is not there, and callers and destinations that nobody has named."""
    found = told(settings_check.look(Visit(Settings(home=tmp_path, patient_facts=tmp_path / "none.csv"))))
    assert found == [
        ("settings.files", Level.FAULT, Ailment.SETTINGS_UNSOUND),
        ("settings.calling", Level.WARNING, Ailment.NOBODY_MAY_CALL),
        ("settings.destinations", Level.WARNING, Ailment.RESULTS_GO_NOWHERE),
    ]


def test_two_names_of_one_host_are_known() -> None:
    """A name and its address; other addresses are others, and a name that nobody knows is itself alone."""
    assert same_host("localhost", "127.0.0.1")
    assert not same_host("127.0.0.1", "127.0.0.9")
    assert (same_host("pacs.invalid", "pacs.invalid"), same_host("pacs.invalid", "127.0.0.1")) == (True, False)


def test_a_name_that_nobody_knows_is_found() -> None:
    """A host that no name server may know (RFC 6761)."""
    unknown = PACS.model_copy(update={"host": "pacs.invalid"})
    [one] = peers.look(Visit(Settings(destinations=(unknown,))))
    assert (one.check, one.ailment) == ("peer.echo", Ailment.HOST_UNKNOWN)


class _Server(BaseHTTPRequestHandler):
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        """Answer with the status that the test wants."""
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        """Say nothing."""


@pytest.mark.parametrize(
    ("status", "level", "ailment"),
    [
        (200, Level.FINE, None),
        (204, Level.FINE, None),
        (401, Level.FAULT, Ailment.WEB_DENIED),
        (404, Level.FAULT, Ailment.WEB_SILENT),
        (None, Level.FAULT, Ailment.WEB_SILENT),
    ],
)
def test_a_dicomweb_server_is_asked(
    status: int | None, level: Level, ailment: Ailment | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers, denies, has nothing there, or is away; one that answers tells its time too."""
    monkeypatch.setattr(_Server, "status", status or 200)
    server = HTTPServer(("127.0.0.1", 0), _Server)
    if status is None:
        server.server_close()
    else:
        Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
    destination = WebDestination(kind="dicomweb", name="web", url=url)
    first, *more = told(web.look(Visit(Settings(destinations=(destination,)))))
    assert first == ("web.answers", level, ailment)
    assert more == ([("clock.compared", Level.FINE, None)] if level is Level.FINE else [])
    if status is not None:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secret_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    """The file of a token is missing, or no text: the server is not asked without it, as an Orthanc neither."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    destination = WebDestination(kind="dicomweb", name="web", url="http://127.0.0.1:1", token_file=file)
    visit = Visit(Settings(destinations=(destination,)))
    [one] = web.look(visit)
    assert (one.level, one.ailment) == (Level.FAULT, Ailment.WEB_DENIED)
    assert f"{file} cannot be read" in one.found
    assert list(orthanc.look(visit)) == []


FOUND = [
    fine("disk.spool", "It works."),
    note("disk.folder", "It was [not] looked at."),
    warning("ledger.queue", Ailment.QUEUE_PAUSED, "The queue measure is paused.", "measure", queue="measure"),
    fault("disk.inodes", Ailment.INODES_LOW, "3 of 1000000 inodes are free there.", path="/var/lib/crlm-node"),
]


def test_the_chart_needs_no_colours() -> None:
    """A word and a mark on each line, the cure below, the counts at the end; it fits 80 columns."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    chart.heading(console, Part.DISK)
    for one in FOUND:
        chart.line(console, one)
    chart.summary(console, FOUND)
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.rstrip() for line in drawn.splitlines()]
    assert lines[1:7] == [
        "Disk",
        "  ✓ fine    It works.",
        "  · note    It was [not] looked at.",
        "  ! warning The queue measure is paused.",
        "            → When it may go on: crlm-node resume measure.",
        "  ✗ FAULT   3 of 1000000 inodes are free there.",
    ]
    assert lines[-2:] == [
        "4 things looked at: 1 fine, 1 note, 1 warning, 1 fault.",
        "Mend the faults in this order.",
    ]
    assert all(len(line) <= 80 for line in lines)


def test_what_monitoring_reads() -> None:
    """One object: whether it is sound, counts by level, and each finding with its code."""
    told_ = json.loads(chart.as_json([(Part.DISK, one) for one in FOUND]))
    assert (told_["sound"], told_["counts"]) == (False, {"fine": 1, "note": 1, "warning": 1, "fault": 1})
    assert told_["findings"][3] == {
        "part": "disk",
        "check": "disk.inodes",
        "subject": "",
        "level": "fault",
        "ailment": "inodes-low",
        "found": "3 of 1000000 inodes are free there.",
        "cure": "Remove small files on the file system of /var/lib/crlm-node, or make it anew with more inodes.",
    }
