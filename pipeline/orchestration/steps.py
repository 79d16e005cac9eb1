"""Run steps from a workflow: retry policy, time limits, heartbeats, cancellation, and reading of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ApplicationError,
    FailureError,
    WorkflowAlreadyStartedError,
)

with workflow.unsafe.imports_passed_through():
    from pipeline.contracts.messages import (
        Outcome,
    )
    from pipeline.contracts.steps import (
        HEARTBEAT_SECONDS,
        Step,
        task_queue_of,
    )
    from pipeline.contracts.workflows import (
        NOTIFY_WORKFLOW,
        notify_workflow_id,
    )


Takes = TypeVar("Takes")
Gives = TypeVar("Gives")
BACKOFF = RetryPolicy(initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10))
"""Exponential, and without a number of attempts: what ends it is the step's own limit of time. Which errors are worth a
retry is decided where they are raised (activities.py): the file's faults never are. An attempt costs little, so the longest
interval is short: what has passed is not waited for much longer."""

APART = "results-apart"
"""Name of a patch: files of results that are written before an import ends are a step of their own, which has its own lane."""

GIVE_UP = timedelta(days=1)
BETWEEN_TRIES = timedelta(minutes=1)
BEGUN_AGAIN, WATCHED_AGAIN = "begun-again", "watched-again"
CANCEL_IS_KEPT, FINISHED_ANYWAY = "cancel-is-kept", "finished-anyway"
"""Patches: histories that were recorded before these ways of a workflow are replayed without them."""

HEARTBEAT = timedelta(seconds=HEARTBEAT_SECONDS)
"""A step that says nothing for so long has died with its worker; attempt.py speaks five times as often."""


async def run_step(
    step: Step[Takes, Gives],
    given: Takes,
    *,
    limit: timedelta,
    beats: bool = False,
    summary: str = "",
    give_up: timedelta | None = GIVE_UP,
) -> Gives:
    """Run a step by name. ``limit`` is for one attempt, ``give_up`` for all of them together.

    A step that ``beats`` is known dead after HEARTBEAT.
    """
    result: Gives = await workflow.execute_activity(
        step.name,
        given,
        task_queue=task_queue_of(workflow.info().task_queue, step.lane),
        result_type=step.gives,
        start_to_close_timeout=limit,
        schedule_to_close_timeout=give_up,
        heartbeat_timeout=HEARTBEAT if beats else None,
        retry_policy=BACKOFF,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary or None,
    )
    return result


def is_long() -> bool:
    """Temporal holds that this history ought to end."""
    return workflow.info().is_continue_as_new_suggested()


async def done_or_long(over: asyncio.Task[None]) -> None:
    await workflow.wait_condition(lambda: over.done() or is_long())


async def start_notifying(outcome: Outcome) -> None:
    """Have the user told of an import's end; that goes on whatever becomes of this run."""
    try:
        await workflow.start_child_workflow(
            NOTIFY_WORKFLOW,
            outcome,
            id=notify_workflow_id(outcome.import_id, outcome.state),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
    except WorkflowAlreadyStartedError:
        workflow.logger.info("import %s is being told of already", outcome.import_id)


async def wait_for_one(under_way: dict[asyncio.Task[None], int]) -> None:
    """Wait until one of the tasks is over, and leave only those that are not. Raises what it raised."""
    over, _ = await workflow.wait(list(under_way), return_when=asyncio.FIRST_COMPLETED)
    for task in over:
        del under_way[task]
    await asyncio.gather(*over)


async def wait_for_all(under_way: dict[asyncio.Task[None], int]) -> None:
    """Wait for all of the tasks, and leave none. Raises what the first to fail raised."""
    await asyncio.gather(*under_way)
    under_way.clear()


async def run_step_unless_canceled(step: Step[Takes, Gives], given: Takes, **options: Any) -> Gives:
    """Run a step of an import. Raises CancelledError if the workflow's cancellation was requested meanwhile, also if the step
    ended before it heard of that: Temporal delivers one request only."""
    result = await run_step(step, given, **options)
    if workflow.cancellation_reason() is not None and workflow.patched(CANCEL_IS_KEPT):
        raise asyncio.CancelledError
    return result


async def shielded(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Wait for the end of what must not be broken off, even if the workflow's cancellation is requested meanwhile."""
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not workflow.patched(FINISHED_ANYWAY):
                task.cancel()
    return task.result()


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def is_type(error: BaseException, name: str) -> bool:
    cause = error.__cause__
    return isinstance(cause, ApplicationError) and cause.type == name


def is_lost(error: BaseException) -> bool:
    """The database has lost what this import had done, as a failover may: parts, or all since it was taken up."""
    return is_type(error, "PartsLost") or is_type(error, "Rewound")


def reason_of(error: BaseException) -> str:
    """What the user is told of a failure: the message that an activity worded for that, or else the innermost."""
    while error.__cause__ is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    return error.message if isinstance(error, FailureError) else str(error)
