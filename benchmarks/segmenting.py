"""One engine, one volume, one process: what `segmentation.py` starts for each figure.

`python benchmarks/segmenting.py ENGINE FOLDER` loads the volume of the folder, warms the engine up on a part of it (so
that weights and compiled loops are loaded, as in a worker that has run before), segments the whole, and prints a line
of JSON: seconds, those in the networks, those of processor time, the peak of resident memory beyond what the process
held before it loaded the volume, in bytes, the most that a GPU held, and a digest of every region, so that both engines
can be seen to give the same.
"""

import hashlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from reading import forget_peak, held

from node.core.codes import Structure
from node.core.grid import Geometry
from workers.records import Region

CASE, HU, WEIGHTS = "case.json", "hu.npy", "weights"
ENGINES = ("resident", "library")
_WARM = (slice(0, 24), slice(0, 96), slice(0, 96))


def geometry(spacing_mm: list[float], shape: tuple[int, ...]) -> Geometry:
    """Return an axial grid."""
    z, y, x = spacing_mm
    return Geometry((shape[0], shape[1], shape[2]), (0.0, 0.0, 0.0), (0.0, 0.0, z), (0.0, y, 0.0), (x, 0.0, 0.0), "1.2")


class Watch:
    """What is spent in the networks' `forward` and nothing else, in two kinds of time; a GPU is waited for."""

    def __init__(self, device: str) -> None:
        import torch
        from painted import Painted

        self.seconds = self.cpu_s = 0.0
        run = Painted.forward

        def forward(network: Any, x: Any) -> Any:
            if device != "cpu":
                torch.cuda.synchronize()
            begin, cpu = time.perf_counter(), time.process_time()
            answer = run(network, x)
            if device != "cpu":
                torch.cuda.synchronize()
            self.seconds += time.perf_counter() - begin
            self.cpu_s += time.process_time() - cpu
            return answer

        Painted.forward = forward


def engine_of(name: str, weights: Path, device: str) -> Any:
    """Make an engine."""
    from workers.segmentation.library import TotalSegmentator
    from workers.segmentation.resident import Resident

    kind = Resident if name == "resident" else TotalSegmentator
    return kind(weights, psoas="iliopsoas", device=device)


def digests(regions: Mapping[Structure, Region]) -> dict[str, str]:
    """Return a digest of each region, its place and its voxels."""
    return {
        structure.value: hashlib.sha256(
            repr((region.start, region.mask.shape)).encode() + region.mask.tobytes()
        ).hexdigest()[:16]
        for structure, region in sorted(regions.items())
    }


def main() -> None:
    """Segment and tell."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    case = json.loads((folder / CASE).read_text(encoding="utf-8"))
    device = case["device"]
    import torch

    engine, watch = engine_of(name, folder.parent / WEIGHTS, device), Watch(device)
    small = np.load(folder / HU, mmap_mode="r")[_WARM].copy()
    engine.segment(small, geometry(case["spacing_mm"], small.shape))
    before, watch.seconds, watch.cpu_s = held("VmRSS"), 0.0, 0.0
    hu = np.load(folder / HU)
    forget_peak()
    begin, cpu = time.perf_counter(), time.process_time()
    regions = engine.segment(hu, geometry(case["spacing_mm"], hu.shape))
    cost = {
        "seconds": time.perf_counter() - begin,
        "cpu_s": time.process_time() - cpu,
        "forward_s": watch.seconds,
        "forward_cpu_s": watch.cpu_s,
        "peak_bytes": held("VmHWM") - before,
        "gpu_bytes": 0 if device == "cpu" else torch.cuda.max_memory_allocated(),
    }
    print(json.dumps({**cost, "digests": digests(regions)}))


if __name__ == "__main__":
    main()
