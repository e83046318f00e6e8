"""The network, its loss and its folder, with nnU-Net's own code; skipped where torch or nnunetv2 is not installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra: worker)")
pytest.importorskip("nnunetv2", reason="nnunetv2 is not installed (extra: worker)")

import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from torch.nn import functional

from node.phantom import Rendering, covering_grid, random_anatomy, render
from workers.segmentation import manifest
from workers.segmentation.demo import inference, model, window
from workers.segmentation.demo.labels import Kind, Label, Labels, part_mask
from workers.segmentation.demo.specks import tidy
from workers.segmentation.demo.tasks import LEVELS_TASK, TASKS, Task
from workers.training import export
from workers.training.loss import at_part, segmentation_loss
from workers.training.network import build_network
from workers.training.samples import coarse_sample, coarse_scene, normalise
from workers.training.truth import network_labels

DEMO = Path(__file__).parents[3] / "models" / "demo"


def network(task: Task) -> torch.nn.Module:
    """Return a network with weights that are the same each time."""
    torch.manual_seed(3)
    return build_network(task, deep_supervision=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights."""
    path = tmp_path_factory.mktemp("model")
    for task in TASKS:
        export.write_network(path, task, network(task))
    export.write_log(path, [{"step": 10, "loss": 1.0}])
    export.write_manifest(path)
    return path


@pytest.fixture(scope="module")
def picture() -> Rendering:
    """A phantom that no training sees, on a coarse grid."""
    anatomy = random_anatomy(21)
    return render(anatomy, covering_grid(anatomy, spacing_mm=(5.0, 2.0, 2.0), least_slices=96), seed=1)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_export_loads_in_nnunets_predictor(folder: Path, task: Task) -> None:
    """Weights come back as float16 rounds them, and the network runs on a patch with one output per label."""
    predictor = model.load_predictor(folder, task)
    trained = network(task).state_dict()
    loaded = predictor.list_of_parameters[0]
    assert loaded.keys() == trained.keys()
    assert all(torch.equal(value, trained[name].half().float()) for name, value in loaded.items())
    logits = predictor.predict_logits_from_preprocessed_data(torch.zeros(len(task.channels), *task.patch))
    assert logits.shape == (len(task.labels), *task.patch)


