"""A study that went through stages 6 to 9, with everything that the stages handed on at hand."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from node.core.records import JobRequest
from node.core.settings import Settings
from node.core.spool import Spool, WorkFolder
from node.folder import request_for_folder
from workers import analysis, volume
from workers.analysis import Outcome
from workers.records import LabelMap, Volume
from workers.stored_labels import parse_labels

REQUESTED_AT = datetime.fromisoformat("2026-11-21T12:00:00")


@dataclass(frozen=True)
class Study:
    """What an analysis was asked for, and where its files lie."""

    request: JobRequest
    spool: Spool
    outcome: Outcome

    @property
    def work(self) -> WorkFolder:
        """Folder of the job."""
        return self.spool.work(self.request.key)

    def path(self, name: str) -> Path:
        """Return where a file of the job lies."""
        return self.spool.root / self.work.path / name

    def dataset(self, name: str) -> Dataset:
        """Read a DICOM object of the result."""
        return dcmread(self.path(name))

    @cached_property
    def document(self) -> dict[str, Any]:
        """The content of `result.json`."""
        document: dict[str, Any] = json.loads(self.work.read("result.json"))
        return document

    @cached_property
    def labels(self) -> LabelMap:
        """The segmentation that was measured."""
        return parse_labels(self.work.read(analysis.LABELS))

    @cached_property
    def volume(self) -> Volume:
        """The volume that was measured, or the first candidate's."""
        series = self.document["series"]["series_instance_uid"]
        chosen = [one for one in self.request.candidates if one.series_instance_uid == series]
        return volume.read(chosen[0], self.spool, self.request.measurement)

    @cached_property
    def sources(self) -> list[Dataset]:
        """Headers of the measured slices, from inferior to superior."""
        return [dcmread(self.spool.file(one), stop_before_pixels=True) for one in self.volume.instances]

    def value(self, name: str) -> float:
        """Return a number that was computed."""
        one = self.document["measurements"][name]
        assert one["status"] == "computed", f"{name}: {one['reason']}"
        return float(one["value"])

    def notes(self, name: str) -> set[str]:
        """Return the codes of a number's notes."""
        return {note["code"] for note in self.document["measurements"][name]["notes"]}


def analyse(
    folder: Path, seg: Path | None, home: Path, settings: Settings | None = None, at: datetime = REQUESTED_AT
) -> Study:
    """Run stages 6 to 9 on a folder; what they leave lies in a spool under `home`."""
    spool = Spool(home)
    spool.prepare()
    return run(request_for_folder(folder, seg, settings or Settings(), now=at), spool)


def run(request: JobRequest, spool: Spool, *, label_map: bool = False) -> Study:
    """Run stages 6 to 9 on a request, with `label_map` as for a destination that wants the SEG as such."""
    work = spool.work(request.key)
    outcome = analysis.segment(request, spool, work)
    if not outcome.final:
        outcome = analysis.measure(request, spool, work, Settings().models, label_map=label_map)
    return Study(request, spool, outcome)
