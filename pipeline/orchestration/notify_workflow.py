"""Notifications: deliver the outcome of an import to each recipient, each with retries of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
)

with workflow.unsafe.imports_passed_through():
    from pipeline.contracts.messages import (
        Deliveries,
        Delivery,
        Outcome,
    )
    from pipeline.contracts.steps import (
        DELIVER,
        LIST_RECIPIENTS,
        SEND_TEST,
        task_queue_name,
    )
    from pipeline.contracts.workflows import (
        NOTIFY_WORKFLOW,
        SEND_WORKFLOW,
    )
from pipeline.orchestration.steps import BACKOFF, HEARTBEAT, reason_of, run_step


@workflow.defn(name=NOTIFY_WORKFLOW.name)
class TellUser:
    """Notify all recipients of an import's end; a workflow of its own, so that no recipient delays an import."""

    @workflow.run
    async def run(self, outcome: Outcome) -> None:
        """Deliver to each recipient independently, for up to three days. The activity sets the delay of each retry."""
        found: Deliveries = await run_step(LIST_RECIPIENTS, outcome, limit=timedelta(minutes=1), beats=True)
        await asyncio.gather(*(self._deliver(delivery) for delivery in found.deliveries))

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await workflow.execute_activity(
                DELIVER.name,
                delivery,
                task_queue=task_queue_name(workflow.info().task_queue, DELIVER.queue),
                start_to_close_timeout=timedelta(minutes=1),
                schedule_to_close_timeout=timedelta(days=3),
                heartbeat_timeout=HEARTBEAT,
                retry_policy=BACKOFF,
                summary=delivery.channel,  # the address may be a secret
            )
        except ActivityError as error:
            workflow.logger.warning(
                "a %s about import %s was not delivered: %s", delivery.channel, delivery.import_id, error.__cause__
            )


@workflow.defn(name=SEND_WORKFLOW.name)
class SendOne:
    """Send one message again, or a test message, in one attempt: a person waits for the result, and can try again."""

    @workflow.run
    async def run(self, delivery: Delivery) -> str:
        """Send the message; return the reason if that failed, empty if it was delivered."""
        step = DELIVER if delivery.import_id else SEND_TEST
        try:
            await workflow.execute_activity(
                step.name,
                replace(delivery, asked=True),
                task_queue=task_queue_name(workflow.info().task_queue, step.queue),
                start_to_close_timeout=timedelta(minutes=1),
                schedule_to_close_timeout=timedelta(minutes=2),
                retry_policy=RetryPolicy(maximum_attempts=1),
                summary=delivery.channel,
            )
        except ActivityError as error:
            return reason_of(error)
        return ""
