"""The demonstration model behind the port: files proven, loaded once, asked on any upright grid; on the CPU always.

What can go wrong: a file is missing (`weights-missing`) or is not what its manifest says (`input-untrusted`); both
are found before torch is so much as imported, and the weights hold no Python objects.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as DeflateError  # noqa: N812 - an exception, though its library writes it small

from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.errors import Untrusted
from node.core.grid import Geometry
from node.core.reasons import StudyRefusal
from workers.records import DEMONSTRATION, Region
from workers.segmentation.demo import folder as model_folder
from workers.segmentation.demo.labels import Labels, part_mask

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
# What NumPy, nnU-Net and torch raise on arrays or plans that are cut, changed or of another network.
_UNSOUND = (
    AttributeError,
    BadZipFile,
    DeflateError,
    EOFError,
    ImportError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class DemoNetwork:
    """The demonstration model, ready to run.

    Parameters
    ----------
    folder
        models/demo, with its manifest.

    Raises
    ------
    NotAnalysable
        `weights-missing`.
    Untrusted
        `input-untrusted`.
    """

    finds = frozenset(PARTS.values())
    reduced = f"{DEMONSTRATION}: it knows synthetic studies only."

    def __init__(self, folder: Path) -> None:
        digest = model_folder.proven(folder)
        self.name = f"crlm-node demonstration model {digest[:12]}"
        self.validation = model_folder.validation(folder)
        from workers.segmentation.demo import inference, model  # here, because torch takes seconds to import

        self._labels = inference.segment
        try:
            self._model = model.load(folder)
        except _UNSOUND as error:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"demonstration model: {type(error).__name__}") from error

    def segment(self, hu: NDArray[Any], geometry: Geometry) -> Mapping[Structure, Region]:
        """Segment a volume; see `workers.segmentation.port`."""
        turn = _upright(geometry)
        return regions(self._labels(self._model, hu[turn], geometry.spacing_mm)[turn])


def regions(labels: Labels) -> dict[Structure, Region]:
    """Return the structures that the model's labels hold; what has no voxel is not there."""
    found = {structure: Region.of(part_mask(labels, name)) for name, structure in PARTS.items()}
    return {structure: region for structure, region in found.items() if region is not None}


def _upright(geometry: Geometry) -> tuple[slice, slice, slice]:
    """Return the flips that make rows go to the back and columns to the patient's left, as the model has learnt."""
    rows = slice(None, None, 1 if geometry.row_step_mm[1] > 0 else -1)
    columns = slice(None, None, 1 if geometry.column_step_mm[0] > 0 else -1)
    return slice(None), rows, columns
