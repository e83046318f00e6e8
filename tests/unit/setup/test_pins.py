"""deploy/constraints/: every library that pyproject.toml names is pinned once, in the right file, as it is tested."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from .conftest import PROJECT

NAMES = ("node", "worker", "dev")
OLDEST = "3.11.2"
"""The Python of Debian 12, which the installation is tried on."""


def pins(name: str) -> dict[str, str]:
    """The pinned versions of one file, by canonical name."""
    text = (PROJECT / "deploy" / "constraints" / f"{name}.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", line) for line in lines), "a pin is NAME==VERSION and nothing else"
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}


def named(extra: str | None) -> list[Requirement]:
    """What pyproject.toml names for an extra, or for the node itself."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return [
        Requirement(line) for line in (project["optional-dependencies"][extra] if extra else project["dependencies"])
    ]


@pytest.mark.parametrize(
    ("extra", "files"),
    [(None, ["node"]), ("worker", ["node", "worker"]), ("demo", ["dev"]), ("dev", list(NAMES))],
)
def test_each_named_library_is_pinned_as_allowed(extra: str | None, files: list[str]) -> None:
    """The node's libraries are pinned in node.txt alone, a worker's in two files; each pin is an allowed version."""
    known = {name: version for file in files for name, version in pins(file).items()}
    for requirement in named(extra):
        version = known.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not pinned in {files}"
        assert requirement.specifier.contains(version), f"{requirement} does not allow its pin {version}"


def test_no_library_is_pinned_twice() -> None:
    """Node and worker are apart: no name stands in two files."""
    seen = [name for file in NAMES for name in pins(file)]
    assert sorted(seen) == sorted(set(seen))


def test_a_node_gets_nothing_that_only_a_worker_needs() -> None:
    """No image toolkit, no scipy and no network library reaches a machine that only runs the node."""
    assert not {"simpleitk", "scipy", "pywavelets", "torch", "totalsegmentator", "setuptools"} & set(pins("node"))


@pytest.mark.parametrize("file", NAMES)
def test_what_is_tested_is_what_is_pinned(file: str) -> None:
    """The libraries that these tests run on are those of the pins (a marker may leave one out on another Python)."""
    for name, version in pins(file).items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            assert name == "async-timeout", f"{name} is pinned and not installed: make install"
            continue
        assert installed.split("+")[0] == version, f"{name} is {installed} here and pinned to {version}: make install"


def test_no_machine_and_no_registry_in_the_set_up() -> None:
    """Mirrors, indexes and caches come from the machine's own settings, so no file of the set-up names one.

    The node's own place, the loopback address and the services of the compose file are no such thing.
    """
    places = [
        *(PROJECT / "deploy").rglob("*"),
        PROJECT / "Makefile",
        PROJECT / ".ci" / "run",
        PROJECT / "pyproject.toml",
    ]
    foreign = re.compile(
        r"https?://(?!127\.0\.0\.1|prometheus:)|--(extra-)?index-url(?! \"\$TORCH_INDEX)|find-links(?! \$folder)"
        r"|/opt/(?!crlm-node)|/work/|/root/\."
    )
    found = [f"{p.relative_to(PROJECT)}: {m.group()}" for p in places if p.is_file() for m in foreign.finditer(read(p))]
    assert found == []


def read(path: Path) -> str:
    return path.read_text(errors="replace")


@pytest.mark.parametrize("file", NAMES)
def test_every_pin_is_for_the_python_of_debian_too(file: str) -> None:
    """Some libraries want a later patch of the same Python, which whoever pins with a newer one does not see."""
    for name in pins(file):
        try:
            wanted = metadata.metadata(name)["Requires-Python"]
        except metadata.PackageNotFoundError:
            continue
        assert SpecifierSet(wanted or "").contains(OLDEST), f"{name} wants Python {wanted}"
