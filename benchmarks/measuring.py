"""One way to the numbers of stage 8, one case, one process: what `measure.py` starts for each figure.

`python benchmarks/measuring.py WAY FOLDER` loads what the way starts from into memory, measures, and prints a line of
JSON: seconds, those of processor time, the peak of resident memory beyond what the process held before it loaded
anything, in bytes (so that volume and label map are part of it), the bytes of the volume and of the label map that it
was given, and the numbers, so that all ways can be seen to give the same.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plainly
from numpy.typing import NDArray
from reading import forget_peak, held

from node.core.codes import Structure
from node.core.grid import Geometry
from node.core.records import Candidate, HeightSource, PatientFacts
from node.core.settings import MeasurementSettings
from workers.measurement import measure
from workers.records import Acquisition, AlgorithmType, LabelMap, Region, Segment, Volume
from workers.stored_labels import parse_labels

CASE = "case.json"
HU, LABELS = "hu.npy", "labels.npz"
ARRAYS = ("total.npy", "bodies.npy", "lesions.npy")  # as the three tasks of TotalSegmentator give them
CLASSES = {
    "total.npy": {
        Structure.LIVER: plainly.LIVER,
        Structure.ILIOPSOAS_LEFT: plainly.ILIOPSOAS_LEFT,
        Structure.ILIOPSOAS_RIGHT: plainly.ILIOPSOAS_RIGHT,
        Structure.VERTEBRA_L1: plainly.L1,
        Structure.VERTEBRA_L3: plainly.L3,
    },
    "bodies.npy": {Structure.VERTEBRAL_BODY: 1},
    "lesions.npy": {Structure.LESION: 1},
}
ACQUISITION = Acquisition(120.0, 1.0, "STANDARD", "", lossy=False, manufacturer="Made", patient_position="HFS")

Numbers = dict[str, float]
Loaded = tuple[int, Callable[[], Numbers]]  # bytes of the label map as it is given, and the way itself


def geometry(case: dict[str, Any], shape: tuple[int, ...]) -> Geometry:
    """Return the axial grid of a case."""
    dz, dy, dx = case["spacing_mm"]
    steps = (0.0, 0.0, dz), (0.0, dy, 0.0), (dx, 0.0, 0.0)
    return Geometry((shape[0], shape[1], shape[2]), tuple(case["origin_mm"]), *steps, "1.2.3")


def label_map(grid: Geometry, arrays: dict[str, NDArray[np.uint8]]) -> LabelMap:
    """Return the seven structures of three label arrays, as stage 7 cuts them out."""
    segments = tuple(
        Segment(structure, str(structure), region, AlgorithmType.AUTOMATIC, "made")
        for name, classes in CLASSES.items()
        for structure, number in classes.items()
        if (region := Region.of(arrays[name] == number)) is not None
    )
    searched = frozenset(structure for classes in CLASSES.values() for structure in classes)
    return LabelMap(grid, "1.2.3.4", "made", searched, segments)


def stored(folder: Path, case: dict[str, Any], hu: NDArray[Any]) -> Loaded:
    """Stage 8 as the workers run it: the stored label map is proven and unpacked, then measured."""
    content = (folder / LABELS).read_bytes()
    size = sum(segment.region.mask.nbytes for segment in parse_labels(content).segments)
    return size, lambda: _numbers(case, hu, parse_labels(content))


def arrays(folder: Path, case: dict[str, Any], hu: NDArray[Any]) -> Loaded:
    """Stage 8 from where the plain way starts: the regions are cut out of the label arrays first."""
    given = _arrays(folder)
    size = sum(array.nbytes for array in given.values())
    return size, lambda: _numbers(case, hu, label_map(geometry(case, hu.shape), given))


def plain(folder: Path, case: dict[str, Any], hu: NDArray[Any], *, crop: bool = False) -> Loaded:
    """The plain way."""
    given = _arrays(folder)
    size = sum(array.nbytes for array in given.values())
    facts = case["spacing_mm"], case["height_m"]
    return size, lambda: plainly.measure(hu, *given.values(), *facts, crop=crop)


def cropped(folder: Path, case: dict[str, Any], hu: NDArray[Any]) -> Loaded:
    """The plain way, its slow steps in bounding boxes."""
    return plain(folder, case, hu, crop=True)


WAYS = {"ours": stored, "ours, from label arrays": arrays, "plain": plain, "plain, cropped": cropped}


def _arrays(folder: Path) -> dict[str, NDArray[np.uint8]]:
    return {name: np.load(folder / name) for name in ARRAYS}


def _numbers(case: dict[str, Any], hu: NDArray[Any], labels: LabelMap) -> Numbers:
    volume = Volume(hu, labels.geometry, Candidate("1.2.3.4", "", "", ()), (), ACQUISITION)
    facts = PatientFacts(case["height_m"], HeightSource.SERIES, None, None, "")
    found = measure(volume, labels, facts, MeasurementSettings()).measurements
    return {name: one.value for name, one in found.items() if isinstance(one.value, float)}


def main() -> None:
    """Measure and tell."""
    way, folder = WAYS[sys.argv[1]], Path(sys.argv[2])
    before = held("VmRSS")
    case = json.loads((folder / CASE).read_text(encoding="utf-8"))
    hu = np.load(folder / HU)
    label_bytes, run = way(folder, case, hu)
    forget_peak()
    begin, cpu = time.perf_counter(), time.process_time()
    numbers = run()
    cost = {
        "seconds": time.perf_counter() - begin,
        "cpu_s": time.process_time() - cpu,
        "peak_bytes": held("VmHWM") - before,
    }
    print(json.dumps({**cost, "volume_bytes": hu.nbytes, "label_bytes": label_bytes, "numbers": numbers}))


if __name__ == "__main__":
    main()
