"""The engine `resident` gives the labels of TotalSegmentator's own entry point, voxel for voxel; and its ladder.

On stand-in weights of both kinds (random: every class everywhere; knowing: the demonstration model's knowledge), every
data set of our tasks, on the phantom and both real studies. Random weights on parts of the studies are compared always;
the other kind and the whole of them where CRLM_TEST_WHOLE is set (an hour on two cores); the real weights where
CRLM_TEST_REAL_WEIGHTS names them.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from real_series import read_series

from node.core.grid import Geometry
from node.phantom import covering_grid, render, standard_anatomy
from workers.segmentation.port import Network

pytestmark = pytest.mark.timeout(3600)

MODEL = Path(__file__).parents[2] / "models" / "demo"
KINDS = ("random", "knowing")
PARTS = {
    "phantom": (slice(50, 60), slice(20, 38), slice(24, 42)),
    "abdomen3mm": (slice(62, 78), slice(41, 61), slice(41, 61)),
    "crlm-ct-1004": (slice(12, 22), slice(255, 295), slice(195, 235)),
}
"""Where a part of each study lies: some of the liver, the spine and the muscles."""

Study = tuple[NDArray[np.int16], Geometry]


@pytest.fixture(scope="module", autouse=True)
def library(lacking: Callable[[str], None]) -> Iterator[None]:
    """The library is there; the environment that it is run in is put back in the end."""
    for component in ("torch", "totalsegmentator"):
        if importlib.util.find_spec(component) is None:
            lacking(component)
    before = dict(os.environ)
    yield
    engines.cache_clear()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module", params=KINDS)
def weights_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-in weights of all that our tasks need."""
    from workers.segmentation import data_sets
    from workers.training.standins.knowing import write_knowing
    from workers.training.standins.noisy import write_random

    if request.param == "knowing":
        asked_for_whole_studies()
    folder = tmp_path_factory.getbasetemp() / f"resident-{request.param}"
    if folder.is_dir():
        return folder
    wanted = {one.number: one for psoas in ("iliopsoas", "psoas_major") for one in data_sets.required(psoas)}
    if request.param == "random":
        write_random(folder, wanted.values(), seed=7)
    else:
        write_knowing(folder, wanted.values(), MODEL)
    return folder


@pytest.fixture(scope="module", params=PARTS)
def study(request: pytest.FixtureRequest) -> tuple[str, Study]:
    """The phantom and the real studies of the shared data."""
    if request.param == "phantom":
        anatomy = standard_anatomy()
        grid = covering_grid(anatomy, spacing_mm=(5.0, 3.0, 3.0))
        z, y, x = grid.spacing_mm
        steps = (0.0, 0.0, z), (0.0, y, 0.0), (x, 0.0, 0.0)
        hu = render(anatomy, grid, seed=3).hu
        return request.param, (hu, Geometry(hu.shape, grid.origin_mm, *steps, "1.2"))
    folder = request.getfixturevalue("test_data") / request.param
    return request.param, read_series(folder / "ct" if request.param == "abdomen3mm" else folder)


def part_of(study: Study, box: tuple[slice, slice, slice]) -> Study:
    """Cut a study to a box."""
    hu, whole = study
    hu = hu[box].copy()
    corner = whole.affine @ [*(part.start for part in box), 1]
    steps = whole.slice_step_mm, whole.row_step_mm, whole.column_step_mm
    return hu, Geometry(hu.shape, tuple(float(value) for value in corner[:3]), *steps, "1.2")  # type: ignore[arg-type]


def asked_for_whole_studies() -> None:
    """Skip what takes minutes."""
    if not os.environ.get("CRLM_TEST_WHOLE"):
        pytest.skip("not run: CRLM_TEST_WHOLE is not set")


@cache
def engines(folder: Path, **options: Any) -> tuple[Network, Network]:
    """Return the library and the engine that is held against it; their networks stay loaded from study to study."""
    from workers.segmentation.library import TotalSegmentator
    from workers.segmentation.resident import Resident

    return TotalSegmentator(folder, **options), Resident(folder, **options)


def require_same(folder: Path, study: Study, **options: Any) -> int:
    """Hold the regions of both engines against each other; return how many there are."""
    hu, geometry = study
    library, engine = engines(folder, **options)
    wanted = library.segment(hu, geometry)
    found = engine.segment(hu, geometry)
    assert found.keys() == wanted.keys()
    for structure, region in wanted.items():
        assert found[structure].box == region.box, structure
        np.testing.assert_array_equal(found[structure].mask, region.mask, err_msg=structure)
    assert len(engine.name) <= 64
    return len(found)


def test_the_labels_of_the_library(weights_dir: Path, study: tuple[str, Study]) -> None:
    """In a part of each study, every data set of our tasks gives every structure as the library does."""
    name, whole = study
    part = part_of(whole, PARTS[name])
    assert require_same(weights_dir, part, psoas="psoas_major") >= 1


