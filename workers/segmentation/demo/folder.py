"""The demonstration model's folder: the names of its files, and the proof that none of them was changed.

In: the folder. Out: the digest that names this model. What can go wrong: `weights-missing` for what is not there,
`input-untrusted` for what is not what the manifest says. No torch here: all is proven before it is imported.
Next: `model` loads it.

    manifest.json               size and SHA-256 of every other file, and what was measured of the model
    MODEL_CARD.md               what it is, how good it is, what it is for
    training.jsonl              the log of its training
    levels/, structures/        one folder for each network (`tasks`), with
        plans.json, dataset.json    as nnU-Net writes them
        fold_0/weights.npz          the weights as float16 arrays by name, readable without running anything
"""

import hashlib
from pathlib import Path

from node.core.errors import NotAnalysable, Untrusted
from node.core.reasons import StudyRefusal
from workers.segmentation import manifest
from workers.segmentation.demo.tasks import TASKS
from workers.validation import Validation

CONFIGURATION = "3d_fullres"
TRAINER = "nnUNetTrainer"
PLANS, DATASET, WEIGHTS = "plans.json", "dataset.json", "fold_0/weights.npz"
FILES = tuple(f"{task.name}/{name}" for task in TASKS for name in (PLANS, DATASET, WEIGHTS))
"""What is opened; each has to be in the manifest."""


def proven(folder: Path) -> str:
    """Hash every file that the manifest lists and return the manifest's own SHA-256.

    Raises
    ------
    NotAnalysable
        `weights-missing`.
    Untrusted
        `input-untrusted`.
    """
    path = folder / manifest.NAME
    if not path.is_file():
        raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, "the demonstration model is not installed")
    listed = manifest.read(folder)
    if unlisted := [name for name in FILES if name not in listed]:
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"demonstration model, {unlisted[0]}: not in the manifest")
    manifest.verify(folder, listed)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def validation(folder: Path) -> Validation | None:
    """Return what was measured of the model in this folder, which is proven; None where nothing was.

    Raises
    ------
    Untrusted
        `input-untrusted`.
    """
    listed = manifest.read(folder)
    return manifest.validation(folder, {name: listed[name] for name in FILES})
