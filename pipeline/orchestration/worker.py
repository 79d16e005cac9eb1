"""The worker process: serve all workflows and activities on their task queues until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig

from pipeline import logs, processes
from pipeline.adapters import postgres
from pipeline.adapters.postgres_access import to_database
from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.adapters.temporal_schedules import CREATED, keep_schedules
from pipeline.adapters.temporal_tracing import interceptors
from pipeline.contracts.steps import MOVED_FROM, TaskQueue, Work, served_queues, task_queue_name
from pipeline.datasets.audit_periods import audit_periods
from pipeline.errors import Conflict, NotReady, Unreachable
from pipeline.ledger.audit_settings import record_start
from pipeline.ledger.ledger import Ledger
from pipeline.monitoring.start_tracing import start_tracing
from pipeline.notify.recipients import Recipients
from pipeline.orchestration.activities import Activities
from pipeline.orchestration.audit_workflow import AuditDataset, ScheduledAudit
from pipeline.orchestration.dataset_message_workflow import TellDataset
from pipeline.orchestration.import_workflow import ImportFile
from pipeline.orchestration.maintenance_workflow import CleanUp, Reconcile, RefreshMarts, WriteResults
from pipeline.orchestration.notify_activities import NotifyActivities
from pipeline.orchestration.notify_workflow import SendOne, TellUser
from pipeline.orchestration.queue_workflow import DatasetQueue
from pipeline.orchestration.worker_metrics import start_worker_metrics
from pipeline.sandbox import process
from pipeline.secret_checks import as_process, settings_for
from pipeline.settings import Settings
from pipeline.telemetry.metric import Program
from pipeline.temporal_access.connecting import connect
from pipeline.temporal_access.options import access_from
from pipeline.warehouse import schema_version
from pipeline.warehouse.dataset_source import source_of

log = structlog.get_logger()

SHUTDOWN = timedelta(seconds=20)
"""Graceful shutdown: a part takes a second or two; what is still running then is retried by another worker."""

IDLE_SECONDS = 60.0
"""A transaction that has been idle for so long is a suspended worker's, and its locks may block others."""

SHORT_STEPS = 8
"""Concurrent short steps, over all imports: each takes a moment."""

WAITS = 100
"""Concurrent waits for imports that an earlier run of their queue has started."""

RESULTS = 1
"""Concurrent result files on request: each takes a child process, and as much memory as a validation."""

AUDITS = 1
"""Concurrent audits: each takes a child process, as much memory as a validation, and two connections."""

MESSAGE_CONNECTIONS = 4
"""Connections to PostgreSQL for all messages: none is held while waiting for a receiver."""

SCHEDULES_SECONDS = 10.0
"""How often to check that Temporal has the schedules: a namespace may be lost and created again."""

ALIVE_SECONDS = 10.0
"""How often the worker shows that it is alive."""


WORKFLOWS = [
    *(DatasetQueue, ImportFile, RefreshMarts, TellUser, Reconcile, CleanUp, WriteResults, SendOne, TellDataset),
    *(AuditDataset, ScheduledAudit),
]


@asynccontextmanager
async def working(client: Client, settings: Settings) -> AsyncIterator[None]:
    """Run a worker with these settings for as long as the block lasts.

    Each task queue has threads of its own, one for each step that may run at once: a long file delays neither short steps nor
    the parts of other files, and memory and connections are bounded however many imports there are.
    """
    queues = served_queues(settings.worker_queues)
    threads = threads_of(settings)
    pool_size = sum(number for queue, number in threads.items() if queue in queues and queue is not TaskQueue.MESSAGES)
    pool_size += AUDITS if TaskQueue.AUDITS in queues else 0  # a second one for each
    database = to_database(settings)
    engine = postgres.connect(database, pool_size=pool_size, name="bulkhead worker", idle_seconds=IDLE_SECONDS)
    mail_engine = postgres.connect(database, pool_size=MESSAGE_CONNECTIONS, name="bulkhead messages", idle_seconds=IDLE_SECONDS)
    temporal = TemporalClient.of(settings)
    store = Store.of(settings)
    notify = NotifyActivities(settings, store, Ledger(mail_engine), Recipients(mail_engine, settings))
    steps = Activities(settings, store, engine, temporal).by_task_queue(notify)
    try:
        async with serving(client, settings.task_queue, steps, threads, queues=queues, deployment=deployment_of(settings)):
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
        TaskQueue.MESSAGES: settings.max_parallel_messages,
        TaskQueue.RESULTS: RESULTS,
        TaskQueue.RECONCILIATION: settings.max_parallel_upkeep,
        TaskQueue.CLEAN_UP: settings.max_parallel_upkeep,
        TaskQueue.MARTS: settings.max_parallel_upkeep,
        TaskQueue.AUDITS: AUDITS,
    }


