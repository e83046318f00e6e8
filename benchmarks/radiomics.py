"""How fast and how lean the radiomic features are: ours beside PyRadiomics, a lesion and a liver.

An image of 400 x 360 x 360 voxels of 1 mm is made, with an ellipsoid of 30 mL and a liver of 1,500 mL in it. All 851
features (Original and Wavelet) are computed; PyRadiomics in its best configuration (preCrop, padDistance 10), whose
parameter file both read. Every figure is of a process of its own, image and mask in memory when the clock starts:
checking, cropping and filtering are part of it. Ours has two times, with one bar: that of the first region of a
process, and that of a second one, as in a worker or a list of regions. Loading the compiled loops begins when the files
are read, as in our command; what the rest of it costs, imports included, shows in the times of both whole commands. A
quarter, a half and the whole of the liver show how the time grows with the voxels of the region.
"""

import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from extracting import COMMANDS, ENGINES, IMAGE, MASK, PARAMETERS
from numpy.typing import NDArray
from results import Figures, Result, arguments, in_rounds, machine, medians_of, table, table_of, write
from scipy import ndimage

SHAPE = (400, 360, 360)
LESION_ML, LIVER_ML = 30.0, 1500.0
BAR_TIME, BAR_MEMORY, BAR_LINEAR = 10.0, 1.0, 0.8
FEATURES = 851
LESION, LIVER = "lesion", "liver"
PARTS = ("liver, a quarter", "liver, a half")
SETTINGS: dict[str, Any] = {
    "imageType": {"Original": {}, "Wavelet": {}},
    "setting": {"binWidth": 25, "preCrop": True, "padDistance": 10},
}


def picture() -> NDArray[np.int16]:
    """Return soft tissue with coarse and fine noise, in HU."""
    noise = np.random.default_rng(8)
    found = noise.normal(0, 14, SHAPE).astype(np.float32)
    coarse = ndimage.gaussian_filter(noise.normal(0, 1, SHAPE).astype(np.float32), 3)
    found += 60 + coarse * (18 / coarse.std())
    return np.rint(found).astype(np.int16)


def depth_around(centre: tuple[int, int, int], axes: tuple[float, float, float]) -> NDArray[np.float32]:
    """Return how far each voxel lies from a centre, in radii of an ellipsoid [10 mm along an axis of length 1]."""
    steps = [
        (grid - at) / (10 * axis)
        for grid, at, axis in zip(np.ogrid[tuple(map(slice, SHAPE))], centre, axes, strict=True)
    ]
    found: NDArray[np.float32] = np.sqrt(steps[0] ** 2 + steps[1] ** 2 + steps[2] ** 2).astype(np.float32)
    return found


def regions() -> Iterator[tuple[str, float, NDArray[np.bool_]]]:
    """Yield name, volume and mask of each region: an uneven ellipsoid, and a liver of two lobes of any size."""
    rough = ndimage.gaussian_filter(np.random.default_rng(9).normal(0, 1, SHAPE).astype(np.float32), 6)
    rough *= 0.08 / rough.std()
    yield LESION, LESION_ML, largest(depth_around((210, 150, 140), (1, 1.1, 1.3)) + rough, LESION_ML)
    right = depth_around((200, 170, 130), (1, 1.05, 0.9))
    left = depth_around((220, 140, 210), (0.6, 0.7, 1.2)) * 1.14
    depth = np.minimum(right, left) + 5 * rough
    for name, share in zip((*PARTS, LIVER), (0.25, 0.5, 1.0), strict=True):
        yield name, LIVER_ML * share, largest(depth, LIVER_ML * share)


def largest(depth: NDArray[np.float32], size_ml: float) -> NDArray[np.bool_]:
    """Return the voxels that lie deepest, so many that they have a volume."""
    count = round(size_ml * 1000)
    return depth <= np.partition(depth.ravel(), count - 1)[count - 1]


def make(root: Path) -> tuple[dict[str, Path], dict[str, float]]:
    """Write a folder for each region; return folders and volumes [mL]."""
    image = SimpleITK.GetImageFromArray(picture())
    folders, sizes_ml = {}, {}
    for name, sizes_ml[name], mask in regions():
        folder = root / name.replace(", ", "-").replace(" ", "-")
        folder.mkdir()
        SimpleITK.WriteImage(image, str(folder / IMAGE))
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(mask.astype(np.uint8)), str(folder / MASK))
        (folder / PARAMETERS).write_text(json.dumps(SETTINGS), encoding="utf-8")
        folders[name] = folder
    return folders, sizes_ml


def measure(folder: Path, rounds: int) -> tuple[dict[str, Figures], float]:
    """Run both engines in turn; return the figures of the first extraction of a process, and our time of a second."""
    seen = in_rounds("extracting.py", ENGINES, folder, rounds)
    require_same(seen)
    return {name: Figures(*medians_of(runs)) for name, runs in seen.items()}, again_of(seen["ours"])


