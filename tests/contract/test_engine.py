"""The engine process on the real demonstration model: its faults are coded, and the worker lives on."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from node.core.codes import Structure
from node.core.errors import NotAnalysable, Unavailable, Untrusted
from node.core.grid import Geometry
from node.core.reasons import Outage, StudyRefusal
from node.core.records import Candidate
from node.phantom import covering_grid, render, standard_anatomy
from workers.engine import Engine
from workers.records import Acquisition, Volume
from workers.segmentation.port import Order, Way

MODEL = Path(__file__).parents[2] / "models" / "demo"
ROOMY_MB, PATIENT_S = 16_000, 300.0

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", autouse=True)
def _torch(lacking: Callable[[str], None]) -> None:
    """Networks need torch and nnU-Net, which the worker brings."""
    for module in ("torch", "nnunetv2"):
        if find_spec(module) is None:
            lacking(module)
    if not MODEL.is_dir():
        pytest.skip("the demonstration model has not joined the repository yet")


@pytest.fixture(scope="module")
def volume() -> Volume:
    """A coarse synthetic abdomen, without files."""
    anatomy = standard_anatomy()
    grid = covering_grid(anatomy, spacing_mm=(5.0, 3.0, 3.0))
    z, y, x = grid.spacing_mm
    geometry = Geometry(grid.shape, grid.origin_mm, (0.0, 0.0, z), (0.0, y, 0.0), (x, 0.0, 0.0), "1.2")
    facts = Acquisition(120.0, z, "", "", False, "", "HFS", synthetic=True)
    return Volume(render(anatomy, grid, seed=3).hu, geometry, Candidate("1.2.3", "", "", ()), (), facts)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the model that a test may damage."""
    return Path(shutil.copytree(MODEL, tmp_path / "demo"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with room and time."""
    made = Engine(PATIENT_S, ROOMY_MB, tmp_path / "engine.log")
    yield made
    made.close()


def order(folder: Path = MODEL) -> Order:
    """Order the demonstration model."""
    return Order(Way.DEMO, folder, "cpu", "iliopsoas")


def test_a_warm_engine_answers_again_in_the_same_process(engine: Engine, volume: Volume) -> None:
    """The second answer comes from the process that gave the first, equal to it and sooner."""
    started = time.monotonic()
    first = engine.segment(order(), volume)
    cold, pid = time.monotonic() - started, engine.pid
    started = time.monotonic()
    second = engine.segment(order(), volume)
    assert engine.pid == pid
    assert time.monotonic() - started < cold
    assert Structure.LIVER in first.regions
    assert first.regions.keys() == second.regions.keys()
    assert all((first.regions[one].mask == second.regions[one].mask).all() for one in first.regions)
    engine.close()
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_killed_midway(engine: Engine, volume: Volume) -> None:
    """A process that is killed while it works is `engine-lost`; the next question starts another."""
    failed: list[Outage] = []

    def ask() -> None:
        with pytest.raises(Unavailable) as caught:
            engine.segment(order(), volume)
        failed.append(caught.value.code)

    thread = threading.Thread(target=ask)
    thread.start()
    pid = _until(lambda: engine.pid)
    _until(lambda: psutil.Process(pid).cpu_times().user > 1.0)
    os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert failed == [Outage.ENGINE_LOST]
    assert engine.segment(order(), volume).regions
    assert engine.pid != pid


@pytest.mark.parametrize(
    ("time_limit_s", "memory_limit_mb", "code"),
    [(0.5, ROOMY_MB, Outage.ENGINE_TIMEOUT), (PATIENT_S, 60, Outage.ENGINE_MEMORY)],
)
def test_limits(time_limit_s: float, memory_limit_mb: int, code: Outage, volume: Volume, tmp_path: Path) -> None:
    """Time and memory end the process at their limits, and say so."""
    engine = Engine(time_limit_s, memory_limit_mb, tmp_path / "engine.log")
    with pytest.raises(Unavailable) as caught:
        engine.segment(order(), volume)
    assert caught.value.code is code
    assert engine.pid is None
    engine.close()


def test_missing_file(engine: Engine, volume: Volume, model: Path) -> None:
    """A model that is not whole is `weights-missing`; the process lives on."""
    (model / "plans.json").unlink()
    with pytest.raises(NotAnalysable) as caught:
        engine.segment(order(model), volume)
    assert caught.value.code is StudyRefusal.WEIGHTS_MISSING
    assert engine.pid is not None
    assert engine.segment(order(), volume).regions


def test_wrong_digest(engine: Engine, volume: Volume, model: Path) -> None:
    """A file that is not what the manifest says is untrusted, and nothing of it is opened."""
    weights = model / "fold_0" / "weights.npz"
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(Untrusted) as caught:
        engine.segment(order(model), volume)
    assert "was changed" in caught.value.detail


def test_corrupt_weights_with_a_manifest_that_agrees(engine: Engine, volume: Volume, model: Path) -> None:
    """A manifest can be made to agree; what cannot be loaded is then untrusted all the same."""
    weights = model / "fold_0" / "weights.npz"
    weights.write_bytes(weights.read_bytes()[:1000])
    path = model / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["files"]["fold_0/weights.npz"]["sha256"] = sha256(weights.read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(Untrusted):
        engine.segment(order(model), volume)
    assert engine.pid is not None


def test_a_turned_grid_gives_the_turned_answer(engine: Engine, volume: Volume) -> None:
    """Rows and columns that run the other way: the same voxels, turned."""
    turned = replace(volume, hu=volume.hu[:, ::-1, ::-1].copy(), geometry=_turned(volume.geometry))
    straight, other = engine.segment(order(), volume), engine.segment(order(), turned)
    shape = volume.geometry.shape
    for structure, region in straight.regions.items():
        assert (region.full(shape) == other.regions[structure].full(shape)[:, ::-1, ::-1]).all(), structure


def _turned(geometry: Geometry) -> Geometry:
    _, rows, columns = geometry.shape
    (x, y, z), row, column = geometry.origin_mm, geometry.row_step_mm[1], geometry.column_step_mm[0]
    origin = (x + (columns - 1) * column, y + (rows - 1) * row, z)
    return replace(geometry, origin_mm=origin, row_step_mm=(0.0, -row, 0.0), column_step_mm=(-column, 0.0, 0.0))


def _until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    return found
