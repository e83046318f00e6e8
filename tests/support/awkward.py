"""Awkward studies, made and measured by the real stages, and the page that says what became of each.

`python tests/support/awkward.py` (with the repository and tests/support on PYTHONPATH) writes docs/awkward-studies.md;
`tests/reference/test_awkward.py` holds the page against the same rows.
"""

import socket
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from studies import Study, analyse, run

from node.core.ledger import Ledger, jobs
from node.core.peer import Peer
from node.core.reasons import NotComputed
from node.core.records import JobRequest, parse
from node.core.settings import CallingPeer, ImportRules, Settings
from node.core.spool import Spool
from node.listen import Listener
from node.phantom.awkward import AwkwardStudy, End, Kind, write_awkward
from node.phantom.marker import SEG_MANUFACTURER
from node.steward import Steward

PAGE = Path(__file__).parents[2] / "docs" / "awkward-studies.md"
COMMAND = "PYTHONPATH=.:tests/support python tests/support/awkward.py"
SENDER = "SCANNER"
SECONDS = 120.0
LINGER_S = 3.0
_TILTED_DEGREES = 0.5
_ARRIVALS = (Kind.LATE_SLICES, Kind.RESENT_SLICES)
# Columns of the page's second table: what is summed or averaged, and in which unit its error is told.
ERRORS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "liver volume": (("liver.volume",), "%"),
    "muscle volumes": (("psoas.left.volume", "psoas.right.volume"), "%"),
    "PMVI": (("psoas.pmvi",), "%"),
    "PMI": (("psoas.pmi",), "%"),
    "liver": (("liver.mean_hu",), "HU"),
    "muscles": (("psoas.left.mean_hu", "psoas.right.mean_hu"), "HU"),
    "L1 core": (("l1.mean_hu",), "HU"),
}


@dataclass(frozen=True)
class Result:
    """What became of a study: how many jobs it took, and what the last of them says."""

    made: AwkwardStudy
    study: Study
    requests: tuple[JobRequest, ...]

    @property
    def end(self) -> End:
        """What the node made of it."""
        document = self.study.document
        if document["refusal"]:
            return End.REFUSED
        series = document["series"]["series_instance_uid"]
        same = [one for one in self.study.request.candidates if one.series_instance_uid == series]
        if any(one.part for one in same):
            return End.SPLIT
        geometry = self.study.volume.geometry
        normal = np.cross(geometry.column_step_mm, geometry.row_step_mm)
        step = np.asarray(geometry.slice_step_mm)
        cosine = abs(float(step @ normal)) / float(np.linalg.norm(normal) * np.linalg.norm(step))
        return End.RESAMPLED if cosine < np.cos(np.radians(_TILTED_DEGREES)) else End.ACCEPTED

    @property
    def words(self) -> tuple[str, ...]:
        """The reasons that a reader is given, each once."""
        document = self.study.document
        if document["refusal"]:
            return (f"`{document['refusal']['code']}`: {document['refusal']['text']}",)
        said = [self._arrival()] if len(self.requests) > 1 or self.made.kind in _ARRIVALS else []
        said += [f"tried before: `{one['code']}`: {one['text']}" for one in document["series"]["tried"]]
        said += [f"left out: {one['modality']}: {one['why']}" for one in document["series"]["left_out"]]
        missing: defaultdict[str, list[str]] = defaultdict(list)
        for name in self.made.truth:
            if reason := document["measurements"][name]["reason"]:
                missing[reason].append(name)
        for why, names in missing.items():
            [code] = (one for one in NotComputed if one == why)
            said.append(f"no {', '.join(names)}: `{why}`: {code.sentence}")
        return tuple(dict.fromkeys(said))

    def _arrival(self) -> str:
        counts = [len(one.candidates[0].instances) for one in self.requests]
        jobs_ = f"{len(counts)} job{'s' * (len(counts) != 1)}"
        return f"{jobs_}, of {' and '.join(str(count) for count in counts)} slices; the last one counts"

    def error(self, column: str) -> float | None:
        """Return how far a column's number is from the truth [%, HU]; None where it was not computed."""
        names, unit = ERRORS[column]
        found = [self.study.document["measurements"][name]["value"] for name in names]
        if None in found:
            return None
        exact = [float(self.made.truth[name]["value"]) for name in names]
        off = sum(found) - sum(exact)
        return 100 * off / sum(exact) if unit == "%" else off / len(names)


