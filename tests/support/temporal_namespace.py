"""Register a Temporal namespace, and end what a test leaves in it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError


async def register_namespace(address: str, namespace: str) -> None:
    """Register a namespace, and wait until it is usable."""
    client = await Client.connect(address)
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    request = RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=retention)
    await client.workflow_service.register_namespace(request)
    for _ in range(200):  # a new namespace is known everywhere a moment later
        try:
            async for _ in (await Client.connect(address, namespace=namespace)).list_workflows(page_size=1):
                pass
            return
        except Exception:
            await asyncio.sleep(0.05)
    raise TimeoutError(f"The namespace {namespace} did not become usable.")


async def end_workflows(address: str, namespace: str) -> None:
    """Delete the schedules and terminate the workflows: the server offers the tasks of one without a worker again and again."""
    with suppress(RPCError):  # what has ended since, or a namespace that its test has deleted
        client = await Client.connect(address, namespace=namespace)
        async for schedule in await client.list_schedules():
            await client.get_schedule_handle(schedule.id).delete()
        async for one in client.list_workflows("ExecutionStatus = 'Running'"):
            with suppress(RPCError):
                await client.get_workflow_handle(one.id, run_id=one.run_id).terminate("its test is over")
