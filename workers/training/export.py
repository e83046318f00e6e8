"""The model as a folder: nnU-Net v2's layout, weights without pickle, log, model card, manifest.

In: the trained network, then what it reached. Out: a folder with

    levels/, structures/        one folder for each network (`tasks`), with
        plans.json, dataset.json    as nnU-Net writes them
        fold_0/weights.npz          the weights as float16 arrays by name, readable without running anything
    training.jsonl              the log, one record every ten steps
    MODEL_CARD.md               what it is, how good it is, what it is for
    manifest.json               size and SHA-256 of every other file

nnU-Net itself reads weights from a pickle, fold_0/checkpoint_final.pth. A pickle can run code when it is opened, so
none is shipped: `workers.training.inference` gives nnU-Net's predictor the arrays, and `write_checkpoint` makes the
pickle for who wants nnU-Net's own command line. What can go wrong: OSError from the disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from workers.training.inference import WEIGHTS, load_predictor
from workers.training.plans import CONFIGURATION, TRAINER, dataset, plans
from workers.training.tasks import Task

MANIFEST = "manifest.json"


def write_network(folder: Path, task: Task, network: nn.Module) -> None:
    """Write plans, dataset description and weights into the network's folder."""
    folder = folder / task.name
    (folder / WEIGHTS).parent.mkdir(parents=True, exist_ok=True)
    write_json(folder / "plans.json", plans(task))
    write_json(folder / "dataset.json", dataset(task))
    arrays = {name: value.detach().numpy().astype(np.float16) for name, value in network.named_parameters()}
    np.savez_compressed(folder / WEIGHTS, allow_pickle=False, **arrays)


def write_log(folder: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write the log, one JSON object a line."""
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "training.jsonl").write_text(lines, encoding="utf-8")


def write_manifest(folder: Path) -> None:
    """Write size and SHA-256 of every file in the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    files = {path.relative_to(folder).as_posix(): digest(path) for path in paths}
    write_json(folder / MANIFEST, {"model": "demo", "kind": "demonstration", "version": 1, "files": files})


def changed_files(folder: Path) -> Sequence[str]:
    """Return the names of files that are missing, new, or other than the manifest says."""
    listed: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    same = {name for name in present & listed.keys() if digest(folder / name) == listed[name]}
    return sorted((present | listed.keys()) - same)


def digest(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


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
