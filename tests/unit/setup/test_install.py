"""deploy/setup/install.sh: what is installed, when, and that a second run installs nothing. Its pip is a stand-in."""

import shutil
from pathlib import Path

import pytest

from .conftest import PROJECT, SETUP, Machine


@pytest.fixture
def clone(machine: Machine, python: object, tmp_path: Path) -> Path:
    """A small clone of the project on a machine that has all Debian packages, for an ordinary user."""
    folder = tmp_path / "clone"
    (folder / "deploy").mkdir(parents=True)
    shutil.copytree(SETUP, folder / "deploy" / "setup")
    shutil.copytree(PROJECT / "deploy" / "constraints", folder / "deploy" / "constraints")
    shutil.copy(PROJECT / "pyproject.toml", folder)
    (folder / "node").mkdir()
    (folder / "node" / "a.py").write_text("one = 1\n")
    machine.has("make")
    machine.has("gcc")
    machine.has("dpkg-query", "echo installed")
    machine.has("df", "echo Filesystem blocks; echo /dev/x 1 1 99000000 1% /")
    machine.has("getconf", '[ "$1" = PAGE_SIZE ] && echo 4096 || echo 4000000')
    machine.has("python-of-the-venv", PIP)
    return folder


# The Python of the .venv: it notes what it is asked, and "builds" a wheel into the folder after -w.
PIP = """
case "$*" in
    *"pip wheel -qq"*)
        mkdir -p build/wheels
        touch "build/wheels/pyradiomics-3.0.1-cp311-cp311-linux_$(uname -m).whl"
        ;;
    *version_info*) echo cp311 ;;
    -V) echo Python 3.11.2 ;;
esac
"""


def pip_calls(machine: Machine) -> list[str]:
    """What pip was asked to do, each call's arguments after ``-m pip``."""
    return [
        line.split("-m pip", 1)[1].removeprefix(" --disable-pip-version-check")
        for line in machine.log
        if "-m pip" in line
    ]


def install(machine: Machine, clone: Path, level: str = "demo") -> list[str]:
    """Run the set-up; what pip was asked to install on the way."""
    machine.forget()
    done = machine.run(clone / "deploy" / "setup" / "install.sh", level, cwd=clone)
    assert done.returncode == 0, done.stderr
    return [call for call in pip_calls(machine) if call.startswith((" install ", " wheel "))]


def test_first_run_installs_pinned(machine: Machine, clone: Path) -> None:
    """Node, worker and the demo's Redis go in as one wheel's needs, under all the pins; PyRadiomics follows."""
    calls = install(machine, clone)
    assert any(line == "python-of-the-site -m venv .venv" for line in machine.log)
    [project] = [call for call in calls if ".[worker,demo]" in call]
    for name in ("node", "worker", "dev"):
        assert f"-c deploy/constraints/{name}.txt" in project
    assert not any(" -e " in call or "--editable" in call for call in calls)
    assert any(call.startswith(" wheel ") and "pyradiomics==3.0.1" in call for call in calls)


@pytest.mark.parametrize(("first", "second"), [("demo", "demo"), ("test", "test"), ("test", "demo"), ("check", "test")])
def test_second_run_installs_nothing(machine: Machine, clone: Path, first: str, second: str) -> None:
    """The stamps are found again, and a smaller level finds itself in a larger one."""
    install(machine, clone, first)
    assert install(machine, clone, second) == []
    assert not any("-m venv" in line for line in machine.log)


def test_the_checks_come_on_top(machine: Machine, clone: Path) -> None:
    """make test after make demo adds what is missing and keeps the .venv and the built wheel of PyRadiomics."""
    install(machine, clone, "demo")
    calls = install(machine, clone, "test")
    assert any(".[worker,demo,dev]" in call for call in calls)
    assert not any(call.startswith(" wheel ") for call in calls)
    assert not any("-m venv" in line for line in machine.log)


def test_a_changed_source_is_one_new_wheel(machine: Machine, clone: Path) -> None:
    """After a change of a source only the package itself goes in again, once, without a look at its libraries."""
    install(machine, clone)
    (clone / "node" / "a.py").write_text("one = 2\n")
    [call] = install(machine, clone)
    assert "--no-deps" in call
    assert "--force-reinstall" in call
    assert install(machine, clone) == []


def test_a_new_and_a_deleted_source_count_as_changes(machine: Machine, clone: Path) -> None:
    """A file that came or went changes the wheel as well; a compiled one does not."""
    install(machine, clone)
    (clone / "node" / "b.py").touch()
    assert len(install(machine, clone)) == 1
    (clone / "node" / "b.py").unlink()
    assert len(install(machine, clone)) == 1
    (clone / "node" / "b.pyc").touch()
    assert install(machine, clone) == []


def test_a_changed_pin_installs_again(machine: Machine, clone: Path) -> None:
    """A pin that moved moves the libraries, in the .venv that is there."""
    install(machine, clone)
    with (clone / "deploy" / "constraints" / "node.txt").open("a") as pins:
        pins.write("something==1\n")
    assert any(".[worker,demo]" in call for call in install(machine, clone))


