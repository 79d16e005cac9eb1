"""What is read at each scrape: the ledger's queues and arrivals, the disk, the servers that Bulkhead needs."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from pipeline.adapters import postgres
from pipeline.adapters.liveness import Liveness
from pipeline.adapters.postgres_access import DatabaseAccess
from pipeline.adapters.temporal import TemporalClient
from pipeline.datasets.dataset import dataset_names
from pipeline.datasets.expected_arrivals import expected_intervals
from pipeline.errors import Unreachable
from pipeline.ledger.monitoring import OPEN, Monitoring
from pipeline.telemetry import catalog
from pipeline.telemetry.labels import DatasetLabels
from pipeline.telemetry.metric import DATASET, Metric, Reading

QUERY_SECONDS = 2.0
"""The time limit of a query for metrics, and of the wait for its connection: Prometheus gives up after ten seconds."""

ANSWER_SECONDS = 2.5
DATASETS_AT_MOST = 1000
"""Datasets beyond these are not looked up in the ledger."""


def metrics_engine(to: str | DatabaseAccess) -> Engine:
    """Return an engine with one connection for the queries of metrics, which wait for no other work."""
    server = postgres.liveness_of(to)
    limits = {"statement_seconds": QUERY_SECONDS, "pool_seconds": QUERY_SECONDS}
    return postgres.connect(to, pool_size=1, name="bulkhead metrics", server=server, **limits)


def read_ledger(ledger: Monitoring, labels: DatasetLabels, current_root: Callable[[], Path]) -> Iterator[Reading]:
    """Yield the open imports, the queues and the arrivals by dataset; of ``other`` datasets the sum, or the greatest age."""
    root = current_root()
    names = dataset_names(root)[:DATASETS_AT_MOST]
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for dataset, state, number in ledger.open_imports(names):
        counts[labels.of(dataset), str(state)] += number
    for (label, state_label), number in counts.items():
        yield Reading(catalog.OPEN_IMPORTS, number, {DATASET: label, "state": state_label})
        if state_label == OPEN[1]:
            yield Reading(catalog.QUEUE_LENGTH, number, {DATASET: label})
    yield from _greatest(catalog.QUEUE_AGE, labels, ledger.queue_ages(names))
    yield from _greatest(catalog.ARRIVAL_AGE, labels, ((one.dataset, one.age_seconds) for one in ledger.arrivals(names)))
    for dataset, interval in expected_intervals(root).items():
        if labels.of(dataset) == dataset:  # an interval of all the others together would mean nothing
            yield Reading(catalog.EXPECTED_EVERY, interval.total_seconds(), {DATASET: dataset})


def _greatest(metric: Metric, labels: DatasetLabels, values: Iterable[tuple[str, float]]) -> Iterator[Reading]:
    found: dict[str, float] = {}
    for dataset, value in values:
        label = labels.of(dataset)
        found[label] = max(found.get(label, 0.0), value)
    yield from (Reading(metric, value, {DATASET: label}) for label, value in found.items())


def read_process(home: Path) -> Iterator[Reading]:
    """Yield the release, and the space on the disk of the home folder."""
    yield Reading(catalog.BUILD, 1, {"version": metadata.version("bulkhead")})
    usage = shutil.disk_usage(home)
    yield Reading(catalog.DISK_FREE, usage.free)
    yield Reading(catalog.DISK_SIZE, usage.total)


def read_servers(database: Liveness, store: Liveness, temporal: TemporalClient) -> Iterator[Reading]:
    """Yield whether the servers answer, and how many workers poll the task queue."""
    for server in (database, store):
        server.suspect()  # ask both at once
    ups = {"postgresql": database.is_well(ANSWER_SECONDS), "s3": store.is_well(ANSWER_SECONDS)}
    try:
        yield Reading(catalog.POLLERS, temporal.count_workers())
        ups["temporal"] = True
    except Unreachable:
        ups["temporal"] = False
    for name, is_up in ups.items():
        yield Reading(catalog.DEPENDENCY_UP, is_up, {"dependency": name})


def read_replica(engine: Engine) -> Iterator[Reading]:
    """Yield how far the server for heavy reads lags behind."""
    yield Reading(catalog.REPLICA_LAG, postgres.replica_state(engine).lag_seconds)


def read_folders(folders: dict[Metric, tuple[Path, str]]) -> Iterator[Reading]:
    """Yield the number of files of a pattern in each folder."""
    for metric, (folder, pattern) in folders.items():
        yield Reading(metric, sum(1 for _ in folder.glob(pattern)))


Source = tuple[Callable[[], Iterable[Reading]], float]
"""What reads some gauges, and for how many seconds they are shown again."""


def of(read: Callable[..., Iterable[Reading]], *given: Any, seconds: float) -> Source:
    """Return a source that calls ``read`` with these arguments."""
    return (lambda: read(*given)), seconds
