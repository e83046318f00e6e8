"""How fast and how lean segmentation is around its networks: the engine `resident` beside the library's entry point.

A body of 512 x 512 x 300 voxels (0.8 x 0.8 x 1 mm) is made, in which a liver, a lesion, two vertebrae and the muscles
are ellipsoids of their own attenuation, and networks that know them by it (`painted`): in the plans of the real ones
(tiles of 128 voxels), at next to no cost of their own. Both engines run on the same weights, each in a process of its
own, networks loaded, and must give the same regions. Told: what is not spent in the networks, in time and in processor
time (which others on the machine move less), and the peak of memory beyond the process before the volume was there.
Then `resident` alone, up to 2,000 slices. One round each: a quarter of an hour on two cores, most of it the library's.

`--device cuda` takes networks of the real size (6 stages, 32 to 320 features) on a body of 600 slices, and tells
seconds per study, the networks' share and the GPU's memory as well; without the curve.
"""

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from painted import FULL, SMALL, write_painted
from results import Result, in_rounds, machine, parser, table_of, write
from segmenting import CASE, ENGINES, HU, WEIGHTS

from workers.training.standins.banded import hu_of

SPACING_MM = (1.0, 0.8, 0.8)
SLICES, GPU_SLICES, CURVE = 300, 600, (300, 600, 1000, 2000)
QUICK_EDGE, QUICK_TILE, QUICK_SLICES, QUICK_CURVE = 96, 48, 40, (40, 80)
BAR_TIME, BAR_MEMORY, BAR_LINEAR, BAR_GB = 5.0, 2.0, 0.8, 16.0
BAR_GPU_TIME, BAR_GPU_SHARE = 3.0, 0.7
BODY = ((0.5, 0.5, 0.5), (2.0, 0.35, 0.45), -100)
ORGANS = {
    "liver": ((0.6, 0.45, 0.38), (0.3, 0.2, 0.22)),
    "liver_lesions": ((0.6, 0.45, 0.4), (0.04, 0.04, 0.04)),
    "vertebrae_L1": ((0.45, 0.7, 0.5), (0.05, 0.08, 0.06)),
    "vertebrae_L3": ((0.2, 0.7, 0.5), (0.05, 0.08, 0.06)),
    "vertebrae_body": ((0.32, 0.66, 0.5), (0.05, 0.04, 0.05)),
    "iliopsoas_left": ((0.25, 0.68, 0.6), (0.2, 0.05, 0.04)),
    "iliopsoas_right": ((0.25, 0.68, 0.4), (0.2, 0.05, 0.04)),
}
"""Middle and half axes, as parts of slices, rows and columns."""


def body(slices: int, edge: int) -> NDArray[np.int16]:
    """Return a body with its organs, in HU."""
    hu = np.full((slices, edge, edge), -1000, dtype=np.int16)
    _paint(hu, *BODY)
    for name, (middle, axes) in ORGANS.items():
        _paint(hu, middle, axes, int(hu_of(name)))
    return hu


def _paint(hu: NDArray[np.int16], middle: tuple[float, ...], axes: tuple[float, ...], value: int) -> None:
    z, y, x = (
        ((np.arange(size) + 0.5) / size - at) / axis for size, at, axis in zip(hu.shape, middle, axes, strict=True)
    )
    plane = y[:, None] ** 2 + x**2
    for index, height in enumerate(z):
        hu[index][plane + height**2 < 1] = value


