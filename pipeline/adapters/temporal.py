"""The Temporal client: announce a file, cancel or pause an import, ask for its progress, reconcile, clean up.

Synchronous methods, for the web app, the command line and the activities.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from temporalio.client import WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from pipeline.adapters import temporal_health
from pipeline.adapters.temporal_connection import PING_SECONDS, TemporalConnection, failure_of
from pipeline.adapters.temporal_namespace import (
    current_build,
    has_search_attributes,
    make_search_attributes,
    set_current_build,
)
from pipeline.adapters.temporal_schedules import keep_schedule, remove_schedules
from pipeline.contracts.audits import AuditRef, AuditRun
from pipeline.contracts.dataset_messages import DatasetMessage
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
from pipeline.contracts.steps import TASK_QUEUES, Work, task_queue_name
from pipeline.contracts.workflows import (
    AUDIT_SIGNAL,
    AUDIT_WORKFLOW,
    CANCEL_AUDIT_SIGNAL,
    CLEAN_WORKFLOW,
    DATASET_MESSAGE_WORKFLOW,
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
    SCHEDULED_AUDIT_WORKFLOW,
    SEND_WORKFLOW,
    Workflow,
    audit_schedule_id,
    audit_workflow_id,
    dataset_message_workflow_id,
    import_workflow_id,
    marts_workflow_id,
    notify_workflow_id,
    queue_workflow_id,
    results_workflow_id,
)
from pipeline.errors import BulkheadError, Unreachable
from pipeline.settings import Settings
from pipeline.temporal_access.options import TemporalAccess, access_from

T = TypeVar("T")

_SEARCHABLE_SECONDS = 60.0
_DELIVERY_SECONDS = 10.0
_REQUEST_SECONDS = 5.0
"""For requests that are in the ledger already: if Temporal does not answer now, reconciliation carries them out."""


class TemporalClient:
    """A client of one Temporal namespace. Connects at first use; safe to share between threads.

    Every method raises Unreachable if Temporal does not answer.
    """

    def __init__(self, access: TemporalAccess, task_queue: str) -> None:
        self._connection = TemporalConnection(access, task_queue)
        self._searchable = (-_SEARCHABLE_SECONDS, False)

    @classmethod
    def of(cls, settings: Settings) -> TemporalClient:
        """Return the client of the server that the settings name."""
        return cls(access_from(settings.temporal_environment), settings.task_queue)

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        self._connection.close()

    # --- the queue of a dataset ---

    def announce(self, arrival: ObjectArrived) -> None:
        """Signal the queue of a file's dataset that the file arrived, and start the queue if it is not running."""
        dataset = dataset_of(arrival.key)
        if dataset is None:
            raise ValueError(f"{arrival.key!r} is not the key of an incoming file.")
        start = self._connection.start(
            QUEUE_WORKFLOW, QueueRun(dataset), queue_workflow_id(dataset), signal=ENQUEUE_SIGNAL, signal_arguments=[arrival]
        )
        self._connection.run(start)

    def queue_is_running(self, dataset: str) -> bool:
        """Return whether the queue of a dataset is running."""
        return self._connection.run(self._connection.is_running(queue_workflow_id(dataset)))

    def refresh_marts(self, dataset: str) -> None:
        """Have the marts of a dataset refreshed; a refresh that is running is followed by another one."""
        start = self._connection.start(MARTS_WORKFLOW, MartsRun(dataset), marts_workflow_id(dataset), signal=REFRESH_SIGNAL)
        self._connection.run(start)

    # --- an import ---

    def cancel(self, import_id: str) -> bool:
        """Request the cancellation of an import's workflow; return False if it is not running (it is queued, or has ended)."""
        return self._connection.run(self._cancel(import_workflow_id(import_id)), seconds=_REQUEST_SECONDS)

    async def _cancel(self, workflow_id: str) -> bool:
        if not await self._connection.is_running(workflow_id):
            return False
        await (await self._connection.handle(workflow_id)).cancel()
        return True

    def pause(self, import_id: str, *, wanted: bool) -> bool:
        """Signal an import's workflow to pause, or to resume; return False if it is not running (it is queued)."""
        signal = self._connection.signal(import_workflow_id(import_id), PAUSE_SIGNAL if wanted else RESUME_SIGNAL)
        return self._connection.run(signal, seconds=_REQUEST_SECONDS)

    def progress(self, import_id: str) -> Progress | None:
        """Return the progress of an import; None if it has no workflow, or no worker answers for it."""
        return self._connection.run(self._progress(import_id))

    async def _progress(self, import_id: str) -> Progress | None:
        handle = await self._connection.handle(import_workflow_id(import_id))
        try:
            progress: Progress = await handle.query(PROGRESS_QUERY, result_type=Progress, rpc_timeout=timedelta(seconds=5))
            return progress
        except RPCError as error:
            if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.DEADLINE_EXCEEDED):
                return None
            raise

    def import_is_running(self, import_id: str) -> bool:
        """Return whether the workflow of an import is running."""
        return self._connection.run(self._connection.is_running(import_workflow_id(import_id)))

    def running_imports(self, *, begun_before: datetime) -> list[str]:
        """Return the ids of the imports on this task queue whose workflow was started before then and is running."""
        return self._connection.run(self._running_imports(begun_before))

    async def _running_imports(self, begun_before: datetime) -> list[str]:
        query = (
            f"WorkflowType = '{IMPORT_WORKFLOW.name}' and ExecutionStatus = 'Running'"
            f" and TaskQueue = '{self._connection.task_queue}'"
        )
        prefix, ids = import_workflow_id(""), []
        async for one in (await self._connection.client()).list_workflows(query):
            with suppress(ValueError):  # another application's workflow
                if one.id.startswith(prefix) and one.start_time < begun_before:
                    ids.append(str(uuid.UUID(one.id.removeprefix(prefix))))
        return ids

    def terminate(self, import_id: str, reason: str) -> None:
        """Terminate the workflow of an import, if it is running; none of its steps is asked."""
        self._connection.run(self._connection.terminate(import_workflow_id(import_id), reason))

    def write_results(self, wanted: ResultsWanted) -> None:
        """Have a result file written, unless that is under way.

        Raises NotFound if the last attempt found that the imported file is gone, SystemFault if it failed for another reason.
        """
        failure = self._connection.run(self._write_results(wanted))
        if failure is not None:
            raise failure

    async def _write_results(self, wanted: ResultsWanted) -> BulkheadError | None:
        """Start the workflow; return the error if an earlier run failed.

        A run that succeeded is followed by another one: what it wrote has been removed since, as the results of a dry run are
        when it is promoted.
        """
        workflow_id = results_workflow_id(wanted.ref.import_id, wanted.fate, wanted.form)
        running = WorkflowIDConflictPolicy.USE_EXISTING
        for reuse in (WorkflowIDReusePolicy.REJECT_DUPLICATE, WorkflowIDReusePolicy.ALLOW_DUPLICATE):
            try:
                await self._connection.start(RESULTS_WORKFLOW, wanted, workflow_id, conflict=running, reuse=reuse)
            except WorkflowAlreadyStartedError:
                if failure := await failure_of(await self._connection.handle(workflow_id)):
                    return failure
            else:
                break
        return None

    # --- notifications ---

    def notify(self, outcome: Outcome) -> None:
        """Have recipients notified of an import's end, unless that is under way."""
        workflow_id = notify_workflow_id(outcome.import_id, outcome.state)
        running = WorkflowIDConflictPolicy.USE_EXISTING
        self._connection.run(self._connection.start(NOTIFY_WORKFLOW, outcome, workflow_id, conflict=running))

    def notify_of_dataset(self, message: DatasetMessage) -> None:
        """Have a dataset's recipients notified of an audit, of a silence, or of its end, unless that was done."""
        workflow_id, reuse = dataset_message_workflow_id(message), WorkflowIDReusePolicy.REJECT_DUPLICATE
        start = self._connection.start(DATASET_MESSAGE_WORKFLOW, message, workflow_id, reuse=reuse)
        with suppress(WorkflowAlreadyStartedError):
            self._connection.run(start)

    def send(self, delivery: Delivery) -> str:
        """Have one message sent now, in one attempt; return the reason if that failed, empty if the message was delivered."""
        return self._connection.run(self._send(delivery))

    async def _send(self, delivery: Delivery) -> str:
        handle = await self._connection.start(SEND_WORKFLOW, delivery, f"send/{uuid.uuid4()}", timeout=timedelta(minutes=3))
        try:
            return await asyncio.wait_for(handle.result(), _DELIVERY_SECONDS)
        except TimeoutError:
            return f"There was no answer within {_DELIVERY_SECONDS:.0f} seconds; it may still come."
        except WorkflowFailureError as error:
            return str(error.cause)

    # --- maintenance ---

    def reconcile(self, *, seconds: float = 600.0) -> Reconciled:
        """Run a reconciliation now and return its result. Raises SystemFault if it fails."""
        workflow_id = f"reconcile/{uuid.uuid4()}"
        run = self._connection.execute(RECONCILE_WORKFLOW, None, workflow_id, name="The reconciliation")
        return self._connection.run(run, seconds=seconds)

    def schedule_reconciliation(self, every_seconds: int) -> str:
        """Have Temporal run a reconciliation at this interval, and one at once if the schedule is new. Return what was done."""
        every = timedelta(seconds=every_seconds)
        return self._connection.run(self._keep_schedule("reconcile", RECONCILE_WORKFLOW, None, every, at_once=True))

    def schedule_clean_up(self, every_seconds: int) -> str:
        """Have Temporal run a clean-up at this interval. Return what was done."""
        every = timedelta(seconds=every_seconds)
        return self._connection.run(self._keep_schedule("clean", CLEAN_WORKFLOW, CleanRun(), every))

    async def _keep_schedule(
        self, name: str, workflow: Workflow[Any, Any], given: object, every: timedelta, *, at_once: bool = False
    ) -> str:
        client, queue = await self._connection.client(), self._connection.task_queue
        return await keep_schedule(client, name, workflow, given, task_queue=queue, every=every, at_once=at_once)

    def clean(self, *, dry_run: bool = False, seconds: float = 3600.0) -> Cleaned:
        """Run a clean-up now and return what it removed. It continues if it takes longer than ``seconds``.

        Raises SystemFault if it fails.
        """
        run = self._connection.execute(CLEAN_WORKFLOW, CleanRun(dry_run), f"clean/{uuid.uuid4()}", name="The clean-up")
        return self._connection.run(run, seconds=seconds)

    # --- the namespace ---

    def make_search_attributes(self) -> bool:
        """Create the search attributes that are missing; return whether any was. Raises NotReady if the server refuses."""
        return self._connection.run(self._in_namespace(make_search_attributes))

    def is_searchable(self) -> bool:
        """Return whether the namespace has our search attributes, as of a minute ago at most; False if that is not known."""
        asked_at, answer = self._searchable
        if time.monotonic() - asked_at > _SEARCHABLE_SECONDS:
            answer = False
            with suppress(Unreachable):
                answer = self._connection.run(self._in_namespace(has_search_attributes), seconds=_REQUEST_SECONDS)
            self._searchable = (time.monotonic(), answer)
        return answer

    def current_build(self, deployment: str) -> str:
        """Return the build that new work of a deployment goes to; empty for workers without one."""
        return self._connection.run(self._in_namespace(current_build, deployment))

    def set_current_build(self, deployment: str, build_id: str, *, force: bool = False) -> None:
        """Have all work of a deployment go to this build. Raises Conflict if no worker of it is running."""
        self._connection.run(self._in_namespace(partial(set_current_build, force=force), deployment, build_id))

    async def _in_namespace(self, does: Callable[..., Awaitable[T]], *given: str) -> T:
        return await does(await self._connection.client(), *given)

    # --- audits ---

    def audit(self, ref: AuditRef) -> None:
        """Have an audit of the ledger begin, after the dataset's audit that is running, if there is one; once, however often
        it is asked for."""
        workflow_id, given = audit_workflow_id(ref.dataset), AuditRun(ref.dataset)
        start = self._connection.start(AUDIT_WORKFLOW, given, workflow_id, signal=AUDIT_SIGNAL, signal_arguments=[ref.audit_id])
        self._connection.run(start, seconds=_REQUEST_SECONDS)

    def cancel_audit(self, ref: AuditRef) -> None:
        """Have the step of an audit end whose cancellation the ledger has; nothing happens if it is not running."""
        signal = self._connection.signal(audit_workflow_id(ref.dataset), CANCEL_AUDIT_SIGNAL, ref.audit_id)
        self._connection.run(signal, seconds=_REQUEST_SECONDS)

    def audit_is_running(self, dataset: str) -> bool:
        """Return whether the workflow of a dataset's audits is running."""
        return self._connection.run(self._connection.is_running(audit_workflow_id(dataset)))

    def schedule_audits(self, periods: Mapping[str, timedelta]) -> None:
        """Have Temporal request audits of these datasets, each at its interval, and of no other one."""
        self._connection.run(self._schedule_audits(periods))

    async def _schedule_audits(self, periods: Mapping[str, timedelta]) -> None:
        client, queue = await self._connection.client(), self._connection.task_queue
        for dataset, every in periods.items():
            name, given = audit_schedule_id(dataset), AuditRun(dataset)
            await keep_schedule(client, name, SCHEDULED_AUDIT_WORKFLOW, given, task_queue=queue, every=every)
        wanted = {audit_schedule_id(dataset) for dataset in periods}
        await remove_schedules(client, SCHEDULED_AUDIT_WORKFLOW, task_queue=queue, but=wanted)

    # --- the server ---

    def is_up(self) -> bool:
        """Return whether Temporal answers."""
        try:
            return self._connection.run(self._connection.is_healthy(), seconds=PING_SECONDS)
        except Unreachable:
            return False

    def health(self, *, with_pending: bool = False) -> temporal_health.TemporalHealth:
        """Return what the namespace tells of itself, and with ``with_pending`` the pending steps of its workflows."""
        return self._connection.run(temporal_health.look(self._connection, with_pending=with_pending))

    def count_workers(self) -> int:
        """Return how many workers poll the task queue."""
        return self._connection.run(self._connection.count_pollers(self._connection.task_queue), seconds=PING_SECONDS)

    def unserved(self) -> list[Work]:
        """Return the kinds of work that no worker serves."""
        base = self._connection.task_queue
        count = self._connection.count_pollers
        firsts = {work: task_queue_name(base, queues[0]) for work, queues in TASK_QUEUES.items()}
        return [
            work
            for work, name in firsts.items()
            if not self._connection.run(count(name, activities=True), seconds=PING_SECONDS)
        ]
