"""deploy/setup/preflight.sh: each missing thing is said with its cure, in one sentence, before any installation."""

from collections.abc import Callable

import pytest

from .conftest import SETUP, Machine

PREFLIGHT = SETUP / "preflight.sh"
GIGABYTE_KB = 1000 * 1000


@pytest.fixture(autouse=True)
def roomy(machine: Machine, python: Callable[..., None]) -> None:
    disk(machine, 100)
    memory(machine, 16)


def disk(machine: Machine, free_gb: float) -> None:
    """Let ``df`` say that so much is free."""
    machine.has("df", f"echo Filesystem blocks; echo /dev/x 1 1 {int(free_gb * GIGABYTE_KB)} 1% /")
    machine.has("du", "echo 0 .venv")


def memory(machine: Machine, gb: float) -> None:
    """Let ``getconf`` say that the machine has so much memory."""
    machine.has("getconf", f'[ "$1" = PAGE_SIZE ] && echo 4096 || echo {int(gb * 1e9 / 4096)}')


def sentences(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("stop: ", "note: "))]


def test_silent_where_nothing_is_missing(machine: Machine) -> None:
    """A machine that has everything hears nothing."""
    done = machine.run(PREFLIGHT, "worker")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("version", ["2.7", "3.9", "3.10"])
def test_old_python_stops_with_its_cure(machine: Machine, python: Callable[..., None], version: str) -> None:
    """An older Python stops the set-up, named with its version and with the way to name a newer one."""
    python(version)
    done = machine.run(PREFLIGHT, "worker")
    assert done.returncode == 1
    [sentence] = sentences(done.stderr)
    assert version in sentence
    assert "make install PYTHON=" in sentence


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14", "3.20"])
def test_newer_python_passes(machine: Machine, python: Callable[..., None], version: str) -> None:
    """Every Python from 3.11 on passes: versions are compared as numbers, not as text."""
    python(version)
    assert machine.run(PREFLIGHT, "worker").returncode == 0


def test_absent_python_stops_with_its_cure(machine: Machine) -> None:
    """A Python that is not there stops the set-up, and nothing else is said of it."""
    machine.env["PYTHON"] = "python-that-is-not-there"
    done = machine.run(PREFLIGHT, "worker")
    assert done.returncode == 1
    [sentence] = sentences(done.stderr)
    assert "install python3" in sentence


def test_absent_venv_stops_with_its_cure(machine: Machine, python: Callable[..., None]) -> None:
    """Debian's Python without python3-venv stops the set-up and names that package."""
    python(venv=False)
    done = machine.run(PREFLIGHT, "worker")
    assert done.returncode == 1
    assert "python3-venv" in sentences(done.stderr)[0]


@pytest.mark.parametrize(
    ("kind", "free_gb", "code"), [("worker", 5.9, 1), ("worker", 6.1, 0), ("node", 1.9, 1), ("node", 2.1, 0)]
)
def test_full_disk_stops_with_its_cure(machine: Machine, kind: str, free_gb: float, code: int) -> None:
    """A worker needs 6 GB and a node 2; less stops the set-up with both figures."""
    disk(machine, free_gb)
    done = machine.run(PREFLIGHT, kind)
    assert done.returncode == code
    assert [f"{int(free_gb)} GB are free" in s and "free some space" in s for s in sentences(done.stderr)] == [
        True
    ] * code


def test_little_memory_is_noted(machine: Machine) -> None:
    """Too little memory does not stop the set-up, but what will happen is said before it does."""
    memory(machine, 2)
    done = machine.run(PREFLIGHT, "worker")
    assert done.returncode == 0
    assert any("MB of memory" in s and "4 GB" in s for s in sentences(done.stderr))


@pytest.mark.parametrize(("lack", "cure"), [({"compiler": "no-such-cc"}, "gcc"), ({"headers": False}, "python3-dev")])
def test_what_pyradiomics_needs_is_noted(
    machine: Machine, python: Callable[..., None], lack: dict[str, object], cure: str
) -> None:
    """Without a compiler or Python's headers the set-up goes on, and says what will be missing and what cures it."""
    python(**lack)
    done = machine.run(PREFLIGHT, "worker")
    assert done.returncode == 0
    [sentence] = sentences(done.stderr)
    assert "PyRadiomics" in sentence
    assert cure in sentence
    assert sentences(machine.run(PREFLIGHT, "node").stderr) == []


def test_all_that_is_missing_is_said_at_once(machine: Machine, python: Callable[..., None]) -> None:
    """Nobody has to mend one thing to hear of the next."""
    python(venv=False, compiler="no-such-cc")
    disk(machine, 1)
    memory(machine, 1)
    done = machine.run(PREFLIGHT, "worker")
    assert done.returncode == 1
    assert len(sentences(done.stderr)) == 4


def test_what_apt_brings_is_missed_after_apt_only(machine: Machine, python: Callable[..., None]) -> None:
    """Before apt nothing is said of venv and compiler; after it they are, and nothing of the rest a second time."""
    python(venv=False, compiler="no-such-cc")
    memory(machine, 1)
    before = machine.run(PREFLIGHT, "worker", "before-apt")
    assert before.returncode == 0
    assert ["memory" in sentence for sentence in sentences(before.stderr)] == [True]
    after = machine.run(PREFLIGHT, "worker", "after-apt")
    assert after.returncode == 1
    assert ["memory" in sentence for sentence in sentences(after.stderr)] == [False, False]


@pytest.mark.parametrize("version", ["3.9", "3.10"])
def test_apt_brings_no_newer_python(machine: Machine, python: Callable[..., None], version: str) -> None:
    """A Python that is too old stops the set-up before apt is called: Debian has one python3."""
    python(version)
    assert machine.run(PREFLIGHT, "worker", "before-apt").returncode == 1


def test_it_reads_this_machine(machine: Machine) -> None:
    """Without stand-ins for df and getconf the real machine is read, and answers without an error of the script."""
    for name in ("df", "du", "getconf"):
        (machine.folder / name).unlink()
    done = machine.run(PREFLIGHT, "worker")
    assert done.stderr.splitlines() == sentences(done.stderr)