def test_other_labels_and_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    """A folder with other labels is no demonstration model; an array of Python objects is not opened."""
    copy = tmp_path / LEVELS_TASK.name
    copy.mkdir()
    for name in ("plans.json", "dataset.json"):
        (copy / name).write_bytes((folder / LEVELS_TASK.name / name).read_bytes())
    text = (copy / "dataset.json").read_text().replace('"liver"', '"spleen"')
    (copy / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match="labels"):
        model.load(tmp_path)
    np.savez(tmp_path / "weights.npz", allow_pickle=True, weight=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        model.read_weights(tmp_path / "weights.npz")


def test_the_manifest_notices_every_change(folder: Path, tmp_path: Path) -> None:
    """A changed, a missing and an added file are named; an untouched folder has none."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    assert export.changed_files(tmp_path) == []
    (tmp_path / "levels" / "plans.json").write_text("{}")
    (tmp_path / "training.jsonl").unlink()
    (tmp_path / "extra").write_text("")
    assert export.changed_files(tmp_path) == ["extra", "levels/plans.json", "training.jsonl"]


def test_preprocessing_gives_what_training_saw(folder: Path, picture: Rendering) -> None:
    """The averaged window, normalised by nnU-Net, has the patch's rows and columns and training's scale."""
    predictor = model.load_predictor(folder, LEVELS_TASK)
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    spacing = picture.grid.spacing_mm
    bounds = window.trunk_window(picture.hu, spacing, LEVELS_TASK)
    seen = window.look(picture.hu, spacing, bounds, LEVELS_TASK)
    properties = {"spacing": list(seen.spacing_mm)}
    data, _, _ = DefaultPreprocessor(verbose=False).run_case_npy(
        seen.hu[None], None, properties, plans, configuration, predictor.dataset_json
    )
    assert data.shape == (1, round(picture.hu.shape[0] * 5 / 6), *LEVELS_TASK.patch[1:])
    assert data.min() >= normalise(np.array(-2000.0, dtype=np.float32))
    assert abs(float(data.max()) - float(normalise(seen.hu).max())) < 0.5


@pytest.mark.parametrize("block", [1, 3])
def test_a_window_is_the_mean_of_its_pixels(block: int) -> None:
    """Whole blocks of pixels, air beyond the edge; the bounds grow to whole blocks."""
    rng = np.random.default_rng(0)
    hu = rng.integers(-900, 300, (2, 20, 30)).astype(np.int16)
    spacing = (6.0, 5.5 / 3 / block, 5.5 / 3 / block)
    seen = window.look(hu, (30.0, *spacing[1:]), window.Bounds((-3, 9), (22, 34)), LEVELS_TASK)
    padded = np.pad(hu, ((0, 0), (3, 3), (0, 4)), constant_values=-1000)[:, 0:12, 22:34].astype(float)
    means = padded.reshape(2, 12 // block, block, 12 // block, block).mean(axis=(2, 4))
    for axis in (1, 2):
        means = (np.roll(means, 1, axis) + means + np.roll(means, -1, axis)) / 3
    assert seen.spacing_mm[1:] == pytest.approx((5.5 / 3, 5.5 / 3))
    assert np.allclose(seen.hu[:, 1:-1, 1:-1], means[:, 1:-1, 1:-1], atol=0.01)


def test_slices_are_those_of_nnunets_own_resampling(folder: Path, picture: Rendering) -> None:
    """Slice by slice or all at once: the same labels from the same logits, on the window's grid."""
    predictor = model.load_predictor(folder, LEVELS_TASK)
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    torch.manual_seed(0)
    logits = torch.randn(len(Label), 7, 9, 12)
    whole = (10, 23, 31)
    properties = {
        "spacing": list(picture.grid.spacing_mm),
        "shape_after_cropping_and_before_resampling": whole,
        "shape_before_cropping": whole,
        "bbox_used_for_cropping": [[0, end] for end in whole],
    }
    theirs = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits, plans, configuration, predictor.label_manager, properties, num_threads_torch=1
    )
    seen = window.Window(
        window.Bounds((-3, 20), (5, 36)), np.zeros((1, 1, 1), dtype=np.float32), (1, 1, 1), (10, 40, 50)
    )
    prediction = inference.Prediction(logits, seen, seen.shape)
    rows, columns = seen.bounds.within(seen.shape)
    ours = np.stack([inference.largest(at) for at in inference.slices_at(logits, prediction.places_of(rows, columns))])
    assert ours.shape == (10, 20, 31)
    assert (ours == theirs[:, 3:]).mean() > 0.9995


def test_vertebrae_take_the_level_of_the_nearest_coarse_one() -> None:
    """Fine bone near a coarse vertebra gets its level, bone farther off none; other kinds go through as they are."""
    shape = (40, 30, 30)
    everything = window.Window(
        window.Bounds((0, 30), (0, 30)), np.zeros((1, 1, 1), dtype=np.float32), (3.0, 3.0, 3.0), shape
    )
    named = np.full(shape, Label.BODY)
    named[5:12, 10:20, 10:20] = Label.BODY_L2
    named[15:22, 10:20, 10:20] = Label.BODY_L1
    kind = np.zeros(shape, dtype=np.int64)
    kind[4:12, 10:20, 10:20] = Kind.VERTEBRAL_BODY
    kind[5:12, 20:21, 10:20] = Kind.VERTEBRAL_ARCH
    kind[15:22, 10:20, 10:20] = Kind.VERTEBRAL_BODY
    kind[30:38, 10:20, 10:20] = Kind.VERTEBRAL_BODY  # no coarse vertebra near it
    kind[0:10, 0:8, 0:8] = Kind.LIVER
    coarse = inference.Prediction(_logits(named, len(Label)), everything, shape)
    fine = inference.Prediction(_logits(kind, len(Kind)), everything, shape)
    labels: Labels = np.full(shape, Label.BODY, dtype=np.uint8)
    inference._paint(labels, fine, inference._levels(coarse, fine))
    wanted = np.full(shape, Label.BODY)
    wanted[4:12, 10:20, 10:20] = Label.BODY_L2
    wanted[5:12, 20:21, 10:20] = Label.ARCH_L2
    wanted[15:22, 10:20, 10:20] = Label.BODY_L1
    wanted[0:10, 0:8, 0:8] = Label.LIVER
    assert np.array_equal(labels, wanted)


