"""The engine process: its faults are coded, it leaves no file behind, and the worker lives on.

On the demonstration model of the repository, and on stand-in weights of TotalSegmentator for what asks for a device.
A process takes seconds to import its libraries: tests that need a warm one share it.
"""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from node.core.codes import Structure
from node.core.errors import NotAnalysable, Unavailable, Untrusted
from node.core.grid import Geometry
from node.core.reasons import Outage, StudyRefusal
from node.core.records import Candidate
from node.phantom import covering_grid, render, standard_anatomy
from workers.engine import Engine, _Question
from workers.records import Acquisition, Volume
from workers.segmentation import data_sets, manifest
from workers.segmentation.demo import folder as demo_folder
from workers.segmentation.demo.folder import FILES
from workers.segmentation.port import Order, Way

MODEL = Path(__file__).parents[2] / "models" / "demo"
ROOMY_MB, PATIENT_S = 16_000, 300.0
UNSOUND = ("cut", "noise inside", "of the other network", "plans")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", autouse=True)
def _torch(lacking: Callable[[str], None]) -> None:
    """Networks need torch and nnU-Net, which the worker brings."""
    for module in ("torch", "nnunetv2", "totalsegmentator"):
        if find_spec(module) is None:
            lacking(module)


@pytest.fixture(scope="module")
def demo(lacking: Callable[[str], None]) -> Path:
    """Folder of the demonstration model."""
    if not MODEL.is_dir():
        lacking("models/demo")
    return MODEL


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-in weights of TotalSegmentator at 3 mm."""
    from workers.training.standins.banded import write_banded

    folder = tmp_path_factory.mktemp("weights") / "banded"
    known = {name for task in data_sets.tasks("iliopsoas") for name in task.structures}
    write_banded(folder, data_sets.required(fast=True), known)
    return folder


@pytest.fixture(scope="module")
def volume() -> Volume:
    """Thirty coarse slices of the synthetic abdomen, those with the liver, as wide as one patch of a network."""
    anatomy = standard_anatomy()
    grid = covering_grid(anatomy, spacing_mm=(5.0, 3.0, 3.0))
    first, row, column = 45, 10, 4
    hu = render(anatomy, grid, seed=3).hu[first : first + 30, row : row + 60, column : column + 60].copy()
    z, y, x = grid.spacing_mm
    origin = (grid.origin_mm[0] + column * x, grid.origin_mm[1] + row * y, grid.origin_mm[2] + first * z)
    geometry = Geometry(hu.shape, origin, (0.0, 0.0, z), (0.0, y, 0.0), (x, 0.0, 0.0), "1.2")
    facts = Acquisition(120.0, z, "", "", False, "", "HFS", synthetic=True)
    return Volume(hu, geometry, Candidate("1.2.3", "", "", ()), (), facts)


@pytest.fixture
def model(demo: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may damage."""
    return Path(shutil.copytree(demo, tmp_path / "demo"))


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary files are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with room and time, warm from the tests before."""
    made = Engine(PATIENT_S, ROOMY_MB, tmp_path_factory.mktemp("log") / "engine.log")
    yield made
    made.close()


@pytest.fixture
def warm(engine: Engine, volume: Volume, demo: Path) -> Engine:
    """The engine whose process has loaded the demonstration model: what comes next is the network alone."""
    engine.segment(order(demo), volume)
    return engine


@pytest.fixture
def fresh(scratch: Path, tmp_path: Path) -> Iterator[Engine]:
    """An engine of this test alone, whose temporary folder lies in `scratch`."""
    made = Engine(PATIENT_S, ROOMY_MB, tmp_path / "engine.log")
    yield made
    made.close()


@pytest.fixture(scope="module")
def said(volume: Volume, demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What one process says of each unsound model; the worker would have put each to a new one, which takes long."""
    folder = tmp_path_factory.mktemp("unsound")
    engine = Engine(PATIENT_S, ROOMY_MB, folder / "engine.log")
    connection = engine._running()
    answers = {}
    for fault in UNSOUND:
        model = Path(shutil.copytree(demo, folder / fault))
        spoil(model, fault)
        connection.send(_Question(order(model), volume.hu, volume.geometry))
        assert connection.poll(PATIENT_S), fault
        answers[fault] = connection.recv()
    engine.close()
    return answers


def order(folder: Path) -> Order:
    """Order the demonstration model."""
    return Order(Way.DEMO, folder, "cpu", "iliopsoas")


