"""The two networks of the demonstration model, loaded: nnU-Net's predictors, without a pickle.

In: a model folder that `folder.proven` has passed. Out: `Model`. What can go wrong: ValueError, KeyError or OSError for
a folder that is not this model. Next: `inference`.
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from workers.segmentation.demo.folder import CONFIGURATION, DATASET, PLANS, TRAINER, WEIGHTS
from workers.segmentation.demo.tasks import LEVELS_TASK, STRUCTURES_TASK, Task

TILE_STEP = 0.75
"""Part of a patch from one to the next."""


@dataclass(frozen=True)
class Model:
    """nnU-Net's predictors of the two networks."""

    levels: nnUNetPredictor
    structures: nnUNetPredictor


def load(folder: Path) -> Model:
    """Load both networks of a model folder.

    Raises
    ------
    ValueError
        If labels or weights are not those of this model.
    """
    return Model(load_predictor(folder, LEVELS_TASK), load_predictor(folder, STRUCTURES_TASK))


def load_predictor(folder: Path, task: Task) -> nnUNetPredictor:
    """Build nnU-Net's predictor of one network, weights from the arrays of `fold_0/weights.npz` (no pickle)."""
    folder = folder / task.name
    plans_manager = PlansManager(json.loads((folder / PLANS).read_text(encoding="utf-8")))
    dataset = json.loads((folder / DATASET).read_text(encoding="utf-8"))
    if dataset["labels"] != task.label_numbers:
        raise ValueError("the labels of this model folder are not those of the demonstration model")
    configuration = plans_manager.get_configuration(CONFIGURATION)
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        len(task.channels),
        len(task.labels),
        deep_supervision=False,
    )
    weights = read_weights(folder / WEIGHTS)
    if weights.keys() != dict(network.named_parameters()).keys():
        raise ValueError("the weights of this model folder are not those of its network")
    network.load_state_dict(weights, strict=False)  # nnU-Net's dictionary names some parameters twice
    network.eval()
    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(
            tile_step_size=TILE_STEP, use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False
        )
    parameters = [network.state_dict()]
    predictor.manual_initialization(network, plans_manager, configuration, parameters, dataset, TRAINER, None)
    return predictor


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read weights as float32 tensors, each parameter once; ValueError for a file with Python objects in it."""
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files}
