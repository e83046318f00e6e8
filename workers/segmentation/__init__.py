"""Stage 7: a volume becomes a `LabelMap`.

Comes in: a `Volume` and what the job says of segmentations. Goes out: `LabelMap`. What can go wrong: no way to
segment is open (`NotAnalysable`), sources contradict (`Untrusted`), the engine process fails (`Unavailable`). Next:
stage 8, measurement.

The order of the ways: `imported` (a DICOM SEG that the site allows), `library` or `resident` (TotalSegmentator, if its
weights are there), `demo` (the demonstration model, for the phantom alone). Which one it was stands in the result.
"""

from dataclasses import replace

from node.core.codes import Structure
from node.core.errors import NotAnalysable
from node.core.reasons import StudyRefusal
from node.core.records import JobRequest
from node.core.spool import Spool
from workers.records import DEMONSTRATION, AlgorithmType, LabelMap, Segment, Volume
from workers.segmentation import imported, upright, weights
from workers.segmentation.port import Answer, Networks, Order, Way

_CURE = "install them with: crlm-node models fetch"


def segment(volume: Volume, request: JobRequest, spool: Spool, networks: Networks | None = None) -> LabelMap:
    """Segment a volume by the first way that is open; `networks` is None where the site has not switched them on.

    Raises
    ------
    NotAnalysable
        `weights-missing`, `demo-model-refused`, `segmentation-unavailable`: no way is open.
    Untrusted
        `input-untrusted`: imported segmentations contradict each other, or weights are not what they should be.
    Unavailable
        `engine-timeout`, `engine-memory`, `engine-lost`, `device-missing`.
    """
    labels = imported.segment(volume, request, spool)
    if labels is not None:
        return labels
    if networks is None:
        count = len(request.segmentations)
        detail = f"{count} imported SEG, none on the grid of this series" if count else "no SEG came with the study"
        raise NotAnalysable(StudyRefusal.SEGMENTATION_UNAVAILABLE, f"{detail}, and networks are switched off")
    order = choose(volume, request, networks)
    return _label_map(volume, order, _run(order, volume, networks))


def choose(volume: Volume, request: JobRequest, networks: Networks) -> Order:
    """Return the network to run on a volume that has no imported segmentation.

    Raises
    ------
    NotAnalysable
        As `segment`.
    """
    psoas, fast = request.measurement.psoas, request.measurement.segmentation_resolution == "3mm"
    if weights.available(networks.weights_dir, psoas, fast=fast):
        return Order(networks.way, networks.weights_dir, networks.device, psoas, fast, networks.ladder)
    if volume.acquisition.synthetic or networks.force_demo:
        if psoas != "iliopsoas":
            raise NotAnalysable(StudyRefusal.DEMO_MODEL_REFUSED, "it knows the iliopsoas only")
        if not networks.demo_dir.is_dir():
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"no demonstration model, and no weights: {_CURE}")
        return Order(Way.DEMO, networks.demo_dir, "cpu", psoas)
    raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, _CURE)


def _run(order: Order, volume: Volume, networks: Networks) -> Answer:
    """Ask the network; a tilted volume is shown to it upright."""
    if not volume.geometry.is_tilted:
        return networks.run(order, volume)
    hu, seen = upright.upright(volume.hu, volume.geometry)
    answer = networks.run(order, replace(volume, hu=hu, geometry=seen))
    return replace(answer, regions=upright.brought_back(answer.regions, seen, volume.geometry))


def _label_map(volume: Volume, order: Order, answer: Answer) -> LabelMap:
    name = f"{DEMONSTRATION}: {answer.name}" if order.way is Way.DEMO else answer.name
    segments = tuple(
        Segment(structure, structure.value, answer.regions[structure], AlgorithmType.AUTOMATIC, name)
        for structure in Structure
        if structure in answer.regions
    )
    series_uid, tilted = volume.candidate.series_instance_uid, volume.geometry.is_tilted
    return LabelMap(
        geometry=volume.geometry,
        series_instance_uid=series_uid,
        engine=name,
        searched=answer.finds,
        segments=segments,
        reduced=answer.reduced,
        seen_upright=tilted,
        validation=answer.validation,
    )