def again_of(runs: list[dict[str, Any]]) -> float:
    """Return the median time of a second extraction."""
    return statistics.median(one["again"] for one in runs)


def require_same(seen: dict[str, list[dict[str, Any]]]) -> None:
    """Hold the features of all runs against PyRadiomics'."""
    wanted = seen["PyRadiomics"][0]["values"]
    if len(wanted) != FEATURES:
        raise RuntimeError(f"PyRadiomics gives {len(wanted)} features, not {FEATURES}")
    for one in seen["ours"]:
        if set(one["values"]) != set(wanted):
            raise RuntimeError("the engines give other features")
        for name, value in wanted.items():
            if not math.isclose(one["values"][name], value, rel_tol=1e-6, abs_tol=1e-9):
                raise RuntimeError(f"{name} is {one['values'][name]!r}, and {value!r} by PyRadiomics")


def results(name: str, medians: dict[str, Figures], again_s: float) -> list[Result]:
    """Return ours beside PyRadiomics for a region: time in a process that goes on, in a new one, memory."""
    ours, theirs = medians["ours"], medians["PyRadiomics"]
    worker, new = f"{name}, in a worker", f"{name}, first of a process"
    return [
        Result(worker, again_s, theirs.seconds, "PyRadiomics", "s", theirs.seconds / again_s, BAR_TIME),
        Result(new, ours.seconds, theirs.seconds, "PyRadiomics", "s", theirs.seconds / ours.seconds, BAR_TIME),
        Result(
            f"{name}, peak",
            ours.peak_bytes / 1e6,
            theirs.peak_bytes / 1e6,
            "PyRadiomics",
            "MB",
            theirs.peak_bytes / ours.peak_bytes,
            BAR_MEMORY,
        ),
    ]


def commands(name: str, folder: Path, rounds: int) -> Result:
    """Return the whole commands, from their start to the table."""
    seen = in_rounds("extracting.py", COMMANDS, folder, rounds)
    ours, theirs = (statistics.median(one["seconds"] for one in seen[way]) for way in COMMANDS)
    return Result(f"{name}, whole command", ours, theirs, "PyRadiomics", "s", theirs / ours, None)


def line(again_s: dict[str, float], sizes_ml: dict[str, float]) -> Result:
    """Return the cost of a millilitre of the whole liver beside that of a quarter of it, in a process that goes on."""
    small, whole = (again_s[name] * 1000 / sizes_ml[name] for name in (PARTS[0], LIVER))
    return Result("ms a mL, whole liver by a quarter", whole, small, "a quarter", "ms", small / whole, BAR_LINEAR)


def main() -> int:
    """Measure, print, write."""
    asked = arguments(__doc__.partition("\n")[0])
    where, found = machine(), []
    rounds, several = (1, 1) if asked.quick else (5, 3)
    medians: dict[str, dict[str, Figures]] = {}
    again_s: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="radiomics-") as root:
        folders, sizes_ml = make(Path(root))
        in_rounds("extracting.py", ("ours",), folders[LESION], 1)  # compiles the loops, once on a machine
        for name, folder in folders.items():
            if name in PARTS:
                again_s[name] = again_of(in_rounds("extracting.py", ("ours",), folder, rounds)["ours"])
            elif name == LESION or not asked.quick:
                medians[name], again_s[name] = measure(folder, rounds)
                found += results(f"{name}, {sizes_ml[name]:.0f} mL", medians[name], again_s[name])
        found.append(commands(f"{LESION}, {LESION_ML:.0f} mL", folders[LESION], several))
    where["load_after"] = round(os.getloadavg()[0], 2)
    if LIVER in again_s:
        found.append(line(again_s, sizes_ml))
    print(", ".join(f"{key} {value}" for key, value in where.items()), end="\n\n")
    head = ("region", "engine", "s", "CPU s", "peak MB")
    rows = [(name, engine, *_cells(one)) for name, both in medians.items() for engine, one in both.items()]
    print(table([head, *rows]), end="\n\n")
    curve = [
        (name, f"{sizes_ml[name]:.0f}", f"{s:.2f}", f"{s * 1000 / sizes_ml[name]:.2f}") for name, s in again_s.items()
    ]
    print(table([("ours, in a worker", "mL", "s", "ms/mL"), *curve]), table_of(found), sep="\n\n")
    if asked.json:
        write(asked.json, where, found)
    return 0 if all(result.holds for result in found) else 1


def _cells(one: Figures) -> tuple[str, ...]:
    return tuple(f"{value:.2f}" for value in (one.seconds, one.cpu_s, one.peak_bytes / 1e6))


if __name__ == "__main__":
    sys.exit(main())