def _logits(labels: np.ndarray, count: int) -> torch.Tensor:
    """Logits of a network that is sure of these labels, shape (count, slices, rows, columns)."""
    return 20 * functional.one_hot(torch.from_numpy(labels).long(), count).permute(3, 0, 1, 2).float()


def test_specks_go_and_structures_stay() -> None:
    """Far specks become trunk, small lesions liver; large parts, arches apart from bodies, real lesions stay."""
    labels = np.full((30, 40, 50), Label.BODY, dtype=np.uint8)
    labels[5:20, 5:25, 5:25] = Label.LIVER
    labels[8:12, 8:12, 8:12] = Label.LESION
    labels[15, 15, 15] = Label.LESION
    labels[20:25, 30:35, 30:38] = Label.BODY_L2
    labels[21:24, 37:39, 30:38] = Label.ARCH_L2
    wanted = labels.copy()
    wanted[15, 15, 15] = Label.LIVER
    labels[28, 38, 48] = Label.LESION
    labels[2, 30:32, 40] = Label.BODY_L2
    labels[2, 2, 45] = Label.LIVER
    tidy(labels, voxel_ml=0.01)
    assert np.array_equal(labels, wanted)


def test_the_loss_is_small_only_for_the_right_labels() -> None:
    """Logits that spell the labels score near 0, those of a neighbour's labels do not, at each of the parts."""
    sample = coarse_sample(coarse_scene(5), np.random.default_rng(0))
    labels = torch.from_numpy(sample.labels)
    alike = torch.ones(len(Label))
    for part in (0, 7):
        right = _outputs(labels[part])
        wrong = _outputs(torch.where(labels[part] == Label.BODY_L1, int(Label.BODY_L2), labels[part]))
        loss, dice = segmentation_loss(right, labels, part, alike, trunk=1)
        worse, dice_worse = segmentation_loss(wrong, labels, part, alike, trunk=1)
        assert loss < worse
        assert dice[Label.LIVER] > 0.9
        assert dice_worse[Label.BODY_L1] < 0.1


def _outputs(labels: torch.Tensor) -> list[torch.Tensor]:
    """Outputs at 1, 2 and 4 times the spacing of a network that is sure of these labels."""
    full = _logits(labels.numpy(), len(Label))[None]
    return [full, full[:, :, ::2, ::2, ::2], full[:, :, ::4, ::4, ::4]]


def test_logits_move_a_quarter_of_a_voxel() -> None:
    """On a ramp the value changes by a quarter of the step along each axis, forwards or backwards by the part."""
    z, y, x = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), torch.arange(7.0), indexing="ij")
    ramp = (z + 10 * y + 100 * x)[None, None]
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1), slice(1, -1))
    for part in range(8):
        step = sum(size * (0.25 if part & bit else -0.25) for size, bit in ((1, 4), (10, 2), (100, 1)))
        assert torch.allclose(at_part(ramp, part)[inner], ramp[inner] + step, atol=1e-3)


@pytest.mark.skipif(not (DEMO / manifest.NAME).is_file(), reason="models/demo is not here")
def test_the_shipped_model_is_whole_and_knows_a_phantom(picture: Rendering) -> None:
    """No file of models/demo differs from its manifest, and an unseen coarse phantom is labelled well."""
    assert export.changed_files(DEMO) == []
    labels = inference.segment(model.load(DEMO), picture.hu, picture.grid.spacing_mm)
    true = network_labels(picture)
    assert (labels.shape, labels.dtype) == (picture.hu.shape, np.uint8)
    for name in ("liver", "psoas_left", "psoas_right", "vertebra_L1", "vertebra_L3"):
        found, wanted = part_mask(labels, name), part_mask(true, name)
        assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.85, name
