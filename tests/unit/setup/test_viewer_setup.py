"""deploy/setup/viewer.sh: the viewer is fetched once, is what was pinned, and is no condition of the set-up."""

import hashlib
import io
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from .conftest import SETUP, Machine

VERSION = re.search(r"^version=(\S+)$", (SETUP / "viewer.sh").read_text(), re.MULTILINE)
NPM = """
while [ "$1" != --pack-destination ]; do shift; done
cp "{parcel}" "$2/ohif-app-{version}.tgz"
"""


@pytest.fixture
def version() -> str:
    assert VERSION
    return VERSION[1]


@pytest.fixture
def clone(machine: Machine, tmp_path: Path, version: str) -> Path:
    """A clone on a machine with a browser, whose npm brings a small parcel of the pinned digest."""
    parcel = tmp_path / "parcel.tgz"
    with tarfile.open(parcel, "w:gz") as tar:
        for name in ("package/package.json", "package/dist/index.html", "package/dist/a.js", "package/dist/a.js.map"):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            tar.addfile(member, io.BytesIO(name.encode()))
    script = tmp_path / "clone" / "deploy" / "setup" / "viewer.sh"
    script.parent.mkdir(parents=True)
    digest = hashlib.sha512(parcel.read_bytes()).hexdigest()
    script.write_text(re.sub(r"(?m)^sha512=.*$", f"sha512={digest}", (SETUP / "viewer.sh").read_text()))
    machine.has("chromium")
    (tmp_path / "clone" / ".venv" / "bin").mkdir(parents=True)
    place(machine, tmp_path / "clone", NPM.format(parcel=parcel, version=version))
    return tmp_path / "clone"


def place(machine: Machine, clone: Path, npm: str) -> None:
    """Give the clone's .venv a Python that stands in for npm."""
    shutil.copy(machine.has("python-of-the-venv", npm), clone / ".venv" / "bin" / "python")


def set_up(machine: Machine, clone: Path) -> tuple[int, str]:
    """Run the script; return its exit status and its complaints."""
    machine.forget()
    done = machine.run(clone / "deploy" / "setup" / "viewer.sh", cwd=clone)
    return done.returncode, done.stderr


def fetched(machine: Machine) -> list[str]:
    return [line for line in machine.log if " pack @ohif/app" in line]


def test_it_is_fetched_once(machine: Machine, clone: Path, version: str) -> None:
    """The prebuilt files and no other are there, by the pinned version; the second run asks for nothing."""
    assert set_up(machine, clone) == (0, "")
    assert len(fetched(machine)) == 1
    assert f" pack @ohif/app@{version} " in fetched(machine)[0]
    assert {one.name for one in (clone / "build" / "viewer").iterdir()} == {"index.html", "a.js", ".version"}
    assert set_up(machine, clone) == (0, "")
    assert fetched(machine) == []
    assert {one.name for one in (clone / "build").iterdir()} == {"viewer", "viewer.log"}


def test_other_bytes_than_the_pinned_are_not_unpacked(machine: Machine, clone: Path) -> None:
    """A parcel of another digest is said and thrown away, and the next run tries again."""
    script = clone / "deploy" / "setup" / "viewer.sh"
    script.write_text(re.sub(r"(?m)^sha512=.", "sha512=x", script.read_text()))
    for _ in range(2):
        code, said = set_up(machine, clone)
        assert (code, said.count("could not be fetched")) == (1, 1)
        assert len(fetched(machine)) == 1
    assert not (clone / "build" / "viewer").exists()


def test_a_registry_that_is_away_is_said(machine: Machine, clone: Path) -> None:
    """Without a parcel one sentence says so, and npm's words are in the log that it names."""
    place(machine, clone, "echo no route to the registry; exit 1")
    code, said = set_up(machine, clone)
    assert code == 1
    assert said.startswith("note: ")
    assert "build/viewer.log" in said
    assert "no route to the registry" in (clone / "build" / "viewer.log").read_text()


@pytest.mark.parametrize("away", [False, True])
def test_the_viewer_of_another_pin_goes(machine: Machine, clone: Path, away: bool) -> None:
    """What was unpacked for another pin is not taken for the pinned one, which may not be had either."""
    left = clone / "build" / "viewer" / "left-over"
    left.parent.mkdir(parents=True)
    left.touch()
    (left.parent / ".version").write_text("1.0.0 0\n")
    if away:
        place(machine, clone, "exit 1")
    assert set_up(machine, clone)[0] == away
    assert not left.exists()


def test_certificates_of_the_site_reach_npm(machine: Machine, clone: Path) -> None:
    """What SSL_CERT_FILE names is told to Node by its own variable; what that says already stands."""
    place(machine, clone, 'echo "trusted: $NODE_EXTRA_CA_CERTS"; exit 1')
    machine.env["SSL_CERT_FILE"] = "/site.pem"
    set_up(machine, clone)
    assert "trusted: /site.pem" in (clone / "build" / "viewer.log").read_text()
    machine.env["NODE_EXTRA_CA_CERTS"] = "/own.pem"
    set_up(machine, clone)
    assert "trusted: /own.pem" in (clone / "build" / "viewer.log").read_text()


def test_nothing_is_fetched_where_nobody_looks(machine: Machine, clone: Path) -> None:
    """Without a browser there is no viewer, and no complaint either: packages.sh has named the browser."""
    tools = clone / "tools"
    tools.mkdir()
    for name in ("bash", "cat", "dirname"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    machine.env["PATH"] = str(tools)
    assert set_up(machine, clone) == (0, "")
    assert fetched(machine) == []
    assert not (clone / "build").exists()
