"""Messages about a dataset as a whole: files that do not arrive, or do again, and results of audits."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from pipeline.contracts.dataset_messages import DatasetDeliveries, DatasetDelivery, DatasetMessage
    from pipeline.contracts.steps import DELIVER_DATASET_MESSAGE, LIST_DATASET_RECIPIENTS
    from pipeline.contracts.workflows import DATASET_MESSAGE_WORKFLOW
from pipeline.orchestration.steps import run_step

WITHIN = timedelta(days=3)
"""How long a message is tried, as one about an import is."""


@workflow.defn(name=DATASET_MESSAGE_WORKFLOW.name)
class TellDataset:
    """Notify all recipients of a dataset of one message, each with retries of its own."""

    @workflow.run
    async def run(self, message: DatasetMessage) -> None:
        """Deliver to each recipient independently. The activity sets the delay of each retry."""
        found: DatasetDeliveries = await run_step(LIST_DATASET_RECIPIENTS, message, limit=timedelta(minutes=1))
        await asyncio.gather(*(self._deliver(one) for one in found.deliveries))

    async def _deliver(self, delivery: DatasetDelivery) -> None:
        try:
            limit = timedelta(minutes=1)
            await run_step(DELIVER_DATASET_MESSAGE, delivery, limit=limit, summary=delivery.channel, give_up=WITHIN)
        except ActivityError as error:
            workflow.logger.warning("a %s about %s was not delivered: %s", delivery.channel, delivery.message, error.__cause__)
