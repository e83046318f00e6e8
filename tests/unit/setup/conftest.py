"""Stand-in programs on PATH, so that the set-up's scripts meet machines that this one is not."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
SETUP = PROJECT / "deploy" / "setup"


@dataclass
class Machine:
    """A machine made of stand-ins: their folder is first on PATH, and each call of theirs is a line in the log."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> list[str]:
        """Every call of a stand-in, in order: its name and its arguments."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def forget(self) -> None:
        """Empty the log."""
        (self.folder / "log").unlink(missing_ok=True)

    def has(self, name: str, script: str = "") -> Path:
        """Put a stand-in on PATH that notes its call and then runs ``script``."""
        path = self.folder / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.folder}/log"\n{script}\n')
        path.chmod(0o755)
        return path

    def run(
        self, script: Path | str, *args: str, cwd: Path = PROJECT, answer: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of the set-up on this machine, with ``answer`` on its standard input."""
        env = {"PATH": f"{self.folder}:/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8", **self.env}
        return subprocess.run(
            ["bash", str(script), *args],
            cwd=cwd, env=env, input=answer, text=True, capture_output=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    folder = tmp_path / "bin"
    folder.mkdir()
    machine = Machine(folder)
    machine.has("id", "echo 1000")
    # Nothing here may reach the real ones, whatever a script does.
    for name in ("sudo", "apt-get", "update-rc.d"):
        machine.has(name)
    return machine


@pytest.fixture
def python(machine: Machine, tmp_path: Path) -> Callable[..., None]:
    """A stand-in for the Python that the set-up is told to use: good in every respect, unless told otherwise."""
    include = tmp_path / "include"
    include.mkdir()
    (include / "Python.h").touch()
    machine.has("fine-cc")

    def make(version: str = "3.11", *, venv: bool = True, compiler: str = "fine-cc", headers: bool = True) -> None:
        place = include if headers else tmp_path / "nowhere"
        path = machine.has(
            "python-of-the-site",
            f"""case "$*" in
                -VV) echo "Python {version}.2 (stand-in)" ;;
                -V) echo "Python {version}.2" ;;
                *version_info*) echo {version} ;;
                *ensurepip*) exit {0 if venv else 1} ;;
                *CC*) echo {compiler} ;;
                *sys.exit*) test -f {place}/Python.h ;;
                *include*) echo {place} ;;
                "-m venv "*) mkdir -p "$3/bin"; cp "{machine.folder}/python-of-the-venv" "$3/bin/python" ;;
            esac""",
        )
        machine.env["PYTHON"] = str(path)

    make()
    return make