def deployment_of(settings: Settings) -> WorkerDeploymentConfig | None:
    """Return which build of the code this worker is, for rolling upgrades; None if the settings name none.

    Workflows move to the current build at their next task (decision 33): the queue of a dataset may never end, and an import
    may be paused for weeks. That every release can replay what the earlier ones began is tested (tests/histories/).
    """
    if not settings.build_id:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.deployment_name, settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


@asynccontextmanager
async def serving(
    client: Client,
    base: str,
    steps: Mapping[TaskQueue, list[Callable[..., Any]]],
    threads: Mapping[TaskQueue, int],
    *,
    queues: Iterable[TaskQueue] = tuple(TaskQueue),
    deployment: WorkerDeploymentConfig | None = None,
) -> AsyncIterator[None]:
    """Serve task queues below the name ``base`` for as long as the block lasts.

    A step that has moved to another task queue is also served on its old one, for workflows that started before.
    """
    async with AsyncExitStack() as stack:
        for queue in queues:
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
                deployment_config=deployment,
            )
            await stack.enter_async_context(worker)
        yield


async def run(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT, then shut it down gracefully."""
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    client = await connect(access_from(settings.temporal_environment), interceptors())
    temporal = TemporalClient.of(settings)
    ready = settings.home / "worker.ready"
    async with working(client, settings):
        recording = asyncio.create_task(asyncio.to_thread(record_start, settings, "worker"))
        background = [asyncio.create_task(_keep_schedules(temporal, settings)), asyncio.create_task(_show_alive(ready))]
        await stop.wait()
        for task in background:
            task.cancel()
        ready.unlink(missing_ok=True)
        await recording
    temporal.close()


async def _show_alive(ready: Path) -> None:
    """Touch the file that probes look at (local/health_check.py), for as long as the event loop runs."""
    while True:
        ready.touch()
        await asyncio.sleep(ALIVE_SECONDS)


async def _keep_schedules(temporal: TemporalClient, settings: Settings) -> None:
    """Keep the namespace in Temporal as the settings want it, also if it is created again."""
    is_new = True
    while True:
        try:
            root = await asyncio.to_thread(source_of(settings).root)
            done = await asyncio.to_thread(keep_schedules, temporal, settings, audit_periods(root, settings.audit_every))
            if is_new or CREATED in done.values():
                await asyncio.to_thread(temporal.make_search_attributes)
            if settings.build_id:
                await asyncio.to_thread(_be_the_first_build, temporal, settings)
            is_new = False
        except Unreachable as error:
            log.warning("schedules not checked", why=str(error))
        except NotReady as error:
            log.warning("search attributes not made", why=str(error))
            is_new = False
        except Conflict as error:  # the pollers of this worker are not known to Temporal yet
            log.info("not the current build yet", why=str(error))
        await asyncio.sleep(SCHEDULES_SECONDS)


def _be_the_first_build(temporal: TemporalClient, settings: Settings) -> None:
    """Have work go to this build if it goes to none; later builds are rolled out by an operator (bulkhead rollout)."""
    if not temporal.current_build(settings.deployment_name):
        temporal.set_current_build(settings.deployment_name, settings.build_id)
        log.info("new work goes to this build", build=settings.build_id)


def main(works: Sequence[Work] = ()) -> None:
    """Run a worker; ``works`` limits it to these kinds of work. Entry point of ``python -m pipeline.orchestration.worker``."""
    settings = settings_for("DATABASE_URL", folder="work")
    if works:
        settings = settings.model_copy(update={"worker_queues": tuple(works)})
    logs.configure(settings.log_format)
    schema_version.require(to_database(settings))
    start_worker_metrics(settings)
    start_tracing(Program.WORKER, settings)
    if {TaskQueue.FILES, TaskQueue.AUDITS} & {*served_queues(settings.worker_queues)}:
        process.start()  # its modules are loaded while the worker connects
    with suppress(KeyboardInterrupt):
        asyncio.run(run(settings))


if __name__ == "__main__":
    with as_process("worker"):
        main()
    processes.end_at_once(0)
