"""Register a Temporal namespace."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client


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
