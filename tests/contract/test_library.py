"""TotalSegmentator itself on stand-in weights, and a fake of it that thresholds, through one set of claims.

The weights are `banded` (`workers.training.standins`): a voxel's class is its attenuation, so every answer is known.
"""

import http.server
import importlib.util
import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from real_series import read_series

from node.core.codes import Structure
from node.core.errors import NotAnalysable, Untrusted
from node.core.grid import Geometry
from node.core.reasons import StudyRefusal

pytestmark = pytest.mark.timeout(600)

FAT_HU = -100
UPRIGHT = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=np.float64)
"""Steps along slices, rows and columns: to the head, to the back, to the left."""
BOXES_MM: Mapping[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "liver": ((-36, -6), (-36, -9), (6, 36)),
    "liver_lesions": ((-27, -15), (-27, -15), (15, 27)),
    "vertebrae_L1": ((-9, 9), (15, 33), (9, 33)),
    "vertebrae_L3": ((9, 30), (-33, -9), (-36, -9)),
    "vertebrae_body": ((-33, -12), (-33, -12), (-36, -12)),
    "iliopsoas_left": ((9, 33), (12, 33), (-36, -9)),
    "iliopsoas_right": ((-33, -12), (9, 30), (-33, -9)),
}
"""Where the classes lie in the patient: x to the left, y to the back, z to the head, from and to."""
NAMES = {
    "liver": Structure.LIVER,
    "liver_lesions": Structure.LESION,
    "vertebrae_L1": Structure.VERTEBRA_L1,
    "vertebrae_L3": Structure.VERTEBRA_L3,
    "vertebrae_body": Structure.VERTEBRAL_BODY,
    "iliopsoas_left": Structure.ILIOPSOAS_LEFT,
    "iliopsoas_right": Structure.ILIOPSOAS_RIGHT,
}
OF_TOTAL = [name for name in BOXES_MM if name not in ("liver_lesions", "vertebrae_body")]
KNOWN = (*BOXES_MM, "psoas_major_left", "psoas_major_right", "body_trunc")
"""Classes that the stand-ins read: what is painted, and what the library crops by."""


@pytest.fixture(scope="module", autouse=True)
def library(lacking: Callable[[str], None]) -> Iterator[None]:
    """The library is there; the environment that it is run in is put back in the end."""
    for component in ("torch", "totalsegmentator"):
        if importlib.util.find_spec(component) is None:
            lacking(component)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def banded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-in weights of what either muscle needs."""
    from workers.segmentation import data_sets
    from workers.training.standins.banded import write_banded

    folder = tmp_path_factory.mktemp("weights") / "banded"
    wanted = {one.number: one for psoas in PSOAS for one in data_sets.required(psoas)}
    write_banded(folder, wanted.values(), KNOWN)
    return folder


PSOAS = ("iliopsoas", "psoas_major")


@pytest.fixture
def own(banded: Path, tmp_path: Path) -> Path:
    """A copy of the stand-in weights that the test may break."""
    return Path(shutil.copytree(banded, tmp_path / "weights"))


def grid(steps_mm: Any, shape: tuple[int, int, int]) -> Geometry:
    """Return a grid around the origin with these steps along slices, rows and columns."""
    slices, rows, columns = (tuple(float(value) for value in step) for step in steps_mm)
    middle = (np.asarray(shape) - 1) / 2
    origin = tuple(float(value) for value in -(np.asarray(steps_mm).T @ middle))
    return Geometry(shape, origin, slices, rows, columns, "1.2.3")  # type: ignore[arg-type]


def painted(geometry: Geometry) -> tuple[NDArray[np.int16], dict[str, NDArray[np.bool_]]]:
    """Return a volume with every box painted in the attenuation of its class, and the mask of each."""
    from workers.training.standins.banded import hu_of

    indices = np.indices(geometry.shape).reshape(3, -1)
    x, y, z = (geometry.affine @ np.vstack([indices, np.ones(indices.shape[1])]))[:3].reshape(3, *geometry.shape)
    hu = np.full(geometry.shape, FAT_HU, dtype=np.int16)
    masks = {}
    for name, ((x0, x1), (y0, y1), (z0, z1)) in BOXES_MM.items():
        inside = (x0 < x) & (x < x1) & (y0 < y) & (y < y1) & (z0 < z) & (z < z1)
        hu[inside] = hu_of(name)
        for earlier in masks.values():
            earlier &= ~inside
        masks[name] = inside
    assert all(mask.any() for mask in masks.values())
    return hu, masks


def turned(x: float, z: float) -> NDArray[np.float64]:
    """Return steps of 3 mm, turned about the patient's x and z axes by these angles."""
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    steps: NDArray[np.float64] = 3.0 * (about_x @ about_z @ UPRIGHT.T).T
    return steps


