"""deploy/systemd/: units that systemd itself finds whole and confined, and commands that are there."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from node.cli import app

UNITS = Path(__file__).parents[3] / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
CONFINED = {
    *("User=crlm-node", "Group=crlm-node", "UMask=0077", "StateDirectoryMode=0700", "NoNewPrivileges=yes"),
    *("ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateMounts=yes", "PrivateDevices=yes"),
    *("ProtectProc=invisible", "ProtectClock=yes", "ProtectHostname=yes", "ProtectControlGroups=yes", "RemoveIPC=yes"),
    *("ProtectKernelLogs=yes", "ProtectKernelModules=yes", "ProtectKernelTunables=yes", "LockPersonality=yes"),
    *("RestrictNamespaces=yes", "RestrictRealtime=yes", "RestrictSUIDSGID=yes"),
    *("RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "CapabilityBoundingSet=", "AmbientCapabilities="),
    *("SystemCallArchitectures=native", "SystemCallFilter=@system-service", "SystemCallErrorNumber=EPERM"),
}
BAR = 15  # tenths: of the exposure that systemd-analyze gives from 0 (confined) to 100
_PROGRAM = "/opt/crlm-node/bin/crlm-node"


@pytest.fixture
def analysed(tmp_path: Path, program: Callable[[str], str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that asks systemd-analyze about the units, with the program at the place of this Python."""
    analyse = program("systemd-analyze")
    for path in UNITS.glob("crlm-node*"):
        (tmp_path / path.name).write_text(path.read_text().replace(_PROGRAM, sys.executable))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([analyse, *words], cwd=tmp_path, text=True, capture_output=True, check=False)

    return run


def test_systemd_finds_nothing_wrong(analysed: Callable[..., Any]) -> None:
    """Every unit is understood, to the last key, and what it wants is there."""
    names = [f"./{path.name}" for pattern in ("*.service", "*.target") for path in sorted(UNITS.glob(pattern))]
    done = analysed("verify", "--man=no", *names)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", [path.name for path in SERVICES])
def test_no_unit_lacks_a_line_that_confines_it(unit: str) -> None:
    """One line less may still be under the bar; what compiles while it runs, the worker, alone may execute memory."""
    lines = (UNITS / unit).read_text().splitlines()
    assert CONFINED - set(lines) == set()
    assert [line for line in lines if line.startswith("SystemCallFilter=~@privileged")]
    assert ("MemoryDenyWriteExecute=yes" in lines) is ("@" not in unit)


@pytest.mark.parametrize("unit", [path.name for path in SERVICES])
def test_no_unit_is_more_exposed_than_the_bar(unit: str, analysed: Callable[..., Any]) -> None:
    """What systemd itself counts that a service could do."""
    done = analysed("security", "--offline=yes", "--no-pager", f"--threshold={BAR}", f"./{unit}")
    assert done.returncode == 0, done.stdout[-200:]


def test_the_bar_can_be_missed(analysed: Callable[..., Any], tmp_path: Path) -> None:
    """A unit that confines nothing is far beyond it."""
    (tmp_path / "bare.service").write_text(f"[Service]\nExecStart={sys.executable}\n")
    assert analysed("security", "--offline=yes", "--no-pager", f"--threshold={BAR}", "./bare.service").returncode != 0


def test_every_command_is_one_of_the_command_line() -> None:
    """What a unit starts is understood to the last word, for each queue."""
    group: Any = get_command(app)
    started = set()
    for path in SERVICES:
        lines = re.findall(rf"^ExecStart(?:Pre)?={_PROGRAM} (.+)$", path.read_text(), re.MULTILINE)
        queues = ("segment", "measure", "deliver") if "@" in path.name else ("",)
        for words in (line.replace("%i", queue).split() for line in lines for queue in queues):
            started.add(" ".join(words[:2]) if words[0] == "ledger" else words[0])
            command, rest = group, words
            while rest and hasattr(command, "resolve_command"):
                context = command.make_context("x", rest, resilient_parsing=True)
                name, command, rest = command.resolve_command(context, rest)
            with command.make_context(name, rest) as context:
                assert context.args == []
    assert started == {"listen", "steward", "web", "worker", "ledger upgrade"}


def test_who_comes_first_and_who_last() -> None:
    """The steward's unit migrates before it starts, the others begin after it; the target ends when all have ended."""
    assert "\nExecStartPre=" in (UNITS / "crlm-node-steward.service").read_text()
    for path in SERVICES:
        [after] = re.findall(r"^After=(.*)$", path.read_text(), re.MULTILINE)
        assert ("crlm-node-steward.service" in after) is ("steward" not in path.name)
        assert "crlm-node.target" in after.split()


def test_the_target_wants_every_process() -> None:
    """Who enables the target has them all."""
    wanted = set(re.findall(r"crlm-node-[\w@]+\.service", (UNITS / "crlm-node.target").read_text()))
    assert {re.sub(r"@\w+", "@", name) for name in wanted} == {path.name for path in SERVICES}
    assert {"segment", "measure", "deliver"} == {name[17:-8] for name in wanted if "@" in name}