def test_a_change_of_the_checks_installs_no_library(machine: Machine, clone: Path) -> None:
    """How the code is checked is no reason to resolve the libraries anew."""
    install(machine, clone)
    with (clone / "pyproject.toml").open("a") as project:
        project.write("\n[tool.something]\nx = 1\n")
    assert not any(".[worker" in call for call in install(machine, clone))


def test_another_python_makes_the_venv_anew(machine: Machine, clone: Path, python: object) -> None:
    """A .venv of another Python is not mended but replaced."""
    assert callable(python)
    install(machine, clone)
    (clone / ".venv" / "left-over").touch()
    python("3.12")
    assert install(machine, clone)
    assert not (clone / ".venv" / "left-over").exists()


def test_the_venv_remembers_its_python(machine: Machine, clone: Path) -> None:
    """Who named a Python once need not name it again, and keeps the .venv."""
    install(machine, clone)
    del machine.env["PYTHON"]
    machine.has("python3", "echo Python 3.13.9")
    assert install(machine, clone, "demo") == []
    assert not any(line.startswith("python3 ") for line in machine.log)


def test_a_moved_clone_makes_the_venv_anew(machine: Machine, clone: Path) -> None:
    """The scripts of a .venv name its old place, so a moved clone gets a new one."""
    install(machine, clone)
    moved = clone.rename(clone.with_name("moved"))
    (moved / ".venv" / "left-over").touch()
    install(machine, moved)
    assert not (moved / ".venv" / "left-over").exists()


def test_a_stopped_run_is_taken_up_again(machine: Machine, clone: Path) -> None:
    """Where pip failed, the exit status says so, no stamp claims success, and the next run installs."""
    machine.has("python-of-the-venv", 'case "$*" in *".[worker"*) exit 1 ;; esac')
    done = machine.run(clone / "deploy" / "setup" / "install.sh", "demo", cwd=clone)
    assert done.returncode != 0
    (clone / ".venv" / "bin" / "python").write_text(machine.has("python-of-the-venv", PIP).read_text())
    assert any(".[worker,demo]" in call for call in install(machine, clone))


def test_without_pyradiomics_the_set_up_goes_on(machine: Machine, clone: Path) -> None:
    """Where PyRadiomics cannot be built, one sentence says so, the rest is installed, and no second run tries again."""
    machine.has(
        "python-of-the-venv",
        'case "$*" in *"pip wheel -qq"*) exit 1 ;; *version_info*) echo cp312 ;; -V) echo Python 3.12.1 ;; esac',
    )
    done = machine.run(clone / "deploy" / "setup" / "install.sh", "demo", cwd=clone)
    assert done.returncode == 0
    assert "PyRadiomics could not be built for Python 3.12.1" in done.stderr
    assert "the worker runs without it" in done.stderr
    assert install(machine, clone) == []


def test_an_ordinary_user_is_asked_nothing_of_sudo(machine: Machine, clone: Path) -> None:
    """Missing Debian packages are named with the command that installs them; nothing privileged is called."""
    machine.has("dpkg-query", "exit 1")
    done = machine.run(clone / "deploy" / "setup" / "install.sh", "demo", cwd=clone)
    assert done.returncode == 0
    assert "orthanc" in done.stderr
    assert "make system" in done.stderr
    assert done.stderr.count("not installed here") == 1
    assert machine.run(clone / "deploy" / "setup" / "install.sh", "demo", cwd=clone).stderr == ""
    assert not any(line.startswith(("sudo", "apt-get")) for line in machine.log)


def test_root_gets_the_packages_without_being_asked(machine: Machine, clone: Path, tmp_path: Path) -> None:
    """As root what is missing is installed before the Python packages."""
    machine.has("id", "echo 0")
    machine.has("dpkg-query", "exit 1")
    machine.has("apt-cache", "echo '  Candidate: 1.0'")
    machine.env["POLICY_RC_D"] = str(tmp_path / "policy-rc.d")
    install(machine, clone)
    names = [line.split()[0] for line in machine.log]
    assert names.index("apt-get") < next(
        i for i, line in enumerate(machine.log) if " install " in line and "-m pip" in line
    )


@pytest.mark.parametrize(("switch", "code"), [({}, 0), ({"CRLM_TEST_REQUIRE_ALL": "1"}, 1)])
def test_a_mirror_that_is_down(
    machine: Machine, clone: Path, tmp_path: Path, switch: dict[str, str], code: int
) -> None:
    """Where apt-get fails, root goes on with what is present, except where everything is required."""
    machine.has("id", "echo 0")
    machine.has("dpkg-query", "exit 1")
    machine.has("apt-get", "exit 100")
    machine.env |= {"POLICY_RC_D": str(tmp_path / "policy-rc.d"), **switch}
    done = machine.run(clone / "deploy" / "setup" / "install.sh", "demo", cwd=clone)
    assert done.returncode == code
    assert ("goes on with what is present" in done.stderr) == (code == 0)


def test_preflight_stops_before_anything_is_installed(machine: Machine, clone: Path) -> None:
    """On a full disk no .venv is made and pip is not called."""
    machine.has("df", "echo Filesystem blocks; echo /dev/x 1 1 1000 1% /")
    done = machine.run(clone / "deploy" / "setup" / "install.sh", "demo", cwd=clone)
    assert done.returncode == 1
    assert "stop: 0 GB are free" in done.stderr
    assert not (clone / ".venv").exists()
    assert pip_calls(machine) == []
