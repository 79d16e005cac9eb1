"""What describes one metric: its name, its type, its labels, and the processes that serve it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

DATASET = "dataset"
"""The label of a dataset. Its values are limited in number (labels.py)."""

OTHER = "other"
"""The value of a label for all that is not counted apart."""


class Kind(StrEnum):
    """Prometheus's types of metrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Program(StrEnum):
    """The processes that serve metrics."""

    WEB = "web"
    WORKER = "worker"
    RELAY = "relay"


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric.

    ``labels`` has for each label its possible values, or None where these are bounded in another way: datasets, routes,
    statuses. What is listed begins at zero, so that the first event is an increase. ``is_read`` metrics are read from their
    source at each scrape; the others are counted where something happens. ``buckets`` are a histogram's upper bounds.
    """

    name: str
    kind: Kind
    help: str
    programs: tuple[Program, ...]
    labels: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    is_read: bool = False
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True)
class Reading:
    """The value of a metric at the time of a scrape."""

    metric: Metric
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