def test_the_labels_of_the_library_at_3_mm(weights_dir: Path, study: tuple[str, Study]) -> None:
    """So they do with the coarse network of `total`, and with the other muscle."""
    name, whole = study
    if name != "abdomen3mm":
        asked_for_whole_studies()
    require_same(weights_dir, part_of(whole, PARTS[name]), psoas="iliopsoas", fast=True)


@pytest.mark.parametrize("psoas", ["iliopsoas", "psoas_major"])
def test_the_labels_of_the_library_on_whole_studies(psoas: str, weights_dir: Path, study: tuple[str, Study]) -> None:
    """In whole studies too."""
    asked_for_whole_studies()
    require_same(weights_dir, study[1], psoas=psoas)


def test_the_labels_of_the_real_weights(study: tuple[str, Study]) -> None:
    """With TotalSegmentator's own weights both engines say the same of whole studies."""
    if not (named := os.environ.get("CRLM_TEST_REAL_WEIGHTS")):
        pytest.skip("not run: CRLM_TEST_REAL_WEIGHTS names no weights")
    assert require_same(Path(named), study[1], psoas="iliopsoas") >= 1


# --- where a GPU has no memory left -------------------------------------------------------------------------------


def of_total(outputs: int) -> bool:
    """Say whether a network of so many outputs is one of those of `total` at 1.5 mm."""
    from workers.segmentation import data_sets

    parts = (one for one in data_sets.required() if data_sets.is_part(one))
    return outputs in {1 + max(one.labels) for one in parts}


STEPS = {
    "smaller tiles": (lambda edge, _, __: edge == 48, "smaller tiles", False),
    "3 mm": (lambda edge, outputs, _: edge == 48 or of_total(outputs), "3 mm", True),
    "CPU": (lambda edge, _, calls: edge < 48 or calls == 1, "CPU", False),
}
"""When a network finds no memory: by the edge of its tile, its outputs, and how many tiles came before."""


@pytest.mark.parametrize("step", STEPS)
def test_the_ladder(step: str, weights_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that a GPU has no memory for runs by the next step that fits, which is told; the next study starts anew.

    No GPU is asked for: the networks run on the CPU, and their forward pass says that there is no memory.
    """
    import torch
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    from workers.segmentation import resident
    from workers.segmentation.resident import Resident
    from workers.training.standins.noisy import noise

    if not weights_dir.name.endswith("random"):
        pytest.skip("one kind of weights says it")
    short, told, coarse = STEPS[step]
    hu = noise((10, 14, 14), seed=3)
    geometry = Geometry(hu.shape, (0.0, 0.0, 0.0), (0.0, 0.0, 3.0), (0.0, 3.0, 0.0), (3.0, 0.0, 0.0), "1.2")
    run, calls = PlainConvUNet.forward, []

    def forward(network: Any, x: Any) -> Any:
        answer = run(network, x)
        calls.append(x.shape)
        if short(x.shape[2], answer.shape[1], len(calls)):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return answer

    monkeypatch.setattr(resident, "_device", lambda _: torch.device("cpu"))
    engine = Resident(weights_dir, psoas="iliopsoas", device="gpu", ladder=True)
    monkeypatch.setattr(PlainConvUNet, "forward", forward)
    found = engine.segment(hu, geometry)
    assert told in engine.reduced
    assert "memory" in engine.reduced
    if step == "CPU":
        monkeypatch.setattr(PlainConvUNet, "forward", run)
        whole = engine.segment(hu, geometry)
        assert engine.reduced == ""
        assert {name: region.mask.tobytes() for name, region in found.items()} == {
            name: region.mask.tobytes() for name, region in whole.items()
        }
        return
    strict = Resident(weights_dir, psoas="iliopsoas", device="gpu", fast=coarse)
    with pytest.raises(torch.OutOfMemoryError):
        strict.segment(hu, geometry)


# --- many studies in a row ----------------------------------------------------------------------------------------


def test_memory_stays_flat(weights_dir: Path) -> None:
    """What a warm engine holds does not grow with the number of its studies (50, or CRLM_TEST_STUDIES)."""
    import psutil

    from workers.segmentation.resident import Resident
    from workers.training.standins.noisy import noise

    if not weights_dir.name.endswith("random"):
        pytest.skip("one kind of weights says it")
    engine, held = Resident(weights_dir, psoas="iliopsoas", fast=True), []
    for number in range(int(os.environ.get("CRLM_TEST_STUDIES", "50"))):
        hu = noise((8 + number % 3, 14, 12 + number % 4), seed=number)
        geometry = Geometry(hu.shape, (0.0, 0.0, 0.0), (0.0, 0.0, 3.0), (0.0, 3.0, 0.0), (3.0, 0.0, 0.0), "1.2")
        assert engine.segment(hu, geometry)
        held.append(psutil.Process().memory_info().rss / 2**20)
    half = len(held) // 2
    assert max(held[half:]) - max(held[:half]) < 10, [round(one) for one in held]
