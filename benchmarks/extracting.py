"""One engine, one region, one process: what `radiomics.py` starts for each figure.

`python benchmarks/extracting.py ENGINE FOLDER` loads image and mask of the folder into memory, extracts, and prints a
line of JSON: seconds of the first extraction of the process and of a second one, the peak of resident memory beyond
what the process held before it loaded anything, in bytes, and the features, so that both engines can be seen to give
the same.
"""

import json
import sys
import time
from pathlib import Path

import SimpleITK
from reading import forget_peak, held

from workers.measurement.radiomics.engine import Engine, extract
from workers.measurement.radiomics.parameters import load

IMAGE, MASK, PARAMETERS = "image.nrrd", "mask.nrrd", "parameters.yaml"


def main() -> None:
    """Extract and tell."""
    engine, folder = Engine(sys.argv[1]), Path(sys.argv[2])
    sys.path.pop(0)  # the folder of the benchmarks, whose radiomics.py is not PyRadiomics
    if engine is Engine.PYRADIOMICS:
        import radiomics.featureextractor  # noqa: F401 - its imports are not part of the time, as ours are not
    parameters = load(folder / PARAMETERS)
    before = held("VmRSS")
    image, mask = (SimpleITK.ReadImage(str(folder / name)) for name in (IMAGE, MASK))
    forget_peak()
    begin = time.perf_counter()
    found = extract(image, mask, parameters, engine)
    seconds = time.perf_counter() - begin
    peak = held("VmHWM") - before
    again = seconds
    if engine is Engine.FAST:
        begin = time.perf_counter()
        extract(image, mask, parameters, engine)
        again = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "again": again, "peak_bytes": peak, "values": dict(found.values)}))


if __name__ == "__main__":
    main()
