"""The worker's composition root: real edges, all workflows and activities, one task queue, until told to stop."""

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
from pipeline.contracts.steps import MOVED_FROM, TaskQueue, task_queue_of
from pipeline.errors import Unreachable
from pipeline.ledger.ledger import Ledger
from pipeline.notify.recipients import Recipients
from pipeline.orchestration.import_activities import Activities
from pipeline.orchestration.import_workflow import ImportFile
from pipeline.orchestration.maintenance_workflow import CleanUp, Reconcile, RefreshMarts, WriteResults
from pipeline.orchestration.notify_activities import NotifyActivities
from pipeline.orchestration.notify_workflow import SendOne, TellUser
from pipeline.orchestration.queue_workflow import DatasetQueue
from pipeline.sandbox import process
from pipeline.settings import Settings, as_process, settings_for

log = structlog.get_logger()

SHUTDOWN = timedelta(seconds=20)
"""A part takes a second or two; what is still running then is done again by another worker."""

IDLE_SECONDS = 60.0
"""A transaction in which nothing was said for so long is a sleeping worker's, and may hold what others wait for."""

SHORT_STEPS = 8
"""Short steps at once, over all imports: each is a moment's."""

MARTS_AT_ONCE = 2
"""Datasets whose marts are refreshed at once."""

WAITS = 100
"""Imports at once whose ends are waited for: those that were begun by a run of their queue that is over."""

MESSAGES = 32
"""Messages at once. How many may hang is bounded in postman.py, by less: the others are for what is quick."""

RESULTS = 1
"""Files of results at once that a person has asked for: each takes a child, and memory as a validation does."""

UPKEEP = 2
"""Reconciliations at once, and clean-ups: one by the schedule, and one that a person has asked for."""

MESSAGE_CONNECTIONS = 4
"""Connections to PostgreSQL for all messages: none is held while a receiver is waited for."""

SCHEDULES_SECONDS = 10.0
"""How often it is seen to that Temporal has the schedules, as the settings want them: a namespace may be lost and made anew."""


@asynccontextmanager
async def working(client: Client, settings: Settings) -> AsyncIterator[None]:
    """A worker on the settings' edges for as long as the block lasts.

    Each lane has its own threads, as many as what may run at once in it: a file that takes long holds up no short step and no
    other file's parts, and however many imports there are, memory and connections are bounded.
    """
    threads = threads_of(settings)
    pool_size = sum(number for lane, number in threads.items() if lane is not TaskQueue.MESSAGE)
    engine = postgres.connect(settings.database_url, pool_size=pool_size, name="bulkhead worker", idle_seconds=IDLE_SECONDS)
    mail_engine = postgres.connect(
        settings.database_url, pool_size=MESSAGE_CONNECTIONS, name="bulkhead messages", idle_seconds=IDLE_SECONDS
    )
    orchestrator = TemporalClient.of(settings)
    store = Store.of(settings)
    steps = Activities(settings, store, engine, orchestrator).by_task_queue
    steps[TaskQueue.MESSAGE] = NotifyActivities(settings, store, Ledger(mail_engine), Recipients(mail_engine, settings)).all
    try:
        async with serving(client, settings.task_queue, steps, threads):
            yield
    finally:
        engine.dispose()
        mail_engine.dispose()
        orchestrator.close()


def threads_of(settings: Settings) -> dict[TaskQueue, int]:
    """How many steps of each lane may run at once, those that take no thread aside."""
    return {
        TaskQueue.SHORT: SHORT_STEPS,
        TaskQueue.FILE: settings.max_parallel_files,
        TaskQueue.PART: settings.max_parallel_parts,
        TaskQueue.MESSAGE: MESSAGES,
        TaskQueue.RESULTS: RESULTS,
        TaskQueue.RECONCILE: UPKEEP,
        TaskQueue.CLEAN: UPKEEP,
        TaskQueue.MART: MARTS_AT_ONCE,
    }


@asynccontextmanager
async def serving(
    client: Client, task_queue: str, steps: Mapping[TaskQueue, list[Callable[..., Any]]], threads: Mapping[TaskQueue, int]
) -> AsyncIterator[None]:
    """The workers of all task_queues, for as long as the block lasts.

    A step that has changed its lane is served in the one that it had, too, for workflows that began before.
    """
    async with AsyncExitStack() as task_queues:
        for lane in TaskQueue:
            pool = task_queues.enter_context(ThreadPoolExecutor(threads[lane], lane or "step")) if lane in threads else None
            served = [step for one in (lane, *MOVED_FROM.get(lane, ())) for step in steps[one]]
            queue = task_queue_of(task_queue, lane)
            worker = _at_work(client, lane, queue, served, pool, threads.get(lane, WAITS))
            await task_queues.enter_async_context(worker)
        yield


def _at_work(
    client: Client,
    lane: TaskQueue,
    task_queue: str,
    steps: list[Callable[..., Any]],
    pool: ThreadPoolExecutor | None,
    at_once: int,
) -> Worker:
    """The worker of one lane; that of the short steps has the workflows too."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[] if lane else [DatasetQueue, ImportFile, RefreshMarts, TellUser, Reconcile, CleanUp, WriteResults, SendOne],
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
    orchestrator = TemporalClient.of(settings)
    ready = settings.home / "worker.ready"
    async with working(client, settings):
        schedules = asyncio.create_task(_keep_schedules(orchestrator, settings))
        ready.touch()
        await stop.wait()
        ready.unlink(missing_ok=True)
        schedules.cancel()
    orchestrator.close()


async def _keep_schedules(orchestrator: TemporalClient, settings: Settings) -> None:
    """Have Temporal keep the schedules, as the settings want them, also in a namespace that is made anew."""
    while True:
        try:
            await asyncio.to_thread(orchestrator.schedule_reconciliation, settings.reconcile_seconds)
            await asyncio.to_thread(orchestrator.schedule_clean_up, settings.clean_seconds)
        except Unreachable as error:
            log.warning("schedules not looked after", why=str(error))
        await asyncio.sleep(SCHEDULES_SECONDS)


def main() -> None:
    """Entry point of ``python -m pipeline.orchestration.worker``."""
    settings = settings_for("DATABASE_URL", folder="work")
    logs.configure(settings.log_format)
    process.start()  # it loads its modules while we connect
    with suppress(KeyboardInterrupt):
        asyncio.run(run(settings))


if __name__ == "__main__":
    with as_process("worker"):
        main()