GRIDS = {
    "head first, supine": 3.0 * UPRIGHT,
    "feet first, supine": 3.0 * UPRIGHT * [[1], [1], [-1]],
    "head first, prone": 3.0 * UPRIGHT * [[1], [-1], [-1]],
    "mirrored rows": 3.0 * UPRIGHT * [[1], [-1], [1]],
    "rows and columns exchanged": 3.0 * UPRIGHT[[0, 2, 1]],
    "slices towards the feet": 3.0 * UPRIGHT * [[-1], [1], [1]],
    "oblique": turned(0.25, 0.2),
}
REAL_GRIDS = ("feet first, supine", "rows and columns exchanged", "oblique")
SHAPE = (30, 28, 29)


class Thresholds:
    """A fake of the library: bright voxels get the class of the patient's octant that they lie in."""

    def totalsegmentator(self, image: Any, output: None, *, task: str, **rest: Any) -> Any:
        """Answer as the library does: labels on the image's own grid."""
        import nibabel

        from workers.segmentation.library import class_map

        assert (output, rest["ml"]) == (None, True)
        indices = np.indices(image.shape).reshape(3, -1)
        points = image.affine @ np.vstack([indices, np.ones(indices.shape[1])])
        right, front, head = (points[:3] > 0).reshape(3, *image.shape)
        octants = {
            "liver": head & front & right,
            "vertebrae_L1": head & ~front,
            "vertebrae_L3": ~head & front & ~right,
            "iliopsoas_left": ~head & ~front & ~right,
            "iliopsoas_right": ~head & ~front & right,
        }
        labels = np.zeros(image.shape, dtype=np.uint8)
        if task == "total":
            for number, name in class_map(task).items():
                labels[octants.get(name, False) & (image.get_fdata() > FAT_HU)] = number
        return nibabel.Nifti1Image(labels, image.affine)


def network(folder: Path, **options: Any) -> Any:
    """Make the network."""
    from workers.segmentation.library import TotalSegmentator

    return TotalSegmentator(folder, **{"psoas": "iliopsoas", "fast": True, **options})


# --- where voxels land --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"), [*(("fake", name) for name in GRIDS), *(("real", name) for name in REAL_GRIDS)]
)
def test_voxels_land_where_they_belong(kind: str, name: str, banded: Path) -> None:
    """On grids of any orientation each class comes back in exactly the voxels that were painted, left and right too."""
    geometry = grid(GRIDS[name], SHAPE)
    hu, masks = painted(geometry)
    engine = network(banded)
    if kind == "fake":
        engine._api = Thresholds()
        masks["liver"] = masks["liver"] | masks["liver_lesions"]
        hu[masks["vertebrae_body"]] = FAT_HU
    found = engine.segment(hu, geometry)
    for label in OF_TOTAL:
        np.testing.assert_array_equal(found[NAMES[label]].full(geometry.shape), masks[label], err_msg=label)


@settings(max_examples=50, deadline=None)
@given(
    spacing=st.tuples(*[st.floats(0.3, 10)] * 3),
    turns=st.tuples(*[st.floats(-np.pi, np.pi)] * 2),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
)
def test_image_lies_in_the_patient(spacing: Any, turns: Any, origin: Any) -> None:
    """However a grid lies, a voxel's place in the NIfTI image is the same point of the patient, in RAS."""
    from workers.segmentation.library import as_nifti, as_volume

    slices, rows, columns = np.diag(spacing) @ turned(*turns) / 3.0
    geometry = Geometry((2, 3, 4), origin, tuple(slices), tuple(rows), tuple(columns), "1.2.3")
    hu = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = as_nifti(hu, geometry)
    for index in np.ndindex(2, 3, 4):
        right, front, head = (image.affine @ [*reversed(index), 1])[:3]
        np.testing.assert_allclose((-right, -front, head), (geometry.affine @ [*index, 1])[:3], atol=1e-6)
        assert image.dataobj[tuple(reversed(index))] == hu[index]
    np.testing.assert_array_equal(as_volume(image), hu)


