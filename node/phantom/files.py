"""A synthetic abdomen on disk: CT series, its truth as SEG, and its exact numbers as JSON.

Beside the ten stages; `crlm-node phantom`, demo, doctor and tests call it. In: a folder and a seed, or none for the
standard abdomen. Out: OUT/ct/, OUT/seg.dcm and the truth under the ids of result.json. What can go wrong: a folder
that already holds a series (FileExistsError), a disk that is full (OSError). Next: the node, like any CT.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from node.phantom.anatomy import Anatomy
from node.phantom.dicom import seed_name, write_ct
from node.phantom.grid import Grid, standard_grid
from node.phantom.planned import before_resection
from node.phantom.render import render
from node.phantom.segments import write_seg
from node.phantom.truth import Truth, truth
from node.phantom.variation import random_anatomy, standard_anatomy

NOISE_SD_HU = 14.0
"""SD of the noise in what is written."""


@dataclass(frozen=True)
class PhantomFiles:
    """What was written.

    Attributes
    ----------
    ct : tuple of Path
        The slices, lowest first.
    seg : Path
        The segmentation.
    truth_file : Path
        The JSON file.
    truth : dict
        Its measurements: id -> {"value", "unit"}.
    anatomy, grid
        What was rendered, and where.
    """

    ct: tuple[Path, ...]
    seg: Path
    truth_file: Path
    truth: Truth
    anatomy: Anatomy
    grid: Grid


def write_phantom(
    out: Path,
    *,
    seed: int | None = None,
    truth_file: Path | None = None,
    grid: Grid | None = None,
    noise_sd_hu: float = NOISE_SD_HU,
    planned: bool = False,
) -> PhantomFiles:
    """Write a synthetic abdomen.

    Parameters
    ----------
    out : Path
        Folder; gets `ct/` and `seg.dcm`.
    seed : int, optional
        Of a random anatomy; None gives the standard one.
    truth_file : Path, optional
        Where the numbers go; `out/truth.json` by default.
    grid : Grid, optional
        `standard_grid` by default. Another grid makes another series: it has UIDs of its own.
    noise_sd_hu : float
        SD of the noise.
    planned : bool
        As it would come before a liver resection: the headers say so (`node.phantom.planned`), and the segmentation
        says that a person had a hand in it. It is a study of its own.

    Raises
    ------
    FileExistsError
        If `out/ct` holds files already: two phantoms in one folder would be read as one series.
    """
    folder = out / "ct"
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    anatomy = standard_anatomy() if seed is None else random_anatomy(seed)
    chosen = grid or standard_grid(anatomy)
    rendering = render(anatomy, chosen, seed=seed or 0, noise_sd_hu=noise_sd_hu)
    uid_seed = seed_name(anatomy) if grid is None else f"{seed_name(anatomy)} {chosen}"
    uid_seed += " before resection" if planned else ""
    edit = before_resection if planned else None
    ct = write_ct(folder, rendering, chosen, anatomy, uid_seed=uid_seed, edit=edit)
    seg = write_seg(out / "seg.dcm", rendering, ct, semiautomatic=planned)
    numbers = truth(anatomy, noise_sd_hu)
    path = truth_file or out / "truth.json"
    write_truth(path, anatomy, numbers)
    return PhantomFiles(tuple(ct), seg, path, numbers, anatomy, chosen)


def write_truth(path: Path, anatomy: Anatomy, numbers: Truth) -> None:
    """Write the numbers as JSON: `measurements` under the ids of result.json, and whose they are."""
    content = {
        "phantom": {
            "seed": anatomy.seed,
            "height_m": anatomy.height_m,
            "weight_kg": anatomy.weight_kg,
            "sex": anatomy.sex,
            "contrast": anatomy.contrast,
        },
        "measurements": numbers,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
