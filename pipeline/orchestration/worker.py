"""The worker process: serve all workflows and activities on their task queues until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.worker import Worker

from pipeline import logs
from pipeline.adapters import postgres
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.contracts.steps import MOVED_FROM, TaskQueue, task_queue_name
from pipeline.errors import Unreachable
from pipeline.ledger.ledger import Ledger
from pipeline.notify.recipients import Recipients
from pipeline.orchestration.activities import Activities
from pipeline.orchestration.import_workflow import ImportFile
from pipeline.orchestration.maintenance_workflow import CleanUp, Reconcile, RefreshMarts, WriteResults
from pipeline.orchestration.notify_activities import NotifyActivities
from pipeline.orchestration.notify_workflow import SendOne, TellUser
from pipeline.orchestration.queue_workflow import DatasetQueue
from pipeline.sandbox import process
from pipeline.settings import Settings, as_process, settings_for

log = structlog.get_logger()

SHUTDOWN = timedelta(seconds=20)
"""Graceful shutdown: a part takes a second or two; what is still running then is retried by another worker."""

IDLE_SECONDS = 60.0
"""A transaction that has been idle for so long is a suspended worker's, and its locks may block others."""

SHORT_STEPS = 8
"""Concurrent short steps, over all imports: each takes a moment."""

MARTS_AT_ONCE = 2
"""Concurrent refreshes of marts, each of one dataset."""

WAITS = 100
"""Concurrent waits for imports that an earlier run of their queue has started."""

MESSAGES = 32
"""Concurrent messages. Those to receivers that do not answer are limited to fewer (notify_activities.py)."""

RESULTS = 1
"""Concurrent result files on request: each takes a child process, and as much memory as a validation."""

MAINTENANCE_STEPS = 2
"""Concurrent reconciliations, and clean-ups: a scheduled one, and one on request."""

MESSAGE_CONNECTIONS = 4
"""Connections to PostgreSQL for all messages: none is held while waiting for a receiver."""

SCHEDULES_SECONDS = 10.0
"""How often to check that Temporal has the schedules: a namespace may be lost and created again."""


WORKFLOWS = [DatasetQueue, ImportFile, RefreshMarts, TellUser, Reconcile, CleanUp, WriteResults, SendOne]


@asynccontextmanager
async def working(client: Client, settings: Settings) -> AsyncIterator[None]:
    """Run a worker with these settings for as long as the block lasts.

    Each task queue has threads of its own, one for each step that may run at once: a long file delays neither short steps nor
    the parts of other files, and memory and connections are bounded however many imports there are.
    """
    threads = threads_of(settings)
    pool_size = sum(number for queue, number in threads.items() if queue is not TaskQueue.MESSAGES)
    engine = postgres.connect(settings.database_url, pool_size=pool_size, name="bulkhead worker", idle_seconds=IDLE_SECONDS)
    mail_engine = postgres.connect(
        settings.database_url, pool_size=MESSAGE_CONNECTIONS, name="bulkhead messages", idle_seconds=IDLE_SECONDS
    )
    temporal = TemporalClient.of(settings)
    store = Store.of(settings)
    notify = NotifyActivities(settings, store, Ledger(mail_engine), Recipients(mail_engine, settings))
    steps = Activities(settings, store, engine, temporal).by_task_queue(notify)
    try:
        async with serving(client, settings.task_queue, steps, threads):
            yield
    finally:
        engine.dispose()
        mail_engine.dispose()
        temporal.close()


def threads_of(settings: Settings) -> dict[TaskQueue, int]:
    """Return how many steps of each task queue may run at once, except for asynchronous ones, which take no thread."""
    return {
        TaskQueue.SHORT: SHORT_STEPS,
        TaskQueue.FILES: settings.max_parallel_files,
        TaskQueue.PARTS: settings.max_parallel_parts,
        TaskQueue.MESSAGES: MESSAGES,
        TaskQueue.RESULTS: RESULTS,
        TaskQueue.RECONCILIATION: MAINTENANCE_STEPS,
        TaskQueue.CLEAN_UP: MAINTENANCE_STEPS,
        TaskQueue.MARTS: MARTS_AT_ONCE,
    }


@asynccontextmanager
async def serving(
    client: Client, base: str, steps: Mapping[TaskQueue, list[Callable[..., Any]]], threads: Mapping[TaskQueue, int]
) -> AsyncIterator[None]:
    """Serve all task queues below the name ``base`` for as long as the block lasts.

    A step that has moved to another task queue is also served on its old one, for workflows that started before.
    """
    async with AsyncExitStack() as stack:
        for queue in TaskQueue:
            pool = stack.enter_context(ThreadPoolExecutor(threads[queue], queue or "step")) if queue in threads else None
            served = [step for one in (queue, *MOVED_FROM.get(queue, ())) for step in steps[one]]
            worker = Worker(
                client,
                task_queue=task_queue_name(base, queue),
                workflows=WORKFLOWS if queue is TaskQueue.SHORT else [],
                activities=served,
                activity_executor=pool,
                max_concurrent_activities=threads.get(queue, WAITS),
                graceful_shutdown_timeout=SHUTDOWN,
            )
            await stack.enter_async_context(worker)
        yield


async def run(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT, then shut it down gracefully."""
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    try:
        client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    except RuntimeError as error:
        raise Unreachable(f"Temporal does not answer at {settings.temporal_address}: {error}") from error
    temporal = TemporalClient.of(settings)
    ready = settings.home / "worker.ready"
    async with working(client, settings):
        schedules = asyncio.create_task(_keep_schedules(temporal, settings))
        ready.touch()
        await stop.wait()
        ready.unlink(missing_ok=True)
        schedules.cancel()
    temporal.close()


async def _keep_schedules(temporal: TemporalClient, settings: Settings) -> None:
    """Keep the schedules in Temporal as the settings want them, also if the namespace is created again."""
    while True:
        try:
            await asyncio.to_thread(temporal.schedule_reconciliation, settings.reconcile_seconds)
            await asyncio.to_thread(temporal.schedule_clean_up, settings.clean_seconds)
        except Unreachable as error:
            log.warning("schedules not checked", why=str(error))
        await asyncio.sleep(SCHEDULES_SECONDS)


def main() -> None:
    """Entry point of ``python -m pipeline.orchestration.worker``."""
    settings = settings_for("DATABASE_URL", folder="work")
    logs.configure(settings.log_format)
    process.start()  # its modules are loaded while the worker connects
    with suppress(KeyboardInterrupt):
        asyncio.run(run(settings))


if __name__ == "__main__":
    with as_process("worker"):
        main()
