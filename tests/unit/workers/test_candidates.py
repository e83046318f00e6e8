"""A candidate that lacks what is asked for is not the last word; every other test of the stages is in test_analysis."""

import json
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, body, geometry, label_map
from made_seg import drawn, write_seg
from made_series import AXIAL, ROOT, candidate, request, write_series
from made_series import spool as absolute
from pydicom import Dataset
from studies import Study

from node.core.codes import Structure
from node.core.errors import Unavailable
from node.core.reasons import NotComputed, Outage
from node.core.records import JobRequest
from node.core.settings import MeasurementSettings
from node.core.spool import Spool
from workers import analysis, volume
from workers.coverage import lacks
from workers.records import Mask, Region, Volume
from workers.segmentation import weights
from workers.segmentation.port import Answer, Networks, Order, Way

HU = (np.random.default_rng(9).normal(100, 12, BODY_SHAPE) + 1024).astype(np.uint16)
LAYOUT = AXIAL.__class__(spacing_mm=BODY_SPACING_MM)
WHOLE = range(30)
NO_L3 = range(12, 30)  # L3 lies on slices 4 to 9, the psoas on 2 to 15
FINDS = frozenset(Structure) - {Structure.L1_CORE, Structure.PSOAS_MAJOR_LEFT, Structure.PSOAS_MAJOR_RIGHT}


def part_of_body(slices: range) -> dict[Structure, Mask | list[Mask]]:
    return {
        structure: np.asarray(mask)[slices.start : slices.stop]
        for structure, mask in body().items()
        if np.asarray(mask)[slices.start : slices.stop].any()
    }


class Network:
    """Stands where the engine stands: finds of the body what the volume covers; keeps what it was asked, and fails.

    `fails` says at which call, and by what.
    """

    def __init__(self, fails: Mapping[int, Outage] | None = None) -> None:
        self.asked: list[str] = []
        self.alive: list[int] = []
        self._fails = fails or {}
        self._seen: list[weakref.ref[Volume]] = []

    def __call__(self, order: Order, seen: Volume) -> Answer:
        """Answer by where the volume lies."""
        assert order.way is Way.TOTALSEGMENTATOR
        self.asked.append(seen.candidate.description)
        self._seen.append(weakref.ref(seen))
        self.alive.append(sum(one() is not None for one in self._seen))
        if outage := self._fails.get(len(self.asked)):
            raise Unavailable(outage)
        first = round((seen.geometry.origin_mm[2] - LAYOUT.origin_mm[2]) / 3)
        found = part_of_body(range(first, first + seen.geometry.shape[0]))
        regions = {structure: Region.of(np.asarray(mask)) for structure, mask in found.items()}
        return Answer("network 1.0", FINDS, {structure: one for structure, one in regions.items() if one})


@pytest.fixture
def home(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "home")
    spool.prepare()
    return spool


@pytest.fixture
def asked_for(tmp_path: Path) -> Callable[..., JobRequest]:
    """Return a function that makes a request of parts of the body, each a series of its own, described `1`, `2`..."""

    def make(*ranges: range, frame: str = "", **rest: object) -> JobRequest:
        candidates = []
        for number, slices in enumerate(ranges, 1):
            x, y, z = LAYOUT.origin_mm
            layout = replace(LAYOUT, origin_mm=(x, y, z + 3 * slices.start))

            def own_frame(ds: Dataset, _index: int, number: int = number) -> None:
                ds.FrameOfReferenceUID = f"{frame}.{number}" if frame else ds.FrameOfReferenceUID

            stored = HU[slices.start : slices.stop]
            series = f"{ROOT}.{number}"
            paths = write_series(tmp_path / f"ct{number}", stored, layout=layout, series=series, edit=own_frame)
            candidates.append(replace(candidate(paths), description=str(number)))
        return replace(request(**rest), candidates=tuple(candidates))  # type: ignore[arg-type]

    return make


@pytest.fixture
def measured(home: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[JobRequest, Network], Study]:
    """Return a function that runs stages 6 to 9 with a network."""
    monkeypatch.setattr(weights, "available", lambda *_, **__: True)

    def run(asked: JobRequest, network: Network) -> Study:
        work = home.work(asked.key)
        networks = Networks(network, tmp_path / "weights", tmp_path / "demo", "cpu")
        outcome = analysis.segment(asked, home, work, networks)
        assert not outcome.final
        return Study(asked, home, analysis.measure(asked, home, work, tmp_path))

    return run


