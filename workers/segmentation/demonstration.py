"""The demonstration model as a `Network`: files proven, loaded once, asked on any upright grid.

What can go wrong: a file is missing (`weights-missing`) or is not what its manifest says (`input-untrusted`); both
are found before torch opens anything, and the weights hold no Python objects.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.errors import NotAnalysable, Untrusted
from node.core.grid import Geometry
from node.core.reasons import StudyRefusal
from workers.records import Region
from workers.training.inference import load, segment
from workers.training.labels import part_mask

MANIFEST = "manifest.json"
PARTS = {
    "liver": Structure.LIVER,
    "psoas_left": Structure.ILIOPSOAS_LEFT,
    "psoas_right": Structure.ILIOPSOAS_RIGHT,
    "vertebra_L1": Structure.VERTEBRA_L1,
    "vertebra_L3": Structure.VERTEBRA_L3,
    "vertebral_body": Structure.VERTEBRAL_BODY,
    "lesion": Structure.LESION,
}
"""The model's parts that measurements need."""


class DemoNetwork:
    """The demonstration model, ready to run.

    Parameters
    ----------
    folder
        models/demo, with its manifest.
    device
        Ignored but for the record: the network takes seconds on a CPU.

    Raises
    ------
    NotAnalysable
        `weights-missing`.
    Untrusted
        `input-untrusted`.
    """

    finds = frozenset(PARTS.values())

    def __init__(self, folder: Path, *, device: str) -> None:
        del device
        digest = _require_unchanged(folder)
        self.name = f"crlm-node demonstration model {digest[:12]}"
        try:
            self._model = load(folder)
        except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"demonstration model: {type(error).__name__}") from error

    def segment(self, hu: NDArray[Any], geometry: Geometry) -> Mapping[Structure, Region]:
        """Segment a volume; see `workers.segmentation.port`."""
        turn = _upright(geometry)
        labels = segment(self._model, hu[turn], geometry.spacing_mm)[turn]
        regions = {structure: Region.of(part_mask(labels, name)) for name, structure in PARTS.items()}
        return {structure: region for structure, region in regions.items() if region is not None}


def _upright(geometry: Geometry) -> tuple[slice, slice, slice]:
    """Return the flips that make rows go to the back and columns to the patient's left, as the model has learnt."""
    rows = slice(None, None, 1 if geometry.row_step_mm[1] > 0 else -1)
    columns = slice(None, None, 1 if geometry.column_step_mm[0] > 0 else -1)
    return slice(None), rows, columns


def _require_unchanged(folder: Path) -> str:
    """Check every file against the manifest and return the manifest's digest."""
    try:
        manifest = (folder / MANIFEST).read_bytes()
        listed: dict[str, dict[str, Any]] = json.loads(manifest)["files"]
    except FileNotFoundError as error:
        raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, "the demonstration model is not installed") from error
    except (ValueError, KeyError) as error:
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, "manifest of the demonstration model") from error
    for name, facts in listed.items():
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError as error:
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"{name} of the demonstration model") from error
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"{name} of the demonstration model was changed")
    return hashlib.sha256(manifest).hexdigest()
