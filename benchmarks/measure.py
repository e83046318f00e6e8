"""How fast and how lean stage 8 is: ours beside the plain way, a NumPy and SciPy mask of the volume per structure.

The standard synthetic abdomen is rendered on 512 x 512 x 600 voxels of 1 x 0.8 x 0.8 mm, and its seven structures
(liver, both iliopsoas, L1, L3, vertebral bodies, lesions) are given as three label arrays, as TotalSegmentator's tasks
give them, and as the label map that stage 7 stores. Every figure is of a process of its own, its inputs in memory when
the clock starts; what stage 7 did before is told beside. All ways must give the same numbers.
"""

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ARRAYS, CASE, CLASSES, HU, LABELS, WAYS, geometry, label_map
from results import Figures, Result, arguments, in_rounds, machine, medians_of, table, table_of, write

from node.core.codes import Structure
from node.phantom import Grid, Rendering, covering_grid, render, standard_anatomy
from node.phantom import Structure as Part
from workers.stored_labels import dump_labels

BAR_TIME, BAR_MEMORY = 5.0, 1.5
TOLERANCE = 1e-9  # of each number, as a share: means and medians may differ in the order of a sum, and in no voxel
PAINTED = {
    Structure.LIVER: (Part.LIVER, Part.LESION),
    Structure.ILIOPSOAS_LEFT: (Part.PSOAS_LEFT,),
    Structure.ILIOPSOAS_RIGHT: (Part.PSOAS_RIGHT,),
    Structure.VERTEBRA_L1: (Part.VERTEBRA_L1,),
    Structure.VERTEBRA_L3: (Part.VERTEBRA_L3,),
    Structure.LESION: (Part.LESION,),
}


def grid(*, quick: bool) -> Grid:
    """Return the grid of the case, or one that holds the same structures in a quarter of the voxels."""
    if quick:
        return covering_grid(standard_anatomy(), spacing_mm=(1.0, 1.0, 1.0))
    return covering_grid(standard_anatomy(), spacing_mm=(1.0, 0.8, 0.8), size=512, least_slices=600)


def make(folder: Path, on: Grid) -> str:
    """Write volume, label arrays and label map; return the shape in words."""
    picture = render(standard_anatomy(), on)
    case = {"spacing_mm": on.spacing_mm, "origin_mm": on.origin_mm, "height_m": picture.anatomy.height_m}
    (folder / CASE).write_text(json.dumps(case), encoding="utf-8")
    np.save(folder / HU, picture.hu)
    given = {name: _painted(picture, CLASSES[name]) for name in ARRAYS}
    for name, array in given.items():
        np.save(folder / name, array)
    (folder / LABELS).write_bytes(dump_labels(label_map(geometry(case, on.shape), given)))
    return f"{on.columns} x {on.rows} x {on.slices}"


def _painted(picture: Rendering, classes: dict[Structure, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a label array of some structures of the phantom."""
    array = np.zeros(picture.labels.shape, dtype=np.uint8)
    for structure, number in classes.items():
        if structure is Structure.VERTEBRAL_BODY:
            array[picture.vertebral_bodies] = number
            continue
        for part in PAINTED[structure]:
            array[picture.labels == part] = number
    return array


@dataclass(frozen=True)
class Given(Figures):
    """Medians of one way; `given_bytes` are those of volume and label map as the way gets them."""

    given_bytes: float


def measure(folder: Path, rounds: int) -> dict[str, Given]:
    """Run all ways in turn, round by round."""
    seen = in_rounds("measuring.py", WAYS, folder, rounds)
    wanted = seen["plain"][0]["numbers"]
    for name, runs in seen.items():
        for one in runs:
            _require_same(name, one["numbers"], wanted)
    return {
        name: Given(*medians_of(runs), runs[0]["volume_bytes"] + runs[0]["label_bytes"]) for name, runs in seen.items()
    }


def _require_same(name: str, numbers: dict[str, float], wanted: dict[str, float]) -> None:
    """Hold the numbers of a way against those of the plain one; ours may be more."""
    for key, value in wanted.items():
        if key not in numbers or abs(numbers[key] - value) > TOLERANCE * abs(value):
            raise RuntimeError(f"{name}: {key} is {numbers.get(key)!r}, and {value!r} the plain way")


def results(medians: dict[str, Given], size: str) -> list[Result]:
    """Return ours beside the others; the bars stand at the plain way and at the memory of ours."""
    made = []
    for name in ("ours", "ours, from label arrays"):
        ours = medians[name].seconds * 1000
        for peer, bar in (("plain", BAR_TIME if name == "ours" else None), ("plain, cropped", None)):
            other = medians[peer].seconds * 1000
            case = size + name.removeprefix("ours")
            made.append(Result(case, ours, other, peer, "ms", other / ours, bar))
    share = medians["ours"].peak_bytes / medians["ours"].given_bytes
    case = f"{size}, peak by volume + label map"
    made.append(Result(case, share, BAR_MEMORY, "a fixed bar", "x", BAR_MEMORY / share, 1.0))
    return made


def main() -> int:
    """Measure, print, write."""
    asked = arguments(__doc__.partition("\n")[0])
    where = machine()
    with tempfile.TemporaryDirectory(prefix="measure-") as root:
        size = make(Path(root), grid(quick=asked.quick))
        medians = measure(Path(root), 1 if asked.quick else 5)
    where["load_after"] = round(os.getloadavg()[0], 2)
    found = results(medians, size)
    head = ("way", "s", "CPU s", "peak MB", "given MB", "peak by given")
    rows = [(name, *_cells(one)) for name, one in medians.items()]
    print(", ".join(f"{key} {value}" for key, value in where.items()), table([head, *rows]), sep="\n\n", end="\n\n")
    print(table_of(found))
    if asked.json:
        write(asked.json, where, found)
    return 0 if all(result.holds for result in found) else 1


def _cells(one: Figures) -> tuple[str, ...]:
    sizes = (one.peak_bytes / 1e6, one.given_bytes / 1e6)
    return (f"{one.seconds:.3f}", f"{one.cpu_s:.3f}", *(f"{size:.1f}" for size in sizes), f"{sizes[0] / sizes[1]:.2f}")


if __name__ == "__main__":
    sys.exit(main())