def tried(study: Study) -> list[tuple[str, str, str]]:
    return [tuple(one.values()) for one in study.document["series"]["tried"]]


@pytest.mark.parametrize(
    ("slices", "code", "text"),
    [
        (NO_L3, "level-not-covered", "L3 was not found"),
        (range(6, 30), "level-not-covered", "L3 is cut by the bottom of the scan"),
        (range(24), "level-not-covered", "L1 is cut by the top of the scan"),
        (range(18), "structure-not-found", "the liver was not found, L1 is cut by the top of the scan"),
    ],
    ids=["no-L3", "L3-cut", "L1-cut", "no-liver"],
)
def test_what_is_not_covered_makes_the_next_one_tried(
    slices: range,
    code: str,
    text: str,
    asked_for: Callable[..., JobRequest],
    measured: Callable[[JobRequest, Network], Study],
) -> None:
    """The second candidate, which has all, is measured; the result says what the first one lacks."""
    study = measured(asked_for(slices, WHOLE), Network())
    assert study.document["series"]["description"] == "2"
    assert tried(study) == [(f"{ROOT}.1", code, text)]
    assert study.value("psoas.pmi") > 0
    assert study.document["refusal"] is None


def test_a_candidate_that_lacks_nothing_is_the_last_word(
    asked_for: Callable[..., JobRequest], measured: Callable[[JobRequest, Network], Study]
) -> None:
    """No network runs on the others."""
    network = Network()
    study = measured(asked_for(WHOLE, NO_L3), network)
    assert network.asked == ["1"]
    assert tried(study) == []


def test_an_only_candidate_is_measured_whatever_it_lacks(
    asked_for: Callable[..., JobRequest], measured: Callable[[JobRequest, Network], Study]
) -> None:
    """What can be measured is, and nothing is said to have been tried."""
    study = measured(asked_for(NO_L3), Network())
    assert study.document["series"]["description"] == "1"
    assert tried(study) == []
    assert study.value("liver.volume") > 0


def test_the_one_that_lacks_least_is_measured_and_of_two_the_first(
    asked_for: Callable[..., JobRequest], measured: Callable[[JobRequest, Network], Study]
) -> None:
    """Three lacks, one, one, four: the second is measured, and the others are told of in their order."""
    network = Network()
    study = measured(asked_for(range(16, 30), range(10, 30), range(22), range(12)), network)
    assert network.asked == ["1", "2", "3"], "the fourth lies within the third"
    assert study.document["series"]["description"] == "2"
    assert [(one, text) for one, _, text in tried(study)] == [
        (f"{ROOT}.1", "the left iliopsoas was not found, the right iliopsoas was not found, L3 was not found"),
        (f"{ROOT}.3", "L1 is cut by the top of the scan"),
        (f"{ROOT}.4", "reaches no further than candidate 3, where L1 is cut by the top of the scan"),
    ]
    assert study.labels.geometry.shape[0] == 20


def test_the_same_range_once_more_is_not_segmented(
    asked_for: Callable[..., JobRequest], measured: Callable[[JobRequest, Network], Study]
) -> None:
    """A second reconstruction of a scan that does not reach L3 does not reach it either; a longer scan may."""
    network = Network()
    study = measured(asked_for(NO_L3, NO_L3, range(13, 30), WHOLE), network)
    assert network.asked == ["1", "4"]
    assert [text for _, _, text in tried(study)] == [
        "L3 was not found",
        "reaches no further than candidate 1, where L3 was not found",
        "reaches no further than candidate 1, where L3 was not found",
    ]


def test_positions_of_two_frames_of_reference_are_not_compared(
    asked_for: Callable[..., JobRequest], measured: Callable[[JobRequest, Network], Study]
) -> None:
    """The same z in another frame of reference is another place."""
    network = Network()
    measured(asked_for(NO_L3, NO_L3, frame=f"{ROOT}.9"), network)
    assert network.asked == ["1", "2"]


def test_one_volume_is_held_at_a_time(
    asked_for: Callable[..., JobRequest], measured: Callable[[JobRequest, Network], Study]
) -> None:
    """Whatever the number of candidates: the one before is gone when the next one is segmented."""
    network = Network()
    measured(asked_for(NO_L3, range(11, 30), range(10, 29), WHOLE), network)
    assert len(network.alive) > 2
    assert set(network.alive) == {1}


