"""The candidates of a job, as they are tried: what came of each, and which one is measured in the end.

Beside stages 6 and 7, filled by `workers.analysis`. Comes in: one candidate after the other, read, segmented or
refused. Goes out: `labels.npz`, the segmentation that lacks least, and what `tried.json` says of the others. No volume
is kept, and of the label maps one, on disk. What can go wrong: the work folder cannot be written (`Unavailable`).
Next: stage 8 measures the chosen candidate.
"""

import json
from dataclasses import asdict, dataclass

from node.core.errors import NotAnalysable
from node.core.reasons import Coded
from node.core.records import JobRequest
from node.core.spool import WorkFolder
from workers.coverage import Extent, Lack, lacks
from workers.records import LabelMap, Volume
from workers.report.document import Tried
from workers.stored_labels import dump_labels

TRIED = "tried.json"
LABELS = "labels.npz"


@dataclass(frozen=True)
class _Segmented:
    """A candidate that was segmented, and what its segmentation lacks."""

    index: int
    lacks: tuple[Lack, ...]
    extent: Extent


class Trials:
    """What came of the candidates until now. No volume is kept, and of the label maps the best one, on disk."""

    def __init__(self, request: JobRequest, work: WorkFolder) -> None:
        self._request = request
        self._work = work
        self._extents: dict[int, Extent] = {}
        self.over = False  # whether a candidate was the last word
        self._tried: dict[int, Tried] = {}
        self._segmented: list[_Segmented] = []
        self.first: NotAnalysable | None = None
        self.first_read: int | None = None  # the candidate of `first`, where it could be read

    @property
    def best(self) -> _Segmented | None:
        """The one that lacks least; of several the first."""
        return min(self._segmented, key=lambda one: (len(one.lacks), one.index), default=None)

    def is_worth(self, index: int, read: Volume) -> bool:
        """Say whether a candidate may have what the ones before it lack; note why not."""
        self._extents[index] = extent = Extent.of(read.geometry)
        for other in self._segmented:
            if extent.within(other.extent):
                text = f"reaches no further than candidate {other.index + 1}, where {_listed(other.lacks)}"
                self._note(index, other.lacks[0].code, text)
                return False
        return True

    def add(self, index: int, labels: LabelMap) -> None:
        """Take a segmentation; it is the last word where it lacks nothing, or where it came for this very series."""
        missing = () if labels.imported else lacks(labels, self._request.measurement)
        before = self.best
        self._segmented.append(_Segmented(index, missing, self._extents[index]))
        if missing:
            self._note(index, missing[0].code, _listed(missing))
        if self.best is not before:
            self._work.write(LABELS, dump_labels(labels))
        self.over = not missing

    def refuse(self, index: int, error: NotAnalysable, *, read: bool = False) -> None:
        """Note why a candidate cannot be measured."""
        if self.first is None:
            self.first = NotAnalysable(error.code, error.detail)  # without the frames, which hold the volume
            self.first_read = index if read else None
        self._note(index, error.code, str(error))

    def tried(self, chosen: int | None = None) -> tuple[Tried, ...]:
        """Return what became of each candidate that was looked at, beside the chosen one."""
        return tuple(one for index, one in sorted(self._tried.items()) if index != chosen)

    def dump(self, chosen: int) -> bytes:
        """Return which candidate is measured, and what became of the others, as JSON."""
        return json.dumps({"chosen": chosen, "tried": [asdict(one) for one in self.tried(chosen)]}).encode()

    def _note(self, index: int, code: Coded, text: str) -> None:
        candidate = self._request.candidates[index]
        part = f"{candidate.part}: " if candidate.part else ""
        self._tried[index] = Tried(candidate.series_instance_uid, code, part + text)


def _listed(missing: tuple[Lack, ...]) -> str:
    return ", ".join(one.text for one in missing)
