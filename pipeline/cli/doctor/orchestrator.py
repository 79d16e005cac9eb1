"""Checks of Temporal: its workers, and the namespace with its schedules and search attributes."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.cli.doctor.results import CLOCK_SECONDS_MAX, Doubtful, Wrong
from pipeline.contracts import workflows
from pipeline.contracts.steps import TASK_QUEUES, task_queue_name
from pipeline.display import counted
from pipeline.errors import Unreachable
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.adapters.temporal_health import TemporalHealth

SCHEDULES = ("reconcile", "clean")
RETENTION_MIN = timedelta(days=1)
"""With a shorter retention an operator cannot see why an import of yesterday failed."""

SEARCH_ATTRIBUTES = (workflows.DATASET_ATTRIBUTE,)
"""The search attributes that `bulkhead migrate` makes."""


def workers(settings: Settings) -> str:
    """Check that a worker polls every task queue."""
    seen = _look(settings)
    polled = {task_queue_name(settings.task_queue, queue): number for queue, number in seen.pollers.items()}
    if not polled.get(settings.task_queue):
        where = f"{settings.temporal_address}, task queue {settings.task_queue}"
        raise Wrong(f"{where}: no worker is polling", "Start a worker: bulkhead worker (bulkhead up also starts one).")
    unserved = [work for work, queues in TASK_QUEUES.items() if not all(seen.pollers.get(queue) for queue in queues)]
    if unserved:
        names = ",".join(unserved)
        raise Wrong(f"no worker serves {names}", f"Start one: bulkhead worker --queues {names}")
    _check_build(settings)
    return ", ".join(f"{name}: {number}" for name, number in polled.items() if number)


def _check_build(settings: Settings) -> None:
    """Raise Wrong if new work goes to another build than that of the settings."""
    from pipeline.adapters.temporal import TemporalClient

    if not settings.build_id:
        return
    with closing(TemporalClient.of(settings)) as temporal:
        current = temporal.current_build(settings.deployment_name)
    if current != settings.build_id:
        said = f"new work goes to build {current or 'of no name'}, not to {settings.build_id}"
        raise Wrong(said, f"When its workers are running: bulkhead rollout {settings.build_id}")


def namespace(settings: Settings) -> str:
    """Check the namespace, its retention, its schedules, its search attributes, and Temporal's clock."""
    seen = _look(settings)
    late = (seen.last_poll_at - datetime.now(tz=UTC)).total_seconds() if seen.last_poll_at else 0.0
    if late > CLOCK_SECONDS_MAX:
        raise Doubtful(
            f"the clock of Temporal is {late:,.0f} s ahead of this machine's", "Synchronise both clocks, by NTP for instance."
        )
    missing = [name for name in SCHEDULES if name not in seen.schedules]
    if missing:
        raise Wrong(f"no schedule {', '.join(missing)}", "Start a worker, which makes it: bulkhead worker")
    if seen.attributes is not None and (absent := sorted({*SEARCH_ATTRIBUTES} - seen.attributes)):
        raise Doubtful(f"no search attribute {', '.join(absent)}", "Run: bulkhead migrate")
    if paused := [name for name in SCHEDULES if seen.schedules[name].paused]:
        raise Doubtful(f"paused: the schedule {', '.join(paused)}", "temporal schedule toggle --unpause --schedule-id NAME")
    if seen.retention and seen.retention < RETENTION_MIN:
        raise Doubtful(
            f"runs are kept for {seen.retention} only", "temporal operator namespace update --retention 72h --namespace NAME"
        )
    kept = f"runs kept for {counted(seen.retention.days, 'day')}" if seen.retention else "runs kept for ever"
    return f"Temporal {seen.version}, namespace {settings.temporal_namespace}, {kept}, schedules {', '.join(SCHEDULES)}"


def _look(settings: Settings) -> TemporalHealth:
    """Return what the namespace tells of itself. Raises Wrong if Temporal does not answer, or has no such namespace."""
    from pipeline.adapters.temporal import TemporalClient

    try:
        with closing(TemporalClient.of(settings)) as temporal:
            seen = temporal.health()
    except Unreachable as error:
        wrong, _, mend = str(error).partition(". ")
        raise Wrong(wrong, mend or "Start it (bulkhead up), or check TEMPORAL_ADDRESS.") from error
    if not seen.exists:
        name = settings.temporal_namespace
        raise Wrong(f"there is no namespace {name}", f"temporal operator namespace create --namespace {name} --retention 72h")
    return seen
