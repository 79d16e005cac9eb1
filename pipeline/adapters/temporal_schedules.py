"""Temporal schedules: workflows that run at an interval on the worker's task queue."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

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
from temporalio.service import RPCError, RPCStatusCode

from pipeline.contracts.workflows import Gives, Takes, Workflow

if TYPE_CHECKING:
    from pipeline.adapters.temporal import TemporalClient
    from pipeline.settings import Settings

CREATED, CHANGED = "created", "changed"


async def keep_schedule(
    client: Client,
    name: str,
    workflow: Workflow[Takes, Gives],
    given: Takes,
    *,
    task_queue: str,
    every: timedelta,
    at_once: bool = False,
) -> str:
    """Create a schedule, or change it if it differs; if an operator has paused it, it stays paused.

    Return what was done: ``CREATED``, ``CHANGED`` or nothing.
    ``at_once``: also run the workflow when the schedule is created. A run is skipped while the previous one is running.
    """
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(workflow.name, args=workflow.arguments(given), id=name, task_queue=task_queue),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(name, schedule, trigger_immediately=at_once)
        return CREATED
    except ScheduleAlreadyRunningError:
        handle = client.get_schedule_handle(name)
        if _settings((await handle.describe()).schedule) != _settings(schedule):
            await handle.update(partial(_updated, schedule))
            return CHANGED
    return ""


async def remove_schedules(client: Client, workflow: Workflow[Takes, Gives], *, task_queue: str, but: Set[str]) -> None:
    """Remove the schedules of a workflow on this task queue, except those with the names in ``but``."""
    async for listed in await client.list_schedules():
        started = listed.schedule.action if listed.schedule else None
        if listed.id in but or getattr(started, "workflow", None) != workflow.name:
            continue
        handle = client.get_schedule_handle(listed.id)
        try:
            action = (await handle.describe()).schedule.action
            if isinstance(action, ScheduleActionStartWorkflow) and action.task_queue == task_queue:
                await handle.delete()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # another worker has removed it
                raise


def _settings(schedule: Schedule) -> tuple[object, ...]:
    """Return the properties of a schedule that are set here."""
    action = schedule.action
    started = (action.workflow, action.task_queue) if isinstance(action, ScheduleActionStartWorkflow) else ()
    return [one.every for one in schedule.spec.intervals], started, schedule.policy.overlap


def _updated(wanted: Schedule, current: ScheduleUpdateInput) -> ScheduleUpdate:
    """Return the update to ``wanted`` that keeps the current state, such as a pause."""
    return ScheduleUpdate(replace(wanted, state=current.description.schedule.state))


def keep_schedules(temporal: TemporalClient, settings: Settings, audits: Mapping[str, timedelta]) -> dict[str, str]:
    """Create or change the schedules as the settings want them; return what was done, by schedule.

    ``audits``: how often each dataset that has a schedule of audits is audited.
    """
    temporal.schedule_audits(audits)
    return {
        "reconcile": temporal.schedule_reconciliation(settings.reconcile_seconds),
        "clean": temporal.schedule_clean_up(settings.clean_seconds),
    }