@pytest.mark.parametrize(("psoas", "fast"), [("iliopsoas", False), ("psoas_major", True)])
def test_any_spacing(psoas: str, fast: bool, banded: Path) -> None:
    """Where the library resamples, every structure that is looked for comes back: its inside whole, and nothing
    outside it but where another class's border passes through its attenuation.
    """
    from scipy import ndimage

    from workers.training.standins.banded import hu_of

    geometry = grid(np.diag([2.5, 1.7, 1.7]) @ UPRIGHT, (36, 50, 51))
    hu, masks = painted(geometry)
    if psoas == "psoas_major":
        for side in ("left", "right"):
            masks[f"psoas_major_{side}"] = masks.pop(f"iliopsoas_{side}")
            hu[masks[f"psoas_major_{side}"]] = hu_of(f"psoas_major_{side}")
    names = {**NAMES, **{f"psoas_major_{side}": Structure(f"psoas_major_{side}") for side in ("left", "right")}}
    engine = network(banded, psoas=psoas, fast=fast)
    found = engine.segment(hu, geometry)
    assert engine.finds == {names[label] for label in masks} == found.keys()
    around = np.ones((5, 5, 5), dtype=bool)
    inside = {label: ndimage.binary_erosion(mask, around) for label, mask in masks.items()}
    painted_anywhere = np.logical_or.reduce(list(masks.values()))
    borders = ndimage.binary_dilation(painted_anywhere, around) & ~np.logical_or.reduce(list(inside.values()))
    for label, mask in masks.items():
        got = found[names[label]].full(geometry.shape)
        assert inside[label].any()
        assert got[inside[label]].all(), label
        assert not (got & ~mask & ~borders).any(), label


def test_nothing_found(banded: Path) -> None:
    """A volume of nothing but fat gives no region, and still says what was looked for."""
    geometry = grid(3.0 * UPRIGHT, SHAPE)
    engine = network(banded)
    assert engine.segment(np.full(SHAPE, FAT_HU, dtype=np.int16), geometry) == {}
    assert Structure.LIVER in engine.finds


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_any_number(dtype: Any, banded: Path) -> None:
    """Every type of number that a volume may have gives the same answer."""
    geometry = grid(3.0 * UPRIGHT, SHAPE)
    hu, masks = painted(geometry)
    engine = network(banded)
    engine._tasks = engine._tasks[:1]
    found = engine.segment(hu.astype(dtype), geometry)
    np.testing.assert_array_equal(found[Structure.LIVER].full(SHAPE), masks["liver"])


# --- the process --------------------------------------------------------------------------------------------------

