"""Which network is ordered for a volume that brings no segmentation, and how its answer is told in the result."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, body, label_map, volume
from made_validation import conditions, validation

from node.core.codes import Structure
from node.core.errors import NotAnalysable
from node.core.reasons import NoteCode, StudyRefusal
from node.core.records import JobRequest, PatientFacts
from node.core.settings import MeasurementSettings
from node.core.spool import Spool
from workers import measurement, segmentation
from workers.records import DEMONSTRATION, LabelMap, Volume
from workers.segmentation import weights
from workers.segmentation.port import Answer, Networks, Order, Way
from workers.stored_labels import dump_labels, parse_labels
from workers.validation import Validation

FACTS = PatientFacts(None, None, None, None, "")


class Recorder:
    """A runner of networks that keeps its orders and finds a liver."""

    def __init__(self, reduced: str = "", validation: Validation | None = None) -> None:
        self.orders: list[Order] = []
        self.reduced, self.validation = reduced, validation

    def __call__(self, order: Order, seen: Volume) -> Answer:
        """Answer with the liver."""
        self.orders.append(order)
        liver = label_map(seen.geometry, body()).find(Structure.LIVER)
        assert liver is not None
        found = {Structure.LIVER: liver}
        return Answer("network 1.0", frozenset({Structure.LIVER}), found, self.reduced, self.validation)


@pytest.fixture
def patient() -> Volume:
    """A volume that no phantom made."""
    hu = np.random.default_rng(3).normal(100, 10, BODY_SHAPE).astype(np.int16)
    seen: Volume = volume(hu, BODY_SPACING_MM)
    return seen


@pytest.fixture
def segment(tmp_path: Path, request_of: Callable[..., JobRequest]) -> Callable[..., LabelMap]:
    """Return a function that segments a volume by a runner, on a GPU, with these settings."""

    def run(seen: Volume, runner: Recorder, **settings: str) -> LabelMap:
        request = replace(
            request_of("1.2.3"), segmentations=(), measurement=MeasurementSettings.model_validate(settings)
        )
        networks = Networks(runner, tmp_path / "weights", tmp_path / "demo", "gpu:1")
        return segmentation.segment(seen, request, Spool(tmp_path), networks)

    return run


@pytest.mark.parametrize(("resolution", "fast"), [("1.5mm", False), ("3mm", True)])
def test_the_resolution_of_the_job_is_ordered(
    resolution: str, fast: bool, segment: Callable[..., LabelMap], patient: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TotalSegmentator runs as the job says, on the device of the site, if the weights for just that are there."""
    asked: list[bool] = []

    def there(folder: Path, psoas: str, *, fast: bool) -> bool:
        asked.append(fast)
        return True

    monkeypatch.setattr(weights, "available", there)
    runner = Recorder()
    segment(patient, runner, segmentation_resolution=resolution)
    [order] = runner.orders
    assert (order.way, order.device, order.fast) == (Way.TOTALSEGMENTATOR, "gpu:1", fast)
    assert asked == [fast]


def test_the_demonstration_model_is_ordered_for_a_phantom_alone(
    segment: Callable[..., LabelMap], patient: Volume, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without weights a phantom gets the demonstration model, on the CPU; a patient's CT is refused."""
    monkeypatch.setattr(weights, "available", lambda *_, **__: False)
    runner = Recorder()
    phantom = replace(patient, acquisition=replace(patient.acquisition, synthetic=True))
    with pytest.raises(NotAnalysable) as caught:
        segment(phantom, runner)
    assert caught.value.code is StudyRefusal.WEIGHTS_MISSING, "the model is not installed"
    (tmp_path / "demo").mkdir()
    assert segment(phantom, runner).engine.startswith(DEMONSTRATION)
    assert [(order.way, order.device) for order in runner.orders] == [(Way.DEMO, "cpu")]
    with pytest.raises(NotAnalysable) as caught:
        segment(patient, runner)
    assert caught.value.code is StudyRefusal.WEIGHTS_MISSING
    assert len(runner.orders) == 1


@pytest.mark.parametrize("reduced", ["", "TotalSegmentator ran at 3 mm."])
def test_a_reduced_mode_stands_beside_every_number(
    reduced: str, segment: Callable[..., LabelMap], patient: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the engine says of a reduced mode goes through the work folder to a note on each number; else none does."""
    monkeypatch.setattr(weights, "available", lambda *_, **__: True)
    labels = parse_labels(dump_labels(segment(patient, Recorder(reduced))))
    found = measurement.measure(patient, labels, FACTS, MeasurementSettings()).measurements
    computed = [one for one in found.values() if one.value is not None]
    assert computed
    for one in computed:
        assert [note.text for note in one.notes if note.code is NoteCode.DEGRADED_ENGINE] == (
            [reduced] if reduced else []
        )


@pytest.mark.parametrize("synthetic", [True, False])
def test_any_network_that_was_validated_has_intervals(
    synthetic: bool, segment: Callable[..., LabelMap], patient: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the network's manifest says goes through the work folder to the numbers, whichever network it is."""
    monkeypatch.setattr(weights, "available", lambda *_, **__: True)
    own = validation(measured_under=replace(conditions(), synthetic=synthetic))
    labels = parse_labels(dump_labels(segment(patient, Recorder(validation=own))))
    found = measurement.measure(patient, labels, FACTS, MeasurementSettings()).measurements
    assert {name for name, one in found.items() if one.interval} == (
        set() if synthetic else {"liver.volume", "liver.mean_hu"}
    )


def test_the_engine_of_the_site_is_ordered(
    request_of: Callable[..., JobRequest], patient: Volume, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The site says which engine runs the weights, and whether it may step down."""
    monkeypatch.setattr(weights, "available", lambda *_, **__: True)
    networks = Networks(Recorder(), tmp_path, tmp_path, "gpu", way=Way.RESIDENT, ladder=True)
    order = segmentation.choose(patient, request_of("1.2.3"), networks)
    assert (order.way, order.ladder) == (Way.RESIDENT, True)
