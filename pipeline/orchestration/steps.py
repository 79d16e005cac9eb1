"""Run steps and child workflows from a workflow: retry policy, timeouts, heartbeats, cancellation, and failures."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError, FailureError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from pipeline.contracts.messages import Outcome
    from pipeline.contracts.steps import HEARTBEAT_SECONDS, Step, task_queue_name
    from pipeline.contracts.workflows import DATASET_ATTRIBUTE, NOTIFY_WORKFLOW, Workflow, notify_workflow_id

Takes = TypeVar("Takes")
Gives = TypeVar("Gives")

BACKOFF = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10))
"""Retry policy: exponential backoff without a limit of attempts; the step's timeout ends the retries. Which errors can be
retried is decided where they are raised (heartbeat_and_failures.py): a fault of the file never is. An attempt costs little, so
the maximum interval is short, and a step continues soon after an outage is over."""

APART = "results-apart"
"""Patch: result files that are written before an import ends are a step of their own, on a task queue of their own."""

BEGUN_AGAIN, WATCHED_AGAIN = "begun-again", "watched-again"
CANCEL_IS_KEPT, FINISHED_ANYWAY = "cancel-is-kept", "finished-anyway"
"""Patches: histories that were recorded before these changes are replayed without them."""

STEP_TIMEOUT = timedelta(days=1)
"""Schedule-to-close timeout of a step: for all of its attempts together."""

CLOSE_INTERVAL = timedelta(minutes=1)
"""How long a queue waits before it tries again to close an import that could not be closed."""

DATASET = SearchAttributeKey.for_keyword(DATASET_ATTRIBUTE)

HEARTBEAT = timedelta(seconds=HEARTBEAT_SECONDS)
"""Heartbeat timeout. Activities heartbeat five times as often (heartbeat_and_failures.py)."""


async def run_step(
    step: Step[Takes, Gives],
    given: Takes,
    *,
    limit: timedelta,
    beats: bool = False,
    summary: str = "",
    give_up: timedelta | None = STEP_TIMEOUT,
) -> Gives:
    """Run a step by name and return its result. ``limit`` is for one attempt, ``give_up`` for all of them together.

    The worker of a step that ``beats`` is considered dead after HEARTBEAT without a heartbeat.
    """
    result: Gives = await workflow.execute_activity(
        step.name,
        given,
        task_queue=task_queue_name(workflow.info().task_queue, step.queue),
        result_type=step.gives,
        start_to_close_timeout=limit,
        schedule_to_close_timeout=give_up,
        heartbeat_timeout=HEARTBEAT if beats else None,
        retry_policy=BACKOFF,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary or None,
    )
    return result


async def run_step_unless_canceled(step: Step[Takes, Gives], given: Takes, **options: Any) -> Gives:
    """Run a step of an import. Raises CancelledError if the workflow's cancellation was requested meanwhile.

    Temporal delivers a cancellation once: if the step completed before it noticed, the request would be lost.
    """
    result = await run_step(step, given, **options)
    if workflow.cancellation_reason() is not None and workflow.patched(CANCEL_IS_KEPT):
        raise asyncio.CancelledError
    return result


async def start_child(
    child: Workflow[Takes, Gives], given: Takes, workflow_id: str, *, dataset: str | None = None
) -> workflow.ChildWorkflowHandle[Any, Gives]:
    """Start a child workflow that continues whatever becomes of this one; ``dataset``: what it is found by in Temporal.

    Raises WorkflowAlreadyStartedError.
    """
    attributes = TypedSearchAttributes([SearchAttributePair(DATASET, dataset)]) if dataset else None
    return await workflow.start_child_workflow(
        child.name,
        args=child.arguments(given),
        id=workflow_id,
        result_type=child.gives,
        parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        search_attributes=attributes,
    )


async def start_notifying(outcome: Outcome) -> None:
    """Start the workflow that notifies recipients of an import's end."""
    try:
        await start_child(NOTIFY_WORKFLOW, outcome, notify_workflow_id(outcome.import_id, outcome.state))
    except WorkflowAlreadyStartedError:
        workflow.logger.info("recipients are being notified of import %s already", outcome.import_id)


# --- tasks within a workflow ---


async def wait_for_one(under_way: dict[asyncio.Task[None], int]) -> None:
    """Wait until one of the tasks is done, and remove all that are. Raises what they raised."""
    over, _ = await workflow.wait(list(under_way), return_when=asyncio.FIRST_COMPLETED)
    for task in over:
        del under_way[task]
    await asyncio.gather(*over)


async def wait_for_all(under_way: dict[asyncio.Task[None], int]) -> None:
    """Wait until all tasks are done, and remove them. Raises what the first to fail raised."""
    await asyncio.gather(*under_way)
    under_way.clear()


async def shielded(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run work to its end, even if the workflow's cancellation is requested meanwhile."""
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not workflow.patched(FINISHED_ANYWAY):
                task.cancel()
    return task.result()


def is_long() -> bool:
    """Return whether Temporal suggests continue-as-new for this history."""
    return workflow.info().is_continue_as_new_suggested()


async def done_or_long(over: asyncio.Task[None]) -> None:
    """Wait until the task is done, or the history is long."""
    await workflow.wait_condition(lambda: over.done() or is_long())


# --- failures ---


def is_type(error: BaseException, name: str) -> bool:
    """Return whether a step failed with an application error of this type."""
    cause = error.__cause__
    return isinstance(cause, ApplicationError) and cause.type == name


def is_lost(error: BaseException) -> bool:
    """Return whether the database has lost steps of the import, as after a failover: some parts, or all since its start."""
    return is_type(error, "PartsLost") or is_type(error, "Rewound")


def reason_of(error: BaseException) -> str:
    """Return what to tell the user of a failure: the message of the activity's error, or else of the innermost one."""
    while error.__cause__ is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    return error.message if isinstance(error, FailureError) else str(error)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is due."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