def result(kind: Kind, folder: Path) -> Result:
    """Make a study of this kind and let the node measure it on its truth."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of pydicom and highdicom, about what is awkward
        made = write_awkward(folder / "study", kind)
        if kind in _ARRIVALS:
            return _arrived(made, folder / "home")
        study = analyse(folder / "study" / "ct", made.seg, folder / "home")
    return Result(made, study, (study.request,))


def _arrived(made: AwkwardStudy, home: Path) -> Result:
    """Send a study to a real listener, what comes later when the first part was handed on; measure the last job."""
    settings = Settings(
        home=home,
        port=_free_port(),
        calling=(CallingPeer(ae_title=SENDER),),
        imports=ImportRules(manufacturers=(SEG_MANUFACTURER,)),
        quiet_time_s=0.5,
    )
    home.mkdir(parents=True)
    ledger = Ledger.of(settings)
    ledger.upgrade()
    listener = Listener(settings)
    listener.start()
    try:
        spool = Spool(settings.spool_dir)
        steward = Steward(ledger, spool, settings)
        peer = Peer(settings.ae_title, settings.host, settings.port, SENDER)
        _send(peer, [made.seg, *made.first])
        study_uid = str(dcmread(made.seg, stop_before_pixels=True).StudyInstanceUID)
        _handed_on(ledger, steward, study_uid, 1)
        _send(peer, made.later)
        requests = _handed_on(ledger, steward, study_uid, 2 if made.kind is Kind.LATE_SLICES else 1)
    finally:
        listener.stop()
        ledger.close()
    return Result(made, run(requests[-1], spool), tuple(requests))


def _send(peer: Peer, files: Sequence[Path]) -> None:
    failed = [one for one in peer.store(files) if one.status != 0]
    assert not failed, f"{len(failed)} of {len(files)} instances were not stored"


def _handed_on(ledger: Ledger, steward: Steward, study_uid: str, count: int) -> list[JobRequest]:
    """Let the steward work until the study has so many jobs, and long enough to see that there are no more."""
    until, more = time.monotonic() + SECONDS, time.monotonic() + LINGER_S
    found: list[JobRequest] = []
    while time.monotonic() < until and (len(found) < count or time.monotonic() < more):
        steward._assembly.round()
        with ledger.transaction() as session:
            found = [parse(JobRequest, one.request) for one in jobs.of_study(session, study_uid)]
        time.sleep(0.1)
    assert len(found) == count, f"{len(found)} jobs, not {count}"
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def page(results: Iterable[Result]) -> str:
    """Return the page: what became of each kind, in which words, and how near the numbers are to the truth."""
    known = list(results)
    lines = [
        "# Awkward studies",
        "",
        "What this node makes of input that is not as it should be. Every study below is written by",
        "`crlm-node phantom OUT --awkward KIND` and measured on its exact segmentation by the real stages. The tables",
        f"are generated: `{COMMAND}` writes this page, and a test fails",
        "where it says anything else than what happens.",
        "",
        "*Accepted*: measured as it is. *Resampled*: measured on its own slices, while a network would see an upright",
        "copy. *Split*: a part of the series is measured. *Refused*: no number, but a reason.",
        "",
        "| kind | what is awkward | what becomes of it | in which words |",
        "|---|---|---|---|",
    ]
    for one in known:
        words = "<br>".join(word.replace("|", "\\|") for word in one.words) or "-"
        lines.append(f"| `{one.made.kind}` | {one.made.kind.what} | {one.end} | {words} |")
    titles = [f"{name} [{unit}]" for name, (_, unit) in ERRORS.items()]
    lines += [
        "",
        "## How near to the truth",
        "",
        "Measured less exact, by the phantom's formulas. The grid is coarse (2.5 mm pixels, 5 mm slices), so the",
        "straight study is off as well: muscles and liver hold voxels at their surface that are half fat, and an area",
        "is that of one slice. The others may not be worse.",
        "",
        "| kind | " + " | ".join(titles) + " |",
        "|---|" + "---:|" * len(titles),
    ]
    for one in known:
        if one.end is not End.REFUSED:
            cells = [_cell(one.error(name)) for name in ERRORS]
            lines.append(f"| `{one.made.kind}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(error: float | None) -> str:
    return "-" if error is None else f"{error + 0.0:+.1f}".replace("-0.0", "+0.0")


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for kind in Kind:
            began = time.monotonic()
            results.append(result(kind, Path(folder, kind)))
            sys.stderr.write(f"{kind}: {results[-1].end}, {time.monotonic() - began:.1f} s {results[-1].words}\n")
        PAGE.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
