"""Files that may be anything end in a coded reason or in a volume: pydicom's own test files, generated malformed ones.

They are read by a process with limits of memory and time, as the workers read them.
"""

import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pydicom.data
import pytest

from node.core.reasons import DoorRefusal, Outage, StudyRefusal

_MEMORY, _CPU_S = 4 * 2**30, 300
CODES = {str(one) for one in (*StudyRefusal, *DoorRefusal)}
OUTAGES = {str(one) for one in Outage}


def limit() -> None:
    """Hold the process that starts to its limits."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))


def verdicts(files: Sequence[Path], scratch: Path) -> dict[str, dict[str, str]]:
    """Return what becomes of each file, by its name; the process must live to the last of them."""
    program = Path(__file__).parents[1] / "support" / "verdicts.py"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program), str(scratch)],
        input="\n".join(map(str, files)),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        preexec_fn=limit,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["file"] for one in found] == [str(path) for path in files], done.stderr[-2000:]
    assert done.returncode == 0
    return {Path(one["file"]).name: one for one in found}


def require_codes(found: dict[str, dict[str, str]]) -> None:
    """Hold every verdict to the closed lists."""
    for name, one in found.items():
        assert one["study"] in CODES | {"volume", "no-dicom-file"}, (name, one)
        assert one["series"] in CODES | {"volume"}, (name, one)
        assert one["slices"] in CODES or one["slices"].endswith(" decoded"), (name, one)


@pytest.fixture(scope="module")
def pydicoms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What becomes of every file that pydicom ships for its own tests; nothing is fetched."""
    root = Path(pydicom.data.__file__).parent
    files = sorted(path for part in ("test_files", "charset_files") for path in (root / part).rglob("*"))
    return verdicts([path for path in files if path.is_file()], tmp_path_factory.mktemp("pydicom"))


def test_pydicoms_own_files_each_end_in_a_coded_reason(pydicoms: dict[str, dict[str, str]]) -> None:
    """Reports, plans, colour, big endian, no meta information, truncated: no file brings the reader down."""
    assert len(pydicoms) > 90
    require_codes(pydicoms)
    assert {one["study"] for one in pydicoms.values()} >= {"no-suitable-series", "too-few-slices", "no-dicom-file"}


@pytest.mark.parametrize(
    ("name", "key", "verdict"),
    [
        ("CT_small.dcm", "slices", "1 decoded"),
        ("CT_small.dcm", "series", "too-few-slices"),
        ("JPGExtended.dcm", "series", "transfer-syntax-unsupported"),
        ("MR_truncated.dcm", "slices", "dataset-truncated"),
        ("README.txt", "study", "no-dicom-file"),
        ("README.txt", "slices", "dataset-unreadable"),
    ],
)
def test_verdicts_are_those_of_the_file(name: str, key: str, verdict: str, pydicoms: dict[str, dict[str, str]]) -> None:
    """A sound slice is decoded, and refused for want of others; an encoding that is not read is named."""
    assert pydicoms[name][key] == verdict


def test_malformed_files_each_end_in_a_coded_reason(test_data: Path, tmp_path: Path) -> None:
    """All 292 of them, as studies of their own and as series; what the door lets in is refused behind it."""
    folder = test_data / "malformed"
    if not folder.is_dir():
        pytest.skip(f"no malformed files in {folder}")
    files = sorted(folder.glob("*.dcm"))
    found = verdicts(files, tmp_path)
    assert len(found) == len(files) > 0
    require_codes(found)
    assert not any(one["study"] == "volume" for one in found.values())
    assert len(Counter(one["slices"] for one in found.values())) > 3
