"""Metrics in the text form of Prometheus: counts, ages and times; no study, no patient, nobody's name.

Comes in: the ledger, looked at when somebody asks, and its events from the start of this process on, each once. Goes
out: the text. What can go wrong: the ledger is away; `crlm_ledger_up` is then 0, and what depends on it is not told.
"""

import threading
from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from node import __version__
from node.core.errors import Unavailable
from node.core.ledger import Ledger, audit, bookmarks, overview, worklist
from node.core.ledger.tables import Event
from node.core.states import DeliveryState, JobState, Stage
from node.web import machine
from node.web.site import Site

_AT_ONCE = 5_000
_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400)


def show(request: Request) -> Response:
    """Answer with the metrics."""
    registry: CollectorRegistry = request.app.state.metrics
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def registry_of(site: Site) -> CollectorRegistry:
    """Return what the metrics of a site are gathered by."""
    registry = CollectorRegistry()
    registry.register(_Now(site, Stopwatch(site.ledger)))
    return registry


class Stopwatch:
    """Times of stages and deliveries, and rejected associations, by what the ledger has been told since it was made."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._began: dict[str, tuple[str, datetime]] = {}
        self._event: int | None = None
        self._row = 0
        self._seconds = Histogram(
            "crlm_stage_seconds",
            "Time of a stage, or of a delivery until its proof.",
            ["stage"],
            buckets=_SECONDS,
            registry=None,
        )
        self._rejected = Counter(
            "crlm_rejected_associations", "Associations that were not let in.", ["reason"], registry=None
        )

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted."""
        yield from self._seconds.collect()
        yield from self._rejected.collect()

    def read(self) -> None:
        """Take in what is new."""
        with self._lock, self._ledger.reading() as session:
            if self._event is None:
                self._event, self._row = bookmarks.last_event(session), audit.last_row(session)
                return
            while events := bookmarks.events_after(session, self._event, _AT_ONCE):
                for one in events:
                    self._take(one)
                self._event = events[-1].id
            rows = audit.rejections_after(session, self._row)
            for row in rows:
                self._rejected.labels(row.detail.partition(":")[0]).inc(audit.count_of(row))
                self._row = row.id

    def _take(self, event: Event) -> None:
        if event.subject == "job" and event.new == JobState.RUNNING:
            self._began[event.key] = (event.cause.partition(" ")[0], event.at)
        elif event.subject == "job" and event.old == JobState.RUNNING:
            self._end(event)
        elif event.subject == "delivery" and event.new == DeliveryState.PENDING:
            self._began[event.key] = (Stage.DELIVER, event.at)
        elif event.subject == "delivery" and event.new in (DeliveryState.PROVEN, DeliveryState.FAILED):
            self._end(event)

    def _end(self, event: Event) -> None:
        stage, at = self._began.pop(event.key, ("", event.at))
        if stage:
            self._seconds.labels(stage).observe((event.at - at).total_seconds())


class _Now(Collector):
    """What is true now."""

    def __init__(self, site: Site, stopwatch: Stopwatch) -> None:
        self._site = site
        self._stopwatch = stopwatch

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield _one("crlm_version_info", "The version of the node.", {"version": __version__}, 1)
        yield from self._machine()
        try:
            self._stopwatch.read()
            ledger = [*self._ledger(), *self._stopwatch.collect()]
        except Unavailable:
            yield GaugeMetricFamily("crlm_ledger_up", "Whether the ledger answers.", value=0)
            return
        yield GaugeMetricFamily("crlm_ledger_up", "Whether the ledger answers.", value=1)
        yield from ledger

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: the ledger is not asked before somebody wants to know."""
        return iter(())

    def _ledger(self) -> Iterator[Metric]:
        with self._site.ledger.reading() as session:
            counts = worklist.counts(session)
            queues = overview.every_queue(session)
            destinations = overview.destinations(session, [one.name for one in self._site.settings.destinations])
        studies = GaugeMetricFamily("crlm_studies", "Studies by condition and reason.", labels=["condition", "reason"])
        for (condition, reason), count in counts.items():
            studies.add_metric([condition, reason], count)
        yield studies
        waiting, working, age, paused = (
            GaugeMetricFamily(f"crlm_queue_{name}", about, labels=["queue"])
            for name, about in (
                ("waiting", "Jobs, or objects, that wait."),
                ("working", "Jobs at work."),
                ("age_seconds", "How long the first has waited."),
                ("paused", "Whether a person has paused it."),
            )
        )
        for one in queues:
            waiting.add_metric([one.stage], one.waiting)
            working.add_metric([one.stage], one.working)
            age.add_metric([one.stage], one.oldest_s or 0)
            paused.add_metric([one.stage], one.paused_at is not None)
        yield from (waiting, working, age, paused)
        objects = GaugeMetricFamily(
            "crlm_deliveries", "Objects by destination and state.", labels=["destination", "state"]
        )
        answers = GaugeMetricFamily(
            "crlm_destination_up", "Whether its last echo was answered.", labels=["destination"]
        )
        for there in destinations:
            for state in DeliveryState:
                objects.add_metric([there.name, state], there.states.get(state, 0))
            if there.echo is not None:
                answers.add_metric([there.name], not there.echo.fault)
        yield from (objects, answers)

    def _machine(self) -> Iterator[Metric]:
        found = machine.look(self._site.spool.root)
        yield GaugeMetricFamily("crlm_disk_free_bytes", "Free space of the spool.", value=found.disk_free_bytes)
        yield GaugeMetricFamily("crlm_disk_total_bytes", "Size of the spool's disk.", value=found.disk_total_bytes)
        load = GaugeMetricFamily("crlm_gpu_load_ratio", "Share of time that a GPU works.", labels=["gpu"])
        used, total = (
            GaugeMetricFamily(f"crlm_gpu_memory_{name}_bytes", f"Memory of a GPU, {name}.", labels=["gpu"])
            for name in ("used", "total")
        )
        for one in found.gpus:
            load.add_metric([str(one.index)], one.load)
            used.add_metric([str(one.index)], one.used_bytes)
            total.add_metric([str(one.index)], one.total_bytes)
        yield from (load, used, total)


def _one(name: str, about: str, labels: dict[str, str], value: float) -> Metric:
    metric = GaugeMetricFamily(name, about, labels=list(labels))
    metric.add_metric(list(labels.values()), value)
    return metric
