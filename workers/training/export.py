"""The model as a folder: nnU-Net v2's layout, weights without pickle, log, model card, manifest.

In: the trained network, then what it reached. Out: a folder as `workers.segmentation.demo.folder` describes it, the log
with one record every ten steps.

nnU-Net itself reads weights from a pickle, fold_0/checkpoint_final.pth. A pickle can run code when it is opened, so
none is shipped: `workers.segmentation.demo.model` gives nnU-Net's predictor the arrays, and `write_checkpoint` makes
the pickle for who wants nnU-Net's own command line. What can go wrong: OSError from the disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from node.core.records import dump
from workers.segmentation import manifest
from workers.segmentation.demo.folder import CONFIGURATION, DATASET, PLANS, TRAINER, WEIGHTS
from workers.segmentation.demo.model import load_predictor
from workers.segmentation.demo.tasks import Task
from workers.training.plans import dataset, plans
from workers.validation import Validation


def write_network(folder: Path, task: Task, network: nn.Module) -> None:
    """Write plans, dataset description and weights into the network's folder."""
    folder = folder / task.name
    (folder / WEIGHTS).parent.mkdir(parents=True, exist_ok=True)
    write_json(folder / PLANS, plans(task))
    write_json(folder / DATASET, dataset(task))
    arrays = {name: value.detach().numpy().astype(np.float16) for name, value in network.named_parameters()}
    np.savez_compressed(folder / WEIGHTS, allow_pickle=False, **arrays)


def write_log(folder: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write the log, one JSON object a line."""
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "training.jsonl").write_text(lines, encoding="utf-8")


def write_manifest(folder: Path, validation: Validation | None = None) -> None:
    """Write size and SHA-256 of every file in the folder, and what was measured of the model."""
    facts: dict[str, Any] = {"model": "demo", "kind": "demonstration", "version": 1}
    if validation:
        facts["validation"] = json.loads(dump(validation))
    manifest.write(folder, facts, manifest.entries_of(folder, _present(folder)))


def changed_files(folder: Path) -> Sequence[str]:
    """Return the names of files that are missing, new, or other than the manifest says."""
    listed, present = manifest.read(folder), manifest.entries_of(folder, _present(folder))
    return sorted(name for name in listed.keys() | present.keys() if listed.get(name) != present.get(name))


def _present(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {manifest.NAME}


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people: two spaces, one newline at the end."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_checkpoint(folder: Path, task: Task, target: Path) -> None:
    """Write the pickle from which nnU-Net's own `initialize_from_trained_model_folder` starts."""
    checkpoint = {
        "network_weights": load_predictor(folder, task).network.state_dict(),
        "trainer_name": TRAINER,
        "init_args": {"configuration": CONFIGURATION, "fold": 0},
        "inference_allowed_mirroring_axes": None,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, target)
