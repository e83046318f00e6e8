"""deploy/setup/packages.sh: only what is missing, without questions, and without starting a service."""

from pathlib import Path

import pytest

from .conftest import SETUP, Machine

PACKAGES = SETUP / "packages.sh"
RUNNING = ["orthanc", "orthanc-dicomweb", "redis-server"]
JUDGING = [
    "orthanc-python",
    "dcmtk",
    "dicom3tools",
    "libpixelmed-java",
    "default-jre-headless",
    "chromium",
    "postgresql",
    "prometheus",
    "systemd",
]


@pytest.fixture(autouse=True)
def debian(machine: Machine, python: object, tmp_path: Path) -> None:
    """A Debian with root's rights, everything known to apt and nothing installed; apt-get notes what it sees."""
    machine.env["POLICY_RC_D"] = str(tmp_path / "policy-rc.d")
    machine.has("id", "echo 0")
    machine.has("make")
    machine.has("gcc")
    machine.has("dpkg-query", "exit 1")
    machine.has("apt-cache", "echo '  Candidate: 1.0'")
    machine.has("apt-get", SAW_POLICY)


SAW_POLICY = """
if [ "$1" = install ]; then
    "$POLICY_RC_D" >/dev/null 2>&1
    echo "policy answers $? to $DEBIAN_FRONTEND" >>"$HOME/log"
fi
"""


def installs(machine: Machine) -> list[list[str]]:
    """The packages of each call of apt-get install."""
    calls = [line.split() for line in machine.log if line.startswith("apt-get install")]
    return [
        [word for word in call[2:] if not word.startswith("-") and "::" not in word and "=" not in word]
        for call in calls
    ]


def test_missing_by_level(machine: Machine) -> None:
    """The demo needs what runs, the tests also what judges, and the checks of the code neither."""
    assert machine.run(PACKAGES, "missing", "check").stdout.split() == []
    assert machine.run(PACKAGES, "missing", "demo").stdout.split() == RUNNING
    assert machine.run(PACKAGES, "missing", "test").stdout.split() == RUNNING + JUDGING


def test_what_is_installed_is_not_missing(machine: Machine) -> None:
    """dpkg's word counts, and a package that was removed but left its settings is missing."""
    machine.has(
        "dpkg-query", 'case "$*" in *orthanc) echo installed ;; *redis*) echo config-files ;; *) exit 1 ;; esac'
    )
    assert machine.run(PACKAGES, "missing", "demo").stdout.split() == ["orthanc-dicomweb", "redis-server"]


def test_what_builds_is_asked_of_the_tools(machine: Machine, python: object) -> None:
    """A Python without venv and headers needs Debian's packages of them; one that brings them does not."""
    assert callable(python)
    python(venv=False, headers=False)
    assert machine.run(PACKAGES, "missing", "check").stdout.split() == ["python3-venv", "python3-dev"]


def test_install_asks_nothing_and_starts_nothing(machine: Machine) -> None:
    """While apt-get installs, policy-rc.d says 101 and debconf is silent; afterwards policy-rc.d is gone."""
    done = machine.run(PACKAGES, "install", "demo")
    assert done.returncode == 0, done.stderr
    assert installs(machine) == [RUNNING]
    assert "policy answers 101 to noninteractive" in machine.log
    assert not Path(machine.env["POLICY_RC_D"]).exists()
    [call] = [line for line in machine.log if line.startswith("apt-get")]
    assert "-y" in call.split()
    assert "--no-install-recommends" in call.split()


def test_install_keeps_new_services_off_at_boot(machine: Machine) -> None:
    """A service that came with the set-up is switched off for the next boot; one that was there is left alone."""
    machine.has("dpkg-query", 'case "$*" in *redis-server) echo installed ;; *) exit 1 ;; esac')
    machine.run(PACKAGES, "install", "demo")
    assert [line for line in machine.log if line.startswith("update-rc.d")] == ["update-rc.d orthanc disable"]


