"""Judges that nobody here wrote, put to every object, and the tables of docs/validators.md that tell what they said.

A line that begins with `Error`, or a warning that does not stand in known_remarks.toml with its reason, fails.
`PYTHONPATH=.:tests/support python tests/support/judging.py` judges all studies anew and writes the tables; the tests
hold them against what was said.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pixelmed
from pydicom import dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    DeflatedExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SegmentationStorage,
)
from studies import Study

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "validators.md"
COUNTS = Path(__file__).with_name("judged.json")
COMMAND = "PYTHONPATH=.:tests/support python tests/support/judging.py"
WRITE = "CRLM_TEST_WRITE_PAGES"
AWKWARD, OTHERS = "awkward", "others"
# Which test judges the studies of a column of the tables.
COLUMNS = {AWKWARD: "tests/reference/test_awkward.py", OTHERS: "tests/contract/test_judges.py"}
FRAMES = 400  # of a SEG go to dciodvfy
IOD, ENTITIES, TEMPLATES = "dciodvfy", "dcentvfy", pixelmed.NAME
# What dciodvfy calls the IODs that it knows. A class that is not here is one that it does not know.
IODS = {
    SegmentationStorage: "Segmentation",
    Comprehensive3DSRStorage: "Comprehensive3DSR",
    MultiFrameTrueColorSecondaryCaptureImageStorage: "MultiframeTrueColorSCImage",
    KeyObjectSelectionDocumentStorage: "KeyObjectSelectionDocument",
}
# What PixelMed's validator says when it found the template and came to its end: its exit code tells nothing.
_TO_THE_END = (
    "Found Root Template TID_1500 (MeasurementReport)",
    "Root Template Validation Complete",
    "IOD validation complete",
)
Program = Callable[[str], str]
Counts = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Known:
    """A remark that stays: a regular expression of the whole line, and the reason."""

    judge: str
    line: str
    why: str


KNOWN = tuple(
    Known(**one) for one in tomllib.loads(Path(__file__).with_name("known_remarks.toml").read_text("utf-8"))["known"]
)


def said(*command: str) -> list[str]:
    """Run a judge and return what it said, on either stream."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=240, check=False)
    return (done.stdout + done.stderr).splitlines()


def errors(lines: Iterable[str]) -> list[str]:
    """Return the lines that are errors."""
    return [line for line in lines if line.startswith("Error")]


def known(judge: str, lines: Iterable[str]) -> set[Known]:
    """Return which known remarks these lines hold; any other error or warning fails."""
    found, strange = set(), []
    for line in lines:
        if line.startswith(("Error", "Warning")):
            one = next((one for one in KNOWN if one.judge == judge and re.fullmatch(one.line, line)), None)
            found.add(one) if one else strange.append(line)
    assert strange == [], f"{judge}: {strange[:5]}"
    return {one for one in found if one}


@dataclass
class Docket:
    """What was judged so far, for one column of the tables.

    Parameters
    ----------
    program
        Finds a program, or skips the test.
    objects
        How many objects of each kind there were.
    seen
        Of how many objects (for `dcentvfy`: of how many results) each known remark was made.
    reports
        Every SR.
    """

    program: Program
    objects: Counter[str] = field(default_factory=Counter)
    seen: Counter[Known] = field(default_factory=Counter)
    reports: list[Path] = field(default_factory=list)
    _heard: set[Path] = field(default_factory=set)
    _weighed: set[Path] = field(default_factory=set)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """The counts of both, as they are kept."""
        return {"objects": dict(self.objects), "remarks": {one.line: count for one, count in self.seen.items()}}

    def hear(self, study: Study, *more: tuple[str, Path]) -> None:
        """Put every object of a result to dciodvfy, and all of them, with slices of its CT, to dcentvfy.

        Parameters
        ----------
        more
            Objects that are no product of the job, with their kinds.
        """
        if study.path("") in self._heard:
            return
        self._heard.add(study.path(""))
        refused = " of a refused study" if study.document["refusal"] else ""
        found = [(product.kind + refused, study.path(product.file)) for product in study.outcome.products]
        for kind, path in [*found, *more]:
            self._object(kind, path)
        if found:
            files = [str(path) for _, path in [*found, *more]]
            lines = said(self.program(ENTITIES), *files, *map(str, _slices(study)))
            self.seen.update(known(ENTITIES, lines))

    def _object(self, kind: str, path: Path) -> None:
        class_ = dcmread(path, specific_tags=["SOPClassUID"]).SOPClassUID
        self.objects[kind] += 1
        if class_ == Comprehensive3DSRStorage:
            self.reports.append(path)
        if class_ in IODS:
            lines = said(self.program(IOD), str(_of_few_frames(path) if class_ == SegmentationStorage else path))
            assert lines[0] == IODS[class_]
            self.seen.update(known(IOD, lines))

    def weigh(self, validated: Mapping[Path, Sequence[str]]) -> None:
        """Count what PixelMed's validator said of the SR that were heard, each once."""
        for path in self.reports:
            if path not in self._weighed:
                self._weighed.add(path)
                lines = validated[path]
                assert {*_TO_THE_END} <= set(lines), path
                self.seen.update(known(TEMPLATES, lines))


