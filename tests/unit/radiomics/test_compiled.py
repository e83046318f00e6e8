"""The compiled loops: all are made beforehand, and a process that may write nowhere finds those of the installation."""

import os
import subprocess
import sys
from pathlib import Path

LOADED = """
import sys
from workers import compiled
from workers.measurement.radiomics import fast
made = [one for one, _ in compiled._made]
compiled.load()
before = [len(one.signatures) for one in made]
sys.path.insert(0, sys.argv[1])
from made_regions import made as region
from workers.measurement.radiomics.parameters import parse
asked = parse({"imageType": {"Original": {}, "Wavelet": {}}})
for kind in ("int16", "float32"):
    one = region(kind)
    fast.extract(one.image, one.mask, asked)
misses = sum(sum(one.stats.cache_misses.values()) for one in made)
print(len(made), before == [len(one.signatures) for one in made], misses)
print({str(one.stats.cache_path) for one in made})
"""


def loaded(**environment: str) -> tuple[str, set[str]]:
    """Load all loops in a process of its own, use them, and return what it tells."""
    support = str(Path(__file__).parents[2] / "support")
    words = [sys.executable, "-c", LOADED, support]
    done = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, check=True)
    told, folders = done.stdout.splitlines()
    return told, eval(folders)  # noqa: S307 - a set of strings that we printed


def test_all_loops_are_loaded_beforehand_and_found_where_nothing_can_be_written() -> None:
    """No call needs what `load` has not made; without a folder to write to the installed code is copied and loaded."""
    told, [installed] = loaded()
    assert told.split()[:2] == ["11", "True"]
    told, [own] = loaded(NUMBA_CACHE_DIR="/proc/none", NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator")
    assert told.split() == ["11", "True", "0"]
    assert own != installed
    assert not Path(own).exists()
