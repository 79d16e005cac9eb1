"""Temporal as the rest of the house sees it: announce a file, cancel an import, ask how far it is, reconcile, clean up.

A synchronous face on the asynchronous client, for the web app and the command line.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from threading import Lock, Thread
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowExecutionStatus,
    WorkflowFailureError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, FailureError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from pipeline.contracts.messages import (
    Cleaned,
    CleanRun,
    Delivery,
    MartsRun,
    ObjectArrived,
    Outcome,
    Progress,
    QueueRun,
    Reconciled,
    ResultsWanted,
)
from pipeline.contracts.object_keys import dataset_of
from pipeline.contracts.steps import REJECTED_FILE
from pipeline.contracts.workflows import (
    CLEAN_WORKFLOW,
    ENQUEUE_SIGNAL,
    IMPORT_WORKFLOW,
    MARTS_WORKFLOW,
    NOTIFY_WORKFLOW,
    PAUSE_SIGNAL,
    PROGRESS_QUERY,
    QUEUE_WORKFLOW,
    RECONCILE_WORKFLOW,
    REFRESH_SIGNAL,
    RESULTS_WORKFLOW,
    RESUME_SIGNAL,
    SEND_WORKFLOW,
    import_workflow_id,
    marts_workflow_id,
    notify_workflow_id,
    queue_workflow_id,
    results_workflow_id,
)
from pipeline.errors import BulkheadError, NotFound, SystemFault, Unreachable
from pipeline.settings import Settings

T = TypeVar("T")

_ANSWER_SECONDS = 30.0
_SENT_SECONDS = 10.0
_TOLD_SECONDS = 5.0
"""For requests that the ledger has already, and that reconciliation carries out if Temporal is away now."""


class TemporalClient:
    """A client of one Temporal namespace. Connects at first use; safe to share between threads.

    Every method raises Unreachable when Temporal does not answer.
    """

    def __init__(self, address: str, namespace: str, task_queue: str) -> None:
        self._address = address
        self._namespace = namespace
        self._task_queue = task_queue
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._client: Client | None = None

    @classmethod
    def of(cls, settings: Settings) -> TemporalClient:
        """The one that the settings name."""
        return cls(settings.temporal_address, settings.temporal_namespace, settings.task_queue)

    def close(self) -> None:
        """Let go of the connection; it is made again when it is needed."""
        with self._lock:
            if self._loop is not None and self._thread is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()
                self._loop = self._thread = self._client = None

    def announce(self, arrival: ObjectArrived) -> None:
        """Tell a file's queue of it, starting the queue if it is not running."""
        dataset = dataset_of(arrival.key)
        if dataset is None:
            raise ValueError(f"{arrival.key!r} is not the key of an incoming file.")
        self._run(self._announce(arrival, dataset))

    async def _announce(self, arrival: ObjectArrived, dataset: str) -> None:
        client = await self._connected()
        await client.start_workflow(
            QUEUE_WORKFLOW,
            QueueRun(dataset),
            id=queue_workflow_id(dataset),
            task_queue=self._task_queue,
            start_signal=ENQUEUE_SIGNAL,
            start_signal_args=[arrival],
        )

    def refresh_marts(self, dataset: str) -> None:
        """Have a dataset's marts brought up to date; what runs already does so once more when it is done."""
        self._run(self._refresh_marts(dataset))

    async def _refresh_marts(self, dataset: str) -> None:
        client = await self._connected()
        await client.start_workflow(
            MARTS_WORKFLOW,
            MartsRun(dataset),
            id=marts_workflow_id(dataset),
            task_queue=self._task_queue,
            start_signal=REFRESH_SIGNAL,
        )

    def cancel(self, import_id: str) -> bool:
        """Ask an import to stop; False if its workflow is not running (it waits for its turn, or is over)."""
        return self._run(self._cancel(import_id), seconds=_TOLD_SECONDS)

    async def _cancel(self, import_id: str) -> bool:
        handle = (await self._connected()).get_workflow_handle(import_workflow_id(import_id))
        if not await self._is_running(import_workflow_id(import_id)):
            return False
        await handle.cancel()
        return True

    def pause(self, import_id: str, *, wanted: bool) -> bool:
        """Tell an import to stand still, or to go on; False if its workflow is not running (it waits for its turn)."""
        name = PAUSE_SIGNAL if wanted else RESUME_SIGNAL
        return self._run(self._signal(import_workflow_id(import_id), name), seconds=_TOLD_SECONDS)

    async def _signal(self, workflow_id: str, name: str) -> bool:
        try:
            await (await self._connected()).get_workflow_handle(workflow_id).signal(name)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True

    def progress(self, import_id: str) -> Progress | None:
        """What the import's workflow says of itself; None if there is no such workflow or nobody to answer for it."""
        return self._run(self._progress(import_id))

    async def _progress(self, import_id: str) -> Progress | None:
        handle = (await self._connected()).get_workflow_handle(import_workflow_id(import_id))
        try:
            progress: Progress = await handle.query(PROGRESS_QUERY, result_type=Progress, rpc_timeout=timedelta(seconds=5))
            return progress
        except RPCError as error:
            if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.DEADLINE_EXCEEDED):
                return None
            raise

    def write_results(self, wanted: ResultsWanted) -> None:
        """Have a file of results written, if that is not under way.

        Raises NotFound if the last attempt found that the imported file is gone, SystemFault if it failed for another reason.
        """
        failure = self._run(self._write_results(wanted))
        if failure is not None:
            raise failure

    async def _write_results(self, wanted: ResultsWanted) -> BulkheadError | None:
        """One that succeeded is run anew: what it wrote is gone since, as a dry run's results are when it is promoted."""
        client, workflow_id = await self._connected(), results_workflow_id(wanted.ref.import_id, wanted.fate, wanted.form)
        for reuse in (WorkflowIDReusePolicy.REJECT_DUPLICATE, WorkflowIDReusePolicy.ALLOW_DUPLICATE):
            try:
                await client.start_workflow(
                    RESULTS_WORKFLOW,
                    wanted,
                    id=workflow_id,
                    task_queue=self._task_queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=reuse,
                )
            except WorkflowAlreadyStartedError:
                if failure := await self._failure(client, workflow_id):
                    return failure
            else:
                break
        return None

    async def _failure(self, client: Client, workflow_id: str) -> BulkheadError | None:
        """Return why an ended workflow failed: NotFound if its file was rejected, else SystemFault; None if it succeeded."""
        try:
            await client.get_workflow_handle(workflow_id).result()
        except WorkflowFailureError as error:
            return (NotFound if _is_rejected_file(error) else SystemFault)(str(error.cause))
        return None

    def send(self, delivery: Delivery) -> str:
        """Have one message sent now, once; what stood against it, or nothing if it arrived."""
        return self._run(self._send(delivery))

    async def _send(self, delivery: Delivery) -> str:
        handle = await (await self._connected()).start_workflow(
            SEND_WORKFLOW,
            delivery,
            id=f"send/{uuid.uuid4()}",
            task_queue=self._task_queue,
            execution_timeout=timedelta(minutes=3),
            result_type=str,
        )
        try:
            return await asyncio.wait_for(handle.result(), _SENT_SECONDS)
        except TimeoutError:
            return f"There was no answer within {_SENT_SECONDS:.0f} seconds; it may still come."
        except WorkflowFailureError as error:
            return str(error.cause)

    def tell(self, outcome: Outcome) -> None:
        """Have a user told of an import's end, if that is not under way."""
        self._run(self._tell(outcome))

    async def _tell(self, outcome: Outcome) -> None:
        await (await self._connected()).start_workflow(
            NOTIFY_WORKFLOW,
            outcome,
            id=notify_workflow_id(outcome.import_id, outcome.state),
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )

    def queue_is_running(self, dataset: str) -> bool:
        """Whether the dataset's queue is at work."""
        return self._run(self._is_running(queue_workflow_id(dataset)))

    def import_is_running(self, import_id: str) -> bool:
        """Whether there is a run of the import."""
        return self._run(self._is_running(import_workflow_id(import_id)))

    def running_imports(self, *, begun_before: datetime) -> list[str]:
        """The ids of the imports that have had a run since before then, on this task queue."""
        return self._run(self._running_imports(begun_before))

    async def _running_imports(self, begun_before: datetime) -> list[str]:
        query = f"WorkflowType = '{IMPORT_WORKFLOW}' and ExecutionStatus = 'Running' and TaskQueue = '{self._task_queue}'"
        prefix, ids = import_workflow_id(""), []
        async for one in (await self._connected()).list_workflows(query):
            name = one.id.removeprefix(prefix)
            with suppress(ValueError):  # it is none of ours
                if one.id.startswith(prefix) and one.start_time < begun_before:
                    ids.append(str(uuid.UUID(name)))
        return ids

    def terminate(self, import_id: str, reason: str) -> None:
        """End the run of an import at once, if there is one: none of its steps is asked."""
        self._run(self._terminate(import_id, reason))

    async def _terminate(self, import_id: str, reason: str) -> None:
        try:
            await (await self._connected()).get_workflow_handle(import_workflow_id(import_id)).terminate(reason=reason)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def _is_running(self, workflow_id: str) -> bool:
        try:
            description = await (await self._connected()).get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return description.status is WorkflowExecutionStatus.RUNNING

    def reconcile(self, *, seconds: float = 600.0) -> Reconciled:
        """Run a reconciliation now, and wait for what it finds. Raises SystemFault if it fails."""
        return self._run(_unless_failed(self._reconcile(), "The reconciliation"), seconds=seconds)

    async def _reconcile(self) -> Reconciled:
        client = await self._connected()
        result: Reconciled = await client.execute_workflow(
            RECONCILE_WORKFLOW,
            id=f"reconcile/{uuid.uuid4()}",
            task_queue=self._task_queue,
            result_type=Reconciled,
        )
        return result

    def schedule_reconciliation(self, every_seconds: int) -> None:
        """Have Temporal reconcile again and again, as often as this and on this task queue; also at once, if it did not."""
        self._run(self._schedule("reconcile", RECONCILE_WORKFLOW, [], timedelta(seconds=every_seconds), at_once=True))

    def clean(self, *, dry_run: bool = False, seconds: float = 3600.0) -> Cleaned:
        """Run a clean-up now, and wait for what it removes. It goes on if that takes longer than ``seconds``.

        Raises SystemFault if it fails.
        """
        return self._run(_unless_failed(self._clean(CleanRun(dry_run)), "The clean-up"), seconds=seconds)

    async def _clean(self, run: CleanRun) -> Cleaned:
        client = await self._connected()
        result: Cleaned = await client.execute_workflow(
            CLEAN_WORKFLOW, run, id=f"clean/{uuid.uuid4()}", task_queue=self._task_queue, result_type=Cleaned
        )
        return result

    def schedule_clean_up(self, every_seconds: int) -> None:
        """Have Temporal clean up again and again, as often as this and on this task queue."""
        self._run(self._schedule("clean", CLEAN_WORKFLOW, [CleanRun()], timedelta(seconds=every_seconds)))

    async def _schedule(
        self, name: str, workflow: str, given: Sequence[object], every: timedelta, *, at_once: bool = False
    ) -> None:
        """Make the schedule, or make it what it ought to be; that an operator has paused it stays."""
        client = await self._connected()
        schedule = Schedule(
            action=ScheduleActionStartWorkflow(workflow, args=given, id=name, task_queue=self._task_queue),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
        )
        try:
            await client.create_schedule(name, schedule, trigger_immediately=at_once)
        except ScheduleAlreadyRunningError:
            handle = client.get_schedule_handle(name)
            if _essence((await handle.describe()).schedule) != _essence(schedule):
                await handle.update(partial(_updated, schedule))

    def is_up(self) -> bool:
        """Temporal answers."""
        try:
            return self._run(self._is_up(), seconds=5.0)
        except Unreachable:
            return False

    async def _is_up(self) -> bool:
        return await (await self._connected()).service_client.check_health()

    async def _connected(self) -> Client:
        if self._client is None:
            self._client = await Client.connect(self._address, namespace=self._namespace)
        return self._client

    def _run(self, coroutine: Coroutine[Any, Any, T], *, seconds: float = _ANSWER_SECONDS) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())
        try:
            return future.result(timeout=seconds)
        except (RPCError, RuntimeError, TimeoutError) as error:
            future.cancel()
            raise Unreachable(f"Temporal does not answer at {self._address}: {error}") from error

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """One loop in a thread of its own: the client belongs to the loop that it was made on."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._loop.run_forever, name="temporal client", daemon=True)
                self._thread.start()
            return self._loop


def _essence(schedule: Schedule) -> tuple[object, ...]:
    """What of a schedule is ours to say."""
    action = schedule.action
    what = (action.workflow, action.task_queue) if isinstance(action, ScheduleActionStartWorkflow) else ()
    return [one.every for one in schedule.spec.intervals], what, schedule.policy.overlap


def _updated(wanted: Schedule, there: ScheduleUpdateInput) -> ScheduleUpdate:
    return ScheduleUpdate(replace(wanted, state=there.description.schedule.state))


async def _unless_failed(run: Coroutine[Any, Any, T], what: str) -> T:
    """Return what a workflow returns. Raises SystemFault with the reason for which it failed."""
    try:
        return await run
    except WorkflowFailureError as error:
        cause: BaseException = error
        while cause.__cause__ is not None and not isinstance(cause, ApplicationError):
            cause = cause.__cause__
        why = cause.message if isinstance(cause, FailureError) else str(cause)
        raise SystemFault(f"{what} failed: {why}") from error


def _is_rejected_file(error: BaseException | None) -> bool:
    """Return whether an activity of the failed workflow rejected the file, by the type that it gave its failure."""
    while error is not None:
        if isinstance(error, ApplicationError) and error.type == REJECTED_FILE:
            return True
        error = error.__cause__
    return False
