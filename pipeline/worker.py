"""The worker's composition root: real edges, all workflows and activities, one task queue, until told to stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from pipeline import logs, sandbox, warehouse
from pipeline.activities import Activities
from pipeline.contracts import Lane, task_queue_of
from pipeline.errors import Unreachable
from pipeline.ledger import Ledger
from pipeline.orchestrator import Orchestrator
from pipeline.postman import Postman
from pipeline.receivers import Receivers
from pipeline.settings import Settings, as_process, settings_for
from pipeline.store import Store
from pipeline.workflow import CleanUp, DatasetQueue, ImportFile, Reconcile, SendOne, TellUser, WriteResults

SHUTDOWN = timedelta(seconds=20)
"""A part takes a second or two; what is still running then is done again by another worker."""

IDLE_SECONDS = 60.0
"""A transaction in which nothing was said for so long is a sleeping worker's, and may hold what others wait for."""

SHORT_STEPS = 8
"""Short steps at once, over all imports: each is a moment's."""

WAITS = 100
"""Imports at once whose ends are waited for: those that were begun by a run of their queue that is over."""


@asynccontextmanager
async def working(client: Client, settings: Settings) -> AsyncIterator[None]:
    """A worker on the settings' edges for as long as the block lasts.

    Each lane has its own threads, as many as what may run at once in it: a file that takes long holds up no short step and no
    other file's parts, and however many imports there are, memory and connections are bounded.
    """
    threads = {Lane.SHORT: SHORT_STEPS, Lane.FILE: settings.max_parallel_files, Lane.PART: settings.max_parallel_parts}
    engine = warehouse.connect(
        settings.database_url, pool_size=sum(threads.values()), name="bulkhead worker", idle_seconds=IDLE_SECONDS
    )
    orchestrator = Orchestrator.of(settings)
    store, ledger = Store.of(settings), Ledger(engine)
    steps = Activities(settings, store, engine, orchestrator).by_lane
    steps[Lane.SHORT] += Postman(settings, store, ledger, Receivers(engine, settings)).all
    try:
        async with AsyncExitStack() as lanes:
            for lane in Lane:
                pool = lanes.enter_context(ThreadPoolExecutor(threads[lane], lane or "step")) if lane in threads else None
                queue = task_queue_of(settings.task_queue, lane)
                await lanes.enter_async_context(_at_work(client, lane, queue, steps[lane], pool, threads.get(lane, WAITS)))
            yield
    finally:
        engine.dispose()
        orchestrator.close()


def _at_work(
    client: Client, lane: Lane, task_queue: str, steps: list[Callable[..., Any]], pool: ThreadPoolExecutor | None, at_once: int
) -> Worker:
    """The worker of one lane; that of the short steps has the workflows too."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[] if lane else [DatasetQueue, ImportFile, TellUser, Reconcile, CleanUp, WriteResults, SendOne],
        activities=steps,
        activity_executor=pool,
        max_concurrent_activities=at_once,
        graceful_shutdown_timeout=SHUTDOWN,
    )


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then let what is running end."""
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    try:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    except RuntimeError as error:
        raise Unreachable(f"Temporal does not answer at {settings.temporal_address}: {error}") from error
    orchestrator = Orchestrator.of(settings)
    await asyncio.to_thread(orchestrator.schedule_reconciliation, settings.reconcile_seconds)
    await asyncio.to_thread(orchestrator.schedule_clean_up, settings.clean_seconds)
    orchestrator.close()
    ready = settings.home / "worker.ready"
    async with working(client, settings):
        ready.touch()
        await stop.wait()
        ready.unlink(missing_ok=True)


def main() -> None:
    """Entry point of ``python -m pipeline.worker``."""
    settings = settings_for("DATABASE_URL", folder="work")
    logs.configure(settings.log_format)
    threading.Thread(target=sandbox.warm, name="warm up", daemon=True).start()  # the first file may come sooner
    with suppress(KeyboardInterrupt):
        asyncio.run(run(settings))


if __name__ == "__main__":
    with as_process("worker"):
        main()
