"""The worker's composition root: real edges, all workflows and activities, one task queue, until told to stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from pipeline import logs, sandbox, warehouse
from pipeline.activities import Activities
from pipeline.ledger import Ledger
from pipeline.orchestrator import Orchestrator
from pipeline.postman import Postman
from pipeline.settings import Settings, load_settings
from pipeline.store import Store
from pipeline.workflow import CleanUp, DatasetQueue, ImportFile, Reconcile, TellUser

SHUTDOWN = timedelta(seconds=20)
"""A part takes a second or two; what is still running then is done again by another worker."""


@asynccontextmanager
async def working(client: Client, settings: Settings) -> AsyncIterator[None]:
    """A worker on the settings' edges for as long as the block lasts. Its threads are as many as what may run at once."""
    threads = settings.max_parallel_parts + 8
    engine = warehouse.connect(settings.database_url, pool_size=threads, name="bulkhead worker")
    orchestrator = Orchestrator.of(settings)
    store, ledger = Store.of(settings), Ledger(engine)
    steps = [*Activities(settings, store, engine, orchestrator).all, *Postman(settings, store, ledger).all]
    try:
        with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="step") as pool:
            async with Worker(
                client,
                task_queue=settings.task_queue,
                workflows=[DatasetQueue, ImportFile, TellUser, Reconcile, CleanUp],
                activities=steps,
                activity_executor=pool,
                max_concurrent_activities=threads,
                graceful_shutdown_timeout=SHUTDOWN,
            ):
                yield
    finally:
        engine.dispose()
        orchestrator.close()


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then let what is running end."""
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
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
    settings = load_settings()
    logs.configure(settings.log_format)
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    threading.Thread(target=sandbox.warm, name="warm up", daemon=True).start()  # the first file may come sooner
    with suppress(KeyboardInterrupt):
        asyncio.run(run(settings))


if __name__ == "__main__":
    main()
