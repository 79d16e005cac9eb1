"""How much the orchestration carries: a real Temporal server and the real workflows, with steps that only take their time.

Each step sleeps for as long as the real one takes (``seconds_of``); what is measured is everything else: the server, its
database, the workers' event loops, the order in which things happen. Two cores carry it all.

Three experiments: many small files in the queues of many datasets, as fast as they go; 10,000 uploads an hour, evenly, and how
long each waits to begin; and one import of 100 million records, on 1 to 64 workers.

    python -m benchmarks.simulation [--workers 1,2,4,16,64] [--seconds 30] [--records 100000000] [--keep FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from benchmarks import measure
from benchmarks.scale import ACTIONS, PRICES
from benchmarks.simulation.steps import PART_RECORDS, Simulated, Steps, seconds_of
from pipeline.contracts.messages import (
    ImportRef,
    ObjectArrived,
    PartRef,
    PartResult,
    QueueRun,
    Verdict,
)
from pipeline.contracts.steps import TaskQueue
from pipeline.contracts.workflows import ENQUEUE_SIGNAL, QUEUE_WORKFLOW, import_workflow_id, queue_workflow_id
from pipeline.local import temporal
from pipeline.local.home import Home
from pipeline.local.supervisor import Supervisor
from pipeline.orchestration.import_activities import PREFETCHED_PARTS
from pipeline.orchestration.worker import serving, threads_of
from pipeline.settings import Settings

SMALL_RECORDS = 1_000
BASE = "simulated"
QUEUES = (TaskQueue.SHORT, TaskQueue.FILES, TaskQueue.PARTS, TaskQueue.MESSAGES, TaskQueue.WAITS)
WAITING = 50
"""Small files that wait in each queue, so that it is never empty."""


@contextmanager
def temporal_server(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run the embedded stack's Temporal server, and return its address and process."""
    home = Home(folder)
    supervisor = Supervisor(home.logs, lambda line: None)
    try:
        supervisor.start(temporal.temporal(home))
        (process,) = supervisor.processes
        yield temporal.address(home), psutil.Process(process.pid)
    finally:
        supervisor.stop()


@asynccontextmanager
async def workers(address: str, number: int, steps: Steps, settings: Settings) -> AsyncIterator[Client]:
    """Run so many workers, each with a connection, the task queues and the limits of a real one."""
    async with AsyncExitStack() as stack:
        for _ in range(number):
            own = await Client.connect(address, namespace=temporal.NAMESPACE)
            await stack.enter_async_context(serving(own, BASE, steps, threads_of(settings), queues=QUEUES))
        yield await Client.connect(address, namespace=temporal.NAMESPACE)


async def upload(client: Client, steps: Simulated, dataset: str, number: int) -> str:
    """Announce a file as the Lambda does; return the ID of its import."""
    import_id = f"{dataset}-{number}"
    steps.arrived_at[import_id] = time.time()
    await client.start_workflow(
        QUEUE_WORKFLOW.name,
        QueueRun(dataset),
        id=queue_workflow_id(dataset),
        task_queue=BASE,
        start_signal=ENQUEUE_SIGNAL,
        start_signal_args=[ObjectArrived("bucket", f"incoming/{dataset}/{import_id}/small.csv")],
    )
    return import_id


@dataclass
class Processors:
    """The processor seconds of Temporal's server and of this process, which is all the workers, between two moments."""

    server: psutil.Process
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._before = self._now()

    def _now(self) -> tuple[float, float]:
        return tuple(sum(one.cpu_times()[:2]) for one in (self.server, psutil.Process()))  # type: ignore[return-value]

    def cores(self) -> dict[str, float]:
        """Return how many cores each has used since."""
        seconds = time.monotonic() - self.began
        used = [(now - before) / seconds for now, before in zip(self._now(), self._before, strict=True)]
        return {"temporal_cores": round(used[0], 2), "workers_cores": round(used[1], 2)}


async def actions_of(client: Client, import_id: str) -> int:
    """Return what Temporal Cloud would bill for an import: the actions of its workflow."""
    history = await client.get_workflow_handle(import_workflow_id(import_id)).fetch_history()
    return sum(event.event_type in ACTIONS for event in history.events)


async def small_files(address: str, server: psutil.Process, number: int, datasets: int, seconds: float) -> dict[str, Any]:
    """Keep the queues of so many datasets full; return the files a second of so many workers."""
    steps, settings = Simulated(SMALL_RECORDS), Settings()
    async with workers(address, number, steps.by_task_queue(), settings) as client:
        names = [f"d{number}x{datasets}n{one}" for one in range(datasets)]
        deep = min(WAITING, ceil(seconds * 2))
        for file in range(deep):
            await asyncio.gather(*(upload(client, steps, name, file) for name in names))
        await asyncio.sleep(2)
        used, before = Processors(server), len(steps.ended)
        await asyncio.sleep(seconds)
        done, cores = len(steps.ended) - before, used.cores()
        actions = await actions_of(client, steps.ended[-1])
        await _terminate(client)
    alone = 1 / sum(seconds_of(step, SMALL_RECORDS) for step in ("next", "validate", "prepare", "load_part", "finish"))
    limit = min(datasets, number * settings.max_parallel_files) * alone
    return {
        "workers": number,
        "datasets": datasets,
        "files_per_second": round(done / seconds, 2),
        "without_orchestration": round(limit, 2),
        "actions_per_file": actions,
        "dollars_per_10000_files": round(actions * 10_000 * PRICES["Temporal action"], 2),
        **cores,
    }