WATCHED = textwrap.dedent(
    """
    import sys
    from pathlib import Path

    heard = []

    def hear(event, arguments):
        if event.startswith("socket.") or event in ("os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen"):
            heard.append(event)
            if event.startswith("socket."):
                raise OSError("the network is closed")

    def main():
        import numpy as np
        from node.core.grid import Geometry
        from workers.segmentation.library import TotalSegmentator

        hu = np.load(sys.argv[2])
        geometry = Geometry(hu.shape, (0, 0, 0), (0, 0, 3), (0, 3, 0), (3, 0, 0), "1.2.3")
        engine = TotalSegmentator(Path(sys.argv[1]), psoas="iliopsoas", fast=False)
        del heard[:]  # what libraries do when they are imported is not a run
        found = engine.segment(hu, geometry)
        print("found", *sorted(found))
        print("heard", *heard)
        print("searched", "torchvision" in sys.modules)
        from totalsegmentator import config
        config.send_usage_stats({"send_usage_stats": True, "totalseg_id": "", "prediction_counter": 0}, {
            "task": "", "fast": "", "preview": "", "multilabel": "", "roi_subset": None, "statistics": "",
            "radiomics": ""})
        print("control", *heard)

    if __name__ == "__main__":
        sys.addaudithook(hear)
        main()
    """
)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a run says in a process whose sockets are closed, on weights that hold no more than is said to be needed."""
    from workers.segmentation import data_sets
    from workers.training.standins.banded import write_banded

    folder = tmp_path_factory.mktemp("watched")
    write_banded(folder / "weights", data_sets.required(), KNOWN)
    hu, _ = painted(grid(3.0 * UPRIGHT, SHAPE))
    np.save(folder / "hu.npy", hu)
    (folder / "watched.py").write_text(WATCHED)
    command = [sys.executable, str(folder / "watched.py"), str(folder / "weights"), str(folder / "hu.npy")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TOTALSEG", "nnUNet"))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.split()}


def test_no_call_goes_out(watched: Mapping[str, list[str]]) -> None:
    """A run opens no socket, not even for the usage statistics that are on by default; the control does try."""
    assert watched["heard"] == []
    assert "socket.getaddrinfo" in watched["control"]


def test_what_is_needed_is_enough(watched: Mapping[str, list[str]]) -> None:
    """With the data sets that are said to be needed, and no others, every structure is found."""
    assert watched["found"] == sorted(NAMES.values())


def test_no_process_is_started(watched: Mapping[str, list[str]]) -> None:
    """A run starts no process, so that the engine can be killed whole; torchvision is not loaded."""
    assert watched["heard"] == []
    assert watched["searched"] == ["False"]


def test_trainers_are_known() -> None:
    """Each trainer that a network of ours was trained by is the one that nnU-Net has under this name."""
    from importlib import import_module

    from workers.segmentation import data_sets
    from workers.segmentation.library import TRAINERS

    for name in {one.trainer for one in data_sets.all_parts()}:
        assert getattr(import_module(TRAINERS[name]), name).__name__ == name


def test_plans_are_the_default() -> None:
    """The name of the plans in our paths is the one that the library takes."""
    import inspect

    from workers.segmentation import data_sets
    from workers.segmentation.library import import_library

    assert inspect.signature(import_library().totalsegmentator).parameters["plans"].default == data_sets.PLANS


# --- weights that cannot be used ----------------------------------------------------------------------------------


def refused(action: Callable[[], object], kind: type[NotAnalysable | Untrusted]) -> StudyRefusal:
    """Return the code that an action is refused with."""
    with pytest.raises(kind) as caught:
        action()
    return caught.value.code


def checkpoint(folder: Path) -> Path:
    """The checkpoint of `total` at 3 mm."""
    (found,) = folder.glob("Dataset297*/*/fold_0/checkpoint_final.pth")
    return found


def blessed(folder: Path) -> Path:
    """Write the manifest anew, as if the files had come like this."""
    from workers.segmentation import data_sets, manifest, weights

    (folder / manifest.NAME).unlink()
    weights.write_manifest(folder, data_sets.required(fast=True))
    return folder


class Trap:
    """A pickle that writes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        """Return the call that opening makes."""
        return (Path.touch, (self.path,))


def test_changed_weights_are_never_opened(own: Path, tmp_path: Path) -> None:
    """A checkpoint that is not what the manifest says is refused before its pickle could run anything."""
    sprung = tmp_path / "sprung"
    checkpoint(own).write_bytes(pickle.dumps(Trap(sprung)))
    assert refused(lambda: network(own), Untrusted) is StudyRefusal.INPUT_UNTRUSTED
    assert not sprung.exists()


def test_missing_weights(own: Path) -> None:
    """A checkpoint that is gone is told before anything is loaded."""
    checkpoint(own).unlink()
    assert refused(lambda: network(own), NotAnalysable) is StudyRefusal.WEIGHTS_MISSING


@pytest.mark.parametrize("fault", ["cut", "noise", "empty", "of another network", "plans"])
def test_unsound_weights(own: Path, fault: str) -> None:
    """What the manifest vouches for and nnU-Net cannot load is told by its code, and the process goes on."""
    path = checkpoint(own)
    other = next(own.glob("Dataset305*/*/fold_0/checkpoint_final.pth"))
    if fault == "plans":
        (path.parents[1] / "plans.json").write_text("{}")
    else:
        whole = path.read_bytes()
        noise = np.random.default_rng(0).bytes(1000)
        path.write_bytes({"cut": whole[:-400], "noise": noise, "empty": b""}.get(fault, other.read_bytes()))
    engine = network(blessed(own))
    geometry = grid(3.0 * UPRIGHT, SHAPE)
    volume = np.full(SHAPE, FAT_HU, dtype=np.int16)
    assert refused(lambda: engine.segment(volume, geometry), Untrusted) is StudyRefusal.INPUT_UNTRUSTED


