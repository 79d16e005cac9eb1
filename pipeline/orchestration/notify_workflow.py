"""Notify: deliver the outcome of an import to each recipient, with retries of its own."""

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
        ADDRESSEES,
        DELIVER,
        TRY_RECEIVER,
        task_queue_of,
    )
    from pipeline.contracts.workflows import (
        NOTIFY_WORKFLOW,
        SEND_WORKFLOW,
    )
from pipeline.orchestration.steps import BACKOFF, HEARTBEAT, reason_of, run_step


@workflow.defn(name=NOTIFY_WORKFLOW)
class TellUser:
    """Tell everybody who wants to know; apart from the import, so that a dead receiver holds up nothing."""

    @workflow.run
    async def run(self, outcome: Outcome) -> None:
        """Each receiver is tried on its own, for three days. The step itself says when the next attempt is due."""
        told: Deliveries = await run_step(ADDRESSEES, outcome, limit=timedelta(minutes=1), beats=True)
        await asyncio.gather(*(self._deliver(delivery) for delivery in told.deliveries))

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            await workflow.execute_activity(
                DELIVER.name,
                delivery,
                task_queue=task_queue_of(workflow.info().task_queue, DELIVER.lane),
                start_to_close_timeout=timedelta(minutes=1),
                schedule_to_close_timeout=timedelta(days=3),
                heartbeat_timeout=HEARTBEAT,
                retry_policy=BACKOFF,
                summary=delivery.channel,  # the address may be a secret
            )
        except ActivityError as error:
            workflow.logger.warning("a %s of %s did not arrive: %s", delivery.channel, delivery.import_id, error.__cause__)


@workflow.defn(name=SEND_WORKFLOW)
class SendOne:
    """Send one message again, or a test, once: somebody waits to hear how it went, and can ask again."""

    @workflow.run
    async def run(self, delivery: Delivery) -> str:
        """What stood against it; nothing if it arrived."""
        step = DELIVER if delivery.import_id else TRY_RECEIVER
        try:
            await workflow.execute_activity(
                step.name,
                replace(delivery, asked=True),
                task_queue=task_queue_of(workflow.info().task_queue, step.lane),
                start_to_close_timeout=timedelta(minutes=1),
                schedule_to_close_timeout=timedelta(minutes=2),
                retry_policy=RetryPolicy(maximum_attempts=1),
                summary=delivery.channel,
            )
        except ActivityError as error:
            return reason_of(error)
        return ""