def test_an_administrators_policy_stands(machine: Machine) -> None:
    """A policy-rc.d that is there already is used as it is and left as it was."""
    policy = Path(machine.env["POLICY_RC_D"])
    policy.write_text("#!/bin/sh\nexit 104\n")
    policy.chmod(0o755)
    assert machine.run(PACKAGES, "install", "demo").returncode == 0
    assert "policy answers 104 to noninteractive" in machine.log
    assert policy.read_text() == "#!/bin/sh\nexit 104\n"


def test_our_policy_of_a_killed_run_is_ours_again(machine: Machine) -> None:
    """A policy-rc.d that a killed set-up left behind does not stay for ever."""
    machine.has("apt-get", 'cp "$POLICY_RC_D" "$HOME/left"')
    machine.run(PACKAGES, "install", "demo")
    policy = Path(machine.env["POLICY_RC_D"])
    policy.write_bytes((machine.folder / "left").read_bytes())
    machine.has("apt-get", SAW_POLICY)
    assert machine.run(PACKAGES, "install", "demo").returncode == 0
    assert not policy.exists()


def test_failure_is_said_and_leaves_no_policy(machine: Machine) -> None:
    """Where apt-get fails, its last words and one sentence are shown, the exit status is not 0, policy-rc.d is gone."""
    machine.has("apt-get", "echo E: no route to the mirror; exit 100")
    done = machine.run(PACKAGES, "install", "demo")
    assert done.returncode == 1
    assert "no route to the mirror" in done.stderr
    assert "apt-get could not install them" in done.stderr
    assert not Path(machine.env["POLICY_RC_D"]).exists()


def test_no_update_where_the_lists_know_all(machine: Machine) -> None:
    """apt-get update is not called for nothing."""
    machine.run(PACKAGES, "install", "demo")
    assert not any(line.startswith("apt-get update") for line in machine.log)


def test_update_where_the_lists_are_empty(machine: Machine) -> None:
    """A bare Debian knows no package until apt-get update."""
    machine.has("apt-cache", "")
    machine.run(PACKAGES, "install", "demo")
    assert [line.split()[1] for line in machine.log if line.startswith("apt-get")] == ["update", "install"]


def test_update_and_again_where_the_lists_are_old(machine: Machine) -> None:
    """Lists that name files of another day are renewed, and the installation is tried once more."""
    machine.has("apt-get", '[ "$1" = update ] && touch "$HOME/new"; [ -e "$HOME/new" ] || exit 100')
    assert machine.run(PACKAGES, "install", "demo").returncode == 0
    assert [line.split()[1] for line in machine.log if line.startswith("apt-get")] == ["install", "update", "install"]


def test_nothing_is_installed_where_nothing_is_missing(machine: Machine) -> None:
    """A machine that has everything does not meet apt-get."""
    machine.has("dpkg-query", "echo installed")
    assert machine.run(PACKAGES, "install", "test").returncode == 0
    assert not any(line.startswith("apt-get") for line in machine.log)


@pytest.mark.parametrize(("answer", "installed"), [("y\n", [RUNNING + JUDGING]), ("n\n", []), ("\n", []), ("", [])])
def test_system_installs_on_consent_only(machine: Machine, answer: str, installed: list[list[str]]) -> None:
    """make system prints the list; only a yes installs it."""
    done = machine.run(PACKAGES, "ask", answer=answer)
    assert done.returncode == 0
    assert " ".join(RUNNING + JUDGING) in done.stdout
    assert installs(machine) == installed


def test_system_of_an_ordinary_user_installs_nothing(machine: Machine) -> None:
    """Without root's rights make system prints the list and who can install it, and asks nothing of sudo."""
    machine.has("id", "echo 1000")
    done = machine.run(PACKAGES, "ask", answer="y\n")
    assert done.returncode == 1
    assert "Only root" in done.stderr
    assert "orthanc" in done.stdout
    assert not any(line.startswith(("sudo", "apt-get")) for line in machine.log)
