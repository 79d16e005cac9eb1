"""What a Temporal namespace tells of itself: its retention, search attributes, schedules, and who polls which task queue."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue as QueueName
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    GetSystemInfoRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from pipeline.adapters.temporal_connection import TemporalConnection
from pipeline.contracts.steps import TaskQueue, task_queue_name

ANSWER = timedelta(seconds=5)
NAMES_SHOWN = 100


@dataclass(frozen=True)
class ScheduleHealth:
    """A schedule: whether it is paused, when it runs next, and when it ran last."""

    paused: bool
    next_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True)
class PendingStep:
    """A step that is being done or tried again: its name, the number of the attempt, and the type of the last failure."""

    workflow_id: str
    step: str
    attempt: int
    failure_type: str


@dataclass(frozen=True)
class TemporalHealth:
    """A namespace as its server describes it. ``exists`` is False if there is none of that name: then the rest is empty."""

    version: str
    exists: bool
    retention: timedelta | None = None
    attributes: frozenset[str] | None = None  # the custom search attributes; None: the server does not tell
    schedules: dict[str, ScheduleHealth] = field(default_factory=dict)
    pollers: dict[TaskQueue, int] = field(default_factory=dict)
    last_poll_at: datetime | None = None  # by the server's clock
    pending: tuple[PendingStep, ...] = ()


async def look(connection: TemporalConnection, *, with_pending: bool = False) -> TemporalHealth:
    """Ask the server all of that. Raises RPCError if it does not answer."""
    client = await connection.client()
    info = await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=ANSWER)
    try:
        described = await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=connection.namespace), timeout=ANSWER
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return TemporalHealth(info.server_version, exists=False)
        raise
    attributes, schedules, polls = await asyncio.gather(
        _attributes(client),
        _schedules(client),
        asyncio.gather(*(_polls(client, connection.task_queue, queue) for queue in TaskQueue)),
    )
    moments = [moment for _, last in polls for moment in last]
    return TemporalHealth(
        version=info.server_version,
        exists=True,
        retention=described.config.workflow_execution_retention_ttl.ToTimedelta(),
        attributes=attributes,
        schedules=schedules,
        pollers={queue: number for queue, (number, _) in zip(TaskQueue, polls, strict=True)},
        last_poll_at=max(moments, default=None),
        pending=await _pending(client) if with_pending else (),
    )


async def _attributes(client: Client) -> frozenset[str] | None:
    try:
        answer = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace), timeout=ANSWER
        )
    except RPCError:
        return None
    return frozenset(answer.custom_attributes)


async def _schedules(client: Client) -> dict[str, ScheduleHealth]:
    found = {}
    async for one in await client.list_schedules(rpc_timeout=ANSWER):
        recent = [action.started_at for action in one.info.recent_actions] if one.info else []
        upcoming = one.info.next_action_times if one.info else []
        paused = bool(one.schedule and one.schedule.state.paused)
        found[one.id] = ScheduleHealth(paused, min(upcoming, default=None), max(recent, default=None))
    return found


async def _polls(client: Client, base: str, queue: TaskQueue) -> tuple[int, list[datetime]]:
    """Return how many workers poll a queue, and when each last did."""
    kind = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY if queue else TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=QueueName(name=task_queue_name(base, queue)), task_queue_type=kind
    )
    answer = await client.workflow_service.describe_task_queue(request, timeout=ANSWER)
    return len(answer.pollers), [poller.last_access_time.ToDatetime(tzinfo=UTC) for poller in answer.pollers]


async def _pending(client: Client) -> tuple[PendingStep, ...]:
    """Return the pending steps of the running workflows. Of a failure only its type is given: its message may quote a value."""
    found: list[PendingStep] = []
    async for one in client.list_workflows("ExecutionStatus = 'Running'", limit=NAMES_SHOWN):
        described: Any = (
            await client.get_workflow_handle(one.id, run_id=one.run_id).describe(rpc_timeout=ANSWER)
        ).raw_description
        for step in described.pending_activities:
            failure = step.last_failure
            kind = failure.application_failure_info.type or failure.WhichOneof("failure_info") or ""
            found.append(PendingStep(one.id, step.activity_type.name, step.attempt, kind))
    return tuple(found)
