"""The network, its loss and its folder, with nnU-Net's own code; skipped where torch or nnunetv2 is not installed."""

from __future__ import annotations

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
from workers.training import export, inference
from workers.training.labels import Label, network_labels, part_mask
from workers.training.loss import at_part, segmentation_loss
from workers.training.network import build_network
from workers.training.samples import PATCH, SPACING_MM, draw, normalise, scene

DEMO = Path(__file__).parents[3] / "models" / "demo"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("model")
    export.write_model(path, build_network(deep_supervision=True))
    export.write_log(path, [{"step": 10, "loss": 1.0}])
    export.write_manifest(path)
    return path


@pytest.fixture(scope="module")
def picture() -> Rendering:
    """A phantom that no training sees, on a coarse grid."""
    anatomy = random_anatomy(21)
    return render(anatomy, covering_grid(anatomy, spacing_mm=(5.0, 2.0, 2.0), least_slices=96), seed=1)


def test_the_export_loads_in_nnunets_predictor(folder: Path) -> None:
    """Weights come back as float16 rounds them, and the network runs on a patch with one output per label."""
    predictor = inference.load_predictor(folder)
    torch.manual_seed(3)
    trained = build_network(deep_supervision=True).state_dict()
    loaded = predictor.list_of_parameters[0]
    assert loaded.keys() == trained.keys()
    assert all(torch.equal(value, trained[name].half().float()) for name, value in loaded.items())
    logits = predictor.predict_logits_from_preprocessed_data(torch.zeros(1, *PATCH))
    assert logits.shape == (len(Label), *PATCH)


def test_other_labels_and_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    """A folder with other labels is no demonstration model; an array of Python objects is not opened."""
    for name in ("plans.json", "dataset.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    text = (tmp_path / "dataset.json").read_text().replace('"liver"', '"spleen"')
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match="labels"):
        inference.load_predictor(tmp_path)
    np.savez(tmp_path / "weights.npz", allow_pickle=True, weight=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        inference.read_weights(tmp_path / "weights.npz")


def test_the_manifest_notices_every_change(folder: Path, tmp_path: Path) -> None:
    """A changed, a missing and an added file are named; an untouched folder has none."""
    for path in folder.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    assert export.changed_files(tmp_path) == []
    (tmp_path / "plans.json").write_text("{}")
    (tmp_path / "training.jsonl").unlink()
    (tmp_path / "extra").write_text("")
    assert export.changed_files(tmp_path) == ["extra", "plans.json", "training.jsonl"]


def test_preprocessing_gives_what_training_saw(folder: Path, picture: Rendering) -> None:
    """The averaged window, normalised by nnU-Net, has the patch's rows and columns and training's scale."""
    predictor = inference.load_predictor(folder)
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    window = inference.look(picture.hu, picture.grid.spacing_mm, SPACING_MM, PATCH)
    properties = {"spacing": list(window.spacing_mm)}
    data, _, _ = DefaultPreprocessor(verbose=False).run_case_npy(
        window.hu[None], None, properties, plans, configuration, predictor.dataset_json
    )
    assert data.shape == (1, round(picture.hu.shape[0] * 5 / 6), *PATCH[1:])
    assert data.min() >= normalise(np.array(-2000.0, dtype=np.float32))
    assert abs(float(data.max()) - float(normalise(window.hu).max())) < 0.5


def test_labels_are_those_of_nnunets_own_export(folder: Path, picture: Rendering) -> None:
    """Slice by slice or all at once: the same labels from the same logits, on the window's grid."""
    predictor = inference.load_predictor(folder)
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    window = inference.look(picture.hu, picture.grid.spacing_mm, SPACING_MM, PATCH)
    torch.manual_seed(0)
    logits = torch.randn(len(Label), 7, 9, 12)
    size = (window.rows[1] - window.rows[0], window.columns[1] - window.columns[0])
    whole = (10, *size)
    properties = {
        "spacing": list(picture.grid.spacing_mm),
        "shape_after_cropping_and_before_resampling": whole,
        "shape_before_cropping": whole,
        "bbox_used_for_cropping": [[0, end] for end in whole],
    }
    theirs = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits, plans, configuration, predictor.label_manager, properties, num_threads_torch=1
    )
    shape = (10, *picture.hu.shape[1:])
    ours = inference._labels(logits, window, shape)
    cut = np.stack([inference._cut(plane, window.rows, window.columns) for plane in ours])
    inside = cut >= 0
    assert inside.mean() > 0.5
    assert (cut[inside] == theirs[inside]).mean() > 0.9999


def test_the_loss_is_small_only_for_the_right_labels() -> None:
    """Logits that spell the labels score near 0, those of a neighbour's labels do not, at each of the parts."""
    sample = draw(scene(5), np.random.default_rng(0))
    labels = torch.from_numpy(sample.labels)
    for part in (0, 7):
        right = _spelled(labels[part].long())
        wrong = _spelled(torch.where(labels[part] == Label.BODY_L1, int(Label.BODY_L2), labels[part]).long())
        loss, dice = segmentation_loss(right, labels, part)
        worse, dice_worse = segmentation_loss(wrong, labels, part)
        assert loss < worse
        assert dice[Label.LIVER] > 0.9
        assert dice_worse[Label.BODY_L1] < 0.1


def _spelled(labels: torch.Tensor) -> list[torch.Tensor]:
    """Outputs of a network that is sure of these labels."""
    full = 20 * functional.one_hot(labels, len(Label)).permute(3, 0, 1, 2)[None].float()
    return [full, full[:, :, ::2, ::2, ::2], full[:, :, ::4, ::4, ::4]]


def test_logits_move_a_quarter_of_a_voxel() -> None:
    """On a ramp the value changes by a quarter of the step along each axis, forwards or backwards by the part."""
    z, y, x = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), torch.arange(7.0), indexing="ij")
    ramp = (z + 10 * y + 100 * x)[None, None]
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1), slice(1, -1))
    for part in range(8):
        step = sum(size * (0.25 if part & bit else -0.25) for size, bit in ((1, 4), (10, 2), (100, 1)))
        assert torch.allclose(at_part(ramp, part)[inner], ramp[inner] + step, atol=1e-3)


@pytest.mark.skipif(not (DEMO / export.MANIFEST).is_file(), reason="models/demo is not here")
def test_the_shipped_model_is_whole_and_knows_a_phantom(picture: Rendering) -> None:
    """No file of models/demo differs from its manifest, and an unseen coarse phantom is labelled well."""
    assert export.changed_files(DEMO) == []
    labels = inference.segment(inference.load_predictor(DEMO), picture.hu, picture.grid.spacing_mm)
    true = network_labels(picture)
    assert (labels.shape, labels.dtype) == (picture.hu.shape, np.uint8)
    for name in ("liver", "psoas_left", "psoas_right", "vertebra_L1", "vertebra_L3"):
        found, wanted = part_mask(labels, name), part_mask(true, name)
        assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.85, name
