"""One way, one region, one process: what `radiomics.py` starts for each figure.

`python benchmarks/extracting.py WAY FOLDER` prints a line of JSON. An engine is given image and mask in memory: seconds
and those of processor time of the first extraction of the process and, of ours, of a second one (`again`), the peak of
resident memory beyond what the process held before it loaded anything, in bytes, and the features, so that both can be
seen to give the same. As our command does, ours loads its compiled loops beside the reading of the files. A command is
one as a user gives it: seconds from its start to its end, the table of features written.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reading import forget_peak, held

IMAGE, MASK, PARAMETERS = "image.nrrd", "mask.nrrd", "parameters.yaml"
_OUT = "features.csv"
Extract = Callable[[Any, Any], dict[str, Any]]


def ours(folder: Path) -> Extract:
    """The engine of this project."""
    from threading import Thread

    from workers.measurement.radiomics.engine import extract, load
    from workers.measurement.radiomics.parameters import load as parameters_of

    parameters = parameters_of(folder / PARAMETERS)
    Thread(target=load).start()
    return lambda image, mask: dict(extract(image, mask, parameters).values)


def pyradiomics(folder: Path) -> Extract:
    """PyRadiomics by its own interface."""
    import logging

    from radiomics.featureextractor import RadiomicsFeatureExtractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    extractor = RadiomicsFeatureExtractor(str(folder / PARAMETERS))

    def extract(image: Any, mask: Any) -> dict[str, Any]:
        found = extractor.execute(image, mask)
        return {name: float(value) for name, value in found.items() if not name.startswith("diagnostics_")}

    return extract


ENGINES = {"ours": ours, "PyRadiomics": pyradiomics}
COMMANDS = {
    "our command": ("crlm-node", "radiomics", IMAGE, MASK, "--params", PARAMETERS, "--out", _OUT),
    "PyRadiomics' command": ("pyradiomics", IMAGE, MASK, "--param", PARAMETERS, "--out", _OUT, "--format", "csv"),
}


def extract(way: str, folder: Path) -> dict[str, Any]:
    """Extract of an image in memory."""
    run = ENGINES[way](folder)
    import SimpleITK

    before = held("VmRSS")
    image, mask = (SimpleITK.ReadImage(str(folder / name)) for name in (IMAGE, MASK))
    forget_peak()
    begin, cpu = time.perf_counter(), time.process_time()
    values = run(image, mask)
    found = {"seconds": time.perf_counter() - begin, "cpu_s": time.process_time() - cpu}
    found["peak_bytes"] = held("VmHWM") - before
    if way == "ours":
        begin = time.perf_counter()
        run(image, mask)
        found["again"] = time.perf_counter() - begin
    return {**found, "values": values}


def command(way: str, folder: Path) -> dict[str, Any]:
    """Run a command of the environment that runs this."""
    name, *words = COMMANDS[way]
    (folder / _OUT).unlink(missing_ok=True)
    begin = time.perf_counter()
    subprocess.run([Path(sys.executable).with_name(name), *words], cwd=folder, check=True, capture_output=True)  # noqa: S603
    seconds = time.perf_counter() - begin
    if not (folder / _OUT).read_text(encoding="utf-8"):
        raise RuntimeError(f"{way} has written no table")
    return {"seconds": seconds}


def main() -> None:
    """Extract and tell."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    sys.path.pop(0)  # the folder of the benchmarks, whose radiomics.py is not PyRadiomics
    print(json.dumps(extract(way, folder) if way in ENGINES else command(way, folder)))


if __name__ == "__main__":
    main()
