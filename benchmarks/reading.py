"""One reader, one folder, one process: what `volume.py` starts for each figure.

`python benchmarks/reading.py READER FOLDER` warms nothing up but its imports, reads the series of the folder into one
array and prints a line of JSON: seconds, those of processor time, the peak of resident memory beyond what the process
held before, in bytes, and what the array holds, so that all readers can be seen to have read the same.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CANDIDATE = "candidate.json"  # beside the folder: what intake knew of the files
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def ours(folder: Path) -> Callable[[], Any]:
    """Stage 6 as the workers run it: every file against its digest, every rule of geometry."""
    from node.core.records import Candidate, parse
    from node.core.settings import MeasurementSettings
    from node.core.spool import Spool
    from workers import volume

    candidate = parse(Candidate, (folder.parent / CANDIDATE).read_bytes())
    return lambda: volume.read(candidate, Spool(folder), MeasurementSettings()).hu


def simpleitk(folder: Path) -> Callable[[], Any]:
    """SimpleITK as its users read a folder: names in order by GDCM, then the series."""
    import SimpleITK

    def read() -> Any:
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        return reader.Execute()

    return read


def simpleitk_execute(folder: Path) -> Callable[[], Any]:
    """SimpleITK told the files in their order beforehand: the names are not part of the time."""
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute


def dicom2nifti(folder: Path) -> Callable[[], Any]:
    """The steps of dicom2nifti up to the array: read, sort, put together."""
    from dicom2nifti import common

    def read() -> Any:
        slices = common.sort_dicoms(common.read_dicom_directory(str(folder)))
        return common.get_volume_pixeldata(slices).transpose(2, 1, 0)

    return read


READERS = {
    "ours": ours,
    "SimpleITK": simpleitk,
    "SimpleITK, files in order": simpleitk_execute,
    "dicom2nifti": dicom2nifti,
}


def forget_peak() -> None:
    """Forget the highest resident size so far (proc(5))."""
    _CLEAR.write_text("5")


def held(name: str) -> int:
    """Return a size of this process by its name in proc(5), in bytes: `VmRSS` now, `VmHWM` the highest."""
    found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{_STATUS} has no {name}")
    return int(found[1]) * 1024


def main() -> None:
    """Read and tell."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    read = READERS[name](folder)
    forget_peak()
    before, begin, cpu = held("VmRSS"), time.perf_counter(), time.process_time()
    volume = read()
    seconds, cpu_s, peak = time.perf_counter() - begin, time.process_time() - cpu, held("VmHWM") - before
    if not isinstance(volume, np.ndarray):  # an image of SimpleITK, which has to outlive the view of it
        from SimpleITK import GetArrayViewFromImage

        image = volume
        volume = GetArrayViewFromImage(image)
    sums = [int(np.sum(slice_, dtype=np.int64)) for slice_ in volume]
    order = sum(place * one for place, one in enumerate(sums))
    found = {"shape": volume.shape, "sum": sum(sums), "order": order}
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "peak_bytes": peak, **found}))


if __name__ == "__main__":
    main()