def case(root: Path, slices: int, edge: int, device: str) -> Path:
    """Write a folder that `segmenting` reads."""
    folder = root / f"{slices}"
    folder.mkdir(exist_ok=True)
    np.save(folder / HU, body(slices, edge))
    (folder / CASE).write_text(json.dumps({"spacing_mm": SPACING_MM, "device": device}), encoding="utf-8")
    return folder


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return the medians of the runs of an engine; `around_s` and `around_cpu_s` are what is not spent in networks."""
    keys = ("seconds", "cpu_s", "forward_s", "forward_cpu_s", "peak_bytes", "gpu_bytes")
    found = {key: statistics.median(one[key] for one in runs) for key in keys}
    for whole, forward, around in (("seconds", "forward_s", "around_s"), ("cpu_s", "forward_cpu_s", "around_cpu_s")):
        found[around] = statistics.median(one[whole] - one[forward] for one in runs)
    return found


def compared(name: str, runs: dict[str, list[dict[str, Any]]], *, gpu: bool) -> list[Result]:
    """Return `resident` beside the library, which must have said the same."""
    if len({json.dumps(one["digests"]) for seen in runs.values() for one in seen}) != 1:
        raise RuntimeError(f"{name}: the engines differ")
    ours, theirs = (medians(runs[engine]) for engine in ENGINES)
    around = Result(
        f"{name}, around the networks",
        ours["around_s"],
        theirs["around_s"],
        "library",
        "s",
        theirs["around_s"] / ours["around_s"],
        None if gpu else BAR_TIME,
    )
    peak = theirs["peak_bytes"] / ours["peak_bytes"]
    found = [
        around,
        Result(
            f"{name}, around, processor time",
            ours["around_cpu_s"],
            theirs["around_cpu_s"],
            "library",
            "s",
            theirs["around_cpu_s"] / ours["around_cpu_s"],
            None,
        ),
        Result(
            f"{name}, peak", ours["peak_bytes"] / 1e9, theirs["peak_bytes"] / 1e9, "library", "GB", peak, BAR_MEMORY
        ),
        Result(
            f"{name}, whole study",
            ours["seconds"],
            theirs["seconds"],
            "library",
            "s",
            theirs["seconds"] / ours["seconds"],
            BAR_GPU_TIME if gpu else None,
        ),
    ]
    if gpu:
        share, theirs_share = (one["forward_s"] / one["seconds"] for one in (ours, theirs))
        held = theirs["gpu_bytes"] / ours["gpu_bytes"]
        found += [
            Result(f"{name}, networks' share", share, BAR_GPU_SHARE, "a fixed bar", "", share / BAR_GPU_SHARE, 1.0),
            Result(f"{name}, networks' share", share, theirs_share, "library", "", share / theirs_share, None),
            Result(f"{name}, GPU", ours["gpu_bytes"] / 1e9, theirs["gpu_bytes"] / 1e9, "library", "GB", held, None),
        ]
    return found


def curve(seen: dict[int, dict[str, float]]) -> list[Result]:
    """Return what a slice costs in the longest volume beside the shortest, and the peak of the longest."""
    short, long = min(seen), max(seen)
    peak_gb = seen[long]["peak_bytes"] / 1e9
    found = []
    for key, what, bar in (("around_s", "time", BAR_LINEAR), ("around_cpu_s", "processor time", None)):
        small, large = (seen[count][key] / count * 1000 for count in (short, long))
        name = f"a slice of {long}, {what} around"
        found.append(Result(name, large, small, f"of {short} slices", "ms", small / large, bar))
    return [*found, Result(f"{long} slices, peak", peak_gb, BAR_GB, "a fixed bar", "GB", BAR_GB / peak_gb, 1.0)]


def main() -> int:
    """Measure, print, write."""
    arguments = parser(__doc__.partition("\n")[0])
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: networks of the real size")
    asked = arguments.parse_args()
    gpu, where, found = asked.device == "cuda", machine(), []
    edge, slices = (QUICK_EDGE, QUICK_SLICES) if asked.quick else (512, GPU_SLICES if gpu else SLICES)
    seen: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="segmentation-") as place:
        root = Path(place)
        write_painted(root / WEIGHTS, FULL if gpu else SMALL, [*ORGANS], QUICK_TILE if asked.quick and not gpu else 128)
        device = "gpu" if gpu else "cpu"
        runs = in_rounds("segmenting.py", ENGINES, case(root, slices, edge, device), 1)
        found += compared(f"{edge} x {edge} x {slices}", runs, gpu=gpu)
        for count in () if gpu else QUICK_CURVE if asked.quick else CURVE:
            folder = case(root, count, edge, device)
            seen[count] = medians(in_rounds("segmenting.py", ENGINES[:1], folder, 1)["resident"])
            (folder / HU).unlink()
    where["load_after"] = round(os.getloadavg()[0], 2)
    if seen:
        found += curve(seen)
    print(", ".join(f"{key} {value}" for key, value in where.items()), end="\n\n")
    for count, one in seen.items():
        spent = (
            f"{one['around_s']:.1f} s ({one['around_cpu_s']:.1f} s of processor time) around {one['forward_s']:.1f} s"
        )
        print(f"{count} slices: {spent}, {one['peak_bytes'] / 1e9:.2f} GB")
    print("", table_of(found), sep="\n")
    if asked.json:
        write(asked.json, where, found)
    return 0 if all(result.holds for result in found) else 1


if __name__ == "__main__":
    sys.exit(main())
