"""Record metrics with prometheus-client, in this process or together with the other processes of one gunicorn.

prometheus-client decides when it is first imported whether values are shared: PROMETHEUS_MULTIPROC_DIR has to be set before.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from pipeline.telemetry.catalog import ALL
from pipeline.telemetry.labels import DatasetLabels
from pipeline.telemetry.metric import DATASET, OTHER, Kind, Metric, Program

disable_created_metrics()  # a series more for each, which nothing reads


class Recorder:
    """The metrics of one program.

    ``shared``: the folder of PROMETHEUS_MULTIPROC_DIR, in which several processes keep the values that any of them shows;
    None: this process is the only one. ``read``: collectors of what is read at each scrape.
    """

    def __init__(
        self, program: Program, datasets: DatasetLabels, *, shared: Path | None = None, read: tuple[Collector, ...] = ()
    ) -> None:
        self.datasets = datasets
        self._shared = shared
        self._read = read
        self._registry = CollectorRegistry()
        self._made = {
            metric: _made(metric, self._registry) for metric in ALL if program in metric.programs and not metric.is_read
        }
        if shared is None:
            ProcessCollector(registry=self._registry)
            for collector in read:
                self._registry.register(collector)
        self._begin_at_zero()

    def add(self, metric: Metric, amount: float, labels: Mapping[str, str]) -> None:
        """Add to a counter or a gauge; no effect if this program has no such metric."""
        if (series := self._series(metric, labels)) is not None:
            series.inc(amount)

    def set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Set a gauge; no effect if this program has no such metric."""
        if (series := self._series(metric, labels)) is not None:
            series.set(value)

    def observe(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        """Enter a value in a histogram; no effect if this program has no such metric."""
        if (series := self._series(metric, labels)) is not None:
            series.observe(value)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format, those of the other processes included."""
        if self._shared is None:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._shared))
        for collector in self._read:
            registry.register(collector)
        return generate_latest(registry)

    def _series(self, metric: Metric, labels: Mapping[str, str]) -> Any:
        made = self._made.get(metric)
        if made is None or not metric.labels:
            return made
        return made.labels(**{name: self._bounded(metric, name, value) for name, value in labels.items()})

    def _bounded(self, metric: Metric, name: str, value: str) -> str:
        """Return a label's value, or ``other`` for one that would make a series too many."""
        if name == DATASET:
            return self.datasets.of(value)
        known = metric.labels[name]
        return value if known is None or value in known else OTHER

    def _begin_at_zero(self) -> None:
        """Create the series that are known now: ``increase()`` does not see the first event of a series that begins with it."""
        datasets = tuple(self.datasets.all())
        for metric, made in self._made.items():
            known = {name: datasets if name == DATASET else values for name, values in metric.labels.items()}
            if metric.labels and None not in known.values():
                for values in itertools.product(*(values or () for values in known.values())):
                    made.labels(*values)


def _made(metric: Metric, registry: CollectorRegistry) -> Any:
    names = tuple(metric.labels)
    match metric.kind:
        case Kind.COUNTER:
            return Counter(metric.name, metric.help, names, registry=registry)
        case Kind.GAUGE:
            return Gauge(metric.name, metric.help, names, registry=registry, multiprocess_mode="livesum")
        case Kind.HISTOGRAM:
            return Histogram(metric.name, metric.help, names, registry=registry, buckets=metric.buckets)
