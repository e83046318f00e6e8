"""What becomes of files that may be anything: a program for a process with limits.

`python verdicts.py FOLDER < list of files` prints, for each file, a line of JSON: what a study of that file alone ends
in (`study`), what stage 6 says of it as a series (`series`), what its slices decode to (`slices`).
"""

import json
import shutil
import sys
from datetime import datetime
from pathlib import Path

from node.core.dicom import read_header
from node.core.errors import NodeError, Refused
from node.core.records import Candidate, Instance
from node.core.settings import MeasurementSettings, Settings
from node.core.spool import Spool, digest
from node.folder import WrongFolder, request_for_folder
from workers import analysis, pixels, volume


def study_of(path: Path, scratch: Path) -> str:
    """Run stages 3 to 7 on a folder with nothing but the file."""
    folder, home = scratch / "folder", scratch / "home"
    for one in (folder, home):
        shutil.rmtree(one, ignore_errors=True)
        one.mkdir(parents=True)
    shutil.copy(path, folder / "file")
    spool = Spool(home)
    spool.prepare()
    try:
        request = request_for_folder(folder, None, Settings(), now=datetime.fromisoformat("2026-11-21T12:00:00"))
        outcome = analysis.segment(request, spool, spool.work(request.key))
    except WrongFolder:
        return "no-dicom-file"
    except NodeError as error:
        return str(error.code)
    return str(outcome.refusal.code) if outcome.refusal else "volume"


def read(path: Path) -> tuple[str, str]:
    """Return what the reader says of the file as a series, and how many slices it decodes."""
    content = path.read_bytes()
    try:
        ds = read_header(content)
    except Refused as error:
        return str(error.code), str(error.code)
    values = (str(ds.get("SOPInstanceUID", "")), str(ds.get("SOPClassUID", "")), syntax := _syntax(ds.file_meta))
    instance = Instance(*values, digest(content), str(path))
    try:
        volume.read(Candidate("1.2.3", "", "", (instance,)), Spool(Path("/")), MeasurementSettings())
        series = "volume"
    except NodeError as error:
        series = str(error.code)
    try:
        count = sum(one.hounsfield().size > 0 for one in pixels.slices(instance, content)) if syntax else 0
    except NodeError as error:
        return series, str(error.code)
    return series, f"{count} decoded"


def _syntax(meta: object) -> str:
    return str(getattr(meta, "TransferSyntaxUID", ""))


if __name__ == "__main__":
    for line in sys.stdin.read().splitlines():
        series, slices = read(Path(line))
        study = study_of(Path(line), Path(sys.argv[1]))
        sys.stdout.write(json.dumps({"file": line, "study": study, "series": series, "slices": slices}) + "\n")
        sys.stdout.flush()