def test_a_warm_engine_answers_again_in_the_same_process(engine: Engine, volume: Volume, demo: Path) -> None:
    """The second answer comes from the process that gave the first, and is equal to it."""
    first = engine.segment(order(demo), volume)
    pid = engine.pid
    assert pid is not None
    second = engine.segment(order(demo), volume)
    assert engine.pid == pid
    assert Structure.LIVER in first.regions
    assert first.regions.keys() == second.regions.keys()
    assert all((first.regions[one].mask == second.regions[one].mask).all() for one in first.regions)
    assert first.validation is not None, "nothing was measured of the model, so no number could have an interval"
    assert first.validation == second.validation == demo_folder.validation(demo)


def test_killed_midway(warm: Engine, volume: Volume, demo: Path) -> None:
    """A process that is killed in the middle of a forward pass is `engine-lost`; the next question starts another."""
    failed: list[Outage] = []

    def ask() -> None:
        with pytest.raises(Unavailable) as caught:
            warm.segment(order(demo), volume)
        failed.append(caught.value.code)

    pid, own = warm.pid, warm._scratch
    assert pid is not None
    assert own is not None
    assert own.is_dir()
    process = psutil.Process(pid)
    before = process.cpu_times().user
    thread = threading.Thread(target=ask)
    thread.start()
    _until(lambda: process.cpu_times().user > before + 0.3)
    os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert failed == [Outage.ENGINE_LOST]
    assert not own.exists()
    assert warm.segment(order(demo), volume).regions
    assert warm.pid != pid


def test_a_turned_grid_gives_the_turned_answer(engine: Engine, volume: Volume, demo: Path) -> None:
    """Rows and columns that run the other way: the same voxels, turned."""
    turned = replace(volume, hu=volume.hu[:, ::-1, ::-1].copy(), geometry=_turned(volume.geometry))
    straight, other = engine.segment(order(demo), volume), engine.segment(order(demo), turned)
    shape = volume.geometry.shape
    assert Structure.LIVER in straight.regions
    for structure, region in straight.regions.items():
        assert (region.full(shape) == other.regions[structure].full(shape)[:, ::-1, ::-1]).all(), structure


@pytest.mark.parametrize("fault", UNSOUND)
def test_unsound_model_with_a_manifest_that_agrees(fault: str, said: Mapping[str, Any]) -> None:
    """A manifest can be made to agree; what cannot be loaded is then untrusted all the same."""
    assert (said[fault].kind, said[fault].code) == (Untrusted, StudyRefusal.INPUT_UNTRUSTED)


def test_a_process_that_could_not_load_a_model_ends(engine: Engine, volume: Volume, model: Path) -> None:
    """The worker is told what the process says, and puts the next question to a new one."""
    spoil(model, "cut")
    with pytest.raises(Untrusted) as caught:
        engine.segment(order(model), volume)
    assert caught.value.code is StudyRefusal.INPUT_UNTRUSTED
    assert engine.pid is None


@pytest.mark.parametrize(
    ("time_limit_s", "memory_limit_mb", "code"),
    [(0.5, ROOMY_MB, Outage.ENGINE_TIMEOUT), (PATIENT_S, 60, Outage.ENGINE_MEMORY)],
)
def test_limits(
    time_limit_s: float, memory_limit_mb: int, code: Outage, volume: Volume, demo: Path, scratch: Path, tmp_path: Path
) -> None:
    """Time and memory end the process at their limits, and say so."""
    engine = Engine(time_limit_s, memory_limit_mb, tmp_path / "engine.log")
    with pytest.raises(Unavailable) as caught:
        engine.segment(order(demo), volume)
    assert caught.value.code is code
    assert engine.pid is None
    assert list(scratch.iterdir()) == []
    engine.close()


def test_missing_file(engine: Engine, volume: Volume, model: Path) -> None:
    """A model that is not whole is `weights-missing`; the next question is put to a new process."""
    (model / FILES[-1]).unlink()
    with pytest.raises(NotAnalysable) as caught:
        engine.segment(order(model), volume)
    assert caught.value.code is StudyRefusal.WEIGHTS_MISSING
    assert engine.pid is None


def test_wrong_digest(engine: Engine, volume: Volume, model: Path) -> None:
    """A file that is not what the manifest says is untrusted: one bit is enough."""
    path = model / FILES[-1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Untrusted) as caught:
        engine.segment(order(model), volume)
    assert "not what the manifest says" in caught.value.detail
    assert engine.pid is None


