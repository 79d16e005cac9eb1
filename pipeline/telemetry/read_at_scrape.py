"""Metrics that are read from their source when Prometheus asks: at most every few seconds, however often that is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pipeline.telemetry.metric import Metric, Reading

log = structlog.get_logger()

Read = Callable[[], Iterable[Reading]]


class ReadAtScrape(Collector):
    """A source of gauges. ``seconds``: for how long what was read is shown again. Safe to share between threads.

    A source that fails is shown without values, and the log says why.
    """

    def __init__(self, read: Read, *, seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: Sequence[Reading] = ()
        self._read_at: float | None = None

    def describe(self) -> Iterable[Family]:
        """Return nothing, so that registering this does not read the source."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Yield the readings as gauges."""
        families: dict[Metric, GaugeMetricFamily] = {}
        for one in self._readings():
            metric = one.metric
            family = families.get(metric)
            if family is None:
                family = families[metric] = GaugeMetricFamily(metric.name, metric.help, labels=tuple(metric.labels))
            family.add_metric([one.labels[name] for name in metric.labels], one.value)
        yield from families.values()

    def _readings(self) -> Sequence[Reading]:
        with self._lock:
            now = time.monotonic()
            if self._read_at is None or now - self._read_at >= self._seconds:
                try:
                    self._kept = tuple(self._read())
                except Exception as error:
                    log.warning("metrics not read", error=f"{type(error).__name__}: {error}")
                    self._kept = ()
                self._read_at = time.monotonic()
            return self._kept
