"""The machine that the node runs on, as it is now: disk, processors, memory, GPU.

Goes out: figures for the page and for the metrics. A GPU is asked by NVIDIA's own program, where that is installed;
none is the answer of a machine without one.
"""

import csv
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import psutil

_PROGRAM, _TIMEOUT_S = "nvidia-smi", 5
_ASKED = "index,name,utilization.gpu,memory.used,memory.total,temperature.gpu"
_MIB = 2**20


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


@dataclass(frozen=True)
class Gpu:
    """A GPU; `load` is the share of time that it worked, of the last second or so."""

    index: int
    name: str
    load: float
    used_bytes: int
    total_bytes: int
    celsius: float


@dataclass(frozen=True)
class Machine:
    """What there is, and what is left of it."""

    disk_free_bytes: int
    disk_total_bytes: int
    load: float
    processors: int
    memory_used_bytes: int
    memory_total_bytes: int
    gpus: Sequence[Gpu]


def look(spool: Path) -> Machine:
    """Look at the machine; the disk is that of the spool."""
    disk, memory = _disk(spool), psutil.virtual_memory()
    load, processors = psutil.getloadavg()[0], psutil.cpu_count() or 1
    return Machine(disk.free, disk.total, load, processors, memory.total - memory.available, memory.total, gpus())


def disk_free_bytes(spool: Path) -> int:
    """Return the free space of the spool's disk."""
    return _disk(spool).free


def gpus() -> Sequence[Gpu]:
    """Return the GPUs of this machine, as the driver's own program tells of them."""
    program = shutil.which(_PROGRAM)
    if program is None:
        return ()
    command = [program, f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)  # noqa: S603
    except (subprocess.SubprocessError, OSError):
        return ()
    return read(done.stdout)


def _disk(spool: Path) -> _Usage:
    return _Usage(*shutil.disk_usage(next(one for one in (spool, *spool.parents) if one.exists())))


def read(told: str) -> Sequence[Gpu]:
    """Read what the program prints: a line for each GPU; what it does not know of one counts as zero."""
    found = []
    for row in csv.reader(StringIO(told), skipinitialspace=True):
        index, name, *figures = row
        load, used, total, celsius = (float(one) if one.replace(".", "", 1).isdecimal() else 0.0 for one in figures)
        found.append(Gpu(int(index), name, load / 100, int(used * _MIB), int(total * _MIB), celsius))
    return found