def _of_few_frames(path: Path) -> Path:
    """Return a SEG, or beside it a copy with its first frames: dciodvfy takes 104 s of a core for 2,500 of them."""
    ds = dcmread(path)
    if ds.NumberOfFrames <= FRAMES:
        return path
    ds.NumberOfFrames, ds.PerFrameFunctionalGroupsSequence = FRAMES, ds.PerFrameFunctionalGroupsSequence[:FRAMES]
    ds.PixelData = ds.PixelData[: -(-FRAMES * ds.Rows * ds.Columns // 8)]
    shortened = path.with_name(f"{FRAMES}-frames.dcm")
    ds.save_as(shortened)
    return shortened


def _slices(study: Study) -> list[Path]:
    """Return the first, the middle and the last slice of the series that was measured, or was to be.

    None where dcentvfy cannot compare: it holds names against each other byte by byte, whatever their character sets,
    and does not read deflated files.
    """
    series = study.document["series"]["series_instance_uid"]
    candidates = study.request.candidates
    chosen = next((one for one in candidates if one.series_instance_uid == series), candidates[0])
    count = len(chosen.instances)
    found = [study.spool.file(chosen.instances[index]) for index in sorted({0, count // 2, count - 1})]
    ds = dcmread(found[0], specific_tags=["SpecificCharacterSet", "PatientName"])
    plain = str(ds.PatientName).isascii() or ds.SpecificCharacterSet == "ISO_IR 192"
    return found if plain and ds.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian else []


def settle(column: str, docket: Docket) -> None:
    """Hold the counts of a column, and the page, against what was judged; or write both, where that was asked for."""
    counts = json.loads(COUNTS.read_text("utf-8"))
    written, counts[column] = counts[column], docket.counts
    if os.environ.get(WRITE):
        COUNTS.write_text(json.dumps(counts, indent=1, sort_keys=True) + "\n", "utf-8")
        PAGE.write_text(page(PAGE.read_text("utf-8"), counts), "utf-8")
    assert written == docket.counts or os.environ.get(WRITE), f"other counts, so write them anew: {COMMAND} {column}"


def page(document: str, counts: Counts) -> str:
    """Return docs/validators.md with the tables that these counts make; what stands between the tables is kept."""
    kinds = sorted({kind for one in counts.values() for kind in one["objects"]})
    rows = {f"`{kind}`": [counts[column]["objects"].get(kind, 0) for column in COLUMNS] for kind in kinds}
    document = _with_table(document, "Objects that are judged", ["object"], rows)
    for heading, judges in (
        ("Warnings of dciodvfy and dcentvfy", (IOD, ENTITIES)),
        ("Warnings of PixelMed's validator", (TEMPLATES,)),
    ):
        rows = {
            f"`{one.line}` | {one.why}".replace("(Study|Series)", "(Study\\|Series)"): [
                counts[column]["remarks"].get(one.line, 0) for column in COLUMNS
            ]
            for one in KNOWN
            if one.judge in judges
        }
        document = _with_table(document, heading, ["remark", "why it stays"], rows)
    return document


def _with_table(document: str, heading: str, titles: Sequence[str], rows: Mapping[str, Sequence[int]]) -> str:
    lines = [" | ".join([*titles, *COLUMNS]), "---|" * len(titles) + "---:|" * len(COLUMNS)]
    lines = [f"| {lines[0]} |", f"|{lines[1]}"]
    lines += [f"| {first} | " + " | ".join(map(str, numbers)) + " |" for first, numbers in rows.items()]
    before, after = document.split(f"## {heading}\n", 1)
    table = "".join(f"{line}\n" for line in lines)
    return f"{before}## {heading}\n" + re.sub(r"(\|.*\n)+", lambda _: table, after, count=1)


def main() -> None:
    """Judge the studies of the columns that are named, or of all, and write the tables."""
    import pytest

    os.environ[WRITE] = "1"
    files = [COLUMNS[name] for name in sys.argv[1:] or COLUMNS]
    raise SystemExit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "the_table_of_warnings", *files]))


if __name__ == "__main__":
    main()
