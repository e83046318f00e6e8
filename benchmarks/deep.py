"""What deep features cost: the lesion and the liver of `radiomics.py`, and nearly the largest box that is taken.

Every figure is of a process of its own, image, mask and network in memory when the clock starts; seconds, those of the
processor, and the peak of resident memory beyond what the process held before.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import radiomics as scene
import SimpleITK
from extracting import IMAGE, MASK
from reading import forget_peak, held
from results import machine, table

from node.core.settings import Settings
from workers.measurement.deep.embedding import embed
from workers.measurement.deep.folder import read

ROUNDS = 3
NETWORK = "demo-encoder"
LARGEST = (371, 360, 360)  # mm with the margin: 1.8 million voxels of 3 mm


def alone(folder: Path) -> None:
    """Measure one region in this process, and tell."""
    network = read(Settings().models, NETWORK)
    image, mask = (SimpleITK.ReadImage(str(folder / name)) for name in (IMAGE, MASK))
    before = held("VmRSS")
    forget_peak()
    begin, cpu = time.perf_counter(), time.process_time()
    embed(network, image, mask)
    cost = (time.perf_counter() - begin, time.process_time() - cpu, (held("VmHWM") - before) / 1e6)
    print(json.dumps(cost))


def main() -> None:
    """Measure and print."""
    image = SimpleITK.GetImageFromArray(scene.picture())
    largest = np.zeros(scene.SHAPE, dtype=bool)
    largest[tuple(slice(0, size - 48) for size in LARGEST)] = True
    rows = [("region", "s", "s of processor", "MB")]
    with tempfile.TemporaryDirectory(prefix="deep-") as root:
        folder = Path(root)
        SimpleITK.WriteImage(image, str(folder / IMAGE))
        for name, size_ml, mask in [*scene.regions(), ("a box", largest.sum() / 1000, largest)]:
            if name.startswith("liver, "):
                continue
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(mask.astype(np.uint8)), str(folder / MASK))
            runs = [
                json.loads(subprocess.check_output([sys.executable, __file__, str(folder)], text=True))  # noqa: S603
                for _ in range(ROUNDS)
            ]
            seconds, cpu, peak = (statistics.median(column) for column in zip(*runs, strict=True))
            rows.append((f"{name}, {size_ml:.0f} mL", f"{seconds:.2f}", f"{cpu:.2f}", f"{peak:.0f}"))
    print(", ".join(f"{key} {value}" for key, value in machine().items()), table(rows), sep="\n\n")


if __name__ == "__main__":
    alone(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