async def evenly(address: str, server: psutil.Process, number: int, datasets: int, seconds: float) -> dict[str, Any]:
    """Upload 10,000 small files an hour, to the datasets in turn; return how long a file waits before its validation begins."""
    steps, settings, every = Simulated(SMALL_RECORDS), Settings(), 3600 / 10_000
    async with workers(address, number, steps.by_task_queue(), settings) as client:
        used, began = Processors(server), time.monotonic()
        files = int(seconds / every)
        for file in range(files):
            await asyncio.sleep(max(0.0, began + file * every - time.monotonic()))
            await upload(client, steps, f"e{number}x{datasets}n{file % datasets}", file)
        cores, left = used.cores(), files - len(steps.ended)
        await _terminate(client)
    return {
        "workers": number,
        "datasets": datasets,
        "files": files,
        "still_waiting": left,
        "wait_median_seconds": round(median(steps.waited), 2),
        "wait_p95_seconds": round(quantiles(steps.waited, n=20)[-1], 2),
        **cores,
    }


async def one_import(address: str, server: psutil.Process, number: int, records: int, most: float) -> dict[str, Any]:
    """Load one import on so many workers, with as many parts at once as these can; return parts a second and the history.

    The validation takes no time here. After ``most`` seconds the rest is extrapolated from what is loaded.
    """
    settings = Settings()
    steps = Simulated(records, parallel=number * settings.max_parallel_parts + PREFETCHED_PARTS)
    loaded = 0

    async def load_part(part: PartRef) -> PartResult:
        nonlocal loaded
        result = await Simulated.load_part(steps, part)
        loaded += 1
        return result

    async def validate(ref: ImportRef) -> Verdict:
        return Verdict(records, 0, 0)

    serve = steps.by_task_queue()
    serve[TaskQueue.PARTS] = [activity.defn(name="load_part")(load_part)]
    serve[TaskQueue.FILES] = [activity.defn(name="validate")(validate), steps.prepare]
    async with workers(address, number, serve, settings) as client:
        import_id = await upload(client, steps, f"large{number}", 1)
        while not loaded:
            await asyncio.sleep(0.05)
        used, began = Processors(server), time.monotonic()
        while not steps.ended and time.monotonic() - began < most:
            await asyncio.sleep(0.1)
        seconds, parts, cores = time.monotonic() - began, loaded, used.cores()
        handle = client.get_workflow_handle(import_workflow_id(import_id))
        info = (await handle.describe()).raw_description.workflow_execution_info
        await _terminate(client)
    all_parts, alone = ceil(records / PART_RECORDS), seconds_of("load_part", PART_RECORDS)
    return {
        "workers": number,
        "parts_per_second": round(parts / seconds, 1),
        "without_orchestration": round(number * settings.max_parallel_parts / alone, 1),
        "minutes_to_load": round(all_parts / (parts / seconds) / 60, 1),
        "events_of_the_last_run": info.history_length,
        "bytes_of_the_last_run": info.history_size_bytes,
        **cores,
    }


async def _terminate(client: Client) -> None:
    """End what still runs, so that it does not load the server during the next experiment."""
    while running := [run async for run in client.list_workflows("ExecutionStatus = 'Running'")]:
        for run in running:
            with suppress(RPCError):  # it has ended meanwhile
                await client.get_workflow_handle(run.id, run_id=run.run_id).terminate()
        await asyncio.sleep(0.5)  # the server lists with a delay


async def simulated(numbers: list[int], seconds: float, records: int, address: str, server: psutil.Process) -> dict[str, Any]:
    """Run all experiments, and print each as it ends."""
    found: dict[str, Any] = {"small files": [], "10,000 uploads an hour": [], "one import": []}

    def note(name: str, row: dict[str, Any]) -> None:
        found[name].append(row)
        print(f"{name:24}", "  ".join(f"{key} {value:,}" for key, value in row.items()), flush=True)

    for number in numbers:
        note("small files", await small_files(address, server, number, number * 4, seconds))
    for datasets in (1, 4, 16):
        note("10,000 uploads an hour", await evenly(address, server, 4, datasets, seconds))
    for number in numbers:
        note("one import", await one_import(address, server, number, records, seconds))
    return found


def main() -> None:
    """Simulate, print, and with --keep write results/simulation.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=_numbers, default=[1, 2, 4, 16, 64], help="how many, in one experiment each")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long each experiment may take")
    parser.add_argument("--records", type=int, default=100_000_000, help="of the one import")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write what was found, as JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as scratch, temporal_server(Path(scratch)) as (address, server):
        found = asyncio.run(simulated(asked.workers, asked.seconds, asked.records, address, server))
    if asked.keep:
        measure.keep(asked.keep, found)


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


if __name__ == "__main__":
    main()
