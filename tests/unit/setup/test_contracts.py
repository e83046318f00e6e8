"""The import contracts of pyproject.toml: each sees a planted violation and lets pass what is meant."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from .conftest import PROJECT

BROKEN = [
    ("node-knows-no-worker", "node/intake.py", "import workers.volume"),
    ("node-knows-no-worker", "node/core/grid.py", "from workers import volume"),
    ("workers-stand-on-core", "workers/volume.py", "import node.intake"),
    ("workers-stand-on-core", "workers/measurement/__init__.py", "from node import selection"),
    ("core-is-the-ground", "node/core/grid.py", "import node.selection"),
    ("stages-of-the-node", "node/intake.py", "import node.assembly"),
    ("stages-of-the-workers", "workers/report/__init__.py", "import workers.delivery"),
    ("stages-need-no-training", "workers/segmentation/demo/inference.py", "from workers.training import samples"),
    ("stages-need-no-training", "workers/engine.py", "import workers.training.samples"),
    ("fitting-stands-alone", "workers/measurement/__init__.py", "import workers.training.signature.cox"),
    ("fitting-stands-alone", "workers/training/samples.py", "from workers.training.signature import cox"),
    ("libraries-of-the-fitting", "workers/report/__init__.py", "import matplotlib.figure"),
    ("libraries-of-the-fitting", "workers/training/signature/cox.py", "import sksurv"),
    ("torch-stays-in-its-room", "workers/report/__init__.py", "import torch"),
    ("torch-stays-in-its-room", "node/core/grid.py", "from torch.nn import Module"),
    ("torch-stays-in-its-room", "workers/volume.py", "import totalsegmentator.python_api"),
    ("page-stands-alone", "node/intake.py", "from node.web import server"),
    ("page-stands-alone", "node/cli/__init__.py", "import node.web"),
    ("libraries-of-the-page", "node/passwords.py", "from starlette.requests import Request"),
    ("libraries-of-the-page", "node/intake.py", "import uvicorn"),
    ("libraries-of-the-page", "workers/report/__init__.py", "from jinja2 import Environment"),
    ("libraries-of-the-page", "node/web/server.py", "import argon2"),
    ("libraries-of-the-page", "node/cli/processes.py", "import prometheus_client"),
    ("celery-in-two-files", "workers/volume.py", "from celery import shared_task"),
    ("celery-in-two-files", "node/assembly.py", "import kombu"),
]
MEANT = [
    ("workers/volume.py", "import node.core.grid, node.phantom.spine"),
    ("workers/segmentation/__init__.py", "import torch"),
    ("workers/segmentation/totalsegmentator.py", "import torch, totalsegmentator.python_api, nnunetv2"),
    ("workers/training/samples.py", "import torch, workers.segmentation.demo.inference, node.phantom.spine"),
    ("workers/measurement/radiomics.py", "import torch"),
    ("workers/training/signature/cox.py", "import matplotlib.figure, workers.training.signature"),
    ("workers/engine.py", "import torch"),
    ("workers/app.py", "import celery, kombu"),
    ("node/outbox.py", "import celery"),
    ("node/core/grid.py", "import node.core.errors"),
    ("node/web/server.py", "import jinja2, prometheus_client, starlette.requests, uvicorn"),
    ("node/passwords.py", "from argon2 import PasswordHasher"),
    ("node/cli/processes.py", "from node.web import server"),
]
SKELETON = [
    *[
        f"node/{name}.py"
        for name in ("__init__", "association", "intake", "assembly", "selection", "handoff", "outbox", "passwords")
    ],
    *[f"node/phantom/{name}.py" for name in ("__init__", "spine")],
    *[f"node/cli/{name}.py" for name in ("__init__", "processes")],
    *[f"node/web/{name}.py" for name in ("__init__", "server")],
    *[f"node/core/{name}.py" for name in ("__init__", "grid", "errors")],
    *[f"workers/{name}.py" for name in ("__init__", "volume", "delivery", "engine", "app")],
    *[f"workers/{name}/__init__.py" for name in ("segmentation", "measurement", "report", "training")],
    "workers/segmentation/demo/__init__.py",
    "workers/segmentation/demo/inference.py",
    "workers/training/samples.py",
    "workers/training/signature/__init__.py",
    "workers/training/signature/cox.py",
    "workers/segmentation/totalsegmentator.py",
    "workers/measurement/radiomics.py",
]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The rooms that the contracts name, empty, under the project's own pyproject.toml."""
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    for name in SKELETON:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('"""An empty room."""\n')
    return tmp_path


def verdict(house: Path, contract: str | None = None) -> tuple[int, str]:
    """What lint-imports says of the house, of one contract or of all."""
    lint = Path(sys.executable).with_name("lint-imports")
    only = ["--contract", contract] if contract else []
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [lint, "--no-cache", *only], cwd=house, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_empty_house_keeps_all(house: Path) -> None:
    """Without a violation every contract is kept, so what the others find is what they planted."""
    code, words = verdict(house)
    assert code == 0, words
    assert "0 broken" in words


@pytest.mark.parametrize(("contract", "file", "line"), BROKEN)
def test_a_planted_violation_breaks_its_contract(house: Path, contract: str, file: str, line: str) -> None:
    """The contract that a line violates, and the command as a whole, fail on it."""
    with (house / file).open("a") as module:
        module.write(line + "\n")
    code, words = verdict(house, contract)
    assert code == 1, words
    assert "BROKEN" in words


def test_what_is_meant_is_let_pass(house: Path) -> None:
    """Imports that the architecture allows break no contract, all of them at once."""
    for file, line in MEANT:
        with (house / file).open("a") as module:
            module.write(line + "\n")
    code, words = verdict(house)
    assert code == 0, words


def test_every_contract_has_a_violation_here() -> None:
    """No contract of pyproject.toml is without a planted violation above."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {contract["id"] for contract in contracts} == {contract for contract, _, _ in BROKEN}
