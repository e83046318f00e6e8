"""How fast and how lean the radiomic features are: ours beside PyRadiomics, a lesion and a liver.

An image of 400 x 360 x 360 voxels of 1 mm is made, with an ellipsoid of 30 mL and a liver of 1,500 mL in it. All 851
features (Original and Wavelet) are computed; PyRadiomics in its best configuration (preCrop, padDistance 10), whose
parameter file both read. Every figure is of a process of its own, image and mask in memory when the clock starts:
checking, cropping and filtering are part of it. Ours is told twice: the first region of a process, which loads the
compiled loops, and a second one, as in a worker or a list of regions. A quarter, a half and the whole of the liver
show how the time grows with the voxels of the region.
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
from extracting import IMAGE, MASK, PARAMETERS
from numpy.typing import NDArray
from results import Result, arguments, in_rounds, machine, table_of, write
from scipy import ndimage

SHAPE = (400, 360, 360)
LESION_ML, LIVER_ML = 30.0, 1500.0
BAR_TIME, BAR_MEMORY, BAR_LINEAR = 10.0, 1.0, 0.8
ENGINES = ("fast", "pyradiomics")
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
    yield "lesion", LESION_ML, largest(depth_around((210, 150, 140), (1, 1.1, 1.3)) + rough, LESION_ML)
    right = depth_around((200, 170, 130), (1, 1.05, 0.9))
    left = depth_around((220, 140, 210), (0.6, 0.7, 1.2)) * 1.14
    depth = np.minimum(right, left) + 5 * rough
    for name, share in (("liver, a quarter", 0.25), ("liver, a half", 0.5), ("liver", 1.0)):
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


def require_same(runs: dict[str, list[dict[str, Any]]]) -> None:
    """Hold the features of all runs against PyRadiomics'."""
    wanted = runs["pyradiomics"][0]["values"]
    for one in runs["fast"]:
        for name, value in wanted.items():
            if not math.isclose(one["values"][name], value, rel_tol=1e-6, abs_tol=1e-9):
                raise RuntimeError(f"{name} is {one['values'][name]!r}, and {value!r} by PyRadiomics")


def results(name: str, runs: dict[str, list[dict[str, Any]]]) -> list[Result]:
    """Return ours beside PyRadiomics for a region."""
    ours, theirs = (
        {key: statistics.median(one[key] for one in runs[engine]) for key in ("seconds", "again", "peak_bytes")}
        for engine in ENGINES
    )
    theirs_mb, ours_mb = theirs["peak_bytes"] / 1e6, ours["peak_bytes"] / 1e6
    return [
        Result(name, ours["again"], theirs["seconds"], "PyRadiomics", "s", theirs["seconds"] / ours["again"], BAR_TIME),
        Result(
            f"{name}, first of a process",
            ours["seconds"],
            theirs["seconds"],
            "PyRadiomics",
            "s",
            theirs["seconds"] / ours["seconds"],
            None,
        ),
        Result(f"{name}, peak", ours_mb, theirs_mb, "PyRadiomics", "MB", theirs_mb / ours_mb, BAR_MEMORY),
    ]


def linear(per_ml: dict[str, float]) -> Result:
    """Return the cost of a millilitre of the whole liver beside that of a quarter of it."""
    small, whole = per_ml["liver, a quarter"], per_ml["liver"]
    return Result("ms a mL, whole liver and a quarter", whole, small, "a quarter", "ms", small / whole, BAR_LINEAR)


def main() -> int:
    """Measure, print, write."""
    asked = arguments(__doc__.partition("\n")[0])
    where, found, per_ml = machine(), [], {}
    with tempfile.TemporaryDirectory(prefix="radiomics-") as root:
        folders, sizes_ml = make(Path(root))
        in_rounds("extracting.py", ENGINES[:1], folders["lesion"], 1)  # compiles the loops, once on a machine
        for name, folder in folders.items():
            part = name.startswith("liver, ")
            if asked.quick and name != "lesion":
                continue
            runs = in_rounds("extracting.py", ENGINES[:1] if part else ENGINES, folder, 1 if asked.quick else 5)
            size_ml = sizes_ml[name]
            per_ml[name] = statistics.median(one["again"] for one in runs["fast"]) * 1000 / size_ml
            if not part:
                require_same(runs)
                found += results(f"{name}, {size_ml:.0f} mL", runs)
    where["load_after"] = round(os.getloadavg()[0], 2)
    if "liver" in per_ml:
        found.append(linear(per_ml))
    print(", ".join(f"{key} {value}" for key, value in where.items()), end="\n\n")
    print(", ".join(f"{name}: {cost:.2f} ms a mL" for name, cost in per_ml.items()), table_of(found), sep="\n\n")
    if asked.json:
        write(asked.json, where, found)
    return 0 if all(result.holds for result in found) else 1


if __name__ == "__main__":
    sys.exit(main())
