"""What is tested is the installed wheel, made of the sources as they stand; the folder beside it is never imported."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

from .conftest import PROJECT

SITE = Path(sysconfig.get_path("purelib")).resolve()


@pytest.mark.parametrize("package", ["node", "workers"])
def test_the_installed_package_is_imported(package: str) -> None:
    """Both packages come from site-packages of .venv although folders of their names lie in the project."""
    assert (PROJECT / package / "__init__.py").exists()
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve().is_relative_to(SITE), (
        f"{spec.origin} is not installed: run the tests by make test"
    )


@pytest.mark.parametrize("package", ["node", "workers"])
def test_children_import_it_too(package: str) -> None:
    """A process that a test starts in the project's folder imports the installed package as well (PYTHONSAFEPATH)."""
    child = subprocess.run(
        [sys.executable, "-c", f"import {package}; print({package}.__file__)"],
        cwd=PROJECT, env=dict(os.environ), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert Path(child.stdout.strip()).resolve().is_relative_to(SITE), "run the tests by make test"


@pytest.mark.parametrize("package", ["node", "workers"])
def test_the_wheel_is_made_of_these_sources(package: str) -> None:
    """Every module of the project is in the wheel, byte by byte, and no module of yesterday is left in it."""

    def modules(root: Path) -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in (root / package).rglob("*.py")}

    assert modules(SITE) == modules(PROJECT), "the wheel is older than the sources: run the tests by make test"


def test_it_is_no_link_to_the_sources() -> None:
    """The distribution is installed as a wheel: pip's own record says so, for an editable one would say otherwise."""
    record = metadata.distribution("crlm-node").read_text("direct_url.json") or ""
    assert '"editable": true' not in record
    assert not list(SITE.glob("*crlm_node*.pth"))


def test_the_command_is_there() -> None:
    """The distribution brings the command crlm-node and names where the workers' commands join it."""
    scripts = metadata.distribution("crlm-node").entry_points.select(group="console_scripts")
    assert {script.name: script.value for script in scripts} == {"crlm-node": "node.cli:main"}
    assert (Path(sys.executable).parent / "crlm-node").exists()