def test_two_parts_of_one_series_are_told_apart(
    asked_for: Callable[..., JobRequest], measured: Callable[[JobRequest, Network], Study]
) -> None:
    """Candidates may share a Series Instance UID: the part that was chosen is the one that is measured."""
    asked = asked_for(NO_L3, WHOLE)
    first, second = asked.candidates
    named = replace(first, part="acquisition 1", series_instance_uid=second.series_instance_uid)
    study = measured(replace(asked, candidates=(named, replace(second, part="acquisition 2"))), Network())
    assert study.document["quality"]["slices"] == 30
    assert tried(study) == [(second.series_instance_uid, "level-not-covered", "acquisition 1: L3 was not found")]


def test_an_imported_segmentation_is_the_last_word(
    asked_for: Callable[..., JobRequest], measured: Callable[[JobRequest, Network], Study], tmp_path: Path
) -> None:
    """It was drawn for this series: no network stands against it because L3 is cut."""
    asked = asked_for(range(6, 30), WHOLE)
    first = asked.candidates[0]
    grid = volume.read(first, absolute(), MeasurementSettings()).geometry
    paths = [Path(one.path) for one in first.instances]
    seg = write_seg(tmp_path / "seg.dcm", paths, grid, drawn(part_of_body(range(6, 30))))
    network = Network()
    study = measured(replace(asked, segmentations=(seg,)), network)
    assert network.asked == []
    assert study.document["series"]["description"] == "1"


@pytest.mark.parametrize("outage", [Outage.ENGINE_MEMORY, Outage.ENGINE_TIMEOUT])
def test_a_further_candidate_that_is_too_much_takes_nothing_away(
    outage: Outage, asked_for: Callable[..., JobRequest], measured: Callable[[JobRequest, Network], Study]
) -> None:
    """The engine fails on the second: the first is measured, and the reason is told."""
    study = measured(asked_for(NO_L3, WHOLE), Network({2: outage}))
    assert study.document["series"]["description"] == "1"
    [(series, code, text)] = tried(study)
    assert (series, code) == (f"{ROOT}.2", "segmentation-unavailable")
    assert outage.sentence in text


@pytest.mark.parametrize("fails", [{1: Outage.ENGINE_MEMORY}, {2: Outage.ENGINE_LOST}, {2: Outage.DEVICE_MISSING}])
def test_other_outages_are_tried_again(
    fails: dict[int, Outage],
    asked_for: Callable[..., JobRequest],
    measured: Callable[[JobRequest, Network], Study],
) -> None:
    """What may pass is waited for, and so is everything on the first candidate."""
    with pytest.raises(Unavailable):
        measured(asked_for(NO_L3, WHOLE), Network(fails))


def test_a_job_that_runs_again_leaves_the_same(
    asked_for: Callable[..., JobRequest], measured: Callable[[JobRequest, Network], Study], home: Spool
) -> None:
    """As after a lost worker: choice, label map, objects and pictures are as they were."""

    def left(study: Study) -> dict[Path, bytes]:
        files = [file for file in study.path("").rglob("*") if file.is_file() and file.name != analysis.RUN]
        return {file: file.read_bytes() for file in files}

    asked = asked_for(NO_L3, range(10, 30), WHOLE)
    first = measured(asked, Network())
    kept = left(first)
    assert json.loads(kept[first.path("tried.json")])["chosen"] == 2
    assert left(measured(asked, Network())) == kept


def test_what_was_not_searched_for_is_not_missing() -> None:
    """An engine that looks for the liver alone lacks nothing that another series would bring."""
    grid = geometry(BODY_SHAPE, BODY_SPACING_MM)
    labels = label_map(grid, {Structure.LIVER: body()[Structure.LIVER]})
    assert lacks(labels, MeasurementSettings()) == ()


def test_the_muscle_that_the_site_measures_is_the_one_that_is_missed() -> None:
    """With `psoas_major` the iliopsoas is not asked for, and the other way round."""
    grid = geometry(BODY_SHAPE, BODY_SPACING_MM)
    labels = label_map(grid, body(), Structure.PSOAS_MAJOR_LEFT, Structure.PSOAS_MAJOR_RIGHT)
    assert lacks(labels, MeasurementSettings()) == ()
    missing = lacks(labels, MeasurementSettings(psoas="psoas_major"))
    assert [one.code for one in missing] == [NotComputed.STRUCTURE_NOT_FOUND] * 2
    assert missing[0].text == "the left psoas major was not found"
