"""Handle the bucket's PUT events in AWS Lambda: signal-with-start the workflow of the dataset's queue, and nothing else.

Both forms of event are read: S3's own notification and EventBridge's. Objects that are not under ``incoming/<dataset>/`` are
ignored. Errors are raised on purpose: AWS retries the event and finally puts it into the dead-letter queue. Events arrive at
least once and in any order; the queue handles both.

Environment: TEMPORAL_* as in Temporal's own tools (temporal_access/options.py), BULKHEAD_TASK_QUEUE, BULKHEAD_PAYLOAD_KEYS.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_plus

from pipeline.contracts.messages import ObjectArrived, QueueRun
from pipeline.contracts.object_keys import dataset_of
from pipeline.contracts.traceparent import traceparent_of_xray
from pipeline.contracts.workflows import ENQUEUE_SIGNAL, QUEUE_WORKFLOW, queue_workflow_id
from pipeline.temporal_access.connecting import connect
from pipeline.temporal_access.options import access_from


def requests_in(event: Mapping[str, Any]) -> list[ObjectArrived]:
    """Return the files that an event announces; none for a test event, a deletion or an object outside ``incoming/``."""
    return [arrival for arrival in _objects_created(event) if dataset_of(arrival.key)]


def _objects_created(event: Mapping[str, Any]) -> Iterator[ObjectArrived]:
    for record in event.get("Records") or []:
        if str(record.get("eventName", "")).startswith("ObjectCreated:"):
            entity = record["s3"]
            yield ObjectArrived(entity["bucket"]["name"], unquote_plus(entity["object"]["key"]))
    if event.get("detail-type") == "Object Created":
        detail = event["detail"]
        yield ObjectArrived(detail["bucket"]["name"], detail["object"]["key"])  # EventBridge does not encode keys


async def announce(arrivals: list[ObjectArrived]) -> None:
    """Signal the queue of each file and start it if it is not running: one atomic call to Temporal per file."""
    client = await connect(access_from(os.environ))
    traceparent = traceparent_of_xray(os.environ.get("_X_AMZN_TRACE_ID", ""))  # set if the function is traced by X-Ray
    for arrival in [replace(arrival, traceparent=traceparent) for arrival in arrivals]:
        dataset = str(dataset_of(arrival.key))
        await client.start_workflow(
            QUEUE_WORKFLOW.name,
            QueueRun(dataset),
            id=queue_workflow_id(dataset),
            task_queue=os.environ.get("BULKHEAD_TASK_QUEUE", "bulkhead"),
            start_signal=ENQUEUE_SIGNAL,
            start_signal_args=[arrival],
        )


def handle(event: Mapping[str, Any], context: object) -> dict[str, int]:
    """Handle an event as AWS calls it. Return the number of files announced."""
    arrivals = requests_in(event)
    if arrivals:
        asyncio.run(announce(arrivals))
    return {"announced": len(arrivals)}
