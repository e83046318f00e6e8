from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from node.phantom import (
    Anatomy,
    Grid,
    Rendering,
    covering_grid,
    random_anatomy,
    render,
    standard_anatomy,
    standard_grid,
)


@pytest.fixture(scope="session")
def standard() -> Anatomy:
    return standard_anatomy()


@pytest.fixture(scope="session")
def standard_rendering(standard: Anatomy) -> Rendering:
    return render(standard, standard_grid(standard), seed=7, noise_sd_hu=20.0)


@pytest.fixture(scope="session")
def small_grid(standard: Anatomy) -> Grid:
    return covering_grid(standard, spacing_mm=(5.0, 3.0, 2.5))


@pytest.fixture(scope="session")
def small_rendering(standard: Anatomy, small_grid: Grid) -> Rendering:
    return render(standard, small_grid, seed=3, noise_sd_hu=12.0)


@pytest.fixture(scope="session")
def random_anatomies() -> list[Anatomy]:
    return [random_anatomy(seed) for seed in range(40)]


@pytest.fixture(scope="session")
def dciodvfy_errors() -> Callable[[Path], list[str]]:
    """A judge of DICOM files that nobody here wrote; its lines that begin with Error."""
    program = shutil.which("dciodvfy")
    if program is None:
        message = "dciodvfy (Debian package dicom3tools) is not installed"
        if os.environ.get("CRLM_TEST_REQUIRE_ALL") == "1":
            pytest.fail(message)
        pytest.skip(message)

    def errors(path: Path) -> list[str]:
        done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).splitlines()
        assert said, "dciodvfy said nothing, not even the name of the IOD"
        return [line for line in said if line.startswith("Error")]

    return errors
