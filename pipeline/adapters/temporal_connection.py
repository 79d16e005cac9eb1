"""A synchronous connection to Temporal: start, signal and describe workflows from any thread.

Workflows are started by their ``Workflow`` from contracts, so the type checker knows what each one takes and returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import timedelta
from threading import Lock, Thread
from typing import Any, TypeVar

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.service import RPCError, RPCStatusCode

from pipeline.adapters.temporal_tracing import interceptors
from pipeline.contracts.steps import REJECTED_FILE
from pipeline.contracts.workflows import Workflow
from pipeline.errors import BulkheadError, NotFound, SystemFault, Unreachable
from pipeline.temporal_access.connecting import call_failed, connect
from pipeline.temporal_access.options import TemporalAccess

T = TypeVar("T")
Takes = TypeVar("Takes")
Gives = TypeVar("Gives")

ANSWER_SECONDS = 30.0
PING_SECONDS = 5.0


_CLOSE_SECONDS = 5.0
"""How long closing waits for calls that are under way to end."""


async def _cancel_others() -> None:
    """Cancel all other tasks of the running loop, and wait until they have ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class TemporalConnection:
    """A connection to one Temporal namespace, made at first use and safe to share between threads.

    Coroutines run in the event loop of a thread of its own. ``run`` raises Unreachable if Temporal does not answer.
    """

    def __init__(self, access: TemporalAccess, task_queue: str) -> None:
        self._access = access
        self.address = access.address
        self.namespace = access.namespace
        self.task_queue = task_queue
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._client: Client | None = None

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            if self._loop is not None and self._thread is not None:
                with suppress(TimeoutError):  # a call that is under way ends before its loop does
                    asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result(timeout=_CLOSE_SECONDS)
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()
                self._loop = self._thread = self._client = None

    def run(self, coroutine: Coroutine[Any, Any, T], *, seconds: float = ANSWER_SECONDS) -> T:
        """Run a coroutine in the connection's loop and return its result. Raises Unreachable, also after ``seconds``."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())
        try:
            return future.result(timeout=seconds)
        except (RPCError, RuntimeError, TimeoutError, CancelledError) as error:  # the last: this was closed meanwhile
            future.cancel()
            raise Unreachable(call_failed(self._access, error)) from error

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, started if it is not running. temporalio's client belongs to the loop in which it was made."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._loop.run_forever, name="temporal client", daemon=True)
                self._thread.start()
            return self._loop

    # --- within the loop ---

    async def client(self) -> Client:
        """Return the client, connected."""
        if self._client is None:
            self._client = await connect(self._access, interceptors())
        return self._client

    async def handle(self, workflow_id: str) -> WorkflowHandle[Any, Any]:
        """Return the handle of a workflow, whether it exists or not."""
        return (await self.client()).get_workflow_handle(workflow_id)

    async def start(
        self,
        workflow: Workflow[Takes, Gives],
        given: Takes,
        workflow_id: str,
        *,
        signal: str | None = None,
        signal_arguments: Sequence[object] = (),
        conflict: WorkflowIDConflictPolicy = WorkflowIDConflictPolicy.UNSPECIFIED,
        reuse: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        timeout: timedelta | None = None,
    ) -> WorkflowHandle[Any, Gives]:
        """Start a workflow; with ``signal``, send it, and start the workflow only if it is not running (signal-with-start)."""
        return await (await self.client()).start_workflow(
            workflow.name,
            args=workflow.arguments(given),
            id=workflow_id,
            task_queue=self.task_queue,
            result_type=workflow.gives,
            start_signal=signal,
            start_signal_args=signal_arguments,
            id_conflict_policy=conflict,
            id_reuse_policy=reuse,
            execution_timeout=timeout,
        )

    async def execute(self, workflow: Workflow[Takes, Gives], given: Takes, workflow_id: str, *, name: str) -> Gives:
        """Start a workflow and wait for its result. Raises SystemFault if it fails; the message begins with ``name``."""
        handle = await self.start(workflow, given, workflow_id)
        try:
            return await handle.result()
        except WorkflowFailureError as error:
            raise SystemFault(f"{name} failed: {_reason(error)}") from error

    async def signal(self, workflow_id: str, signal: str, *given: object) -> bool:
        """Send a signal; return False if the workflow is not running."""
        try:
            await (await self.handle(workflow_id)).signal(signal, args=given)
        except RPCError as error:
            _raise_unless_missing(error)
            return False
        return True

    async def is_running(self, workflow_id: str) -> bool:
        """Return whether the workflow has a run that has not ended."""
        try:
            description = await (await self.handle(workflow_id)).describe()
        except RPCError as error:
            _raise_unless_missing(error)
            return False
        return description.status is WorkflowExecutionStatus.RUNNING

    async def terminate(self, workflow_id: str, reason: str) -> None:
        """Terminate the run of a workflow, if there is one."""
        try:
            await (await self.handle(workflow_id)).terminate(reason=reason)
        except RPCError as error:
            _raise_unless_missing(error)

    async def count_pollers(self, task_queue: str, *, activities: bool = False) -> int:
        """Return how many workers poll a task queue for workflow tasks, or for activities."""
        client = await self.client()
        kind = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY if activities else TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
        request = DescribeTaskQueueRequest(
            namespace=self.namespace, task_queue=TaskQueue(name=task_queue), task_queue_type=kind
        )
        answer = await client.workflow_service.describe_task_queue(request, timeout=timedelta(seconds=PING_SECONDS))
        return len(answer.pollers)

    async def is_healthy(self) -> bool:
        """Return whether Temporal says that it is healthy."""
        return await (await self.client()).service_client.check_health()


async def failure_of(handle: WorkflowHandle[Any, Any]) -> BulkheadError | None:
    """Wait for the end of a workflow; return why it failed: NotFound if it rejected its file, else SystemFault, or None."""
    try:
        await handle.result()
    except WorkflowFailureError as error:
        return (NotFound if _is_rejected_file(error) else SystemFault)(str(error.cause))
    return None


def _is_rejected_file(error: BaseException | None) -> bool:
    """Return whether an activity of the failed workflow rejected the file."""
    while error is not None:
        if isinstance(error, ApplicationError) and error.type == REJECTED_FILE:
            return True
        error = error.__cause__
    return False


def _raise_unless_missing(error: RPCError) -> None:
    if error.status is not RPCStatusCode.NOT_FOUND:
        raise error


def _reason(error: BaseException) -> str:
    """Return the message of the application error at the root of a failure, or else of the innermost error."""
    while error.__cause__ is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    return error.message if isinstance(error, FailureError) else str(error)
