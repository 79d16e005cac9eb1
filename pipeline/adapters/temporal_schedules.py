"""Temporal schedules: workflows that run at an interval on the worker's task queue."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

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
)

from pipeline.contracts.workflows import Gives, Takes, Workflow


async def keep_schedule(
    client: Client,
    name: str,
    workflow: Workflow[Takes, Gives],
    given: Takes,
    *,
    task_queue: str,
    every: timedelta,
    at_once: bool = False,
) -> None:
    """Create a schedule, or change it if it differs; if an operator has paused it, it stays paused.

    ``at_once``: also run the workflow when the schedule is created. A run is skipped while the previous one is running.
    """
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(workflow.name, args=workflow.arguments(given), id=name, task_queue=task_queue),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(name, schedule, trigger_immediately=at_once)
    except ScheduleAlreadyRunningError:
        handle = client.get_schedule_handle(name)
        if _settings((await handle.describe()).schedule) != _settings(schedule):
            await handle.update(partial(_updated, schedule))


def _settings(schedule: Schedule) -> tuple[object, ...]:
    """Return the properties of a schedule that are set here."""
    action = schedule.action
    started = (action.workflow, action.task_queue) if isinstance(action, ScheduleActionStartWorkflow) else ()
    return [one.every for one in schedule.spec.intervals], started, schedule.policy.overlap


def _updated(wanted: Schedule, current: ScheduleUpdateInput) -> ScheduleUpdate:
    """Return the update to ``wanted`` that keeps the current state, such as a pause."""
    return ScheduleUpdate(replace(wanted, state=current.description.schedule.state))
