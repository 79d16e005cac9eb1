"""How long one waits for a small file: from the first byte of its upload to ``succeeded``, and where that time goes.

Files of a thousand records, each of bytes never seen before, one after the other, on a warm stack with everything on. All
clocks are one machine's: the client's, the ledger's for what PostgreSQL wrote, and Temporal's for the workflow and its steps.

    python -m benchmarks.latency [--records 1000] [--rounds 50] [--keep FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psycopg
from temporalio.client import Client as Temporal
from temporalio.client import WorkflowHistory

from benchmarks import data, measure
from benchmarks.scale import a_stack, warm
from pipeline.adapters import postgres
from pipeline.client.api import Client
from pipeline.contracts.options import Options
from pipeline.contracts.states import State
from pipeline.contracts.workflows import import_workflow_id
from pipeline.ledger.ledger import Ledger
from pipeline.local.stack import Stack
from pipeline.settings import ROOT

WHOLE = "upload to succeeded"
EVENT = "event, Lambda, queue"
"""From S3's answer, entered in the ledger, to the first event of the import's workflow."""

BETWEEN = "between the steps"


def measured(records: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of each stage, over all rounds."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch:
        folder = Path(scratch)
        data.make_dataset(folder / "root", ROOT)
        with a_stack(folder / "home", folder / "root") as stack:
            client = Client(stack.environment["BULKHEAD_URL"], stack.environment["BULKHEAD_API_KEY"])
            warm(client, folder)
            file = data.make_file(folder / "small.csv", records, shuffled=True)
            marks = []
            for _ in range(rounds + 1):
                file.write_bytes(file.read_bytes() + b"\n")  # another content, the same records
                _empty(stack)
                marks.append(_import(client, file, stack))
            return _summed_up(marks[1:])  # the first one opens connections


def _empty(stack: Stack) -> None:
    with psycopg.connect(stack.environment["BULKHEAD_MIGRATION_DATABASE_URL"]) as connection:
        connection.execute(f"truncate warehouse.{data.DATASET}")


def _import(client: Client, file: Path, stack: Stack) -> dict[str, float]:
    """The milliseconds of one import, by stage."""
    began = time.time()
    made = client.upload(file, data.DATASET, options=Options(force=True))
    answered = time.time()
    one = client.wait(made["id"], timeout=120)
    if one["state"] != State.SUCCEEDED or one["counts"]["inserted"] != one["counts"]["total"]:
        raise RuntimeError(f"The import ended as {one['state']}: {one['counts']} {one.get('reason')}")
    stored = _queued_at(stack, made["id"])
    ended = datetime.fromisoformat(one["finished_at"]).timestamp()
    history = asyncio.run(_history(stack, made["id"]))
    started, steps = history.events[0].event_time.ToNanoseconds() / 1e9, _steps(history)
    in_steps = {name: sum(until - since for since, until in spans) for name, spans in steps.items()}
    within = sum(min(until, ended) - since for spans in steps.values() for since, until in spans)
    stages = {
        WHOLE: ended - began,
        "until the upload is answered": answered - began,
        "upload": stored - began,
        EVENT: started - stored,
        **in_steps,
        BETWEEN: ended - started - within,
    }
    return {name: 1000 * seconds for name, seconds in stages.items()}


def _queued_at(stack: Stack, import_id: str) -> float:
    """When the file was in S3 and in the ledger."""
    engine = postgres.connect(stack.environment["BULKHEAD_MIGRATION_DATABASE_URL"], pool_size=1)
    try:
        return next(move.at.timestamp() for move in Ledger(engine).imports.moves(import_id) if move.to_state == State.QUEUED)
    finally:
        engine.dispose()


async def _history(stack: Stack, import_id: str) -> WorkflowHistory:
    client = await Temporal.connect(stack.environment["TEMPORAL_ADDRESS"], namespace=stack.environment["TEMPORAL_NAMESPACE"])
    return await client.get_workflow_handle(import_workflow_id(import_id)).fetch_history()


def _steps(history: WorkflowHistory) -> dict[str, list[tuple[float, float]]]:
    """When each step began and ended, by its name."""
    events = {event.event_id: event for event in history.events}
    found: dict[str, list[tuple[float, float]]] = {}
    for event in history.events:
        if event.HasField("activity_task_completed_event_attributes"):
            done = event.activity_task_completed_event_attributes
            name = events[done.scheduled_event_id].activity_task_scheduled_event_attributes.activity_type.name
            began, ended = events[done.started_event_id].event_time, event.event_time
            found.setdefault(name, []).append((began.ToNanoseconds() / 1e9, ended.ToNanoseconds() / 1e9))
    return found


def _summed_up(rounds: Iterable[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    by_stage: dict[str, list[float]] = {}
    for stages in rounds:
        for name, milliseconds in stages.items():
            by_stage.setdefault(name, []).append(milliseconds)
    return {
        name: {"median_ms": round(median(all_), 1), "p95_ms": round(_p95(all_), 1), "max_ms": round(max(all_), 1)}
        for name, all_ in by_stage.items()
    }


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def main() -> None:
    """Measure, print, and with --keep write results/latency.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    found = measured(asked.records, asked.rounds)
    for name, one in found.items():
        print(f"{name:30}" + "  ".join(f"{key} {value:8,.1f}" for key, value in one.items()))
    if asked.keep:
        measure.keep(asked.keep, {"records": asked.records, "rounds": asked.rounds, "stages": found})


if __name__ == "__main__":
    main()