def test_no_gpu_is_no_cpu(volume: Volume, scratch: Path, fresh: Engine, weights_dir: Path) -> None:
    """A site that asks for a GPU that is not there is told so; the network does not run on the CPU instead.

    The process that has looked in vain ends: the next attempt looks anew.
    """
    for device in ("gpu:99", "gpu:98"):
        with pytest.raises(Unavailable) as caught:
            fresh.segment(Order(Way.TOTALSEGMENTATOR, weights_dir, device, "iliopsoas", fast=True), volume)
        assert caught.value.code is Outage.DEVICE_MISSING
        assert device in caught.value.detail
        assert fresh.pid is None
    assert list(scratch.iterdir()) == []


def test_what_libraries_leave_behind_goes_with_the_process(
    scratch: Path, fresh: Engine, volume: Volume, weights_dir: Path, tmp_path: Path
) -> None:
    """TotalSegmentator's temporary files lie in the process's own folder, and go when it is told to end or killed."""
    wanted = Order(Way.TOTALSEGMENTATOR, weights_dir, "cpu", "iliopsoas", fast=True)
    small = replace(volume, hu=volume.hu[:20, :40, :40].copy(), geometry=replace(volume.geometry, shape=(20, 40, 40)))
    fresh.segment(wanted, small)
    pid = fresh.pid
    assert pid is not None
    [own] = scratch.iterdir()
    left = shutil.copytree(own, tmp_path / "left")
    assert list(left.iterdir()), "the library has made no file: nothing was tried"
    fresh.close()
    assert not psutil.pid_exists(pid)
    assert list(scratch.iterdir()) == []
    fresh._running()
    [own] = scratch.iterdir()
    shutil.copytree(left, own, dirs_exist_ok=True)  # what a second run would leave, which takes long
    assert fresh._process is not None
    fresh._process.kill()
    fresh._process.wait()
    fresh._running()
    [other] = scratch.iterdir()
    assert other != own
    fresh.close()
    assert list(scratch.iterdir()) == []


def test_the_resident_engine(engine: Engine, volume: Volume, weights_dir: Path) -> None:
    """Ordered as `resident`, the same weights answer from the engine process; the name says who, a note how."""
    from workers.training.standins.banded import hu_of

    hu = np.full((20, 40, 40), -1000, dtype=np.int16)
    hu[:, 2:38, 2:38] = -100
    liver = (slice(4, 15), slice(10, 30), slice(8, 25))
    hu[liver] = round(hu_of("liver"))
    geometry = Geometry(hu.shape, (0.0, 0.0, 0.0), (0.0, 0.0, 3.0), (0.0, 3.0, 0.0), (3.0, 0.0, 0.0), "1.2")
    wanted = Order(Way.RESIDENT, weights_dir, "cpu", "iliopsoas", fast=True)
    answer = engine.segment(wanted, replace(volume, hu=hu, geometry=geometry))
    assert answer.name.endswith("resident")
    assert "3 mm" in answer.reduced
    assert answer.finds == {one for task in data_sets.tasks("iliopsoas") for one in task.structures.values()}
    assert answer.regions[Structure.LIVER].box == liver
    assert answer.regions[Structure.LIVER].mask.all()


def test_a_process_whose_worker_is_gone_sweeps_up_itself(scratch: Path, fresh: Engine) -> None:
    """Where the worker was killed nobody else can: the process ends at the end of its connection, and its folder."""
    fresh._running().close()  # as the system closes it when the worker is killed
    assert fresh._process is not None
    assert fresh._process.wait(60) == 0
    assert list(scratch.iterdir()) == []


def spoil(model: Path, fault: str) -> None:
    """Make a copy of the model unsound, and its manifest agree."""
    path, other = (model / name / "fold_0" / "weights.npz" for name in ("structures", "levels"))
    whole = path.read_bytes()
    if fault == "plans":
        (model / "structures" / "plans.json").write_text("{}")
    elif fault == "cut":
        path.write_bytes(whole[:1000])
    elif fault == "noise inside":
        path.write_bytes(whole[:5000] + bytes(500) + whole[5500:])
    else:
        path.write_bytes(other.read_bytes())
    write_manifest(model)


def write_manifest(folder: Path) -> None:
    """Write the manifest anew, as if the files had come like this."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    manifest.write(folder, {"model": "demo"}, manifest.entries_of(folder, names - {manifest.NAME}))


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