def test_weights_exchanged_while_loaded(own: Path) -> None:
    """Weights that change under a warm engine are refused; a file that was only touched is not."""
    geometry = grid(3.0 * UPRIGHT, SHAPE)
    volume = np.full(SHAPE, FAT_HU, dtype=np.int16)
    engine = network(own)
    engine._api = Thresholds()
    checkpoint(own).touch()
    assert engine.segment(volume, geometry) == {}
    whole = checkpoint(own).read_bytes()
    checkpoint(own).write_bytes(whole[:-1] + b"x")
    assert refused(lambda: engine.segment(volume, geometry), Untrusted) is StudyRefusal.INPUT_UNTRUSTED
    blessed(own)
    assert refused(lambda: engine.segment(volume, geometry), Untrusted) is StudyRefusal.INPUT_UNTRUSTED
    checkpoint(own).unlink()
    assert refused(lambda: engine.segment(volume, geometry), NotAnalysable) is StudyRefusal.WEIGHTS_MISSING


def test_networks_stay_loaded(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second volume finds every network loaded: no checkpoint is opened again."""
    import torch

    opened: list[str] = []
    load = torch.load

    def counted(path: Any, *rest: Any, **options: Any) -> Any:
        opened.append(str(path))
        return load(path, *rest, **options)

    monkeypatch.setattr(torch, "load", counted)
    geometry = grid(3.0 * UPRIGHT, SHAPE)
    hu, _ = painted(geometry)
    engine = network(own)
    first = engine.segment(hu, geometry)
    count = len(opened)
    second = engine.segment(hu, geometry)
    assert len(opened) == count == len(set(opened)) == 3
    assert {name: region.count for name, region in first.items()} == {
        name: region.count for name, region in second.items()
    }


# --- fetching, by the library's own downloader --------------------------------------------------------------------


def test_fetch_by_the_library(banded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's downloader, led to a server of ours, brings archives that pass and that can be run."""
    import totalsegmentator.libs

    from workers.segmentation import data_sets, download, weights

    served = tmp_path / "served"
    served.mkdir()
    for one in data_sets.required(fast=True):
        shutil.make_archive(str(served / one.folder), "zip", banded, one.folder)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Quiet(*given, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    get = totalsegmentator.libs.requests.get
    asked = []

    def led(url: str, **options: Any) -> Any:
        asked.append(url)
        return get(f"http://127.0.0.1:{server.server_port}/{url.rsplit('/', 1)[1]}", **options)

    monkeypatch.setattr(totalsegmentator.libs, "requests", SimpleNamespace(get=led))
    try:
        lines = download.fetch(tmp_path / "fetched", fast=True)
    finally:
        server.shutdown()
        server.server_close()
    assert len(asked) == len(lines) == 3
    assert all(url.startswith("https://github.com/wasserth/TotalSegmentator/releases/download/") for url in asked)
    weights.verify(tmp_path / "fetched", fast=True)
    assert network(tmp_path / "fetched").name == network(banded).name


# --- the stand-ins themselves -------------------------------------------------------------------------------------


def labelled(folder: Path, one: Any, hu: NDArray[Any], spacing_mm: Any = None) -> NDArray[Any]:
    """Return the labels that nnU-Net's own predictor gives with one data set, no library around it."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from workers.segmentation.library import import_library

    import_library()
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder / one.model), one.folds)
    spacing = list(reversed(spacing_mm or [max(edge, 1.5) for edge in one.spacing_mm]))
    labels: NDArray[Any] = predictor.predict_single_npy_array(
        hu[None].astype(np.float32), {"spacing": spacing}, None, None, False
    )
    return labels


def test_random_networks_hold_every_class(tmp_path: Path) -> None:
    """Each random network's labels of noise hold every class of its data set and the background; a seed is a set."""
    from workers.segmentation import data_sets, weights
    from workers.training.standins.noisy import noise, write_random

    write_random(tmp_path / "one", data_sets.all_parts(), seed=7)
    weights.verify(tmp_path / "one")
    hu = noise((48, 48, 48), seed=3)
    for one in data_sets.all_parts():
        assert set(np.unique(labelled(tmp_path / "one", one, hu))) == {0, *one.labels}, one.folder
    write_random(tmp_path / "same", data_sets.required(fast=True), seed=7)
    write_random(tmp_path / "other", data_sets.required(fast=True), seed=8)
    assert network(tmp_path / "one").name == network(tmp_path / "same").name != network(tmp_path / "other").name


def test_random_networks_through_the_library(tmp_path: Path) -> None:
    """On random weights the library's whole way, crop stages included, brings every structure back inside the grid."""
    from workers.segmentation import data_sets
    from workers.training.standins.noisy import noise, write_random

    write_random(tmp_path, data_sets.required(), seed=7)
    shape = (32, 40, 36)
    engine = network(tmp_path, fast=False)
    found = engine.segment(noise(shape, seed=3), grid(1.5 * UPRIGHT, shape))
    assert found.keys() == engine.finds
    for region in found.values():
        assert region.full(shape).sum() == region.count > 0


KNOWS = {"liver": (1, 2), "liver_lesions": (2,), "vertebrae_body": (3,), "vertebrae_L1": (3, 4), "iliopsoas_left": (5,)}


@pytest.mark.parametrize("merged", [True, False], ids=["unions", "one to one"])
def test_knowledge_is_expanded(merged: bool, tmp_path: Path) -> None:
    """A network of another data set, spread over the library's classes, says the same: its label where it has one,
    the union where a class is made of several, and nothing of what it does not know.
    """
    from workers.segmentation import data_sets
    from workers.segmentation.data_sets import DataSet
    from workers.training.standins.banded import BAND_HU, class_names, write_banded
    from workers.training.standins.knowing import expand

    trained = DataSet(
        900,
        "Dataset900_Trained",
        "nnUNetTrainer",
        "3d_fullres",
        (3.0, 3.0, 3.0),
        (0,),
        dict(enumerate(class_names()[:5], 1)),
    )
    write_banded(tmp_path / "trained", [trained])
    import torch

    path = tmp_path / "trained" / trained.model
    plans = json.loads((path / "plans.json").read_text())
    state = torch.load(path / "fold_0" / "checkpoint_final.pth", weights_only=True)["network_weights"]
    knows = KNOWS if merged else {name: labels[:1] for name, labels in KNOWS.items() if name != "vertebrae_L1"}
    expand(tmp_path / "spread", data_sets.required(fast=True), plans, state, knows)
    hu = np.full(SHAPE, FAT_HU, dtype=np.int16)
    for label in range(1, 6):
        hu[4 * label : 4 * label + 4, 8:20, 8:20] = BAND_HU * label
    source = labelled(tmp_path / "trained", trained, hu)
    assert set(np.unique(source)) == set(range(6))
    for one in data_sets.required(fast=True):
        got = labelled(tmp_path / "spread", one, hu, trained.spacing_mm)
        known = {number: knows.get(name, ()) for number, name in one.labels.items()}
        for number, parts in known.items():
            np.testing.assert_array_equal(got == number, np.isin(source, parts), err_msg=one.labels[number])


def test_demonstration_model_becomes_total(tmp_path: Path) -> None:
    """The demonstration model's folder becomes weights of the library with the same label in each voxel: muscles left
    and right, each vertebra under its name, the liver with its lesions, by the network that knows them best.
    """
    import torch

    from workers.segmentation import data_sets, weights
    from workers.segmentation.demo.labels import LEVELS, Kind, Label
    from workers.segmentation.demo.model import load_predictor
    from workers.segmentation.demo.tasks import LEVELS_TASK, STRUCTURES_TASK
    from workers.training.export import write_network
    from workers.training.network import build_network
    from workers.training.standins.knowing import write_knowing
    from workers.training.standins.noisy import noise

    torch.manual_seed(1)
    for task in (LEVELS_TASK, STRUCTURES_TASK):
        write_network(tmp_path / "demo", task, build_network(task, deep_supervision=False))
    data_sets = data_sets.required("psoas_major", fast=True)
    write_knowing(tmp_path / "weights", data_sets, tmp_path / "demo")
    weights.verify(tmp_path / "weights", "psoas_major", fast=True)
    whole = {
        "liver": (Label.LIVER, Label.LESION),
        "iliopsoas_left": (Label.PSOAS_LEFT,),
        "iliopsoas_right": (Label.PSOAS_RIGHT,),
        **{f"vertebrae_{level}": (Label[f"BODY_{level}"], Label[f"ARCH_{level}"]) for level in LEVELS},
    }
    expected = {
        297: (LEVELS_TASK, whole),
        300: (LEVELS_TASK, {"body_trunc": tuple(Label)[1:]}),
        305: (STRUCTURES_TASK, {"vertebrae_body": (Kind.VERTEBRAL_BODY,)}),
        591: (STRUCTURES_TASK, {"liver_lesions": (Kind.LESION,)}),
        952: (STRUCTURES_TASK, {"psoas_major_left": (Kind.PSOAS_LEFT,), "psoas_major_right": (Kind.PSOAS_RIGHT,)}),
    }
    hu = noise((36, 40, 44), seed=3)
    for one in data_sets:
        task, classes = expected.pop(one.number)
        seen = np.stack([hu.astype(np.float32), *[np.zeros(hu.shape, np.float32) for _ in task.hints]])
        own = load_predictor(tmp_path / "demo", task).predict_single_npy_array(
            seen, {"spacing": list(task.spacing_mm)}, None, None, False
        )
        assert len(np.unique(own)) > 2
        got = labelled(tmp_path / "weights", one, hu, list(reversed(task.spacing_mm)))
        for number, name in one.labels.items():
            differs = (got == number) != np.isin(own, classes.get(name, ()))
            assert differs.mean() < 2e-3, name  # nnU-Net keeps logits in half precision, and equals go by their order
    assert not expected


def test_label_of_two_classes(tmp_path: Path) -> None:
    """A label cannot belong to two classes of one data set."""
    from workers.segmentation import data_sets
    from workers.training.standins.knowing import _groups

    (coarse,) = (one for one in data_sets.required(fast=True) if len(one.labels) > 100)
    with pytest.raises(ValueError, match="two classes"):
        _groups(coarse, {"liver": (1, 2), "spleen": (2,)}, 4)


# --- the real weights ---------------------------------------------------------------------------------------------


def real_ct(folder: Path) -> tuple[NDArray[np.int16], Geometry, NDArray[np.uint8]]:
    """Return the real CT of the shared data, its grid, and the reference labels laid on that grid."""
    import nibabel

    hu, geometry = read_series(folder / "abdomen3mm" / "ct")
    reference = nibabel.load(folder / "abdomen3mm" / "labels_total_v2.nii.gz")
    indices = np.indices(hu.shape).reshape(3, -1)
    points = np.diag([-1, -1, 1, 1]) @ geometry.affine @ np.vstack([indices, np.ones(indices.shape[1])])
    places = np.rint((np.linalg.inv(reference.affine) @ points)[:3]).astype(int)
    labels = np.asarray(reference.dataobj).astype(np.uint8)[tuple(places)].reshape(hu.shape)
    return hu, geometry, labels


def test_reference_lies_on_the_ct(test_data: Path) -> None:
    """The reference labels are laid on the CT as they belong: liver 1125.684 mL and 44.46 HU, as counted elsewhere."""
    hu, geometry, labels = real_ct(test_data)
    assert (labels == 5).sum() * geometry.voxel_volume_ml == pytest.approx(1125.684, abs=0.01)
    assert hu[labels == 5].mean() == pytest.approx(44.46, abs=0.01)


def test_real_weights_on_the_real_ct(test_data: Path) -> None:
    """TotalSegmentator's own weights find what its authors' reference has: Dice 0.9 for each structure."""
    if not (named := os.environ.get("CRLM_TEST_REAL_WEIGHTS")):
        pytest.skip("not run: CRLM_TEST_REAL_WEIGHTS names no weights")
    hu, geometry, labels = real_ct(test_data)
    found = network(Path(named), fast=False).segment(hu, geometry)
    numbers = {"liver": 5, "vertebrae_L1": 31, "vertebrae_L3": 29, "iliopsoas_left": 88, "iliopsoas_right": 89}
    for name, number in numbers.items():
        got, want = found[NAMES[name]].full(hu.shape), labels == number
        dice = 2 * (got & want).sum() / (got.sum() + want.sum())
        assert dice >= 0.9, f"{name}: {dice:.3f}"
